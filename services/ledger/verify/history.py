"""Verifies one subject's history: every leaf that names it, and the database's rows for each."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from dataclasses import dataclass, replace

from services.kit.tlog.merkle import ProofError
from services.kit.tlog.tiles import WIDTH
from services.ledger.sealing.leaves import Tampered
from services.ledger.sealing.source import Source
from services.ledger.verify.portion import Portion, check_rows
from services.ledger.verify.tally import Broken
from services.ledger.verify.whole import Progress, Refused, excused, find_records, key_holds
from services.ledger.verify.work import Job, portions


class NoSuchSubject(Exception):
    """The database does not name the subject: nothing can be said about it."""


@dataclass(frozen=True, slots=True)
class HistoryReport:
    """What was verified of a subject. `unsealed`: its events behind the tree."""

    events: int
    redacted: int
    unsealed: int


def verify_history(job: Job, subject: str, workers: int, progress: Progress) -> HistoryReport:
    """Verify that the log has all events that the tree has of a subject, and each as sealed.

    Reads every leaf, for a leaf tells by its uid only whom it names, and the rows of the subject
    alone. Raises `Refused`, `NoSuchSubject`, or what kept it from verifying.
    """
    try:
        uid = asyncio.run(_uid(job, subject))
        tree, found = Portion(), list[tuple[int, bytes]]()
        for portion in portions(
            replace(job, only=uid, url=None), range(-(-job.head.size // WIDTH)), workers
        ):
            tree.join(portion)
            found += portion.found
            progress(portion.events)
        tree.tally.begins()
        return asyncio.run(_compare(job, subject, found))
    except (Tampered, Broken, ProofError) as error:
        raise Refused(str(error)) from error


async def _uid(job: Job, subject: str) -> bytes:
    async with aclosing(job.source()) as source:
        uid = await source.uid(subject)
    if uid is None:
        raise NoSuchSubject(f"the ledger {job.ledger} knows no subject {subject} that is sealed")
    return uid


async def _compare(job: Job, subject: str, found: list[tuple[int, bytes]]) -> HistoryReport:
    portion = Portion()
    async with aclosing(job.source()) as source:
        await key_holds(job, source)
        history = await source.history(subject)
        sealed = [entry for entry in history if entry[1] <= job.head.size]
        _same(subject, sealed, [position for position, _ in found])
        for at in range(0, len(found), WIDTH):
            await _rows(source, portion, found[at : at + WIDTH])
        await find_records(job, source, portion)
    excused(portion)
    return HistoryReport(len(sealed), len(portion.gone), len(history) - len(sealed))


async def _rows(source: Source, portion: Portion, found: list[tuple[int, bytes]]) -> None:
    rows = {row.position: row for row in await source.at([position for position, _ in found])}
    names = await source.names(rows.values())
    for position, entry in found:
        there = [rows[position]] if position in rows else []
        check_rows(portion, [entry], there, names, position)


def _same(subject: str, log: list[tuple[int, int]], tree: list[int]) -> None:
    """Raise `Tampered` at the first position where the log's history is not the tree's.

    The tree has the versions 1, 2, … n in the order of positions: the tally has seen to that.
    """
    told = list(enumerate(tree, 1))
    for ours, theirs in zip(log, told, strict=False):
        if ours != theirs:
            position = min(ours[1], theirs[1])
            raise Tampered(position, f"version {theirs[0]} of {subject} is another one in the log")
    if len(log) != len(told):
        where, rest = ("the log", log) if len(log) > len(told) else ("the tree", told)
        position = rest[min(len(log), len(told))][1]
        raise Tampered(position, f"only {where} has it in the history of {subject}")
