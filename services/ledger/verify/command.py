"""`python -m services verify`: what a person sees of it."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path

from rich.console import Console
from rich.progress import Progress

from contracts.problem import Problem
from services.kit import clock
from services.kit.database import DatabaseError
from services.kit.settings import SettingsError, Shared
from services.kit.tlog.checkpoint import Checkpoint
from services.kit.tlog.keys import NotANote
from services.kit.tlog.merkle import ProofError
from services.kit.tlog.note import Ed25519Verifier, Note, Unsigned
from services.kit.tlog.tiles import WIDTH
from services.ledger.sealing import anchor
from services.ledger.sealing.shelf import CHECKPOINT
from services.ledger.sealing.where import shelf_at
from services.ledger.settings import LedgerSettings
from services.ledger.verify.anchored import check_anchors
from services.ledger.verify.closed import check_closed
from services.ledger.verify.given import Given, Wanted, read
from services.ledger.verify.history import NoSuchSubject, verify_history
from services.ledger.verify.online import Online
from services.ledger.verify.pack import (
    InHand,
    PackReport,
    position_of,
    read_zip,
    receipt_in,
    verify_pack,
    verify_receipt,
)
from services.ledger.verify.whole import Refused, continues, verify
from services.ledger.verify.work import PORTION_SECONDS, Job

REFUSED = 9
"""Exit code: the ledger is not what was sealed. 1 is a fault that a person can mend."""
Advance = Callable[[int], None]


def run(shared: Shared, settings: LedgerSettings, wanted: Wanted) -> int:
    """Verify and say what was found. Raises `SettingsError` for what is not there."""
    console = Console(highlight=False, soft_wrap=True)
    given = Given(shared, settings, wanted)
    try:
        lines = _handed(given) or _with_progress(given, console)
    except (Refused, Unsigned, NotANote, ProofError) as error:
        console.print(f"REFUSED  {error}", markup=False)
        return REFUSED
    except TimeoutError:
        raise SettingsError(f"nothing is shown: a portion took over {PORTION_SECONDS} s") from None
    except (Problem, NoSuchSubject) as error:
        raise SettingsError(str(error)) from None
    except (OSError, *DatabaseError) as error:
        raise SettingsError(f"nothing is shown: {error or type(error).__name__}") from error
    for line in lines:
        console.print(line, markup=False)
    return 0


def _handed(given: Given) -> list[str] | None:
    """Verify a file that somebody has handed over; None when the log itself is meant."""
    wanted = given.wanted
    if wanted.pack is not None:
        if wanted.pack.is_dir():
            raise SettingsError(f"{wanted.pack} is a folder: give the pack as it came, a zip")
        files = read_zip(wanted.pack)
        return _told(_pack(given, files), _stamp(given, files))
    if wanted.receipt is not None:
        return _receipt(given, wanted.receipt)
    if wanted.subject is not None and isinstance(given.shelf, Online):
        return _online(given, given.shelf, wanted.subject)
    return None


def _online(given: Given, shelf: Online, subject: str) -> list[str]:
    """Fetch a subject's pack, and hold it against what else the server says and has said."""
    given.refuse("range", "closed", "tree", "quick")
    seen = [given.head, *given.older()]
    given.check_fresh()
    content = shelf.pack(subject)
    if content is None:
        raise SettingsError(f"{shelf} has no {subject}")
    files = read_zip(io.BytesIO(content))
    report = _pack(given, files, given.verifier)
    if report.subject != subject:
        raise Refused(f"asked for {subject}, and got the pack of {report.subject}")
    if not report.histories:
        raise Refused("the pack has no tree: that nothing was left out is not shown")
    for old in seen:
        continues(Job(report.head, InHand(files), given.wanted.ledger), old)
    return _told(report)


def _with_progress(given: Given, console: Console) -> list[str]:
    job, began = given.job(), clock.monotonic()
    if given.wanted.subject is not None:
        given.refuse("range", "closed", "tree", "quick")
    given.check_fresh()
    with Progress(console=console, transient=True) as progress:
        task = progress.add_task(f"verifying {job.ledger}", total=job.head.size)

        def advance(count: int) -> None:
            progress.advance(task, count)

        if given.wanted.subject is not None:
            return _history(given, job, given.wanted.subject, advance)
        return _whole(given, job, advance, began)


def _history(given: Given, job: Job, subject: str, advance: Advance) -> list[str]:
    for old in given.older():
        continues(job, old)
    found = verify_history(job, subject, given.workers, advance)
    return [
        f"VERIFIED  {subject} by {job.head.origin}",
        f"  {found.events} events, all that the tree has of it: tree and database",
        f"  {found.redacted} redacted, {found.unsealed} not sealed yet",
        *_stamps(given, job),
    ]


def _whole(given: Given, job: Job, advance: Advance, began: float) -> list[str]:
    report = verify(job, given.workers, advance, given.older(), given.bundles())
    beside = [*_closed(given, job), *_stamps(given, job)]
    portion, seconds = report.portion, max(clock.monotonic() - began, 0.001)
    compared = "the tree alone" if job.url is None else "tree and database"
    histories = f"{report.subjects} complete histories"
    if given.wanted.stretch is not None:
        histories = f"{report.subjects} histories without a gap there, elsewhere not looked at"
    behind = "" if report.unsealed is None else f", {report.unsealed} not sealed yet"
    return [
        f"VERIFIED  {report.head.origin}",
        f"  {portion.events} events, {histories}: {compared}",
        f"  root {report.head.root.hex()}",
        *_followed(given),
        f"  {len(portion.gone)} redacted{behind}",
        *beside,
        f"  {seconds:.1f} s, {portion.events / seconds:.0f} events/s",
    ]


def _followed(given: Given) -> list[str]:
    return [
        f"  the key was replaced at position {step.position}, by {step.successor.vkey}"
        for step in given.steps
    ]


def _closed(given: Given, job: Job) -> list[str]:
    folder = given.wanted.closed
    if folder is None:
        return []
    if job.url is None:
        raise SettingsError("--closed needs the database: what was lost is declared there")
    closed = shelf_at(folder)
    content = closed.read(CHECKPOINT)
    if content is None:
        raise SettingsError(f"there is no checkpoint at {folder}")
    first = check_closed(job, given.opened(content), closed)
    return [f"  the closed log agrees up to {first - 1}; its end is declared lost"]


def _stamps(given: Given, job: Job) -> list[str]:
    """Check time-stamps where the auditor has said whom to trust for time."""
    if given.settings.tsa_roots is None:
        return []
    anchor.need_extra()
    roots = anchor.read_roots(given.settings.tsa_roots)
    stamps = check_anchors(job, given.verifier, given.retired, roots)
    if not stamps:
        raise SettingsError(
            f"nothing is shown: LEDGER_TSA_ROOTS is set and there are no time-stamps at {job.shelf}"
        )
    ends = [_when(each.size, each.moment) for each in stamps]
    return [f"  {len(stamps)} time-stamps: from {ends[0]} to {ends[-1]}"]


def _pack(given: Given, files: dict[str, bytes], *more: Ed25519Verifier) -> PackReport:
    """Check a pack by the policy and the naming key that lie with the ledger's keys."""
    note = files.get(CHECKPOINT)
    if note is None:
        raise Refused(f"'{CHECKPOINT}' is missing")
    return verify_pack(files, given.policy_of(note, *more), given.naming)


def _stamp(given: Given, files: dict[str, bytes]) -> list[str]:
    """Check the time-stamp in a pack; that the pack's tree goes on from it is checked with it."""
    if given.settings.tsa_roots is None or "anchor/checkpoint" not in files:
        return []
    anchor.need_extra()
    roots, note = anchor.read_roots(given.settings.tsa_roots), files["anchor/checkpoint"]
    try:
        moment = anchor.stamped(files["anchor/response.tsr"], note, roots)
        size = Checkpoint.parse(Note.parse(note).text).size
    except (anchor.NotStamped, KeyError) as error:
        raise Refused(f"the time-stamp in the pack: {error}") from None
    return [f"  {_when(size, moment)}"]


def _when(size: int, moment: datetime) -> str:
    return f"{size} events at {moment:%Y-%m-%d %H:%M:%S} UTC"


def _told(report: PackReport, stamp: Sequence[str] = ()) -> list[str]:
    whole = f"{report.histories} histories whole, nothing left out"
    shown = whole if report.histories else "without the tree: that nothing is missing is not shown"
    return [
        f"VERIFIED  {report.subject} by {report.head.origin}",
        f"  {report.events} events, {report.redacted} redacted; {shown}",
        *(stamp if report.histories else ()),
    ]


def _receipt(given: Given, file: Path) -> list[str]:
    """Check that a receipt is the ledger's and that the tree bears it out."""
    content, size = receipt_in(read(file)), given.head.size
    position = position_of(content)
    if not 0 < position <= size:
        raise SettingsError(f"position {position} is not sealed; the tree has {size}")
    tree = Job(given.head, given.shelf, given.wanted.ledger).tree()
    entry = tree.entries((position - 1) // WIDTH)[(position - 1) % WIDTH]
    verify_receipt(content, given.receipts(position), entry)
    return [f"VERIFIED  the receipt of position {position} by {given.head.origin}"]
