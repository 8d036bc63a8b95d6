"""The projection on a real PostgreSQL: rows and cursor move together, and a rebuild is the same."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncEngine

from contracts.event import RecordedEvent
from contracts.problem import NotFound
from services.projector import readmodels, tables
from services.projector.folding import Folding, OutOfOrder, subject_of
from services.projector.readmodels.fact import Fact
from services.projector.readmodels.rows import KEYS, LOGS, Rows
from services.projector.runner import Stalled
from services.projector.store import Store
from services.projector.writing import Claim, Folded, Parked, Projection, Superseded
from tests.integration.projector.memory import Memory, everything, parked, project, runner, running
from tests.unit.projector.recorded import Log, deployment, story

pytestmark = pytest.mark.postgres


def world() -> Log:
    log = Log()
    for number in range(1, 7):
        story(log, number, ["pay", "web"][number % 2], at=number * 3)
    back = deployment("back", service="web", kind="rollback", remediates="web-5-prod")
    log.add("deployment.finished", 60, **back, outcome="success")
    log.add("incident.detected", 61, incident_id="i", environment=back["environment"],
            severity="high", started_at="2026-03-05T00:00:00Z")  # fmt: skip
    log.add("incident.attributed", 62, incident_id="i", deployment_id="web-5-prod", basis="human")
    log.append({"type": "com.example.note", "subject": "release:pay-2", "data": [1]})
    return log


def failing_at(patch: pytest.MonkeyPatch, position: int) -> list[int]:
    """Make the fold of one event fail; return a list that grows with each try."""
    apply, tries = readmodels.apply, list[int]()

    def failing(fact: Fact, rows: Rows) -> None:
        if fact.position == position:
            tries.append(position)
            raise ValueError("odd")
        apply(fact, rows)

    patch.setattr(readmodels, "apply", failing)
    return tries


@pytest.mark.parametrize("seed", range(4))
async def test_any_batches_give_the_same_rows(engine: AsyncEngine, seed: int) -> None:
    log, chance = world(), random.Random(seed)
    whole = Projection(engine, "whole")
    async with whole.claim() as claim:
        await Folding(whole).apply(claim, log.events)
    parts = Projection(engine, "parts")
    async with parts.claim() as claim:
        while claim.position < len(log.events):
            size = chance.choice([1, 2, 3, 10])
            batch = log.events[claim.position : claim.position + size]
            await Folding(parts).apply(claim, batch)
    assert await everything(engine, "parts") == await everything(engine, "whole")


async def test_dying_between_fold_and_commit_loses_nothing(
    engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    log, commits = world(), 0
    commit = Projection.commit

    async def dying(self: Projection, claim: Claim, folded: Folded) -> None:
        nonlocal commits
        commits += 1
        if commits == 3:
            raise OSError("the connection is gone")
        await commit(self, claim, folded)

    monkeypatch.setattr(Projection, "commit", dying)
    with pytest.raises(ExceptionGroup):
        await runner(engine, Memory(log, size=10)).run()
    assert not await Store(engine).wait_for(21, 0)
    await project(engine, log)
    await project(engine, log, ledger="other")
    assert await everything(engine) == await everything(engine, "other")


async def test_dying_within_the_transaction_leaves_no_row(engine: AsyncEngine) -> None:
    log = world()
    projection = Projection(engine, "main")
    async with engine.begin() as connection:
        await connection.execute(text("ALTER TABLE projector.entry RENAME TO away"))
    with pytest.raises(Exception, match="does not exist"):
        async with projection.claim() as claim:
            await Folding(Projection(engine, "main")).apply(claim, log.events[:5])
    async with engine.begin() as connection:
        await connection.execute(text("ALTER TABLE projector.away RENAME TO entry"))
    assert (await Store(engine).freshness()).position == 0
    assert '"repo"' not in await everything(engine)


async def test_a_batch_that_does_not_follow_the_cursor_is_refused(engine: AsyncEngine) -> None:
    log = world()
    async with Projection(engine, "main").claim() as claim:
        for batch in (log.events[1:3], [log.events[0], log.events[2]], [log.events[0]] * 2):
            with pytest.raises(OutOfOrder):
                await Folding(Projection(engine, "main")).apply(claim, batch)
    assert (await Store(engine).freshness()).position == 0


async def test_an_older_claim_cannot_write(engine: AsyncEngine) -> None:
    log = world()
    async with Projection(engine, "main").claim() as new:
        assert new.fencing == 1
        with pytest.raises(Superseded):
            await Folding(Projection(engine, "main")).apply(replace(new, fencing=0), log.events[:2])
        await Folding(Projection(engine, "main")).apply(new, log.events[:2])
        with pytest.raises(Superseded):
            await Folding(Projection(engine, "main")).apply(
                replace(new, position=0), log.events[:2]
            )
    assert (await Store(engine).freshness()).position == 2


async def test_a_second_process_waits_until_the_first_one_ends(engine: AsyncEngine) -> None:
    projection, order = Projection(engine, "main"), list[str]()

    async def second() -> None:
        async with projection.claim() as claim:
            order.append(f"second {claim.fencing}")

    async with projection.claim() as claim:
        waiting = asyncio.create_task(second())
        await asyncio.sleep(0.3)
        order.append(f"first {claim.fencing}")
    await asyncio.wait_for(waiting, 5)
    assert order == ["first 1", "second 2"]


@pytest.mark.parametrize("size", [1, 3, 500])
async def test_an_event_whose_fold_fails_is_put_aside_with_all_later_ones_of_its_subject(
    engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    log, tries = world(), failing_at(monkeypatch, 8)
    subject = subject_of(log.events[7])
    later = [e.position for e in log.events[7:] if subject_of(e) == subject]
    assert len(later) > 2
    store = await project(engine, log, size)
    fresh = await store.freshness()
    assert (fresh.parked, fresh.events_behind, len(tries)) == (len(later), 0, 3)
    rows = await parked(engine)
    assert [row["position"] for row in rows] == later
    assert {row["subject"] for row in rows} == {subject}
    assert (rows[0]["type"], rows[0]["error"]) == (log.events[7].type, "ValueError: odd")
    assert rows[1]["error"] == f"Behind: position 8 of {subject} is parked"
    view = await store.projection()
    assert (view.generation, view.freshness, view.parked_subjects) == (1, fresh, 1)
    (shown_parked,) = view.parked
    assert (shown_parked.subject, shown_parked.position) == (subject, 8)
    assert (shown_parked.events, shown_parked.error) == (len(later), "ValueError: odd")
    assert (await store.release(subject.removeprefix("release:"))).parked_from == 8
    async with engine.connect() as connection:
        await connection.execution_options(**tables.at(tables.SLOTS[0]))
        shown = set((await connection.execute(select(tables.entry.c.position))).scalars())
    assert shown == set(range(1, len(log.events) + 1)) - set(later)


async def test_a_release_whose_first_event_is_parked_is_not_shown_and_says_why(
    engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = Log()
    log.add("release.planned", 0, release_id="pay-9", name="Nine", service_ids=["pay"],
            release_type="minor", owner="dev:ada")  # fmt: skip
    failing_at(monkeypatch, 1)
    store = await project(engine, log)
    with pytest.raises(NotFound, match="is parked since position 1: ValueError: odd") as no:
        await store.release("pay-9")
    assert no.value.members["parked_from"] == 1
    with pytest.raises(NotFound, match="there is no release"):
        await store.release("none")


async def test_events_that_name_no_subject_are_parked_one_by_one(engine: AsyncEngine) -> None:
    projection = Projection(engine, "main")
    park = [Parked(n, "a.b", f"E: {n}", subject) for n, subject in
            ((1, ""), (2, "thing:x"), (3, ""), (4, "thing:x"))]  # fmt: skip
    async with projection.claim() as claim:
        await projection.commit(claim, Folded(4, "2026-03-01T00:00:00Z", {}, park))
    view = await Store(engine).projection()
    found = [(one.position, one.subject, one.events) for one in view.parked]
    assert found == [(1, "", 1), (2, "thing:x", 2), (3, "", 1)]
    assert view.freshness.parked == 4
    assert (await Store(engine, "other").projection()).parked == []


async def test_a_new_process_knows_what_is_parked(
    engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = world()
    with monkeypatch.context() as once:
        failing_at(once, 8)
        projection = Projection(engine, "main")
        async with projection.claim() as claim:
            await Folding(projection).apply(claim, log.events[:9])
    await project(engine, log)
    subject = subject_of(log.events[7])
    later = [e.position for e in log.events[7:] if subject_of(e) == subject]
    assert [row["position"] for row in await parked(engine)] == later


async def test_a_row_that_no_table_can_hold_is_found_and_put_aside(engine: AsyncEngine) -> None:
    log = Log()
    story(log)
    log.events[2].event["data"]["reviewer"] = "not for \x00 PostgreSQL"  # no ledger lets this in
    store = await project(engine, log)
    subject = subject_of(log.events[2])
    later = [e.position for e in log.events[2:] if subject_of(e) == subject]
    assert [row["position"] for row in await parked(engine)] == later
    assert "unsupported Unicode" in (await parked(engine))[0]["error"]
    shown = {entry.position for entry in (await store.release("pay-1")).timeline}
    assert len(shown) > len(log.events) / 2
    assert not shown & set(later)


@pytest.mark.parametrize("seed", range(4))
async def test_what_was_folded_over_refused_rows_is_folded_anew(
    engine: AsyncEngine, seed: int
) -> None:
    """Batches are folded while the one before is written: also while the tables refuse it."""
    log, chance = Log(), random.Random(seed)
    story(log)
    for at in chance.sample(range(len(log.events)), 3):
        log.events[at] = log.events[at].model_copy(update={"principal": "\x00"})
    for ledger, sizes in (("single", [1]), ("main", [2, 3, 5, 8])):
        projection = Projection(engine, ledger)
        async with projection.claim() as claim, aclosing(Folding(projection)) as folding:
            at = 0
            while at < len(log.events):
                batch = log.events[at : at + chance.choice(sizes)]
                await folding.take(claim, batch)
                assert claim.position <= at
                at += len(batch)
            await folding.settle(claim)
            assert claim.position == len(log.events)
    assert await parked(engine)
    assert await everything(engine) == await everything(engine, "single")


async def test_a_write_that_fails_ends_the_runner_though_the_feed_is_silent(
    engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Silent(Memory):
        async def follow(self, *_: Any) -> AsyncIterator[list[RecordedEvent]]:
            yield self.log.events[:5]
            await asyncio.sleep(60)

    async def dying(*_: Any) -> None:
        await asyncio.sleep(0.05)
        raise OSError("the connection is gone")

    monkeypatch.setattr(Projection, "commit", dying)
    async with asyncio.timeout(10):
        with pytest.raises(ExceptionGroup, match="unhandled") as caught:
            await runner(engine, Silent(world())).run()
    assert caught.group_contains(OSError, match="is gone")


async def test_a_feed_that_hangs_is_opened_anew(
    engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Hanging(Memory):
        async def follow(self, *_: Any) -> AsyncIterator[list[RecordedEvent]]:
            await asyncio.sleep(60)
            yield []

    monkeypatch.setattr("services.projector.runner.WATCH_SECONDS", 0.05)
    it = runner(engine, Hanging(world()), stall=0.3)
    assert await it.stalled() is None
    with pytest.raises(ExceptionGroup) as caught:
        await it.run()
    assert caught.group_contains(Stalled)
    assert "events wait" in str(await it.stalled())
    assert it.given_up() is None
    with pytest.raises(ExceptionGroup) as caught:
        await it.run()
    assert caught.group_contains(Stalled)
    assert "events wait" in str(it.given_up())
    fresh = await Store(engine).freshness()
    assert fresh.events_behind == len(world().events)
    assert fresh.seconds_behind >= 0


async def test_what_comes_in_is_seen_at_once(engine: AsyncEngine) -> None:
    log = world()
    store = Store(engine)
    async with running(runner(engine, Memory(log))):
        assert await store.wait_for(len(log.events), 10)
        log.add("release.planned", 99, release_id="new", name="New", service_ids=["pay"],
                release_type="patch", owner="dev:ada")  # fmt: skip
        assert await store.wait_for(len(log.events), 2)
        assert (await store.release("new")).row.state == "planned"
        assert not await store.wait_for(len(log.events) + 1, 0.1)


async def test_the_tables_are_those_that_the_migration_makes(engine: AsyncEngine) -> None:
    query = text(
        "SELECT table_name, column_name, data_type, udt_name, is_nullable"
        " FROM information_schema.columns WHERE table_schema = :schema"
    )
    async with engine.connect() as connection:
        found, second = [
            {
                (row.table_name, row.column_name): (row.udt_name, row.is_nullable == "YES")
                for row in await connection.execute(query, {"schema": slot})
                if row.table_name != "alembic_version"
            }
            for slot in tables.SLOTS
        ]
    names = {"text": "text", "big_integer": "int8", "integer": "int4", "boolean": "bool",
             "JSONB": "jsonb", "TIMESTAMP": "timestamptz", "double": "float8",
             "ARRAY": "_text"}  # fmt: skip
    ours = {
        (table.name, column.name): (names[column.type.__visit_name__], bool(column.nullable))
        for table in tables.METADATA.tables.values()
        for column in table.columns
    }
    assert found == ours
    assert second == {k: v for k, v in ours.items() if k[0] not in {"cursor", "generation"}}


def test_the_keys_of_the_folds_are_those_of_the_tables() -> None:
    keys = {
        name: tuple(column.name for column in table.primary_key if column.name != "ledger")
        for name, table in tables.READ_MODELS.items()
    }
    assert {name: key for name, key in keys.items() if name not in LOGS} == KEYS
    assert set(LOGS) == set(keys) - set(KEYS)
