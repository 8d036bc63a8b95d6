"""The commands about proof: a log's keys and its beginning, and verification."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
import uvloop
from rich.progress import Progress

from contracts.problem import Problem
from services import assembly, run
from services.kit import witnessing
from services.kit.settings import SettingsError

if TYPE_CHECKING:
    from services.ledger.sealing.site import Site

seal = typer.Typer(help="The ledgers' own keys, and the beginning of a log.", no_args_is_help=True)


@seal.command("keys")
def seal_keys(
    folder: Annotated[Path, typer.Argument(help="where to, for example keys/main")],
    origin: Annotated[str, typer.Option(help="the log's name for ever, such as example.com/main")],
) -> None:
    """Make a ledger's keys: sealer, naming, receipts. None is ever overwritten."""
    from services.ledger.sealing import keys  # noqa: PLC0415 - not needed to serve

    keys.make(folder, origin)
    run.say((folder / "sealer.vkey").read_text(encoding="utf-8").strip())


@seal.command("begin")
def seal_begin(
    ledger: Annotated[str, typer.Option(help="the ledger's name")] = "main",
) -> None:
    """Begin the log of a ledger that was never sealed: a state, and an empty checkpoint."""
    from services.ledger.sealing.where import begin  # noqa: PLC0415 - not needed to serve

    told = assembly.Settings.load()
    run.say(f"the log {begin(told.shared, told.ledger, ledger)} begins, with the empty tree")


@seal.command("rotate")
def seal_rotate(
    which: Annotated[str, typer.Argument(help="sealer, receipts or attester")],
    reason: Annotated[str, typer.Option(help="why, for example: yearly, or: may have leaked")],
    ledger: Annotated[str, typer.Option(help="the ledger's name")] = "main",
    *,
    prepare: Annotated[
        bool, typer.Option(help="only make the new key, to hand its public half to witnesses")
    ] = False,
) -> None:
    """Replace a key of a ledger; recorded for ever."""
    from services.ledger.sealing import site  # noqa: PLC0415 - not needed to serve

    with _plainly():
        if prepare:
            run.say(f"the new key: {site.prepare(_site(ledger), which)[1]}")
            return
        found = uvloop.run(site.rotate(_site(ledger), which, reason))
    run.say(f"the new key: {found.introduced}")
    run.say(f"position {found.position} says so: what the old key signs from there on is void")
    later = {
        "sealer": "the sealer takes it by itself, when it seals that position",
        "receipts": "start the ledger's processes: until then receipts are void",
        "attester": "start the ledger's processes: until then the old key signs packs",
    }
    run.say(later[which])


@seal.command("gap")
def seal_gap(
    reason: Annotated[str, typer.Option(help="why, for example: restored from Tuesday's backup")],
    ledger: Annotated[str, typer.Option(help="the ledger's name")] = "main",
    *,
    everything: Annotated[
        bool, typer.Option("--everything", help="not one event is left, and that is meant")
    ] = False,
) -> None:
    """Declare what a restored backup has lost, and begin a new log over the rest."""
    from services.ledger.sealing import gap  # noqa: PLC0415 - not needed to serve

    site = _site(ledger)
    with _plainly(), Progress(transient=True) as progress:
        task = progress.add_task("comparing what is left with what was sealed", total=None)

        def advance(count: int) -> None:
            progress.advance(task, count)

        found = uvloop.run(gap.declare(site, reason, advance, everything=everything))
    run.say(f"positions {found.first} to {found.last} are declared lost")
    run.say(f"the log {found.former} is closed; the log {found.origin} begins")
    key = (site.keys / "sealer.vkey").read_text(encoding="utf-8").strip()
    run.say(f"for witnesses (their file `logs`) and auditors: {key}")


@seal.command("witness")
def seal_witness(
    folder: Annotated[Path, typer.Argument(help="where to, for example keys/gatekeeper")],
    name: Annotated[str, typer.Option(help="the witness's name, such as gatekeeper.example.com")],
) -> None:
    """Make a witness's key; what it watches is listed in the file `logs` beside it."""
    witnessing.make(folder, name)
    run.say((folder / witnessing.VKEY).read_text(encoding="utf-8").strip())


@contextlib.contextmanager
def _plainly() -> Iterator[None]:
    """Tell in a sentence what a person can mend."""
    from services.kit.database import DatabaseError  # noqa: PLC0415 - not needed to serve
    from services.kit.tlog.merkle import ProofError  # noqa: PLC0415
    from services.ledger.sealing.resume import SealerRefuses  # noqa: PLC0415
    from services.ledger.sealing.shelf import Overwritten  # noqa: PLC0415
    from services.ledger.sealing.state import StateMoved  # noqa: PLC0415

    known = (Problem, ProofError, SealerRefuses, Overwritten, StateMoved, OSError, *DatabaseError)
    try:
        yield
    except known as error:
        raise SettingsError(str(error) or type(error).__name__) from error


def _site(ledger: str) -> Site:
    from services.ledger.sealing.where import site  # noqa: PLC0415 - not needed to serve

    told = assembly.Settings.load()
    return site(told.shared, told.ledger, ledger)


def verify(  # noqa: PLR0913 - one parameter for each option
    *,
    ledger: Annotated[str, typer.Option(help="the ledger's name")] = "main",
    key: Annotated[
        Path | None, typer.Option(help="the log's public key that you trust (a vkey file)")
    ] = None,
    shelf: Annotated[
        str | None, typer.Option(help="the folder of tiles and checkpoint, or s3://…")
    ] = None,
    known: Annotated[
        list[Path] | None, typer.Option(help="a checkpoint that you keep from earlier")
    ] = None,
    tree: Annotated[bool, typer.Option(help="the tree alone, without the database")] = False,
    quick: Annotated[bool, typer.Option(help="hashes only, columns are not compared")] = False,
    workers: Annotated[int, typer.Option(help="processes; 0: one for each core")] = 0,
    pack: Annotated[Path | None, typer.Option(help="check this evidence pack instead")] = None,
    receipt: Annotated[Path | None, typer.Option(help="check this receipt instead")] = None,
    stretch: Annotated[
        str | None, typer.Option("--range", help="positions, such as 1000-2000 or 1000-")
    ] = None,
    subject: Annotated[
        str | None, typer.Option(help="one history, such as release:pay-1.42")
    ] = None,
    url: Annotated[
        str | None,
        typer.Option(help="a ledger over HTTP: …/v1/ledgers/main"),
    ] = None,
    closed: Annotated[
        str | None, typer.Option(help="compare with this log too, which a gap has closed")
    ] = None,
    fresh: Annotated[
        int | None, typer.Option(help="refuse what the witnesses saw longer ago, in seconds")
    ] = None,
    api_key: Annotated[
        str, typer.Option(envvar="RLG_API_KEY", help="for what --url gives to readers alone")
    ] = "",
) -> None:
    """Check a ledger from its published tree to its last column. Exit code 0, or 9: refused."""
    from services.ledger.verify import command, given  # noqa: PLC0415 - not needed to serve

    told = assembly.Settings.load()
    wanted = given.Wanted(
        ledger, key, shelf, tuple(known or ()), tree, quick, workers, pack, receipt,
        stretch, subject, url, closed, fresh, api_key,
    )  # fmt: skip
    raise typer.Exit(command.run(told.shared, told.ledger, wanted))
