"""Statements about the ledgers of a database; those for events stand in `queries` and `writer`."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import text


@dataclass(frozen=True, slots=True)
class LedgerRow:
    """One ledger: its number in every key, its name for people, its epoch."""

    id: int
    name: str
    epoch: int


FIND = text("SELECT ledger_id, name, epoch FROM ledger.ledger WHERE name = :name")
CREATE = text(
    "INSERT INTO ledger.ledger (ledger_id, name)"
    " SELECT coalesce(max(ledger_id), 0) + 1, :name FROM ledger.ledger ON CONFLICT DO NOTHING"
)
OCCUPIED = """
SELECT name FROM ledger.ledger WHERE name = ANY($1::text[])
   AND EXISTS (SELECT FROM ledger.event WHERE event.ledger_id = ledger.ledger_id) ORDER BY name
"""
"""Those of the ledgers $1 that have events; for a connection that may read them."""
IDENTITY = text(
    "SELECT system_identifier, oid::bigint FROM pg_control_system(), pg_database"
    " WHERE datname = current_database()"
)
"""The cluster (a copy made by pg_basebackup has the same) and the database in it."""
