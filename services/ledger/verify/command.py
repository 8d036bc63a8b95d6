"""`python -m services verify`: what a person sees of it."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import Progress

from contracts.problem import Problem
from services.kit import clock
from services.kit.settings import SettingsError, Shared
from services.kit.tlog.checkpoint import Checkpoint, open_note
from services.kit.tlog.keys import NotANote
from services.kit.tlog.merkle import ProofError
from services.kit.tlog.note import Ed25519Verifier, Unsigned
from services.kit.tlog.policy import NotAPolicy, Policy
from services.kit.tlog.tiles import WIDTH, TileReader
from services.ledger.sealing import keys, rotation
from services.ledger.sealing.naming import NameChecker, NotANamingKey
from services.ledger.sealing.rotation import open_log
from services.ledger.sealing.shelf import CHECKPOINT, Folder
from services.ledger.sealing.where import Where
from services.ledger.settings import LedgerSettings
from services.ledger.verify.closed import check_closed
from services.ledger.verify.history import HistoryReport, NoSuchSubject, verify_history
from services.ledger.verify.online import Online
from services.ledger.verify.pack import position_of, read_zip, verify_pack, verify_receipt
from services.ledger.verify.whole import Refused, Report, verify
from services.ledger.verify.work import Job

REFUSED = 9
"""Exit code: the ledger is not what was sealed. 1 is a fault that a person can mend."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """The command's options."""

    ledger: str
    key: Path | None = None
    shelf: Path | None = None
    known: tuple[Path, ...] = ()
    tree: bool = False
    quick: bool = False
    workers: int = 0
    pack: Path | None = None
    receipt: Path | None = None
    stretch: str | None = None
    subject: str | None = None
    url: str | None = None
    closed: Path | None = None
    api_key: str = ""


def run(shared: Shared, settings: LedgerSettings, wanted: Wanted) -> int:
    """Verify and say what was found. Raises `SettingsError` for what is not there."""
    console, begun = Console(highlight=False, soft_wrap=True), clock.monotonic()
    where = Where(shared, settings)
    try:
        if wanted.pack is not None:
            return _pack(console, where, wanted, wanted.pack)
        if wanted.receipt is not None:
            return _receipt(console, where, wanted, wanted.receipt)
        if wanted.subject is not None and wanted.url is not None:
            return _online_pack(console, where, wanted, Online(wanted.url, wanted.api_key))
        job, older = _job(shared, settings, wanted)
        workers = wanted.workers or len(os.sched_getaffinity(0))
        with Progress(console=console, transient=True) as progress:
            task = progress.add_task(f"verifying {wanted.ledger}", total=job.head.size)

            def advance(count: int) -> None:
                progress.advance(task, count)

            if wanted.subject is not None:
                found = verify_history(job, wanted.subject, workers, advance)
            else:
                stretch = _bundles(wanted.stretch, job.head.size)
                report = verify(job, workers, advance, older, stretch)
                gap = _gap(where, wanted, job)
    except (Refused, Unsigned, NotANote, ProofError) as error:
        console.print(f"REFUSED  {error}", markup=False)
        return REFUSED
    except (Problem, NoSuchSubject) as error:
        raise SettingsError(str(error)) from None
    if wanted.subject is not None:
        _say_history(console, job, wanted.subject, found)
    else:
        _say(console, report, clock.monotonic() - begun, wanted)
        if gap is not None:
            console.print(f"  the closed log agrees up to {gap - 1}; its end is declared lost")
    return 0


def _gap(where: Where, wanted: Wanted, job: Job) -> int | None:
    if wanted.closed is None:
        return None
    if job.url is None:
        raise SettingsError("--closed needs the database: what was lost is declared there")
    content = _read(wanted.closed / CHECKPOINT)
    old, _ = open_log(content, [], rotation.former(where.keys(wanted.ledger)))
    return check_closed(job, old, Folder(wanted.closed))


def _job(
    shared: Shared, settings: LedgerSettings, wanted: Wanted
) -> tuple[Job, tuple[Checkpoint, ...]]:
    where = Where(shared, settings)
    shelf = _shelf(where, wanted)
    verifier = Ed25519Verifier.parse(
        _read(wanted.key or where.keys(wanted.ledger) / "sealer.vkey").decode()
    )
    head = _opened(shelf.read(CHECKPOINT), verifier, f"{_place(shelf)}/{CHECKPOINT}")
    retired = rotation.former(where.keys(wanted.ledger))
    older = tuple(open_log(_read(file), [verifier], retired)[0] for file in wanted.known)
    if wanted.tree or wanted.url is not None:
        return Job(head, shelf, wanted.ledger, quick=wanted.quick), older
    naming = _read(where.keys(wanted.ledger) / "naming.pub.pem")
    url = _url(shared, settings, wanted.ledger)
    return Job(head, shelf, wanted.ledger, url, naming, wanted.quick), older


def _bundles(stretch: str | None, size: int) -> range | None:
    """Read `A-B` or `A-`, positions, as the bundles that hold them."""
    if stretch is None:
        return None
    first, mark, last = stretch.partition("-")
    if not (mark and first.isdecimal() and (last.isdecimal() or not last)):
        raise SettingsError("--range is two positions, such as 1000-2000, or 1000- for the rest")
    low, high = int(first), min(int(last or size), size)
    if not 1 <= low <= high:
        raise SettingsError(f"--range {stretch} is not among the {size} sealed positions")
    return range((low - 1) // WIDTH, (high - 1) // WIDTH + 1)


def _online_pack(console: Console, where: Where, wanted: Wanted, online: Online) -> int:
    """Fetch a subject's pack and check it as if somebody had handed it over."""
    content = online.pack(wanted.subject or "")
    if content is None:
        raise SettingsError(f"{online.url} has no {wanted.subject}")
    with tempfile.NamedTemporaryFile(suffix=".zip") as file:
        file.write(content)
        file.flush()
        return _pack(console, where, wanted, Path(file.name))


def _pack(console: Console, where: Where, wanted: Wanted, file: Path) -> int:
    """Check a pack by the policy and the naming key that lie with the ledger's keys."""
    folder = where.keys(wanted.ledger)
    try:
        policy = Policy.parse(_read(folder / keys.POLICY).decode())
        naming = NameChecker.from_pem(_read(folder / "naming.pub.pem"))
    except (NotAPolicy, NotANamingKey, UnicodeDecodeError) as error:
        raise SettingsError(str(error)) from None
    report = verify_pack(read_zip(file), policy, naming)
    console.print(f"VERIFIED  {report.subject} by {report.head.origin}", markup=False)
    whole = f"{report.histories} histories whole, nothing left out"
    shown = whole if report.histories else "without the tree: that nothing is missing is not shown"
    console.print(f"  {report.events} events; {shown}", markup=False)
    return 0


def _receipt(console: Console, where: Where, wanted: Wanted, file: Path) -> int:
    """Check that a receipt is the ledger's and that the tree bears it out."""
    folder, shelf = where.keys(wanted.ledger), _shelf(where, wanted)
    verifier = Ed25519Verifier.parse(_read(wanted.key or folder / "sealer.vkey").decode())
    signer = Ed25519Verifier.parse(_read(folder / "receipts.vkey").decode())
    head = _opened(shelf.read(CHECKPOINT), verifier, f"{_place(shelf)}/{CHECKPOINT}")
    content = _read(file)
    position = position_of(content)
    if not 0 < position <= head.size:
        raise SettingsError(f"position {position} is not sealed; the tree has {head.size}")
    former = rotation.holding(rotation.former(folder), "receipts", position)
    read = TileReader(head.size, head.root, shelf.read)
    entry = read.entries((position - 1) // WIDTH)[(position - 1) % WIDTH]
    verify_receipt(content, [signer, *former], entry)
    console.print(f"VERIFIED  the receipt of position {position} by {head.origin}", markup=False)
    return 0


def _shelf(where: Where, wanted: Wanted) -> Folder | Online:
    if wanted.url is not None:
        return Online(wanted.url.rstrip("/"), wanted.api_key)
    return where.shelf(wanted.ledger) if wanted.shelf is None else Folder(wanted.shelf)


def _place(shelf: Folder | Online) -> str:
    return shelf.url if isinstance(shelf, Online) else str(shelf.root)


def _opened(content: bytes | None, verifier: Ed25519Verifier, where: str) -> Checkpoint:
    if content is None:
        raise SettingsError(f"there is no checkpoint at {where}")
    return open_note(content, [verifier])[0]


def _say(console: Console, report: Report, seconds: float, wanted: Wanted) -> None:
    portion, rate = report.portion, report.portion.events / max(seconds, 0.001)
    compared = "the tree alone" if wanted.tree or wanted.url else "tree and database"
    histories = f"{report.subjects} complete histories"
    if wanted.stretch is not None:
        histories = f"{report.subjects} histories without a gap there, elsewhere not looked at"
    lines = [
        f"VERIFIED  {report.head.origin}",
        f"  {portion.events} events, {histories}: {compared}",
        f"  root {report.head.root.hex()}",
        f"  {len(portion.gone)} redacted, {report.unsealed} not sealed yet",
        f"  {seconds:.1f} s, {rate:.0f} events/s",
    ]
    for line in lines:
        console.print(line, markup=False)


def _say_history(console: Console, job: Job, subject: str, found: HistoryReport) -> None:
    console.print(f"VERIFIED  {subject} by {job.head.origin}", markup=False)
    console.print(f"  {found.events} events, all that the tree has of it: tree and database")
    console.print(f"  {found.redacted} redacted, {found.unsealed} not sealed yet")


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise SettingsError(f"cannot read {file}: {error.strerror}") from None


def _url(shared: Shared, settings: LedgerSettings, ledger: str) -> str:
    if shared.database_url is None:
        raise SettingsError("DATABASE_URL names the database to compare with; or use --tree")
    return settings.elsewhere.get(ledger, shared.database_url.get_secret_value())
