"""PostgreSQL, writing: load what a decision needs, store what was decided. The hot path.

Two direct connections, so that a batch can be on its way while the one before it commits; each is
opened when needed and thrown away after a failure. Failures say what to do next: `Rejected` – these
rows will never be taken; `Uncertain` – nobody knows whether they were taken, so try again with the
same ids; `Fenced` – this database is not, or no longer, the one to append to.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from services.kit import database
from services.ledger import certify, loading
from services.ledger.model import EventKey, Head, Plan, Snapshot
from services.ledger.tables import LedgerRow

LOCK = 1818584167
"""First number of the advisory lock of a ledger (the second is its id), as in append_v1.sql."""
CALL_SECONDS = 10.0
"""How long a call may take, waiting for the lock included; then its outcome counts as unknown."""
LANES = 2
"""Batches on their way at once."""
_SETTINGS = certify.SETTINGS | {
    "default_transaction_isolation": "read committed",
    # One plan for ever, and one that goes by keys: made while the tables were empty, it must not
    # scan them when they have grown. A plan for each call would cost more than the call: 1 ms.
    "plan_cache_mode": "force_generic_plan",
    "enable_seqscan": "off",
}
_FOR_EVER = ("22", "23", "54", "P0")
"""SQLSTATE classes that the same rows will meet again: bad data, a violated rule, a limit."""
_FAULTS = (
    *database.DatabaseError,
    certify.Uncertified,
    TimeoutError,
    RuntimeError,  # uvloop: closed handle
)
_FENCED = ("RL001", "RL002")
_PLACES = ", ".join(f"${n}" for n in range(1, 21))
_APPEND = f"SELECT * FROM ledger.append_v1({_PLACES})"  # noqa: S608 - places for parameters


class Rejected(Exception):
    """The database refuses these rows, today and tomorrow; `state` is its SQLSTATE."""

    def __init__(self, said: str, state: str = "") -> None:
        super().__init__(said)
        self.state = state


class Uncertain(Exception):
    """The connection, the lock or the server failed: the outcome is not known."""


class Fenced(Exception):
    """The database's epoch is another one, or nobody has to confirm its commits. Nothing stored."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What append_v1 said. Only `appended` has stored something, and has an instant."""

    outcome: Literal["appended", "moved", "known"]
    recorded_at: datetime | None = None


class Writer:
    """Reads and writes one ledger for its appender; one call at a time on each lane (0, 1)."""

    def __init__(self, url: str, ledger: LedgerRow, *, certified: bool = False) -> None:
        self.ledger = ledger
        self._url = url
        self._certified = certified
        self._open: list[database.Connection | None] = [None] * LANES

    async def load(
        self, lane: int, known: Head, subjects: Sequence[str], ids: Sequence[EventKey]
    ) -> Snapshot:
        """Return, from one snapshot, what is asked, and what was appended above the known head."""
        with _translated():
            connection = await self._connection(lane)
            arguments = loading.arguments(self.ledger.id, known, subjects, ids)
            row = await connection.fetchrow(loading.QUERY, *arguments, timeout=CALL_SECONDS)
        assert row is not None  # noqa: S101 - the query gives one row
        if row["epoch"] != self.ledger.epoch:  # what is only read must be of this epoch too
            ours = self.ledger.epoch
            raise Fenced(f"the ledger is in epoch {row['epoch']}, this process in epoch {ours}")
        return loading.snapshot(row, subjects)

    async def append(self, lane: int, plan: Plan, *, probe: bool = False) -> Answer:
        """Store a plan if its expected head is the head; `probe` also asks for its ids."""
        with _translated():
            connection = await self._connection(lane)
            told = (self.ledger.id, self.ledger.epoch, self._certified, probe)
            async with self._sure(connection):
                row = await connection.fetchrow(
                    _APPEND, *told, *_arguments(plan), timeout=CALL_SECONDS
                )
        assert row is not None  # noqa: S101 - a function with OUT parameters gives one row
        return Answer(*row)

    async def confirm(self, lane: int) -> Answer:
        """Make sure that what was read is as safe as what we have stored ourselves."""
        if self._certified:
            with _translated():
                await certify.barrier(await self._connection(lane))
        return Answer("appended")

    @contextlib.asynccontextmanager
    async def locked(self, lane: int) -> AsyncIterator[None]:
        """Hold the ledger's lock for a block that loads and appends; it commits at the end."""
        with _translated():
            connection = await self._connection(lane)
            # Two words on one trip; the numbers are ours.
            await connection.execute(
                f"BEGIN; SELECT pg_advisory_xact_lock({LOCK}, {self.ledger.id})"
            )
            try:
                yield
            except BaseException:
                if not connection.is_closed():
                    await connection.execute("ROLLBACK")
                raise
            async with self._sure(connection):
                await connection.execute("COMMIT")

    def _sure(self, connection: database.Connection) -> AbstractAsyncContextManager[None]:
        """Certify the commit of a block, where commits are to be certified."""
        return certify.certified(connection) if self._certified else contextlib.nullcontext()

    async def close(self) -> None:
        """Drop the connections; the next call opens others."""
        for lane, connection in enumerate(self._open):
            self._open[lane] = None
            if connection is not None:
                connection.terminate()

    async def _connection(self, lane: int) -> database.Connection:
        there = self._open[lane]
        if there is None or there.is_closed():
            name = f"ledger writer {self.ledger.name}"
            there = await database.connection(self._url, name, _SETTINGS, role="rlg_appender")
            self._open[lane] = there
        return there


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    """Turn the driver's errors into ours."""
    try:
        yield
    except _FAULTS as error:
        state = str(getattr(error, "sqlstate", None) or "")
        said = f"{type(error).__name__}: {error}"
        if state in _FENCED:
            raise Fenced(said) from error
        if state.startswith(_FOR_EVER) or isinstance(error, ValueError):
            raise Rejected(said, state) from error
        raise Uncertain(said) from error


def _arguments(plan: Plan) -> list[Any]:
    """Return what append_v1 takes after the ledger, its epoch and the two switches."""
    effects, items = plan.effects, plan.items
    return [
        effects.expected.position,
        effects.expected.commitment,
        [item.uuid for item in items],
        [item.source for item in items],
        [item.type for item in items],
        [item.occurred_at for item in items],
        [item.principal for item in items],
        [item.assurance for item in items],
        [item.causation for item in items],
        [item.commitment for item in items],
        [item.salt for item in items],
        [item.body for item in items],
        effects.lasts,
        effects.subject_ids,
        effects.versions,
        effects.new_subjects,
    ]
