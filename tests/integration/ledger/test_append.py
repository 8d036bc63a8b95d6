"""Appending to a real PostgreSQL: what is stored, what is refused, what harms nobody."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from dataclasses import replace
from typing import Any

import asyncpg
import pytest

from contracts.problem import Conflict, IdConflict, Invalid, TooLarge, Unavailable
from services.kit import clock, metrics
from services.ledger import backlog, body, overlay, settling
from services.ledger import writer as writing
from services.ledger.appender import Appender
from services.ledger.model import (
    EventKey,
    Head,
    Outcome,
    Plan,
    Request,
    Snapshot,
)
from services.ledger.planning import Planner
from services.ledger.tables import LedgerRow
from services.ledger.writer import Answer, Fenced, Rejected, Uncertain, Writer
from tests.integration.ledger.conftest import Ledger, submission

pytestmark = pytest.mark.postgres


def kinds(outcomes: list[Outcome]) -> list[str]:
    return [outcome.kind for outcome in outcomes]


async def test_receipts_say_what_the_readers_see(ledger: Ledger) -> None:
    appender = ledger.appender()
    (first, second) = await appender.append_each(
        [submission("a:1", "b:1", id="x"), submission("b:1")]
    )
    assert first.receipt is not None
    assert second.receipt is not None
    assert first.receipt.versions == {"a:1": 1, "b:1": 1}
    assert (second.receipt.position, second.receipt.versions) == (2, {"b:1": 2})
    stored = await ledger.reader.by_id("main", "/test", "x")
    assert stored.receipt("main") == first.receipt
    assert await ledger.reader.head("main") == (2, second.receipt.commitment)
    assert await ledger.check() == 2


async def test_a_duplicate_gets_the_first_receipt_byte_for_byte(ledger: Ledger) -> None:
    first = await ledger.appender().append_each([submission("z:1", "a:1", id="x")])
    again = await ledger.appender().append_each(
        [submission("b:1"), submission("z:1", "a:1", id="x"), submission("z:1", "a:1", id="x")]
    )
    assert kinds(again) == ["appended", "duplicate", "duplicate"]
    assert first[0].receipt is not None
    for outcome in again[1:]:
        assert outcome.receipt is not None
        assert outcome.receipt.as_json() == first[0].receipt.as_json()
    assert await ledger.check() == 2


async def test_other_content_under_a_taken_id(ledger: Ledger) -> None:
    appender = ledger.appender()
    await appender.append_each([submission(id="x")])
    (outcome,) = await appender.append_each([submission(id="x", data={"n": 2})])
    assert outcome.kind == "id_conflict"
    assert isinstance(outcome.problem, IdConflict)
    assert outcome.problem.members["position"] == 1
    (elsewhere,) = await appender.append_each([submission(id="x", source="/other")])
    assert elsewhere.kind == "appended"


async def test_a_group_is_all_or_nothing(ledger: Ledger) -> None:
    appender = ledger.appender()
    group = [submission("a:1"), submission("new:1")]
    refused = await appender.append_group(group, {"a:1": 1, "b:1": 0})
    assert kinds(refused) == ["conflict", "conflict"]
    assert isinstance(refused[0].problem, Conflict)
    assert refused[0].problem.members["actual"] == {"a:1": 0}
    assert await ledger.check() == 0
    assert kinds(await appender.append_group(group, {"a:1": 0})) == ["appended"] * 2
    assert kinds(await appender.append_group(group, {"a:1": 0})) == ["duplicate"] * 2
    mixed = await appender.append_group([submission(), group[0]])
    assert kinds(mixed) == ["id_conflict"] * 2
    assert await ledger.check() == 2


async def test_an_event_that_cannot_be_made_harms_no_other(ledger: Ledger) -> None:
    outcomes = await ledger.appender().append_each(
        [submission(), submission(data="x" * 300_000), submission(data=float("nan")), submission()]
    )
    assert kinds(outcomes) == ["appended", "invalid", "invalid", "appended"]
    assert isinstance(outcomes[1].problem, TooLarge)
    assert isinstance(outcomes[2].problem, Invalid)
    assert await ledger.check() == 2


async def test_a_poison_item_fails_alone(ledger: Ledger) -> None:
    await ledger.sql.execute("ALTER TABLE ledger.event ADD CHECK (type <> 'org.example.poison')")
    some = [
        submission(type="org.example.poison" if n in {3, 17} else "org.example.fine")
        for n in range(40)
    ]
    outcomes = await ledger.appender().append_each(some)
    assert Counter(kinds(outcomes)) == {"appended": 38, "refused": 2}
    assert [n for n, o in enumerate(outcomes) if o.kind == "refused"] == [3, 17]
    positions = [o.receipt.position for o in outcomes if o.receipt]
    assert positions == list(range(1, 39))
    assert await ledger.check() == 38


async def test_groups_bigger_than_a_batch_stay_whole(ledger: Ledger) -> None:
    appender = ledger.appender()
    sizes = [300, 1, 500, 2]
    answers = await asyncio.gather(
        *(appender.append_group([submission(f"s:{n}") for _ in range(n)]) for n in sizes)
    )
    for answer in answers:
        positions = [o.receipt.position for o in answer if o.receipt]
        assert positions == list(range(positions[0], positions[0] + len(answer)))
    assert await ledger.check() == sum(sizes)


async def test_a_batch_ends_at_its_limits(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    batches: dict[int, int] = {}  # by position: a batch that overtook the one ahead is sent again
    append = Writer.append

    async def watch(self: Writer, lane: int, plan: Plan, *, probe: bool = False) -> Answer:
        batches[plan.expected.position] = len(plan.items)
        return await append(self, lane, plan, probe=probe)

    monkeypatch.setattr(Writer, "append", watch)
    appender = ledger.appender()
    await appender.append_each([submission() for _ in range(600)])
    assert max(batches.values()) <= 256
    assert sum(batches.values()) == 600
    batches.clear()
    await appender.append_each([submission(data="x" * 200_000) for _ in range(7)])
    assert list(batches.values()) == [5, 2]


async def test_two_appenders_on_one_ledger_agree(ledger: Ledger) -> None:
    """Random groups with expectations from many callers; each must have held where it stands."""
    appenders = [ledger.appender(), ledger.appender()]
    accepted: list[tuple[int, dict[str, int]]] = []
    tally: Counter[str] = Counter()

    async def caller(seed: int) -> None:
        chance = random.Random(seed)
        seen = {"s:1": 0, "s:2": 0}
        for _ in range(25):
            named = chance.sample(["s:1", "s:2", "s:3", f"own:{seed}"], chance.randint(1, 3))
            subject = chance.choice(["s:1", "s:2"])
            expect = {subject: seen[subject]} if chance.random() < 0.5 else {}
            group = [submission(*named) for _ in range(chance.randint(1, 3))]
            outcomes = await chance.choice(appenders).append_group(group, expect)
            tally.update(kinds(outcomes))
            if outcomes[0].receipt is not None:
                accepted.append((outcomes[0].receipt.position, expect))
                seen |= {s: v for s, v in outcomes[-1].receipt.versions.items() if s in seen}  # type: ignore[union-attr]
            elif isinstance(outcomes[0].problem, Conflict):
                seen |= outcomes[0].problem.members["actual"]

    await asyncio.gather(*(caller(seed) for seed in range(16)))
    assert await ledger.check() == tally["appended"]
    assert tally["conflict"] > 0
    for position, expect in accepted:
        for subject, version in expect.items():
            found = await ledger.reader.history("main", subject, as_of=position - 1, limit=1)
            assert found.version == version


async def test_the_loser_of_a_race_decides_again_under_the_lock(ledger: Ledger) -> None:
    loser, winner = ledger.appender(), ledger.appender()
    settler, writer = loser._pipeline._settler, loser._pipeline._writer
    moved = 'rlg_ledger_moved_total{ledger="main"}'
    before = _metric(moved)
    load = writer.load

    async def slow(lane: int, known: Head, subjects: list[str], ids: list[EventKey]) -> Snapshot:
        snapshot = await load(lane, known, subjects, ids)
        if not settler.contended:
            await winner.append_group([submission("race:1")])
        return snapshot

    writer.load = slow  # type: ignore[method-assign, assignment]
    outcomes = await loser.append_group([submission("race:1")], {"race:1": 0})
    assert kinds(outcomes) == ["conflict"]
    (outcome,) = await loser.append_group([submission("race:1")], {"race:1": 1})
    assert outcome.kind == "appended"
    assert settler.contended
    assert _metric(moved) > before
    assert await ledger.check() == 2


def _metric(name: str) -> float:
    lines = metrics.render().decode().splitlines()
    return next((float(line.rpartition(" ")[2]) for line in lines if line.startswith(name)), 0.0)


async def test_a_full_queue_answers_unavailable_and_nobody_waits_for_ever(ledger: Ledger) -> None:
    appender = Appender(ledger.writer(), queue_events=3)
    three = [submission() for _ in range(3)]
    waiting = asyncio.create_task(appender.append_each(three))
    await asyncio.sleep(0)
    with pytest.raises(Unavailable) as caught:
        await appender.append_each([submission()])
    assert caught.value.headers == {"Retry-After": "1"}
    run = asyncio.create_task(appender.run())
    assert kinds(await waiting) == ["appended"] * 3
    run.cancel()
    await asyncio.wait([run])
    assert await ledger.check() == 3


async def test_stopping_answers_everybody(ledger: Ledger) -> None:
    await ledger.sql.execute("SELECT pg_advisory_lock(1818584167, 1)")
    appender = ledger.appender()
    calls = [asyncio.create_task(appender.append_each([submission()])) for _ in range(3)]
    await asyncio.sleep(0.2)
    calls.append(asyncio.create_task(appender.append_each([submission()])))
    await asyncio.sleep(0.05)
    await ledger.stop()
    answers = await asyncio.gather(*calls, return_exceptions=True)
    assert all(isinstance(answer, Unavailable) for answer in answers), answers


async def test_a_database_that_is_away_is_unavailable(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settling, "GIVE_UP_SECONDS", 0.3)
    away = Writer("postgresql://nobody@/x?host=/nowhere", ledger.reader.ledger("main"))
    with pytest.raises(Unavailable):
        await ledger.appender(away).append_each([submission()])


async def _plan(writer: Writer, *subjects: str) -> Plan:
    plan = await Planner(writer).ask(0, [Request((body.make(submission(*subjects)),))])
    assert plan is not None
    return plan


async def _outcome(writer: Writer, plan: Plan) -> str:
    return (await writer.append(0, plan)).outcome


async def test_append_v1_stands_behind_a_wrong_caller(ledger: Ledger) -> None:
    writer = ledger.writer()
    assert await _outcome(writer, await _plan(writer, "a:1")) == "appended"
    plan = await _plan(writer, "a:1")
    (id_,) = plan.effects.subject_ids

    def wrong(versions: list[Any], events: int) -> Plan:
        """Name the subject so often: all in one event, or in an event each."""
        made = [body.make(submission("a:1")) for _ in range(events)]
        changed = replace(
            plan.effects,
            items=made,
            lasts=[len(versions)] if events == 1 else list(range(1, events + 1)),
            subject_ids=[id_] * len(versions),
            versions=versions,
        )
        return Plan(changed, plan.verdicts)

    wrongs: list[tuple[list[Any], int]] = [
        ([3], 1),  # a gap
        ([1], 1),  # taken
        ([0], 1),  # below the first
        ([-1], 1),
        ([None], 1),
        ([2, 4], 2),  # a hole between two events
        ([3, 2], 2),  # no gap, but against the order of the positions
        ([2, 2], 2),  # both claim to be the next
        ([2, 1], 2),  # begins anew
        ([2, 3], 1),  # one event that names a subject twice
        ([3, 2], 1),
        ([2] + [1] * 64, 1),  # too many
    ]
    for versions, events in wrongs:
        with pytest.raises(Rejected):
            await writer.append(0, wrong(versions, events))
    stranger = replace(plan.effects, subject_ids=[id_ + 1], versions=[1])
    with pytest.raises(Rejected):  # a subject that nobody has introduced
        await writer.append(0, Plan(stranger, plan.verdicts))
    await ledger.appender().append_each([submission("b:1")])
    assert await _outcome(writer, plan) == "moved"
    await writer.close()
    assert await ledger.check() == 2


async def test_append_v1_refuses_arrays_that_do_not_fit(ledger: Ledger) -> None:
    writer = ledger.writer()
    plan = await _plan(writer, "a:1")
    changes: list[dict[str, Any]] = [
        {"versions": []},
        {"subject_ids": []},
        {"lasts": []},
        {"lasts": [1, 1]},
        {"lasts": [2]},
        {"new_subjects": []},
        {"new_subjects": ["a:1", "b:1"]},
    ]
    for change in changes:
        with pytest.raises(Rejected):
            await writer.append(0, Plan(replace(plan.effects, **change), plan.verdicts))
    await writer.close()
    assert await ledger.check() == 0


async def test_append_v1_refuses_null_and_nothing(ledger: Ledger) -> None:
    writer = ledger.writer()
    plan = await _plan(writer, "a:1")
    arguments = [1, 1, False, False, *writing._arguments(plan)]
    connection = await writer._connection(0)
    for place in range(len(arguments)):
        given = [None if at == place else one for at, one in enumerate(arguments)]
        with pytest.raises(asyncpg.NullValueNotAllowedError):
            await connection.fetchrow(writing._APPEND, *given)
    nothing = [*arguments[:6], *([] for _ in arguments[6:])]
    with pytest.raises(asyncpg.ArraySubscriptError):
        await connection.fetchrow(writing._APPEND, *nothing)
    for place in range(6, 19):  # one array longer than the others
        given = [one + one if at == place else one for at, one in enumerate(arguments)]
        with pytest.raises(asyncpg.PostgresError):
            await connection.fetchrow(writing._APPEND, *given)
    elsewhere = Writer(ledger.url, LedgerRow(999, "main", 1))
    with pytest.raises(Fenced):  # a ledger that is not there has no epoch
        await elsewhere.append(0, plan)
    await elsewhere.close()
    await writer.close()
    assert await ledger.check() == 0


async def test_another_epoch_is_fenced_where_nothing_would_be_stored_too(ledger: Ledger) -> None:
    appender = ledger.appender()
    known = submission("a:1")
    await appender.append_each([known])
    await ledger.sql.execute("UPDATE ledger.ledger SET epoch = 2")
    for call in (
        appender.append_each([known]),  # a duplicate
        appender.append_group([submission("a:1")], {"a:1": 7}),  # a conflict
        appender.append_each([submission("a:1")]),
    ):
        with pytest.raises(Unavailable, match="nothing was stored"):
            await call
    assert await ledger.check() == 1


async def test_a_fence_after_an_unknown_outcome_does_not_deny_it(ledger: Ledger) -> None:
    class Failing(Writer):
        async def append(self, lane: int, plan: Plan, *, probe: bool = False) -> Answer:
            await super().append(lane, plan, probe=probe)
            await ledger.sql.execute("UPDATE ledger.ledger SET epoch = 2")
            raise Uncertain("the answer was lost, and a failover came")

    appender = ledger.appender(Failing(ledger.url, ledger.reader.ledger("main")))
    with pytest.raises(Unavailable, match="outcome is not known"):
        await appender.append_each([submission("a:1")])
    assert await ledger.check() == 1


async def test_a_batch_whose_deadline_passes_answers_for_each_item_what_became_of_it(
    ledger: Ledger,
) -> None:
    await ledger.sql.execute("SELECT pg_advisory_lock(1818584167, 1)")
    appender = ledger.appender()
    items = [submission(data="x" * 200_000) for _ in range(7)]
    call = asyncio.create_task(appender.append_each(items, deadline=clock.monotonic() + 0.3))
    await asyncio.sleep(0.8)
    await ledger.sql.execute("SELECT pg_advisory_unlock(1818584167, 1)")
    outcomes = await call
    assert kinds(outcomes) == ["appended"] * 5 + ["refused"] * 2
    assert all(isinstance(one.problem, Unavailable) for one in outcomes[5:])
    assert await ledger.check() == 5
    assert kinds(await appender.append_all(items)) == ["duplicate"] * 5 + ["appended"] * 2


async def test_memory_stays_bounded_while_others_append_too(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(overlay, "MAX_SUBJECTS", 10)
    monkeypatch.setattr(overlay, "MAX_RECENT", 4)
    appender = ledger.appender()
    settler = appender._pipeline._settler
    for n in range(30):
        settler.lost_the_race()
        await appender.append_each([submission(f"s:{n}")])
        assert settler.contended
    known = appender._pipeline._planner.overlay
    assert len(known._versions) <= 11
    assert len(known._recent) <= 5
    assert await ledger.check() == 30


async def test_another_epoch_is_fenced(ledger: Ledger) -> None:
    writer = ledger.writer()
    plan = await _plan(writer, "a:1")
    await ledger.sql.execute("UPDATE ledger.ledger SET epoch = 2")
    with pytest.raises(Fenced):
        await writer.append(0, plan)
    await writer.close()
    assert await ledger.check() == 0


async def test_certified_needs_a_standby_that_confirms(ledger: Ledger) -> None:
    writer = Writer(ledger.url, ledger.reader.ledger("main"), certified=True)
    with pytest.raises(Fenced):
        await writer.append(0, await _plan(writer, "a:1"))
    await writer.close()
    assert await ledger.check() == 0


async def test_the_head_is_compared_by_commitment_too(ledger: Ledger) -> None:
    writer = ledger.writer()
    await ledger.appender().append_each([submission("b:1")])
    plan = await _plan(writer, "a:1")
    forged = replace(plan.effects, expected=Head(1, b"x" * 32))
    assert await _outcome(writer, Plan(forged, plan.verdicts)) == "moved"
    assert await _outcome(writer, plan) == "appended"
    await writer.close()
    assert await ledger.check() == 2


async def test_a_known_id_is_found_by_the_probe(ledger: Ledger) -> None:
    writer = ledger.writer()
    plan = await _plan(writer, "a:1")
    assert await _outcome(writer, plan) == "appended"
    head = Head(1, plan.items[0].commitment)
    effects = replace(plan.effects, expected=head, versions=[2], new_subjects=[])
    assert (await writer.append(0, Plan(effects, []), probe=True)).outcome == "known"
    with pytest.raises(Rejected):
        await writer.append(0, Plan(effects, []))
    await writer.close()
    assert await ledger.check() == 1


@pytest.mark.parametrize("table", ["event", "event_body", "subject", "subject_name", "history"])
async def test_what_is_stored_cannot_be_changed(ledger: Ledger, table: str) -> None:
    await ledger.appender().append_each([submission()])
    for change in ("UPDATE {} SET ledger_id = ledger_id", "DELETE FROM {}", "TRUNCATE {}"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError, match="append-only"):
            await ledger.sql.execute(change.format(f"ledger.{table}"))
    assert await ledger.check() == 1


async def test_uncertain_and_rejected_are_told_apart(ledger: Ledger) -> None:
    await ledger.sql.execute("SELECT pg_advisory_lock(1818584167, 1)")
    writer = ledger.writer()
    await (await writer._connection(0)).execute("SET lock_timeout = 50")
    with pytest.raises(Uncertain):
        await writer.append(0, await _plan(writer))
    await writer.close()


async def test_the_backlog_is_bounded_in_bytes_too(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backlog, "MAX_WAITING_BYTES", 50_000)
    appender = Appender(ledger.writer())
    big = submission(data="x" * 60_000)
    waiting = asyncio.create_task(appender.append_each([big]))  # an empty backlog takes anything
    await asyncio.sleep(0)
    with pytest.raises(Unavailable):
        await appender.append_each([submission()])
    run = asyncio.create_task(appender.run())
    assert kinds(await waiting) == ["appended"]
    assert kinds(await appender.append_each([submission()])) == ["appended"]
    run.cancel()
    await asyncio.wait([run])
