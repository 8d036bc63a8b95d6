"""A few lines of history, and the two figures over them."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from services.projector import kpis
from services.projector.measures import KpiView
from services.projector.window import Asked
from tests.unit.projector.recorded import (
    START,
    Log,
    deployment,
    fold,
    moment,
    sha,
)

MIDNIGHT = START.replace(hour=0)
HOUR = 3600.0


def asked(days: int = 7, end: datetime = MIDNIGHT + timedelta(days=7), **more: Any) -> Asked:
    """Ask long after the end, of read models that hold everything, unless told otherwise."""
    known: dict[str, Any] = {"now": end + timedelta(days=30), "head": 0}
    return Asked(days, end, **known | more)


def history(log: Log, question: Asked) -> kpis.History:
    """Select from the folded rows as the store does, but for the end: that is the figure's own."""
    rows = fold(log.events)
    won = [
        row
        for row in sorted(rows.get("deployment", []), key=lambda row: row["position"])
        if row["tier"] == "production"
        and row["state"] == "success"
        and question.service in {None, row["service"]}
    ]
    changes = [row for row in rows.get("change", []) if row["merge_sha"]]
    return kpis.History(
        won,
        {row["service"]: row["first_at"] for row in rows.get("service", [])},
        rows.get("commit", []),
        sorted(changes, key=lambda row: row["position"]),
    )


def frequency(log: Log, question: Asked | None = None) -> KpiView:
    question = question or asked()
    return kpis.deployment_frequency(question, history(log, question))


def lead(log: Log, question: Asked | None = None) -> KpiView:
    question = question or asked()
    return kpis.change_lead_time(question, history(log, question))


def ship(log: Log, number: int, at: float, head: int | None = None, **more: Any) -> None:
    repo = None if head is None else "acme/pay"
    log.add("deployment.finished", at, **deployment(f"d{number}", **more), outcome="success",
            repo=repo, head_sha=None if head is None else sha(head))  # fmt: skip


def push(
    log: Log, at: float, *numbers: int, ref: str = "main", written: float | None = None
) -> None:
    """Push commits, written an hour before or at `written`."""
    when = moment(at - 1 if written is None else written)
    log.add("change.pushed", at, repo="acme/pay", ref=f"refs/heads/{ref}", before=sha(999),
            after=sha(numbers[-1]), default_branch=ref == "main",
            commits=[{"sha": sha(n), "committed_at": when} for n in numbers])  # fmt: skip


def merge(log: Log, at: float, change: int, merged: int, **more: Any) -> None:
    log.add("change.merged", at, **{
        "repo": "acme/pay", "change_id": str(change), "head_sha": sha(900 + change),
        "merge_sha": sha(merged), "target": "main", "commit_shas": [], "first_commit_at": None,
    } | more)  # fmt: skip
