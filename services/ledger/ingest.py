"""Kafka in: records of registered sources are appended; what never can be goes to the rejected
topic.

At-least-once from the topic, once into the log: the offset is committed after the append, and an
event that is read again has its id in the log already. Failures that time can mend are tried
again and commit nothing.
"""

from __future__ import annotations

import asyncio
import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from contracts import topics
from contracts.problem import Malformed, NotFound, Problem, Unavailable
from services.kit import clock, logs, metrics
from services.kit.identity import Principal
from services.kit.kafka import KafkaGroup, KafkaProducer, Record
from services.ledger import kafka_binding
from services.ledger.admission import submission
from services.ledger.appender import Outcome, Submission
from services.ledger.sources import ASSURANCE, Sources

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from services.ledger.appender import Appender, Appenders

GROUP = "ledger.ingest"
LIMIT = 256
RETRY_SECONDS = 60.0
"""How long an append is tried again before the task itself starts again, with a new consumer."""
REASON_CHARACTERS = 500
KEPT_BYTES = 1024 * 1024 + 64 * 1024
"""A rejected record is kept whole up to this size. Only one that was compressed can exceed it; then
the first half of that much is kept, and the offset says where the rest was."""
STALLED_SECONDS = 15.0
"""Reading waits a second, and an append that does not come back gives up before this."""
Keeps: TypeAlias = "Callable[[Record, str], Awaitable[None]]"
"""Keeps a rejected record, with the ledger that it names. Raises `Unavailable`: try again."""
_log = logs.get(__name__)


@dataclass(slots=True)
class _Item:
    """One record with what became of it."""

    record: Record
    ledger: str
    submission: Submission | None = None
    problem: Problem | None = None
    fate: str = "rejected"


class Ingest:
    """Takes in the ingest topic and those of registered sources, for all ledgers here."""

    def __init__(
        self, bootstrap: str, appenders: Appenders, producer: KafkaProducer, group: str = GROUP,
        *, keep: Keeps | None = None, sources: Sources,
    ) -> None:  # fmt: skip
        """Take from `sources`; `keep` stores what is rejected where people see it, before its
        offset is committed.
        """
        self._bootstrap = bootstrap
        self._appenders = appenders
        self._producer = producer
        self._group = group
        self._keep = keep
        self._sources = sources
        self._trouble: str | None = "has not started"
        self._alive_at = clock.monotonic()

    async def check(self) -> str | None:
        """Return None when records are being taken in, else what is wrong."""
        still = clock.monotonic() - self._alive_at
        if self._trouble is None and still > STALLED_SECONDS:
            return f"the ingest has not moved for {still:.0f} s"
        return self._trouble

    async def run(self) -> None:
        """Take records in for ever. Raises when Kafka or the ledger stays away: run it again."""
        try:
            async with KafkaGroup(self._bootstrap, self._sources.topics, self._group) as group:
                while True:
                    self._trouble, self._alive_at = None, clock.monotonic()
                    records = await group.read(LIMIT, 1.0)
                    if records:
                        await self.take(records)
                        await group.commit(records)
        except Exception as error:
            self._trouble = f"stopped: {type(error).__name__}: {error}"
            raise
        finally:
            await self._producer.close()

    async def take(self, records: Sequence[Record]) -> None:
        """Append or reject every record; on return each is in the log or in the rejected topic."""
        items = [_read(record, self._sources) for record in records]
        readable = [item for item in items if item.submission is not None]
        for ledger in dict.fromkeys(item.ledger for item in readable):
            await self._append(ledger, [item for item in readable if item.ledger == ledger])
        refused = [item for item in items if item.problem is not None]
        if self._keep is not None:
            for item in refused:
                await self._keep(item.record, item.ledger)
        await self._producer.deliver([_rejected(item) for item in refused])
        for item in items:
            metrics.count("rlg_ingest_records_total", fate=item.fate)

    async def _append(self, ledger: str, items: Sequence[_Item]) -> None:
        try:
            appender = self._appenders(ledger)
        except NotFound as problem:
            for item in items:
                item.problem = problem
            return
        submissions = [item.submission for item in items if item.submission is not None]
        outcomes = await self._patiently(ledger, appender, submissions)
        for item, outcome in zip(items, outcomes, strict=True):
            item.problem = outcome.problem
            item.fate = "rejected" if outcome.problem else outcome.kind

    async def _patiently(
        self, ledger: str, appender: Appender, submissions: Sequence[Submission]
    ) -> list[Outcome]:
        """Append, again and again while the ledger cannot; ids make that safe."""
        give_up, pause = clock.monotonic() + RETRY_SECONDS, 0.2
        while True:
            try:
                return await appender.append_all(submissions)
            except Unavailable as problem:
                self._trouble = f"the ledger {ledger} does not take events: {problem}"
                _log.warning("ingest.retrying", ledger=ledger, reason=str(problem))
                if clock.monotonic() > give_up:
                    raise
            await asyncio.sleep(pause)
            pause = min(pause * 2, 5)


def _read(record: Record, sources: Sources) -> _Item:
    item = _Item(record, kafka_binding.ledger_of(record))
    try:
        event = kafka_binding.read(record)
        checked = submission(event, _sender(sources.admit(record.topic, item.ledger, event)))
        if isinstance(checked, Outcome):
            item.problem = checked.problem
        else:
            item.submission = checked
    except Problem as problem:
        item.problem = problem
    except Exception as error:  # noqa: BLE001 - one record must never stop those behind it
        _log.error("ingest.unreadable", offset=_place(record), exc_info=error)
        item.problem = Malformed(f"could not be read: {type(error).__name__}")
    return item


@functools.lru_cache
def _sender(principal: str) -> Principal:
    return Principal(principal, ASSURANCE, frozenset({"event:write"}))


def _rejected(item: _Item) -> Record:
    """Return the record for the rejected topic: the original, why, and where it stood."""
    record, problem = item.record, item.problem
    reason = "" if problem is None else f"{problem.slug}: {problem}"
    ours = {topics.HEADER_REASON: reason[:REASON_CHARACTERS], topics.HEADER_OFFSET: _place(record)}
    added = tuple((name, text.encode()) for name, text in ours.items())
    kept = tuple((name, raw) for name, raw in record.headers if name not in ours)
    value = record.value or b""  # a record with neither key nor value cannot be sent
    if len(value) + len(record.key or b"") + sum(len(n) + len(v) for n, v in kept) > KEPT_BYTES:
        return Record(topics.REJECTED, value[: KEPT_BYTES // 2], headers=added)
    return Record(topics.REJECTED, value, key=record.key, headers=kept + added)


def _place(record: Record) -> str:
    place = f"{record.partition}/{record.offset}"
    return place if record.topic == topics.INGEST else f"{record.topic}/{place}"
