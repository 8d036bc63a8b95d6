"""The projector's tables. migrations/projector makes them; a test holds the two together.

Read models, and what is parked beside them, stand in one of two places: `SLOTS`. Their tables have
the schema `LIVE`, which stands for either of them: see `at`. `ledger` is part of every key. Rows in
memory hold the same columns, with times as RFC 3339 text.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ColumnElement,
    Double,
    Integer,
    MetaData,
    Select,
    Table,
    Text,
    TextClause,
    and_,
    case,
    func,
    or_,
    select,
    text,
    true,
    tuple_,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, TIMESTAMP

SLOTS = ("projector", "projector_b")
LIVE = "live"
METADATA = MetaData(schema=LIVE)
_MOMENT = TIMESTAMP(timezone=True)


def _table(table: str, key: dict[str, Any], /, **columns: Any) -> Table:
    """Make a table; its primary key is `ledger` and `key`. A tuple (type,) is nullable."""
    keys = [Column(column, kind, primary_key=True) for column, kind in key.items()]
    rest = [
        Column(column, kind[0], nullable=True)
        if isinstance(kind, tuple)
        else Column(column, kind, nullable=False)
        for column, kind in columns.items()
    ]
    return Table(table, METADATA, Column("ledger", Text, primary_key=True), *keys, *rest)


cursor = Table(
    "cursor",
    METADATA,
    Column("projection", Text, primary_key=True),
    Column("ledger", Text, primary_key=True),
    Column("position", BigInteger, nullable=False),
    Column("fencing", BigInteger, nullable=False),
    Column("head", BigInteger, nullable=False),
    Column("behind_since", _MOMENT),
    Column("updated_at", _MOMENT),
    schema="projector",
)
generation = Table(
    "generation",
    METADATA,
    Column("ledger", Text, primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("slot", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("begun_at", _MOMENT, nullable=False),
    Column("live_since", _MOMENT),
    Column("digest", Text),
    schema="projector",
)
parked = _table(
    "parked", {"position": BigInteger}, type=Text, error=Text, parked_at=_MOMENT, subject=Text
)
release = _table(
    "release", {"release_id": Text},
    name=Text, release_type=Text, risk=(Text,), state=Text, services=ARRAY(Text), owner=Text,
    version=(Text,), gates=JSONB, production=JSONB, verdict=(Text,), summary=(Text,),
    planned_at=_MOMENT, state_since=_MOMENT, closed=Boolean, first_position=BigInteger,
    last_event_at=_MOMENT, last_position=BigInteger,
    deployed_at=(_MOMENT,), description=(Text,), scheduled=(JSONB(none_as_null=True),),
    risk_factors=ARRAY(Text), risk_score=(Double,), manifest_digest=(Text,), artifacts=ARRAY(Text),
    plans=JSONB, people=ARRAY(Text), linked=ARRAY(Text),
)  # fmt: skip
link = _table("link", {"subject": Text}, releases=ARRAY(Text), also=ARRAY(Text))
gate = _table(
    "gate", {"release_id": Text, "gate": Text, "environment": Text},
    decision_id=Text, position=BigInteger, recorded_at=_MOMENT, verdict=Text, since=_MOMENT,
    judged=Integer, who=ARRAY(Text), roles=ARRAY(Text), decision=JSONB,
)  # fmt: skip
deployment = _table(
    "deployment", {"deployment_id": Text, "service": Text},
    environment=Text, tier=Text, kind=Text, planned=Boolean, state=Text, release_id=(Text,),
    intent_id=(Text,), artifact_digest=(Text,), repo=(Text,), head_sha=(Text,), remediates=(Text,),
    queued_at=(_MOMENT,), started_at=(_MOMENT,), finished_at=(_MOMENT,), position=BigInteger,
    uri=(Text,), first=Boolean, previous_digest=(Text,), previous_sha=(Text,),
    permit_id=(Text,), unauthorised=(Text,),
)  # fmt: skip
cell = _table(
    "cell", {"service": Text, "environment": Text},
    tier=Text, release_id=(Text,), version=(Text,), deployment_id=Text, state=Text, at=_MOMENT,
    digest=(Text,), head_sha=(Text,), succeeded=Boolean, position=BigInteger,
    unauthorised=(Text,),
)  # fmt: skip
service = _table("service", {"service": Text}, first_at=_MOMENT)
change = _table(
    "change", {"repo": Text, "change_id": Text},
    title=(Text,), author=(Text,), head_sha=(Text,), source_ref=(Text,), target=(Text,),
    merge_sha=(Text,), merged_at=(_MOMENT,), first_commit_at=(_MOMENT,), commit_shas=ARRAY(Text),
    position=(BigInteger,),
)  # fmt: skip
matter = _table(
    "matter", {"kind": Text, "key": Text},
    open=Boolean, closed_at=(_MOMENT,), until=(_MOMENT,), position=BigInteger, doc=JSONB,
)  # fmt: skip
entry = _table(
    "entry", {"position": BigInteger},
    type=Text, phase=Text, tone=Text, title=Text, detail=Text, principal=Text, assurance=Text,
    occurred_at=_MOMENT, recorded_at=_MOMENT, subjects=ARRAY(Text), uri=(Text,),
)  # fmt: skip
commit = _table(
    "commit", {"position": BigInteger, "ordinal": Integer},
    repo=Text, ref=Text, sha=Text, committed_at=(_MOMENT,), pushed_at=_MOMENT,
    default_branch=Boolean,
)  # fmt: skip

READ_MODELS: dict[str, Table] = {
    table.name: table
    for table in (release, link, gate, deployment, cell, service, change, matter, entry, commit)
}
"""What a rebuild fills."""


def at(slot: str) -> dict[str, dict[str | None, str | None]]:
    """Return the execution options with which queries ask the tables of a slot."""
    return {"schema_translate_map": {LIVE: slot}}


def named(table: Table, slot: str) -> str:
    """Return the name of a read model's table in a slot, for SQL."""
    return f'{slot}."{table.name}"'


def times(table: Table) -> list[str]:
    """Return the columns that hold moments."""
    return [column.name for column in table.columns if isinstance(column.type, TIMESTAMP)]


def loading(table: Table, slot: str) -> TextClause:
    """Return the statement that reads rows by key: arrays `k0`, `k1` … and `ledger` → JSON text."""
    names = [column.name for column in table.primary_key if column.name != "ledger"]
    arrays = ", ".join(f"CAST(:k{i} AS text[])" for i in range(len(names)))
    alias = ", ".join(f"k{i}" for i in range(len(names)))
    match = " AND ".join(f't."{name}" = w.k{i}' for i, name in enumerate(names))
    return text(
        f"SELECT CAST(to_jsonb(t) AS text) FROM {named(table, slot)} t"  # noqa: S608 - our own names
        f" JOIN unnest({arrays}) AS w({alias}) ON {match} WHERE t.ledger = :ledger"
    )


def saving(table: Table, slot: str, provided: str = "true") -> str:
    """Return the statement that writes rows of a `ledger`, new or changed, provided that a
    condition holds. They are a JSON array, the parameter of the table's name.
    """
    names = [f'"{column.name}"' for column in table.columns if column.name != "ledger"]
    keys = [f'"{column.name}"' for column in table.primary_key]
    sets = ", ".join(f"{name} = excluded.{name}" for name in names if name not in keys)
    place, listed = named(table, slot), ", ".join(names)
    return (
        f"INSERT INTO {place} (ledger, {listed}) SELECT :ledger, {listed}"  # noqa: S608 - our own names
        f" FROM jsonb_populate_recordset(CAST(NULL AS {place}), CAST(:{table.name} AS jsonb))"
        f" WHERE {provided} ON CONFLICT ({', '.join(keys)}) DO UPDATE SET {sets}"
    )


FACETS: dict[str, ColumnElement[Any]] = {
    "state": release.c.state,
    "risk": release.c.risk,
    "release_type": release.c.release_type,
}
"""What releases are filtered by, as columns; the service is one of several."""


def told_of(name: str, linked: list[str]) -> ColumnElement[bool]:
    """Return the condition on entries that a release's timeline shows.

    What is told of another release is not told here, even if the two share a change.
    """
    own = f"release:{name}"
    entries = entry.c
    elsewhere = and_(entries.type.like("release.%"), ~entries.subjects.contains([own]))
    return and_(entries.subjects.overlap([own, *linked]), ~elsewhere)


def changes_of(linked: list[str]) -> ColumnElement[bool]:
    """Return the condition on changes that a release's links name, by either commit."""
    named = [key.removeprefix("change:") for key in linked if key.startswith("change:")]
    ends = [tuple(each.rpartition("@")[::2]) for each in named]
    c = change.c
    return or_(tuple_(c.repo, c.merge_sha).in_(ends), tuple_(c.repo, c.head_sha).in_(ends))


def parked_subjects(ledger: str, only: str | None = None) -> Select[Any]:
    """Return the query for what is parked: one row for each subject, with its first event.

    An event that names no subject holds nobody up: it stands alone.
    """
    c = parked.c
    subject = (c.subject, case((c.subject == "", c.position)))
    asked = true() if only is None else c.subject == only
    each = select(
        c.subject, c.position, c.type, c.error, c.parked_at,
        func.count().over(partition_by=subject).label("events"),
        func.row_number().over(partition_by=subject, order_by=c.position).label("nth"),
    ).where(c.ledger == ledger, asked).subquery()  # fmt: skip
    shown = [column for column in each.c if column.name != "nth"]
    return select(*shown).where(each.c.nth == 1).order_by(each.c.position)


def narrowed(q: str, service: str, **values: str) -> dict[str, ColumnElement[bool]]:
    """Return the conditions on releases by the filter's name; an empty value is no condition."""
    wanted = {name: FACETS[name] == value for name, value in values.items() if value}
    if service:
        wanted["service"] = release.c.services.contains([service])
    if q:
        lists = [func.array_to_string(c, " ") for c in (release.c.linked, release.c.people)]
        names = (release.c.release_id, release.c.name, release.c.version, release.c.owner)
        everything = func.concat_ws(" ", *names, *lists)
        wanted["q"] = everything.icontains(q, autoescape=True)
    return wanted
