"""Who may relay a ledger, and how far it is relayed: one row per ledger with a fencing token.

Time is the database's, so the clocks of the processes do not matter. The lease decides who works;
only the fencing token decides whose confirmation counts. A lease is of one epoch of the ledger: it
is lost when the next one begins.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

LEASE_SECONDS = 5.0

_CLAIM = text("""
INSERT INTO ledger.relay AS held (ledger_id, holder, fencing, expires_at)
VALUES (:ledger_id, :holder, 1, clock_timestamp() + make_interval(secs => :seconds))
ON CONFLICT (ledger_id) DO UPDATE
   SET holder = excluded.holder, fencing = held.fencing + 1, expires_at = excluded.expires_at
 WHERE held.expires_at <= clock_timestamp()
RETURNING fencing, confirmed,
          (SELECT epoch FROM ledger.ledger AS l WHERE l.ledger_id = held.ledger_id) AS epoch
""")
_CONFIRM = text("""
UPDATE ledger.relay
   SET confirmed = :position, expires_at = clock_timestamp() + make_interval(secs => :seconds)
 WHERE ledger_id = :ledger_id AND fencing = :fencing AND confirmed <= :position
   AND (SELECT epoch FROM ledger.ledger WHERE ledger_id = :ledger_id) = :epoch
RETURNING confirmed
""")
_RELEASE = text("""
UPDATE ledger.relay SET expires_at = '-infinity'
 WHERE ledger_id = :ledger_id AND fencing = :fencing
""")


@dataclass(frozen=True, slots=True)
class Claim:
    """A lease that was won: its fencing token, and the last position that Kafka has for sure."""

    fencing: int
    confirmed: int
    epoch: int


class Lease:
    """The right to relay one ledger, as one process sees it."""

    def __init__(self, engine: AsyncEngine, ledger_id: int, seconds: float = LEASE_SECONDS) -> None:
        self._engine = engine
        self._who = {"ledger_id": ledger_id, "seconds": seconds}
        self._holder = f"relay-{uuid.uuid4().hex[:12]}"
        self.seconds = seconds

    async def claim(self) -> Claim | None:
        """Win the lease with a new, higher fencing token, or return None: somebody else has it."""
        async with self._engine.begin() as connection:
            found = await connection.execute(_CLAIM, self._who | {"holder": self._holder})
            row = found.one_or_none()
        return None if row is None else Claim(row.fencing, row.confirmed, row.epoch)

    async def confirm(self, claim: Claim, position: int) -> bool:
        """Record that Kafka has everything up to `position`, and renew the lease.

        False, and nothing recorded: somebody else holds it by now, or has confirmed more, or the
        ledger is in another epoch.
        """
        how = self._who | {"fencing": claim.fencing, "epoch": claim.epoch, "position": position}
        async with self._engine.begin() as connection:
            return (await connection.execute(_CONFIRM, how)).one_or_none() is not None

    async def release(self, fencing: int) -> None:
        """Let go at once, if it is still ours."""
        async with self._engine.begin() as connection:
            await connection.execute(_RELEASE, self._who | {"fencing": fencing})
