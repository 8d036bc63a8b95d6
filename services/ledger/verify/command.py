"""`python -m services verify`: what a person sees of it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import Progress

from services.kit import clock
from services.kit.settings import SettingsError, Shared
from services.kit.tlog.checkpoint import Checkpoint, open_note
from services.kit.tlog.keys import NotANote
from services.kit.tlog.merkle import ProofError
from services.kit.tlog.note import Ed25519Verifier, Unsigned
from services.kit.tlog.policy import NotAPolicy, Policy
from services.kit.tlog.tiles import WIDTH, TileReader
from services.ledger.sealing.naming import NameChecker, NotANamingKey
from services.ledger.sealing.shelf import CHECKPOINT, Folder
from services.ledger.sealing.where import POLICY, Where
from services.ledger.settings import LedgerSettings
from services.ledger.verify.pack import position_of, read_zip, verify_pack, verify_receipt
from services.ledger.verify.whole import Job, Refused, Report, verify

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


def run(shared: Shared, settings: LedgerSettings, wanted: Wanted) -> int:
    """Verify and say what was found. Raises `SettingsError` for what is not there."""
    console, begun = Console(highlight=False, soft_wrap=True), clock.monotonic()
    where = Where(shared, settings)
    try:
        if wanted.pack is not None:
            return _pack(console, where, wanted, wanted.pack)
        if wanted.receipt is not None:
            return _receipt(console, where, wanted, wanted.receipt)
        report = _verified(shared, settings, wanted, console)
    except (Refused, Unsigned, NotANote, ProofError) as error:
        console.print(f"REFUSED  {error}", markup=False)
        return REFUSED
    _say(console, report, clock.monotonic() - begun, wanted)
    return 0


def _verified(shared: Shared, settings: LedgerSettings, wanted: Wanted, console: Console) -> Report:
    where = Where(shared, settings)
    shelf = _shelf(where, wanted)
    verifier = Ed25519Verifier.parse(
        _read(wanted.key or where.keys(wanted.ledger) / "sealer.vkey").decode()
    )
    head = _opened(shelf.read(CHECKPOINT), verifier, f"{shelf.root}/{CHECKPOINT}")
    older = tuple(_opened(_read(file), verifier, str(file)) for file in wanted.known)
    job = Job(head, shelf, wanted.ledger, quick=wanted.quick)
    if not wanted.tree:
        naming = _read(where.keys(wanted.ledger) / "naming.pub.pem")
        url = _url(shared, settings, wanted.ledger)
        job = Job(head, shelf, wanted.ledger, url, naming, wanted.quick)
    with Progress(console=console, transient=True) as progress:
        task = progress.add_task(f"verifying {wanted.ledger}", total=head.size)
        workers = wanted.workers or len(os.sched_getaffinity(0))
        return verify(job, workers, lambda count: progress.advance(task, count), older)


def _pack(console: Console, where: Where, wanted: Wanted, file: Path) -> int:
    """Check a pack by the policy and the naming key that lie with the ledger's keys."""
    folder = where.keys(wanted.ledger)
    try:
        policy = Policy.parse(_read(folder / POLICY).decode())
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
    head = _opened(shelf.read(CHECKPOINT), verifier, f"{shelf.root}/{CHECKPOINT}")
    content = _read(file)
    position = position_of(content)
    if not 0 < position <= head.size:
        raise SettingsError(f"position {position} is not sealed; the tree has {head.size}")
    read = TileReader(head.size, head.root, shelf.read)
    entry = read.entries((position - 1) // WIDTH)[(position - 1) % WIDTH]
    verify_receipt(content, signer, entry)
    console.print(f"VERIFIED  the receipt of position {position} by {head.origin}", markup=False)
    return 0


def _shelf(where: Where, wanted: Wanted) -> Folder:
    return where.shelf(wanted.ledger) if wanted.shelf is None else Folder(wanted.shelf)


def _opened(content: bytes | None, verifier: Ed25519Verifier, where: str) -> Checkpoint:
    if content is None:
        raise SettingsError(f"there is no checkpoint at {where}")
    return open_note(content, [verifier])[0]


def _say(console: Console, report: Report, seconds: float, wanted: Wanted) -> None:
    portion, rate = report.portion, report.portion.events / max(seconds, 0.001)
    compared = "the tree alone" if wanted.tree else "tree and database"
    lines = [
        f"VERIFIED  {report.head.origin}",
        f"  {portion.events} events, {report.subjects} complete histories: {compared}",
        f"  root {report.head.root.hex()}",
        f"  {len(portion.gone)} redacted, {report.unsealed} not sealed yet",
        f"  {seconds:.1f} s, {rate:.0f} events/s",
    ]
    for line in lines:
        console.print(line, markup=False)


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise SettingsError(f"cannot read {file}: {error.strerror}") from None


def _url(shared: Shared, settings: LedgerSettings, ledger: str) -> str:
    if shared.database_url is None:
        raise SettingsError("DATABASE_URL names the database to compare with; or use --tree")
    return settings.elsewhere.get(ledger, shared.database_url.get_secret_value())
