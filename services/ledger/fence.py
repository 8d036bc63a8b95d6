"""The epoch fence: a primary that was replaced is recognised by its lower epoch.

A ledger's epoch is raised by one at each failover and restore (`python -m services epoch`).
Promises: a process that has met epoch n takes no lower one for the rest of its life; `append_v1`
refuses a caller of another epoch, under the ledger's lock. So of two databases that both believe to
be the primary, the replaced one cannot take events from a process that knows the other. What a
freshly started process cannot know it is told by LEDGER_MIN_EPOCH.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from contracts.problem import Unavailable
from services.kit import database
from services.ledger.tables import LedgerRow

_EPOCHS = "SELECT name, epoch FROM ledger.ledger"


class Fence:
    """The highest epoch of each ledger that this process has met."""

    def __init__(self, floors: Mapping[str, int] | None = None) -> None:
        self._floors = dict(floors or {})

    def refusal(self, row: LedgerRow) -> str | None:
        """Return why a ledger is not taken: its database is a primary that was replaced."""
        floor = self._floors.get(row.name, 1)
        if row.epoch >= floor:
            return None
        return (
            f"the database has the ledger {row.name} in epoch {row.epoch}, and epoch {floor} "
            "has begun: it is a primary that was replaced"
        )

    def admit(self, row: LedgerRow) -> LedgerRow:
        """Return the row and remember its epoch, or raise `Unavailable`."""
        if (reason := self.refusal(row)) is not None:
            raise Unavailable(reason)
        self._floors[row.name] = row.epoch
        return row


async def moved_on(url: str, rows: Iterable[LedgerRow]) -> str | None:
    """Return None when the database is in the epochs that this process works in; for readiness.

    A process keeps the epochs that it started with: after a ceremony it has to be started again.
    """
    connection = await database.connection(url, "ledger epoch", role="rlg_reader")
    try:
        found = {row["name"]: row["epoch"] for row in await connection.fetch(_EPOCHS)}
    finally:
        connection.terminate()
    for row in rows:
        present = found.get(row.name)
        if present != row.epoch:
            what = f"{row.name} is in epoch {present}, this process works in epoch {row.epoch}"
            return f"the ledger {what}: start it again, on the right database"
    return None
