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
    column,
    func,
    select,
)
from sqlalchemy.dialects.postgresql import aggregate_order_by

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


def recorded() -> Select[Any]:
    """Return the query for events as they are given out; the caller adds the condition.

    Columns: position, keys (of the subjects), versions, recorded_at, commitment, body.
    """
    named = (
        func.unnest(event.c.subject_ids)
        .table_valued(column("id", BigInteger), with_ordinality="n", name="named")
        .render_derived()
    )
    same = (subject.c.ledger_id == event.c.ledger_id) & (subject.c.subject_id == named.c.id)
    keys = (
        select(func.array_agg(aggregate_order_by(subject.c.key, named.c.n)))
        .select_from(named.join(subject, same))
        .correlate(event)
        .scalar_subquery()
    )
    return select(
        event.c.position,
        keys.label("keys"),
        event.c.versions,
        event.c.recorded_at,
        event.c.commitment,
        event_body.c.body,
    ).join_from(event, event_body, at_same_position(event_body))


def sizes(ledger_id: int) -> Select[Any]:
    """Return the query for positions and the sizes of their bodies."""
    size = func.octet_length(event_body.c.body).label("size")
    joined = select(event.c.position, size).join_from(
        event, event_body, at_same_position(event_body)
    )
    return joined.where(event.c.ledger_id == ledger_id)


def at_same_position(other: Table) -> ColumnElement[bool]:
    """Return the condition that joins `other` to the events."""
    return (other.c.ledger_id == event.c.ledger_id) & (other.c.position == event.c.position)
