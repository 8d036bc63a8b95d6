"""The loader against the real services on a real PostgreSQL, in this process.

A short story of seven releases has every arc but the canary and the failed attempt.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pydantic import SecretStr
from starlette.types import ASGIApp

from contracts.event import OURS, RecordedEvent
from contracts.subject import is_key
from demo import acme, load
from demo.people import PEOPLE
from demo.telling import Summary
from services import assembly
from services.gatekeeper.settings import GatekeeperSettings
from services.kit.identity import DEMO_KEY
from services.kit.remote import Client, HttpLedger
from services.kit.settings import Shared
from services.ledger.settings import LedgerSettings
from services.projector.settings import ProjectorSettings
from services.projector.web.people import Person

pytestmark = pytest.mark.postgres
NOW = datetime(2026, 3, 4, 15, 30, 41, tzinfo=UTC)
LEDGER, GATEKEEPER = "http://127.0.0.1/ledger", "http://127.0.0.1/gatekeeper"
SHORT: dict[str, tuple[str, ...]] = {
    "pay": ("major", "waiting"),
    "web": ("normal", "relapse", "hotfix"),
    "search": ("rejected", "building"),
}


class CutError(Exception):
    """Stands for the end of the loader's process."""


@pytest.fixture
async def app(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[ASGIApp]:
    monkeypatch.setattr(acme, "LIVES", SHORT)
    monkeypatch.setattr("demo.schedule.LIVES", SHORT)
    shared = Shared(dev=True, feed="http", data=tmp_path).model_copy(
        update={"database_url": SecretStr(database_url)}
    )
    settings = assembly.Settings(
        shared, LedgerSettings(), ProjectorSettings(), GatekeeperSettings(),
        [Person(each.id, each.name, each.roles, each.title) for each in PEOPLE],
    )  # fmt: skip
    root = assembly.all_in_one(settings)
    async with root.router.lifespan_context(root):
        yield root


async def run(app: ASGIApp, cut_at: int | None = None, seed: int = 7) -> Summary:
    def watch(done: int, _total: int) -> None:
        if done == cut_at:
            raise CutError

    return await load.load(LEDGER, GATEKEEPER, seed=seed, now=NOW, app=app, progress=watch)


async def log(app: ASGIApp) -> list[RecordedEvent]:
    client = Client(LEDGER, DEMO_KEY, app)
    try:
        events: list[RecordedEvent] = []
        while page := (await HttpLedger(client).page("main", len(events), limit=1000)).events:
            events += page
        return events
    finally:
        await client.close()


async def test_a_load_that_was_cut_off_twice_is_completed_and_nothing_stands_twice(
    app: ASGIApp,
) -> None:
    assert await load.wanted(LEDGER, app)
    for cut_at, seed in ((60, 7), (170, 8)):
        with contextlib.suppress(CutError):
            await run(app, cut_at, seed)
        assert await load.wanted(LEDGER, app)
    summary = await run(app, seed=9)
    assert summary.surprises == []
    assert not summary.already
    assert summary.duplicates > 0
    assert not await load.wanted(LEDGER, app)

    events = await log(app)
    assert [event.position for event in events] == list(range(1, len(events) + 1))
    votes = Counter(
        (e.event["data"]["release_id"], e.event["data"]["gate"], e.event["data"]["principal"])
        for e in events
        if e.type == f"{OURS}approval.decided.v1"
    )
    assert len(votes) == summary.votes
    assert set(votes.values()) == {1}
    _check_verdicts(events, summary)

    again = await run(app)
    assert again.already
    assert _told(await log(app)) == _told(events)


def _told(events: list[RecordedEvent]) -> list[str]:
    """What the loader sent: the gatekeeper goes on judging by itself meanwhile."""
    return [e.event["id"] for e in events if e.type != f"{OURS}decision.recorded.v1"]


def _check_verdicts(events: list[RecordedEvent], summary: Summary) -> None:
    """Each release's newest verdict at the production gate, as the story has it."""
    decisions = [
        e.event["data"]["decision"] for e in events if e.type == f"{OURS}decision.recorded.v1"
    ]
    newest = {d["release"]: d["decision"] for d in decisions if d["gate"] == summary.gate}
    assert newest.pop(summary.waiting) == "pending"
    assert Counter(newest.values()) == {"allow": 4, "deny": 1}
    kinds = {event.type.removeprefix(OURS) for event in events}
    assert kinds >= {"incident.detected.v1", "incident.resolved.v1", "alert.resolved.v1"}
    closed = [event for event in events if event.type == f"{OURS}board.closed.v1"]
    assert [len(event.data["present"]) for event in closed] == [2]
    assert all(is_key(subject) for event in events for subject in event.versions)


async def test_facts_are_recorded_as_their_actor_s(app: ASGIApp) -> None:
    await run(app)
    planned = [e for e in await log(app) if e.type == f"{OURS}release.planned.v1"]
    assert {(e.principal, e.via) for e in planned} == {
        ("dev:tim", "dev:demo"),
        ("dev:joan", "dev:demo"),
    }
    assert {e.assurance for e in planned} == {"A0"}
