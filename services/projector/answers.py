"""From rows to views: no queries, no clock. Rows are dictionaries with times as RFC 3339 text."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from contracts.decision import Decision
from contracts.event import format_time, parse_time
from services.projector import places, views
from services.projector.readmodels.rows import Row

SUBJECTS = 200
"""Most parked subjects that one answer names."""
_TIERS = ("development", "testing", "staging", "production", "other")
_ALLOWED = frozenset({"allow", "allow-by-break-glass"})
_SEVERITY = {"pending": 2, "deny": 3}
_UNKNOWN = 1


def plain(row: Mapping[str, Any]) -> Row:
    """Make times text: views and templates speak RFC 3339."""
    return {
        name: format_time(value) if isinstance(value, datetime) else value
        for name, value in row.items()
    }


def freshness(ledger: str, row: Row | None, parked: int, now: datetime) -> views.Freshness:
    """Answer how far behind we are; before the first start we are nowhere."""
    if row is None:
        return views.Freshness(ledger=ledger, position=0, head=0, events_behind=0, seconds_behind=0)
    behind = max(0, row["head"] - row["position"])
    since = parse_time(row["behind_since"]) if row["behind_since"] and behind else now
    return views.Freshness(
        ledger=ledger,
        position=row["position"],
        head=row["head"],
        events_behind=behind,
        seconds_behind=max(0.0, (now - since).total_seconds()),
        updated_at=row["updated_at"],
        parked=parked,
    )


def projection(
    name: str, generation: int, fresh: views.Freshness, parked: Sequence[Row]
) -> views.ProjectionView:
    """Answer what stands still, the longest first."""
    return views.ProjectionView(
        projection=name,
        generation=generation,
        freshness=fresh,
        parked_subjects=len(parked),
        parked=[views.ParkedSubject(**row) for row in parked[:SUBJECTS]],
    )


def release_row(row: Row) -> views.ReleaseRow:
    """Answer one release of a list."""
    verdicts = row["gates"].values()
    shown = {name: row[name] for name in views.ReleaseRow.model_fields if name in row}
    return views.ReleaseRow(
        **shown,
        gates_passed=sum(verdict in _ALLOWED for verdict in verdicts),
        gates_total=len(verdicts),
        lead_time_seconds=between(row["planned_at"], row["deployed_at"]),
    )


def gate(row: Row) -> views.GateView:
    """Answer one gate of a release."""
    shown = {name: row[name] for name in views.GateView.model_fields if name != "decision"}
    return views.GateView(
        **shown, decision=Decision.model_validate(row["decision"], extra="ignore")
    )


def card(gate: Row, release: Row) -> views.GateCard:
    """Answer one gate that waits or refuses."""
    return views.GateCard(
        release_id=release["release_id"],
        name=release["name"],
        services=release["services"],
        release_type=release["release_type"],
        risk=release["risk"],
        gate=gate["gate"],
        environment=gate["environment"],
        verdict=gate["verdict"],
        summary=gate["decision"]["summary"],
        who=gate["who"],
        roles=gate["roles"],
        since=gate["since"],
        position=gate["position"],
    )


def waits_for(gate: Row, release: Row, person: str | None) -> bool:
    """Say whether a gate waits for `person` (None: for anybody) about the present candidate."""
    if gate["verdict"] != "pending" or not stands(gate, release):
        return False
    return bool(gate["who"] or gate["roles"]) if person is None else person in gate["who"]


def stands(gate: Row, release: Row) -> bool:
    """Say whether a decision is about the candidate that the release has now."""
    return f"{gate['gate']}\n{gate['environment']}" in release["gates"]


def _in_the_way(gates: Iterable[Row], release: Row) -> Row:
    """Return verdict and summary of the gate that stands in the way; else of the newest one.

    Gates are judged again by themselves: that one was opened last says nothing about the others.
    """
    standing = [gate for gate in gates if stands(gate, release)]
    if not standing:
        return {}
    worst = max(standing, key=_severity)
    return {"verdict": worst["verdict"], "summary": worst["decision"]["summary"]}


def _severity(gate: Row) -> tuple[int, int]:
    """Order gates by how much they stand in the way, then by time. One that no policy knows may be
    a slip of whoever asked: it comes after those that wait for somebody.
    """
    known = gate["decision"].get("policy") is not None
    return _SEVERITY.get(gate["verdict"], 0) if known else _UNKNOWN, gate["position"]


def cells(rows: Iterable[Row]) -> places.Environments:
    """Answer services, environments in order of tier, and what runs where."""
    found = [places.Cell(**{name: row[name] for name in places.Cell.model_fields}) for row in rows]
    tiers = {cell.environment: cell.tier for cell in found}
    environments = sorted(tiers, key=lambda name: (tier_order(tiers[name]), name))
    services = sorted({cell.service for cell in found})
    return places.Environments(services=services, environments=environments, cells=found)


def deployments(rows: list[Row], limit: int) -> places.DeploymentPage:
    """Answer a page; `rows` hold one more than `limit` where there is another one."""
    page = rows[:limit]
    return places.DeploymentPage(
        deployments=[places.DeploymentRow(**row) for row in page],
        next_before=page[-1]["position"] if len(rows) > len(page) else None,
    )


def tier_order(tier: str) -> int:
    """Return where a tier stands on the way to production."""
    return _TIERS.index(tier) if tier in _TIERS else len(_TIERS)


def matter(row: Row) -> dict[str, Any]:
    """Answer one freeze, exception, incident or ticket."""
    return {**row["doc"], "open": row["open"], "position": row["position"]}


def change(row: Row) -> dict[str, Any]:
    """Answer one change of a release."""
    names = ("title", "author", "merged_at", "position")
    reference = f"{row['repo']}@{row['merge_sha'] or row['head_sha']}"
    known = {"ref": reference, "repo": row["repo"], "change_id": row["change_id"]}
    return known | {name: row[name] for name in names}


def release(row: Row, parts: dict[str, list[Row]]) -> views.ReleaseView:
    """Answer everything about one release. `parts`: rows by table."""
    matters: dict[str, list[dict[str, Any]]] = {}
    for part in parts["matter"]:
        matters.setdefault(part["kind"], []).append(matter(part))
    tickets = matters.get("ticket", [])
    return views.ReleaseView(
        row=release_row(row | _in_the_way(parts["gate"], row)),
        description=row["description"],
        scheduled=row["scheduled"],
        risk_factors=row["risk_factors"],
        risk_score=row["risk_score"],
        gates=[gate(part) for part in sorted(parts["gate"], key=_severity, reverse=True)],
        timeline=[views.TimelineEntry(**part) for part in parts["entry"]],
        deployments=[places.DeploymentRow(**part) for part in parts["deployment"]],
        artifacts=row["artifacts"],
        manifest_digest=row["manifest_digest"],
        changes=[change(part) for part in parts["change"]],
        tickets=tickets + _only_named(row["linked"], tickets),
        plans=row["plans"],
        incidents=matters.get("incident", []),
        exceptions=matters.get("exception", []),
        parked_from=next((part["position"] for part in parts["parked"]), None),
    )


def _only_named(linked: list[str], known: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return tickets that the release names and that nobody has told us more about."""
    named = (key.removeprefix("ticket:") for key in linked if key.startswith("ticket:"))
    missing = [each for each in named if each not in {ticket["ticket_id"] for ticket in known}]
    return [
        {"ticket_id": each, "state": None, "uri": None, "ticket_type": None} for each in missing
    ]


def between(start: str, end: str | None) -> float | None:
    """Return seconds, or None where there is no end or it lies before the start."""
    seconds = -1.0 if end is None else (parse_time(end) - parse_time(start)).total_seconds()
    return seconds if seconds >= 0 else None
