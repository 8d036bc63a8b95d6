"""The epoch ceremony: after a failover or a restore, before anybody appends.

From then on no process that works in the former epoch appends to this database, and no process that
knows the new one appends to a database that is still in the former (`services.ledger.fence`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from services.kit import database
from services.kit.settings import SettingsError
from services.ledger import own

_RECOVERING = "SELECT pg_is_in_recovery()"
_PREPARED = "SELECT to_regproc('ledger.begin_epoch_v1') IS NOT NULL"
_BEGIN = "SELECT * FROM ledger.begin_epoch_v1($1, $2, $3)"


@dataclass(frozen=True, slots=True)
class Begun:
    """A new epoch, and the head after which it began."""

    former: int
    present: int
    head: int
    commitment: str
    """Of the event at the head, in hex; "" when the ledger is empty."""


async def begin(url: str, ledger: str, reason: str) -> Begun:
    """Raise a ledger's epoch by one, or raise `SettingsError`, and nothing is changed.

    Waits for an append that is under way. Reason, person and login are recorded for ever. The login
    of `url` has to be a member of the role `rlg_owner`.
    """
    try:
        connection = await database.connection(url, "epoch", role="rlg_owner")
        try:
            row = await _begin(connection, ledger, reason)
        finally:
            connection.terminate()
    except database.DatabaseError as error:
        raise SettingsError(f"the epoch stays as it was: {error}") from error
    return Begun(row["former"], row["present"], row["head"], row["commitment"].hex())


async def _begin(connection: database.Connection, ledger: str, reason: str) -> Any:
    if await connection.fetchval(_RECOVERING):
        raise SettingsError("this database is a standby: promote it first")
    if not await connection.fetchval(_PREPARED):
        raise SettingsError("the schema is too old: run `python -m services migrate`")
    return await connection.fetchrow(_BEGIN, ledger, reason, own.person())
