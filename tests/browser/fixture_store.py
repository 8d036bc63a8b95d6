# ruff: noqa: E501, PLR0917 - a table of made-up releases, one a line, one column a parameter
"""Read models with a plausible company in them, to look at pages without a ledger behind them."""

from __future__ import annotations

import hashlib
from datetime import datetime, timedelta
from typing import Any

from contracts.event import HistoryPage, RecordedEvent, format_time
from contracts.problem import NotFound
from services.kit import clock
from services.projector import measures, places, views
from tests.browser import fixture_flow, fixture_release

HEAD = 1204
ROWS: list[tuple[str, str, str, str | None, str, str, str, int, int, float, int]] = [
    # id, name, type, risk, state, service, owner, passed, total, hours ago, position
    ("pay-1.43.0", "Payments 1.43.0", "minor", "medium", "waiting", "pay", "ada", 1, 2, 0.6, 1204),
    ("web-5.2.0", "Storefront 5.2.0", "minor", "low", "deploying", "web", "alan", 2, 2, 0.1, 1201),
    ("search-0.19.0", "Search 0.19.0", "major", "high", "waiting", "search", "hedy", 1, 3, 3, 1188),
    ("pay-1.42.7", "Payments 1.42.7", "hotfix", "medium", "deployed", "pay", "ada", 2, 2, 8, 1163),
    ("web-5.1.9", "Storefront 5.1.9", "patch", "low", "building", "web", "alan", 0, 2, 1.4, 1197),
    ("search-0.18.4", "Search 0.18.4", "patch", "low", "completed", "search", "hedy", 2, 2, 26, 1120),
    ("pay-1.42.6", "Payments 1.42.6", "patch", "low", "rolled_back", "pay", "ada", 2, 2, 30, 1101),
    ("web-5.1.8", "Storefront 5.1.8", "minor", "medium", "completed", "web", "alan", 2, 2, 49, 1066),
    ("search-0.18.3", "Search 0.18.3", "patch", None, "planned", "search", "hedy", 0, 0, 5, 1180),
    ("pay-1.42.5", "Payments 1.42.5", "config", "low", "rejected", "pay", "ada", 1, 2, 75, 1031),
    ("web-5.1.7", "Storefront 5.1.7", "patch", "low", "failed", "web", "alan", 2, 2, 98, 990),
    ("search-0.18.2", "Search 0.18.2", "minor", "critical", "cancelled", "search", "hedy", 0, 3, 130, 942),
]  # fmt: skip


def when(hours: float) -> str:
    """Return the moment so many hours ago; negative is ahead."""
    return format_time(clock.now() - timedelta(hours=hours))


def digest(text: str) -> str:
    """Return a digest that stays the same."""
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


def rows() -> list[views.ReleaseRow]:
    """Return the releases, then older ones to fill pages, newest activity first."""
    made = [_row(*row) for row in ROWS]
    for n in range(48):
        service, name, owner = (
            ("pay", "Payments", "ada"), ("web", "Storefront", "alan"), ("search", "Search", "hedy"),
        )[n % 3]  # fmt: skip
        version = f"{1 + n % 3}.{40 - n // 2}.{n % 7}"
        made.append(
            _row(f"{service}-{version}", f"{name} {version}", ("patch", "minor", "hotfix")[n % 3],
                 ("low", "medium", "low", "high")[n % 4], "completed", service, owner, 2, 2,
                 150 + n * 31.0, 900 - n * 17)
        )  # fmt: skip
    return sorted(made, key=lambda row: -row.last_position)


def _row(
    id_: str, name: str, kind: str, risk: str | None, state: Any, service: str, owner: str,
    passed: int, total: int, hours: float, position: int,
) -> views.ReleaseRow:  # fmt: skip
    shipped = state in {"deployed", "completed", "rolled_back"}
    return views.ReleaseRow(
        release_id=id_, name=name, release_type=kind, risk=risk, state=state, services=[service],
        owner=f"dev:{owner}", version=id_.rpartition("-")[2], gates_passed=passed,
        gates_total=total, verdict="allow" if passed == total else "pending", summary=None,
        planned_at=when(hours + 41), state_since=when(hours), last_event_at=when(hours), last_position=position,
        lead_time_seconds=(22 + position % 53) * 3600.0 if shipped else None,
    )  # fmt: skip


class FixtureStore:
    """Keeps the promises of `web.reads.Reads` from memory. `voted` is set by the fixture gatekeeper."""

    def __init__(self, behind: float = 0, events: int = HEAD) -> None:
        self.behind, self.events = behind, events
        self.voted: tuple[str, str, int] | None = None
        self.parked: list[views.ParkedSubject] = []

    @property
    def position(self) -> int:
        """The last position that is applied."""
        return self.events + (2 if self.voted else 0)

    async def freshness(self) -> views.Freshness:
        late = 12 if self.behind else 0
        return views.Freshness(
            ledger="main", position=self.position, head=self.position + late,
            events_behind=late, seconds_behind=self.behind, updated_at=when(0),
            parked=sum(each.events for each in self.parked),
        )  # fmt: skip

    async def projection(self) -> views.ProjectionView:
        return views.ProjectionView(
            projection="readmodels", generation=2, freshness=await self.freshness(),
            parked_subjects=len(self.parked), parked=self.parked,
        )  # fmt: skip

    def park(self) -> None:
        """Put some subjects aside, as events that nobody can read do."""
        unreadable = (
            "CannotRead: org.releaseledger.release.updated.v3: there is no upcaster from v3 to v1"
        )
        long = "Unstorable: 22P05: unsupported Unicode escape sequence \\u0000 cannot be converted to text, in row release=search-0.19.0"
        self.parked = [
            views.ParkedSubject(subject="release:web-5.1.9", position=1108, type="org.releaseledger.release.updated.v3", error=unreadable, parked_at=when(26), events=7),
            views.ParkedSubject(subject="artifact:" + digest("image"), position=1177, type="org.releaseledger.artifact.scanned.v1", error=long, parked_at=when(2.4), events=1),
            views.ParkedSubject(subject="", position=1190, type="com.example.note", error="KeyError: 'data'", parked_at=when(0.3), events=1),
        ]  # fmt: skip

    async def now(self, person: str | None) -> views.NowView:
        if not self.events:
            return _nothing()
        known = {row.release_id: row for row in rows()}
        pending = [card for card in _cards() if not (self.voted and "1.43" in card.release_id)]
        mine = [card for card in pending if person in card.who]
        return views.NowView(
            needs_you=mine,
            moving=[known[i] for i in ("web-5.2.0", "web-5.1.9", "search-0.18.3")],
            blocked=[card for card in pending if card not in mine],
            latest=[row for row in rows() if row.state in {"completed", "deployed"}][:3],
            freezes=[{
                "freeze_id": "peak", "reason": "Peak trading: Black Friday weekend",
                "start": when(-70), "end": when(-166), "environments": ["production"],
                "allowed_types": ["hotfix"], "position": 1142,
            }],
            exceptions=[{
                "exception_id": "ex-7", "control": "artifact-scan", "scope": "service:search",
                "expires_at": when(-52), "position": 1090,
                "reason": "Scanner cannot read the new base image yet; vendor ticket open",
            }],
            incidents=[{
                "incident_id": "inc-88", "service": "search", "environment": "production",
                "severity": "sev3", "started_at": when(2.2), "position": 1191,
                "summary": "Search latency p99 above 900 ms",
            }],
            services=["pay", "search", "web"],
            environments=["development", "staging", "production"],
            matrix=_matrix(), quarantined=2, events=self.position,
        )  # fmt: skip

    async def releases(self, filter: views.ReleaseFilter, /) -> views.ReleasePage:  # noqa: A002
        found = [row for row in rows() if self.events and _matches(row, filter)]
        page = [row for row in found if filter.before is None or row.last_position < filter.before]
        shown = page[: filter.limit]
        return views.ReleasePage(
            releases=shown, total=len(found),
            next_before=shown[-1].last_position if len(page) > len(shown) else None,
            facets={
                name: _facet([getattr(row, name, None) or "" for row in found])
                for name in ("state", "risk", "release_type")
            } | {"service": _facet([row.services[0] for row in found])},
        )  # fmt: skip

    async def release(self, release_id: str) -> views.ReleaseView:
        row = next((row for row in rows() if row.release_id == release_id), None)
        if row is None:
            raise NotFound(f"there is no release {release_id}")
        since = [each.position for each in self.parked if each.subject == f"release:{release_id}"]
        made = fixture_release.release(row, self.voted)
        return made.model_copy(update={"parked_from": next(iter(since), None)})

    async def kpi(
        self, name: str, *, days: int = 90, service: str | None = None, end: datetime
    ) -> measures.KpiView:
        return fixture_flow.kpi(name, days, service, end, rows() if self.events else [])

    async def environments(self) -> places.Environments:
        return places.Environments(
            services=["pay", "search", "web"],
            environments=["development", "staging", "production"],
            cells=_matrix(),
        )

    async def wait_for(self, position: int, timeout: float) -> bool:  # noqa: ASYNC109, ARG002
        return self.position >= position


class FixtureLedger:
    """Gives out one event, whatever the position up to the head."""

    async def quarantined(self, ledger: str) -> int:
        return 0 if ledger == "main" else 1

    async def event(self, ledger: str, position: int) -> RecordedEvent:
        if position > HEAD:
            raise NotFound(f"{ledger} has no event {position}")
        if position == fixture_release.REDACTED:
            return fixture_release.redacted()
        return fixture_release.recorded(position)

    async def history(self, _ledger: str, subject: str) -> HistoryPage:
        return HistoryPage(
            subject=subject, version=1, head=HEAD, events=[fixture_release.redaction()]
        )


def _matches(row: views.ReleaseRow, wanted: views.ReleaseFilter) -> bool:
    return (
        wanted.q.lower() in f"{row.release_id} {row.name}".lower()
        and wanted.state in {"", row.state}
        and wanted.service in {"", *row.services}
        and wanted.risk in {"", row.risk}
        and wanted.release_type in {"", row.release_type}
    )


def _facet(values: list[str]) -> list[views.Facet]:
    names = sorted({v for v in values if v}, key=lambda v: -values.count(v))
    return [views.Facet(value=v, count=values.count(v)) for v in names]


def _cards() -> list[views.GateCard]:
    common = {"release_type": "minor", "environment": "production", "verdict": "pending"}
    return [
        views.GateCard(
            release_id="pay-1.43.0", name="Payments 1.43.0", services=["pay"], risk="medium",
            gate="deploy:production", who=["dev:grace", "dev:radia"], roles=["release-manager"],
            since=when(0.6), position=1204,
            summary="Waits for 1 of 2: a release manager has not approved yet.", **common),
        views.GateCard(
            release_id="search-0.19.0", name="Search 0.19.0", services=["search"], risk="high",
            gate="deploy:production", who=["dev:olu", "dev:edith"], roles=["cab"],
            since=when(3), position=1188,
            summary="A major release needs the change advisory board; it meets on Wednesday.",
            **common),
        views.GateCard(
            release_id="web-5.1.9", name="Storefront 5.1.9", services=["web"], risk="low",
            gate="deploy:staging", who=[], roles=[], since=when(1.4), position=1197,
            summary="The test report of the candidate is missing; the pipeline is still running.",
            **(common | {"environment": "staging", "release_type": "patch"})),
    ]  # fmt: skip


def _matrix() -> list[places.Cell]:
    rows_ = [
        ("pay", "development", "pay-1.43.0", "1.43.0", "success", 2),
        ("pay", "staging", "pay-1.43.0", "1.43.0", "success", 1.1),
        ("pay", "production", "pay-1.42.7", "1.42.7", "success", 8),
        ("search", "staging", "search-0.19.0", "0.19.0", "success", 4),
        ("search", "production", "search-0.18.4", "0.18.4", "success", 26),
        ("web", "development", "web-5.1.9", "5.1.9", "failure", 1.3),
        ("web", "staging", "web-5.2.0", "5.2.0", "success", 3),
        ("web", "production", "web-5.2.0", "5.2.0", "started", 0.1),
    ]
    return [
        places.Cell(service=s, environment=e, tier=e, release_id=r, version=v,
                   deployment_id=f"{s}-{e}", state=state, at=when(hours),
                   unauthorised="no permit was used" if r == "pay-1.42.7" else None)
        for s, e, r, v, state, hours in rows_
    ]  # fmt: skip


def _nothing() -> views.NowView:
    return views.NowView(
        needs_you=[], moving=[], blocked=[], latest=[], freezes=[], exceptions=[], incidents=[],
        services=[], environments=[], matrix=[], events=0,
    )  # fmt: skip
