"""Lends direct connections to one database; they are opened when somebody needs them."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import AsyncIterator, Mapping
from typing import Any

import asyncpg

from contracts.problem import Invalid, Unavailable
from services.kit import database
from services.kit.database import DatabaseError

WAIT_SECONDS = 5.0
"""How long somebody waits for a connection before it is told to come again."""
_AWAY = ("08", "53", "55", "57")
"""SQLSTATE classes of a server that cannot serve now; anything else is the statement's fault."""
_UNFIT = ("22",)
"""The class of values that PostgreSQL does not take: U+0000 in a text, a number too large."""


class Pool:
    """At most `size` connections, lent in the order in which they were asked for.

    A database that is away costs whoever asks an `Unavailable` and nothing else: the next one
    tries again. Nothing is reset between borrowers (it would double the round trips of a read), so
    they must leave a connection as they found it.
    """

    def __init__(
        self,
        url: str,
        name: str,
        size: int,
        settings: Mapping[str, str] | None = None,
        *,
        role: str,
    ) -> None:
        """Describe the pool; `settings` are server settings over ours."""
        self._connect = functools.partial(database.connection, url, name, settings, role=role)
        self._size = size
        self._pool: asyncpg.Pool[Any] | None = None

    @contextlib.asynccontextmanager
    async def connection(self, wait: float = WAIT_SECONDS) -> AsyncIterator[database.Connection]:
        """Lend a connection. Raises `Unavailable`, or `Invalid` for values that nobody can ask."""
        pool = await self._opened()
        try:
            lent = await pool.acquire(timeout=wait)
        except (TimeoutError, *DatabaseError) as error:
            raise Unavailable("the database does not answer") from error
        try:
            yield lent
        except (TimeoutError, *DatabaseError) as error:
            raise _translated(error) from error
        finally:
            with contextlib.suppress(*DatabaseError):  # it was lost; the pool opens another one
                await pool.release(lent)

    async def close(self) -> None:
        """Close the connections; nobody uses them any more."""
        pool, self._pool = self._pool, None
        if pool is not None:
            await pool.close()

    async def _opened(self) -> asyncpg.Pool[Any]:
        if self._pool is None:  # no await before it is set: nobody else can come between
            self._pool = pool = asyncpg.create_pool(
                min_size=0, max_size=self._size, connect=self._open, reset=_keep
            )
            await pool
        return self._pool

    async def _open(self, *_: Any, **__: Any) -> database.Connection:
        return await self._connect()


async def _keep(_connection: Any) -> None:
    """Leave the connection as it is."""


def _translated(error: Exception) -> Exception:
    state = str(getattr(error, "sqlstate", None) or "")
    if state.startswith(_UNFIT) or isinstance(error, ValueError):
        return Invalid(f"the database cannot look for that: {error}")
    if state and not state.startswith(_AWAY):
        return error
    return Unavailable("the database does not answer")
