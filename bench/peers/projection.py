"""eventsourcing (PyPI): its ProjectionRunner, filling our five read models from its own store.

As its documentation has it: one event at a time, the view's rows and the tracking record in one
transaction, by psycopg. The folds, the tables and the statements that write them are ours, so that
what differs is the runner. In its favour: its view keeps rows in memory as ours does, its commits
do not wait for the disk as ours do not, its events come from the same PostgreSQL and not through
Kafka, and its statements are prepared.
Importing this needs the package: see `bench.readmodels`.
"""

from __future__ import annotations

import asyncio
import json
import re
import uuid
from collections.abc import Iterable, Sequence
from typing import Any

from eventsourcing.application import Application
from eventsourcing.dispatch import singledispatchmethod
from eventsourcing.domain import DomainEvent
from eventsourcing.persistence import Tracking
from eventsourcing.postgres import PostgresTrackingRecorder
from eventsourcing.projection import Projection, ProjectionRunner
from pydantic_core import from_json, to_json
from sqlalchemy import Table

from bench.servers import Databases, name_of
from contracts import upcasting
from contracts.event import RecordedEvent
from services.kit import clock
from services.projector import readmodels, tables
from services.projector.readmodels.fact import Fact, canonical
from services.projector.readmodels.rows import Key, Row, Rows

LEDGER = "main"
_USER = "eventsourcing"
_CHUNK = 20  # one of some 500 kB never ends: client and server wait for each other
_STORED = "SELECT count(*), max(position) FROM projector.entry"


def _loading(table: Table) -> str:
    """Return a look-up by the primary key: ours is made for the rows of a whole batch."""
    names = [column.name for column in table.primary_key if column.name != "ledger"]
    match = " AND ".join(f't."{name}" = ANY(%(k{i})s)' for i, name in enumerate(names))
    place = tables.named(table, "projector")
    return f"SELECT CAST(to_jsonb(t) AS text) FROM {place} t WHERE ledger = %(ledger)s AND {match}"  # noqa: S608 - our own names


_LOADING = {name: _loading(table) for name, table in tables.READ_MODELS.items()}
_SAVING = {
    name: re.sub(r":(\w+)", r"%(\1)s", tables.saving(table, "projector"))
    for name, table in tables.READ_MODELS.items()
}
_TIMES = {name: tables.times(table) for name, table in tables.READ_MODELS.items()}


class Recorded(DomainEvent):
    """An event of a release, with what the ledger gives out of it."""

    record: dict[str, Any]


class Releases(Application):
    """Where the events are stored."""


class View(PostgresTrackingRecorder):
    """The five read models and how far they are."""

    def __init__(self, datastore: Any, **more: Any) -> None:
        super().__init__(datastore, **more)
        self._rows = Rows()

    def fold(self, fact: Fact, tracking: Tracking) -> None:
        """Fold one event into the tables; all of it and its tracking, or nothing."""
        with self.datastore.transaction(commit=True) as cursor:
            self._insert_tracking(cursor, tracking)
            while wanted := readmodels.keys(fact, self._rows):
                self._rows.load(wanted, self._found(cursor, wanted))
            readmodels.apply(fact, self._rows)
            for name, rows in self._rows.changes().items():
                told = {"ledger": LEDGER, name: to_json(rows).decode()}
                cursor.execute(_SAVING[name], told, prepare=True)
        self._rows.written()

    def _found(self, cursor: Any, keys: Iterable[Key]) -> list[tuple[str, Row]]:
        wanted: dict[str, list[tuple[str, ...]]] = {}
        for name, key in keys:
            wanted.setdefault(name, []).append(key)
        found = []
        for name, values in wanted.items():
            columns = {f"k{i}": list(column) for i, column in enumerate(zip(*values, strict=True))}
            cursor.execute(_LOADING[name], {"ledger": LEDGER} | columns, prepare=True)
            found += [(name, _read(name, *row.values())) for row in cursor.fetchall()]
        return found


class ReadModels(Projection):
    """Takes each event to the view."""

    @singledispatchmethod
    def process_event(self, event: Any, tracking: Tracking) -> None:
        """Refuse what it does not know."""
        raise NotImplementedError(type(event))

    @process_event.register(Recorded)
    def _(self, event: Recorded, tracking: Tracking) -> None:
        record = RecordedEvent.model_validate(event.record)
        self.view.fold(Fact(upcasting.read(record)), tracking)


async def store(servers: Databases, url: str, values: Sequence[bytes]) -> dict[str, str]:
    """Store events (each as on Kafka, in order of positions); return the runner's environment."""
    await servers.admin(f"CREATE ROLE {_USER} SUPERUSER LOGIN")
    await servers.admin(f"ALTER ROLE {_USER} SET synchronous_commit = off")
    environment = {
        "PERSISTENCE_MODULE": "eventsourcing.postgres",
        "POSTGRES_DBNAME": name_of(url),
        "POSTGRES_HOST": str(servers.socket_dir),
        "POSTGRES_USER": _USER,
        "POSTGRES_PASSWORD": "",
    }
    await asyncio.to_thread(_store, environment, values)
    return environment


async def project(environment: dict[str, str], last: int) -> float:
    """Run the runner from nothing until the last event is visible; return when that was."""
    return await asyncio.to_thread(_project, environment, last)


def _store(environment: dict[str, str], values: Sequence[bytes]) -> None:
    with Releases(environment) as store:
        for start in range(0, len(values), _CHUNK):
            events = map(_domain_event, values[start : start + _CHUNK])
            store.recorder.insert_events([store.mapper.to_stored_event(one) for one in events])
        assert store.recorder.max_notification_id() == len(values)


def _domain_event(value: bytes) -> Recorded:
    record = json.loads(value)
    release = next(key for key in record["versions"] if key.startswith("release:"))
    return Recorded(
        originator_id=uuid.uuid5(uuid.NAMESPACE_URL, release),
        originator_version=record["versions"][release],
        timestamp=Recorded.create_timestamp(),
        record=record,
    )


def _project(environment: dict[str, str], last: int) -> float:
    with ProjectionRunner(
        application_class=Releases, projection_class=ReadModels, view_class=View, env=environment
    ) as runner:
        while runner.view.max_tracking_id(runner.app_name) != last:
            runner.run_forever(timeout=0.1)  # raises what has stopped it
        ended = clock.monotonic()
    with runner.view.datastore as store, store.cursor() as cursor:
        assert cursor.execute("SHOW synchronous_commit").fetchone() == {"synchronous_commit": "off"}
        assert cursor.execute(_STORED).fetchone() == {"count": last, "max": last}
    return ended


def _read(name: str, raw: str) -> Row:
    row: Row = from_json(raw)
    del row["ledger"]
    return row | {column: canonical(row[column]) for column in _TIMES[name]}
