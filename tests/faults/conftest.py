"""The stage for schedules, how many of them there are, and the table of faults at the end.

FAULT_SCHEDULES: how many in all (default 320, in `make test`). FAULT_SEED: the first seed. A failed
test's name ends in its seed; run that name again to have the same draws.
"""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

from deploy.embedded import EmbeddedPostgres
from services.kit import database
from services.ledger.store import Reader
from tests.faults.kafka_world import World, world
from tests.faults.record import LATE_POISON, POISON, SLOW, Record
from tests.faults.schedule import Stage

SCHEDULES = int(os.environ.get("FAULT_SCHEDULES", "320"))
SEED = int(os.environ.get("FAULT_SEED", "1"))
TRAPS = f"""
ALTER TABLE ledger.event ADD CONSTRAINT poison CHECK (type <> '{POISON}');
CREATE FUNCTION ledger.late_poison() RETURNS trigger LANGUAGE plpgsql AS
'BEGIN RAISE EXCEPTION ''refused in the commit'' USING ERRCODE = ''check_violation''; END';
CREATE CONSTRAINT TRIGGER late_poison AFTER INSERT ON ledger.event DEFERRABLE INITIALLY DEFERRED
FOR EACH ROW WHEN (NEW.type = '{LATE_POISON}') EXECUTE FUNCTION ledger.late_poison();
CREATE FUNCTION ledger.slow() RETURNS trigger LANGUAGE plpgsql AS
'BEGIN PERFORM pg_sleep(0.004); RETURN NULL; END';
CREATE CONSTRAINT TRIGGER slow AFTER INSERT ON ledger.event DEFERRABLE INITIALLY DEFERRED
FOR EACH ROW WHEN (NEW.type = '{SLOW}') EXECUTE FUNCTION ledger.slow();
"""
"""Types of events that the database refuses, at once or in the commit, and one that takes long."""
FAULTS: Counter[str] = Counter()
"""How often each fault has happened in this session."""
FIGURES: Counter[str] = Counter()


def seeds(share: float) -> range:
    """Return the seeds of a family that has this share of all schedules."""
    return range(SEED, SEED + max(1, round(SCHEDULES * share)))


def note(record: Record, fired: list[str]) -> None:
    """Count what a schedule that kept every promise has gone through."""
    FAULTS.update(fired)
    FIGURES["schedules"] += 1
    FIGURES["stored"] += len(record.rows)
    for call in record.calls:
        FIGURES["outcome unknown at first"] += call.answers is None
        FIGURES.update(answer.kind for answer in call.answers or ())


def note_schedules(count: int, met: Counter[str]) -> None:
    """Count what schedules on the way through Kafka have gone through."""
    FAULTS.update({f"Kafka: {what}": times for what, times in met.items()})
    FIGURES["schedules through Kafka"] += count


@pytest.fixture(scope="module")
def broker(kafka: str) -> str:
    """The broker of a module's `here`; a module that spoils it overrides this with its own."""
    return kafka


@pytest.fixture
async def here(database_url: str, broker: str, tmp_path: Path) -> AsyncIterator[World]:
    """A ledger served over HTTP, and a broker."""
    async with world(database_url, broker, tmp_path) as made:
        await made.begin()
        yield made


@pytest.fixture(scope="session")
def fault_database(postgres: EmbeddedPostgres, template_database: str) -> str:
    """One database for all schedules, with the traps in it."""

    async def make() -> str:
        admin = await asyncpg.connect(postgres.dsn("postgres"))
        await admin.execute(f'CREATE DATABASE faults TEMPLATE "{template_database}"')
        await admin.close()
        sql = await asyncpg.connect(postgres.dsn("faults"))
        await sql.execute(TRAPS)
        await sql.close()
        return postgres.dsn("faults")

    return asyncio.run(make())


@pytest.fixture
async def stage(fault_database: str) -> AsyncIterator[Stage]:
    engine = database.engine(fault_database, "faults", size=2)
    stage = Stage(fault_database, Reader(engine))
    yield stage
    await stage.reader.close()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what the schedules went through; whatever was lost or doubled has failed its test."""
    if not FIGURES:
        return
    terminalreporter.section("faults")
    for name, times in sorted(FAULTS.items()):
        terminalreporter.write_line(f"{times:6}  {name}")
    said = ", ".join(f"{count} {name}" for name, count in sorted(FIGURES.items()))
    terminalreporter.write_line(f"{said}; 0 lost, 0 doubled in the schedules that passed")
