"""Certified commits: flushed by synchronous standbys before anybody is told.

Promise: what was acknowledged survives the loss of the primary, if it is a standby of
`synchronous_standby_names` that takes over.

PostgreSQL commits locally first and waits for the standbys then. Where that wait is cut short (a
time-out's CancelRequest, pg_cancel_backend, a shutdown) the commit stands, everybody sees it, and
no standby may have it; the only sign is a warning beside the answer of success (SyncRepWaitForLSN
in PostgreSQL's syncrep.c). Two rules follow:
- a commit is certified when `certified` heard no warning;
- what was *read* (a duplicate, an outcome found by a retry) is certified once a later commit of our
  own is: the log is a line, and who has flushed a commit has flushed all before it. An append is
  such a commit; where there is nothing to append, `barrier` is one.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

from contracts.problem import Unavailable
from services.kit import database

SETTINGS = {
    "synchronous_commit": "on",  # a receipt promises that the event is on disk
    # Stricter values would hide the warning; a role's or database's own yields to this one.
    "client_min_messages": "warning",
}
"""What a connection must be opened with."""
CONFIRM_SECONDS = 5.0
CHECK_SECONDS = 1.5
# A commit that changes nothing. It gets a transaction id, without which no commit waits.
_BARRIER = "SELECT pg_logical_emit_message(true, 'release-ledger', '')"
_REQUIRED = """
SELECT current_setting('synchronous_standby_names') <> ''
       AND current_setting('max_wal_senders') <> '0'
       AND current_setting('synchronous_commit') IN ('on', 'remote_apply')
       AND current_setting('client_min_messages') <> 'error'
"""


class Uncertified(Exception):
    """A commit is not known to be on a standby. It may well be stored: try with the same ids."""


@contextlib.asynccontextmanager
async def certified(connection: database.Connection) -> AsyncIterator[None]:
    """Raise `Uncertified` at the end of a block whose commits are not all known to be on standbys.

    For a commit by itself, or for the COMMIT of a transaction. A block that raises is left alone:
    what failed is not known to be stored anyway.
    """
    warnings: list[str] = []

    def heard(_: Any, message: Any) -> None:
        # Nothing that we send has a warning of its own, so none is passed over.
        if message.severity_en == "WARNING":
            warnings.append(message.message)

    connection.add_log_listener(heard)
    try:
        yield
    finally:
        connection.remove_log_listener(heard)
    if warnings:
        raise Uncertified(warnings[0])
    if not connection.is_in_transaction():
        # An emptied setting releases those who wait, without a warning.
        await require(connection)


async def barrier(connection: database.Connection) -> None:
    """Wait until everything that this connection could see is flushed by the standbys.

    In a transaction it is the COMMIT that waits. Raises `Uncertified`, or what the driver raises.
    """
    async with certified(connection):
        await connection.execute(_BARRIER, timeout=CONFIRM_SECONDS)


async def require(connection: database.Connection) -> None:
    """Raise `Uncertified` unless commits on this connection wait for standbys."""
    if not await connection.fetchval(_REQUIRED):
        raise Uncertified("no synchronous standby has to confirm what is committed")


class Standbys:
    """The standbys as a service sees them, over one connection of its own."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._open: database.Connection | None = None
        self._turn = asyncio.Lock()

    async def confirm(self, seconds: float = CONFIRM_SECONDS) -> None:
        """Wait until everything that was visible before is flushed, or raise `Unavailable`."""
        try:
            async with asyncio.timeout(seconds), self._turn:
                await barrier(await self._connection())
        except BaseException as error:
            self.close()
            if isinstance(error, TimeoutError):
                detail = f"no synchronous standby confirms a commit within {seconds:g} s"
                raise Unavailable(detail) from error
            if isinstance(error, (Uncertified, *database.DatabaseError)):
                raise Unavailable(str(error)) from error
            raise

    async def check(self) -> str | None:
        """Return None when a standby confirms in time; the readiness check.

        Tried, not looked up: pg_stat_replication shows states and positions to pg_monitor only, and
        a standby that is connected may still not confirm.
        """
        try:
            await self.confirm(CHECK_SECONDS)
        except Unavailable as problem:
            return problem.detail
        return None

    def close(self) -> None:
        """Drop the connection; the next call opens another one."""
        connection, self._open = self._open, None
        if connection is not None:
            connection.terminate()

    async def _connection(self) -> database.Connection:
        if self._open is None or self._open.is_closed():
            self._open = await database.connection(
                self._url, "ledger standbys", SETTINGS, role="rlg_reader"
            )
        return self._open
