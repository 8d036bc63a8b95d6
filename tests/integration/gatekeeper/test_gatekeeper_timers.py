"""The gatekeeper judges again by itself: when a timer fires, and when an event may move a gate."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from contracts.event import parse_time
from contracts.payloads.plan import ReleaseCompleted, ReleasePlanPublished
from services.gatekeeper import service, timers
from services.gatekeeper.deciding import Judged
from services.gatekeeper.settings import GatekeeperSettings
from services.gatekeeper.timers import redecide
from services.kit import clock, metrics
from services.kit.identity import Keyring
from services.kit.remote import HttpFeed
from services.kit.settings import SettingsError, Shared
from tests.integration.gatekeeper.watch import (
    GATE,
    ROSA,
    TEXT,
    Gatekeeper,
    Watch,
    approval,
    opens,
    said,
    until,
    verdicts,
    watching,
)

pytestmark = pytest.mark.postgres
ROOT = Path(__file__).parents[3]
MANY, SPREAD = 100, 20.0
"""Timers, and the seconds over which they are due."""
BUSY = 10.0
"""Seconds that a machine full of other work may add; alone, 99 % are judged within 2."""


@pytest.fixture
async def watch(database_url: str) -> AsyncIterator[Watch]:
    async with watching(database_url) as made:
        yield made


@pytest.fixture
def one(watch: Watch) -> Gatekeeper:
    return watch.gatekeeper("one")


def plan(release: str) -> ReleasePlanPublished:
    """What no rule asks about."""
    return ReleasePlanPublished(release_id=release, kind="comms", doc_sha256="f" * 64,
                                doc_uri="https://wiki.example/1")  # fmt: skip


def judged(outcome: str, cause: str) -> float:
    """Return how many gates have been judged again in this process."""
    labels = {"outcome": outcome, "cause": cause}
    return metrics.REGISTRY.get_sample_value("rlg_gate_rejudged_total", labels) or 0.0


async def watched(watch: Watch) -> bool:
    """Whether the feed was followed to its end, and nothing is left to judge now."""
    rows = await watch.rows()
    at_head = bool(rows["cursor"]) and rows["cursor"][0][1] == await watch.head()
    return at_head and all(settles is None for *_, settles, _due, _held in rows["gate_timer"])


async def test_a_timer_fires_when_an_approval_expires_and_says_so_once(
    watch: Watch, one: Gatekeeper
) -> None:
    await watch.planned("pay-1")
    await watch.approved({"pay-1": clock.now() + timedelta(seconds=3)})
    first = await one.decider.decide("pay-1", GATE)
    assert first.decision.decision == "allow"
    async with one.awake():
        await until(lambda: _so_many(watch, "pay-1", 2))
        *_, last = events = await watch.decisions("pay-1")
        assert verdicts(events) == ["allow", "pending"]
        assert "expired" in last.data["decision"]["rules"][0]["reason"]
        assert last.principal == "service:one"
        late = parse_time(last.recorded_at) - opens(first)
        assert timedelta(0) <= late < timedelta(seconds=BUSY)
        await until(lambda: watched(watch))
        timer = await watch.timer("pay-1")
        assert timer is not None
        assert (timer["fires_at"], timer["claimed_until"]) == (None, None)
        assert timer["decision_position"] == last.position


async def test_an_event_moves_a_gate_and_what_says_nothing_new_is_not_recorded(
    watch: Watch, one: Gatekeeper
) -> None:
    await watch.planned("pay-1", "pay-2")
    await one.decider.decide("pay-1", GATE)
    async with one.awake():
        await until(lambda: watched(watch))
        head, before = await watch.head(), judged("unchanged", "event")
        await watch.tell(*(said(plan("pay-1")) for _ in range(5)))
        await watch.tell(said(plan("pay-2")))
        await until(lambda: watched(watch))
        assert judged("unchanged", "event") == before + 1, "five events, judged once"
        assert await watch.head() == head + 6
        await watch.tell(said(approval("pay-1")), person=ROSA)
        await until(lambda: _so_many(watch, "pay-1", 2))
        await until(lambda: watched(watch))
        assert verdicts(await watch.decisions("pay-1")) == ["pending", "allow"]
        assert await watch.head() == head + 8
        assert judged("unchanged", "event") == before + 1, "decisions move nothing"
        assert not await watch.decisions("pay-2"), "nobody has asked about it"


async def test_gatekeepers_that_find_the_same_news_record_it_once(
    watch: Watch, one: Gatekeeper
) -> None:
    two = watch.gatekeeper("two")
    names = [f"pay-{n}" for n in range(10)]
    await watch.planned(*names)
    for name in names:
        await one.decider.decide(name, GATE)
        await watch.tell(said(approval(name)), person=ROSA)
        found = await asyncio.gather(*(redecide(it.decider, name, GATE) for it in (one, two) * 2))
        assert [each.recorded for each in found if each].count(True) == 1
        assert len({each.position for each in found if each}) == 1
        assert verdicts(await watch.decisions(name)) == ["pending", "allow"]


async def test_an_ended_release_is_let_go(watch: Watch, one: Gatekeeper) -> None:
    await watch.planned("pay-1", "pay-2")
    await one.decider.decide("pay-1", GATE)
    await one.decider.decide("pay-2", GATE)
    async with one.awake():
        await until(lambda: watched(watch))
        await watch.tell(said(ReleaseCompleted(release_id="pay-1", outcome="success")))
        await until(lambda: watched(watch))
        assert {row[1] for row in (await watch.rows())["gate_timer"]} == {"pay-2"}
        assert {row[2] for row in (await watch.rows())["gate_interest"]} == {"pay-2"}
        asked = await one.decider.decide("pay-1", GATE)
        assert asked.decision.decision == "deny"
        await until(lambda: watched(watch))
        assert await watch.timer("pay-1") is None
        assert len(await watch.decisions("pay-1")) == 2


async def test_emptied_tables_are_filled_again_while_it_runs(watch: Watch, one: Gatekeeper) -> None:
    names = ["pay-1", "pay-2", "pay-3"]
    await watch.planned(*names)
    await watch.approved(dict.fromkeys(names, clock.now() + timedelta(minutes=5)))
    for name in names:
        await one.decider.decide(name, GATE)
    await watch.tell(said(approval("pay-2", "rejected")), person=ROSA)
    await one.decider.decide("pay-2", GATE)
    async with one.awake():
        await until(lambda: watched(watch))
        before = await watch.rows()
        assert len(before["gate_timer"]) == 3
        await watch.empty()
        assert await watch.rows() != before
        await watch.tell(said(plan("other")))  # wakes the feed
        await until(lambda: watched(watch))
        after = await watch.rows()
        assert [after[name] for name in ("gate_timer", "gate_interest")] == [
            before[name] for name in ("gate_timer", "gate_interest")
        ]
        assert await watch.head() == before["cursor"][0][1] + 1, "nothing new was recorded"


@pytest.mark.slow
async def test_two_gatekeepers_share_many_timers_and_each_fires_once(
    watch: Watch, one: Gatekeeper
) -> None:
    two = watch.gatekeeper("two")
    names = [f"pay-{n}" for n in range(MANY)]
    await watch.planned(*names)
    begins = clock.now() + timedelta(seconds=30)
    due = {name: begins + timedelta(seconds=SPREAD * n / MANY) for n, name in enumerate(names)}
    await watch.approved(due)
    for name in names:
        assert opens(await one.decider.decide(name, GATE)) == due[name]
    before = Counter({kind: judged(kind, "time") for kind in ("recorded", "unchanged", "failed")})
    head = await watch.head()
    async with one.awake(), two.awake():
        ends = (begins - clock.now()).total_seconds() + SPREAD + 30
        await until(lambda: _reaches(watch, head + MANY), ends)
        await until(lambda: watched(watch))
    assert await watch.head() == head + MANY
    news = (await watch.ledger.page("main", head, limit=MANY)).events
    late = sorted((e.recorded - due[e.data["release_id"]]).total_seconds() for e in news)
    print(f"lateness of {MANY} timers: p50 {late[MANY // 2]:.3f} s, "  # noqa: T201
          f"p99 {late[MANY * 99 // 100]:.3f} s, worst {late[-1]:.3f} s")  # fmt: skip
    assert {e.data["release_id"] for e in news} == set(names)
    assert min(Counter(e.principal for e in news).values()) > MANY // 10, "both have worked"
    fired = Counter({kind: judged(kind, "time") for kind in before}) - before
    assert fired == {"recorded": MANY}
    assert late[0] >= 0
    assert late[MANY * 99 // 100] <= BUSY


async def test_what_a_killed_gatekeeper_had_claimed_another_one_judges(
    watch: Watch, one: Gatekeeper
) -> None:
    await watch.planned("pay-1")
    await watch.approved({"pay-1": clock.now() + timedelta(seconds=2)})
    await one.decider.decide("pay-1", GATE)
    async with asyncio.timeout(30):
        victim = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.integration.gatekeeper.claimer", watch.url, "3",
            cwd=ROOT, stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        assert victim.stdout is not None
        feeding = asyncio.create_task(one.watcher.run())
        assert await victim.stdout.readline() == b"claimed pay-1\n"
        victim.send_signal(signal.SIGKILL)
        await victim.wait()
    assert await one.timers.fire() == 0, "it is another's, as far as anybody knows"
    assert len(await watch.decisions("pay-1")) == 1
    async with asyncio.timeout(10):
        while not await one.timers.fire():  # noqa: ASYNC110 - time is what it waits for
            await asyncio.sleep(0.1)
    assert verdicts(await watch.decisions("pay-1")) == ["allow", "pending"]
    feeding.cancel()
    await asyncio.wait([feeding])


async def test_a_gate_that_cannot_be_judged_waits_and_holds_up_no_other(
    watch: Watch, one: Gatekeeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    await watch.planned("pay-1", "pay-2")
    for name in ("pay-1", "pay-2"):
        await one.decider.decide(name, GATE)
    await watch.tell(said(approval("pay-1")), person=ROSA)
    await watch.tell(said(approval("pay-2")), person=ROSA)
    judge = one.decider.dry_run

    async def broken(release: str, gate: str) -> Judged:
        if release == "pay-1":
            raise ArithmeticError("a fault of ours")
        return await judge(release, gate)

    one.decider.dry_run = broken  # type: ignore[method-assign]
    before = judged("failed", "event")
    async with one.awake():
        await until(lambda: _so_many(watch, "pay-2", 2))
        assert judged("failed", "event") == before + 1
        assert len(await watch.decisions("pay-1")) == 1
        assert await one.timers.overdue() is None
        monkeypatch.setattr(timers, "OVERDUE", timedelta(0))
        assert await one.timers.overdue() == "gates that wait to be judged again: 1"
        one.decider.dry_run = judge  # type: ignore[method-assign]
        await until(lambda: _so_many(watch, "pay-1", 2))


async def test_the_service_judges_by_itself(watch: Watch, one: Gatekeeper, tmp_path: Path) -> None:
    (tmp_path / "short.yaml").write_text(TEXT)
    settings, ledger = GatekeeperSettings(policies=tmp_path), watch.client("service")
    with pytest.raises(SettingsError, match="DATABASE_URL"):
        service.build(Shared(), settings, Keyring(), ledger, HttpFeed(ledger))
    shared = Shared.model_validate({"DATABASE_URL": watch.url})
    built = service.build(shared, settings, Keyring(), ledger, HttpFeed(ledger))
    await watch.planned("pay-1")
    await one.decider.decide("pay-1", GATE)
    async with built.run():
        assert {await check() for check in built.checks.values()} == {None}
        await watch.tell(said(approval("pay-1")), person=ROSA)
        await until(lambda: _so_many(watch, "pay-1", 2))
    *_, last = await watch.decisions("pay-1")
    assert (verdicts([last]), last.principal) == (["allow"], "service:service")


async def _so_many(watch: Watch, release: str, number: int) -> bool:
    return len(await watch.decisions(release)) >= number


async def _reaches(watch: Watch, position: int) -> bool:
    return await watch.head() >= position
