"""The ledger's tables, for queries. Their definition is migrations/ledger; a test compares them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Column,
    ColumnElement,
    DateTime,
    Integer,
    LargeBinary,
    MetaData,
    Select,
    SmallInteger,
    Table,
    Text,
    Uuid,
    any_,
    bindparam,
    func,
    select,
    text,
)

METADATA = MetaData(schema="ledger")

ledger = Table(
    "ledger",
    METADATA,
    Column("ledger_id", SmallInteger, primary_key=True),
    Column("name", Text, nullable=False),
    Column("epoch", Integer, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False),
)
event = Table(
    "event",
    METADATA,
    Column("ledger_id", SmallInteger, primary_key=True),
    Column("position", BigInteger, primary_key=True),
    Column("event_uuid", Uuid, nullable=False),
    Column("source", Text, nullable=False),
    Column("type", Text, nullable=False),
    Column("subject_ids", ARRAY(BigInteger), nullable=False),
    Column("versions", ARRAY(Integer), nullable=False),
    Column("occurred_at", DateTime(timezone=True)),
    Column("recorded_at", DateTime(timezone=True), nullable=False),
    Column("principal", Text, nullable=False),
    Column("assurance", Text, nullable=False),
    Column("causation", Text),
    Column("commitment", LargeBinary, nullable=False),
)
event_body = Table(
    "event_body",
    METADATA,
    Column("ledger_id", SmallInteger, primary_key=True),
    Column("position", BigInteger, primary_key=True),
    Column("salt", LargeBinary, nullable=False),
    Column("body", LargeBinary, nullable=False),
)
subject = Table(
    "subject",
    METADATA,
    Column("ledger_id", SmallInteger, primary_key=True),
    Column("subject_id", BigInteger, primary_key=True),
    Column("key", Text, nullable=False),
)
history = Table(
    "history",
    METADATA,
    Column("subject_id", BigInteger, primary_key=True),
    Column("ledger_id", SmallInteger, primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("position", BigInteger, nullable=False),
)


@dataclass(frozen=True, slots=True)
class LedgerRow:
    """One ledger: its number in every key, its name for people, its epoch."""

    id: int
    name: str
    epoch: int


def at_same_position(other: Table) -> ColumnElement[bool]:
    """Return the condition that joins `other` to the events."""
    return (other.c.ledger_id == event.c.ledger_id) & (other.c.position == event.c.position)


HEAD = text(
    "SELECT position, commitment FROM ledger.event"
    " WHERE ledger_id = :id ORDER BY position DESC LIMIT 1"
)
CREATE = text(
    "INSERT INTO ledger.ledger (ledger_id, name)"
    " SELECT coalesce(max(ledger_id), 0) + 1, :name FROM ledger.ledger ON CONFLICT DO NOTHING"
)
_WANTED = bindparam("wanted", type_=ARRAY(BigInteger))
_LEDGER = bindparam("ledger", type_=SmallInteger)

RECORDED = (
    select(
        event.c.position,
        event.c.subject_ids,
        event.c.versions,
        event.c.recorded_at,
        event.c.commitment,
        event_body.c.body,
    )
    .join_from(event, event_body, at_same_position(event_body))
    .where(event.c.ledger_id == _LEDGER, event.c.position == any_(_WANTED))
    .order_by(event.c.position)
)
"""Events as they are given out. Parameters: ledger (its id), wanted (positions)."""
KEYS = select(subject.c.subject_id, subject.c.key).where(
    subject.c.ledger_id == _LEDGER, subject.c.subject_id == any_(_WANTED)
)
"""Subjects' keys by id. Parameters: ledger (its id), wanted (subject ids)."""


def sizes(ledger_id: int) -> Select[Any]:
    """Return the query for positions and the sizes of their bodies."""
    size = func.octet_length(event_body.c.body).label("size")
    joined = select(event.c.position, size).join_from(
        event, event_body, at_same_position(event_body)
    )
    return joined.where(event.c.ledger_id == ledger_id)
