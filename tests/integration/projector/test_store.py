"""The queries, on rows that were folded from a story."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from contracts.event import RecordedEvent
from contracts.problem import NotFound
from services.kit import clock
from services.projector.store import Store
from services.projector.views import ReleaseFilter
from services.projector.writing import Projection
from tests.integration.projector.memory import project
from tests.unit.projector.recorded import (
    PRODUCTION,
    STAGING,
    START,
    Log,
    decision,
    deployment,
    digest,
    moment,
    sha,
    story,
)

pytestmark = pytest.mark.postgres


POLICY = {"name": "standard", "version": 1, "digest": "sha256:0"}


def waiting(log: Log, release: str, verdict: str = "pending", **more: Any) -> RecordedEvent:
    log.add("release.planned", 1, release_id=release, name=f"The {release}", service_ids=["web"],
            release_type="hotfix", owner="dev:linus")  # fmt: skip
    return log.add("decision.recorded", 2, decision_id=f"d-{release}", release_id=release,
                   decision=decision(release, verdict, **more))  # fmt: skip


async def test_before_the_first_event_everything_is_empty(engine: AsyncEngine) -> None:
    store = Store(engine)
    now = await store.now(None)
    assert (now.events, now.needs_you, now.matrix) == (0, [], [])
    assert (await store.releases(ReleaseFilter())).total == 0
    assert (await store.freshness()).position == 0
    assert (await store.kpi("change-lead-time", end=clock.now())).value is None
    assert await store.wait_for(0, 0)
    with pytest.raises(NotFound):
        await store.release("pay-1")
    with pytest.raises(NotFound):
        await store.kpi("happiness", end=clock.now())


async def test_a_release_whole(engine: AsyncEngine) -> None:
    log = Log()
    story(log)
    log.add("ticket.created", 1, ticket_id="T-1", system="jira", ticket_type="story",
            uri="https://t/1", state="open")  # fmt: skip
    view = await (await project(engine, log)).release("pay-1")
    assert [entry.position for entry in view.timeline] == [*range(len(log.events), 0, -1)]
    assert (view.row.state, view.row.risk, view.row.version) == ("deployed", "low", "1.1")
    assert (view.row.gates_passed, view.row.gates_total) == (1, 1)
    assert view.row.lead_time_seconds == 4 * 3600
    (gate,) = view.gates
    assert (gate.decision.decision, gate.judged, gate.decision_id) == ("allow", 2, "d2-pay-1")
    (shipped,) = view.deployments
    assert (shipped.state, shipped.head_sha) == ("success", sha(11))
    (change,) = view.changes
    assert (change["ref"], change["title"], change["merged_at"]) == (
        f"acme/pay@{sha(11)}", "Pay by card", moment(3),
    )  # fmt: skip
    assert [(ticket["ticket_id"], ticket["state"]) for ticket in view.tickets] == [("T-1", "open")]
    assert view.manifest_digest == digest(10)


async def test_a_release_is_headed_by_the_gate_that_stands_in_its_way(engine: AsyncEngine) -> None:
    """Whichever was judged last: gates are judged again by themselves."""
    log = Log()
    for verdict, gate in (("deny", "cab"), ("pending", "production"), ("allow", "staging")):
        said = {"summary": f"{gate} {verdict}", "policy": POLICY}
        made = decision("web-1", verdict, gate=gate) | said
        log.add("decision.recorded", 2, decision_id=gate, release_id="web-1", decision=made)
        headed = (await (await project(engine, log)).release("web-1")).row
        assert (headed.verdict, headed.summary) == ("deny", "cab deny")
    opened = decision("web-1", "allow", gate="cab", policy=POLICY)
    log.add("decision.recorded", 2, decision_id="d", release_id="web-1", decision=opened)
    slip = decision("web-1", "deny", gate="prodction", policy=None)
    log.add("decision.recorded", 2, decision_id="e", release_id="web-1", decision=slip)
    headed = (await (await project(engine, log)).release("web-1")).row
    assert (headed.verdict, headed.summary) == ("pending", "production pending")


async def test_the_first_page_shows_what_waits_for_whom(engine: AsyncEngine) -> None:
    log = Log()
    story(log)
    waiting(log, "web-1")
    waiting(log, "web-2", "deny")
    waiting(log, "web-3")
    log.add("release.candidate_created", 3, release_id="web-3", version="2",
            manifest_digest=digest(5), artifacts=[digest(5)])  # fmt: skip
    waiting(log, "web-4")
    log.add("release.cancelled", 3, release_id="web-4", reason="no")
    store = await project(engine, log)

    grace, ada, anybody = [await store.now(person) for person in ("dev:grace", "dev:ada", None)]
    assert [card.release_id for card in grace.needs_you] == ["web-1"]
    assert [card.release_id for card in grace.blocked] == ["web-2"]
    assert (ada.needs_you, {card.release_id for card in ada.blocked}) == ([], {"web-1", "web-2"})
    assert [card.release_id for card in anybody.needs_you] == ["web-1"]
    card = grace.needs_you[0]
    assert (card.summary, card.roles, card.services) == (
        "It is pending.",
        ["release-manager"],
        ["web"],
    )
    assert [row.release_id for row in grace.moving] == ["web-3", "web-2", "web-1"]
    assert [row.release_id for row in grace.latest] == ["web-4", "pay-1"]
    assert grace.events == len(log.events)


async def test_the_first_page_shows_the_situation(engine: AsyncEngine) -> None:
    log, now = Log(), clock.now()
    soon = (now + timedelta(days=3)).isoformat()
    for number, end in enumerate((soon, "2020-01-01T00:00:00Z")):
        log.add("freeze.declared", 1, freeze_id=f"f{number}",
                environments=["production", "staging"], start="2019-01-01T00:00", end=end[:16],
                tz="UTC", reason="sale",
                allowed_types=["hotfix"])  # fmt: skip
        log.add("exception.granted", 2, exception_id=f"e{number}", control="soak", scope="pay",
                reason="haste", approver="dev:grace", expires_at=end, compensating=[],
                impact="none", owner="dev:grace")  # fmt: skip
    log.add("incident.detected", 3, incident_id="i", environment=PRODUCTION, severity="high",
            started_at=moment(3), service="pay", summary="slow")  # fmt: skip
    page = await (await project(engine, log)).now(None)
    (freeze,) = page.freezes
    assert (freeze["freeze_id"], freeze["environments"]) == ("f0", ["production", "staging"])
    assert [each["exception_id"] for each in page.exceptions] == ["e0"]
    (incident,) = page.incidents
    assert (incident["service"], incident["environment"], incident["position"]) == (
        "pay", "production", 5,
    )  # fmt: skip


async def test_what_runs_where(engine: AsyncEngine) -> None:
    log = Log()
    release = story(log)
    log.add("deployment.finished", 20, **deployment("s", environment=STAGING), outcome="success")
    log.add("deployment.finished", 21, **deployment("bad", head_sha=sha(77)), outcome="failure")
    found = await (await project(engine, log)).environments()
    assert (found.services, found.environments) == (["pay"], ["staging", "production"])
    production = next(cell for cell in found.cells if cell.tier == "production")
    assert (production.release_id, production.state, production.deployment_id) == (
        release, "failure", "pay-1-prod",
    )  # fmt: skip


async def test_deployments_without_the_permit_they_need_are_listed(engine: AsyncEngine) -> None:
    log = Log()
    planned = story(log)
    log.add("permit.issued", 30, permit_id="p", decision_id="d", release_id=planned,
            gate="production", environment="production", target_digest=digest(10),
            not_after="2099-01-01T00:00:00Z")  # fmt: skip
    good = {"artifact_digest": digest(10), "permit_id": "p"}
    log.add("deployment.started", 31, **deployment("good", **good))
    for number in (1, 2, 3):
        log.add("deployment.started", 32, **deployment(f"bad-{number}", service="web"))
    store = await project(engine, log)

    async def found(before: int | None = None, limit: int = 9) -> tuple[list[str], int | None]:
        page = await store.deployments(unauthorised=True, before=before, limit=limit)
        assert {row.unauthorised for row in page.deployments} == {"no permit was used"}
        return [row.deployment_id for row in page.deployments], page.next_before

    assert await found() == (["bad-3", "bad-2", "bad-1"], None)
    names, before = await found(limit=2)
    assert (names, await found(before)) == (["bad-3", "bad-2"], (["bad-1"], None))
    everything = await store.deployments(unauthorised=False, before=None, limit=9)
    permits = {row.deployment_id: row.permit_id for row in everything.deployments}
    assert permits == dict.fromkeys(("bad-1", "bad-2", "bad-3", "pay-1-prod")) | {"good": "p"}
    cells = (await store.environments()).cells
    flagged = {cell.service: cell.unauthorised for cell in cells if cell.tier == "production"}
    assert flagged == {"pay": None, "web": "no permit was used"}


async def test_releases_are_filtered_counted_and_paged(engine: AsyncEngine) -> None:
    log = Log()
    for number in (1, 2, 3):
        story(log, number)
    waiting(log, "web-9")
    store = await project(engine, log)

    async def found(**asked: Any) -> list[str]:
        page = await store.releases(ReleaseFilter(**asked))
        assert page.total == len(page.releases)
        return [row.release_id for row in page.releases]

    assert await found() == ["web-9", "pay-3", "pay-2", "pay-1"]
    assert await found(state="waiting") == ["web-9"]
    assert await found(service="pay", risk="low") == ["pay-3", "pay-2", "pay-1"]
    assert await found(release_type="hotfix") == ["web-9"]
    for part in (sha(21), digest(20), "release 2", "1.2", "T-2"):
        assert await found(q=part) == ["pay-2"], part
    assert await found(q="linus") == ["web-9"]
    assert await found(q="%") == []

    page = await store.releases(ReleaseFilter(state="deployed"))
    facets = {name: {f.value: f.count for f in each} for name, each in page.facets.items()}
    assert facets == {
        "state": {"deployed": 3, "waiting": 1}, "service": {"pay": 3}, "risk": {"low": 3},
        "release_type": {"minor": 3},
    }  # fmt: skip

    first = await store.releases(ReleaseFilter(limit=3))
    rest = await store.releases(ReleaseFilter(limit=3, before=first.next_before))
    assert [row.release_id for row in first.releases + rest.releases] == [
        "web-9", "pay-3", "pay-2", "pay-1",
    ]  # fmt: skip
    assert (rest.next_before, first.total, rest.total) == (None, 4, 4)


async def test_the_kpis_come_from_the_rows(engine: AsyncEngine) -> None:
    log = Log()
    for number in range(1, 5):
        story(log, number, at=number * 10)
    story(log, 9, "web", at=50)
    log.add("deployment.finished", 60, **deployment("s", environment=STAGING), outcome="success")
    store, end = await project(engine, log), START + timedelta(days=6, hours=15)

    often = await store.kpi("deployment-frequency", days=7, end=end)
    assert (often.n, often.position) == (5, len(log.events))
    assert often.value == pytest.approx(5 / 6)  # the first day of all is not in the window
    lead = await store.kpi("change-lead-time", days=7, end=end)
    assert (lead.n, lead.value, lead.excluded) == (3, 10 * 3600, {"baseline": 2})
    web = await store.kpi("change-lead-time", days=7, end=end, service="web")
    assert (web.n, web.value, web.excluded) == (0, None, {"baseline": 1})
    early = await store.kpi("deployment-frequency", days=7, end=START + timedelta(hours=20))
    assert early.n == 1


async def test_a_kpi_is_provisional_until_its_days_are_over_and_the_ledger_is_read(
    engine: AsyncEngine,
) -> None:
    over = START + timedelta(days=6, hours=15)
    unread = await Store(engine).kpi("deployment-frequency", end=over)
    assert unread.provisional_because == "nothing was read from the ledger yet"
    log = Log()
    story(log)
    store = await project(engine, log)
    assert not (await store.kpi("deployment-frequency", end=over)).provisional
    today = await store.kpi("change-lead-time", end=clock.now())
    assert today.provisional_because == "the last day is not over"

    projection = Projection(engine, "main")
    async with projection.claim() as claim:
        await projection.seen(claim, len(log.events) + 3, log.events[-1].recorded_at)
    behind = await store.kpi("deployment-frequency", end=over)
    assert behind.provisional_because == "events not read yet: 3"
