"""Freezes, exceptions, incidents, alerts and tickets, each open until told otherwise."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from contracts.event import format_time
from services.projector.readmodels.fact import Fact, web
from services.projector.readmodels.rows import Key, Row, Rows

_OPENS = {
    "freeze.declared": True, "freeze.lifted": False,
    "exception.granted": True, "exception.revoked": False,
    "incident.detected": True, "incident.resolved": False, "incident.attributed": None,
    "alert.fired": True, "alert.resolved": False,
    "ticket.created": True, "ticket.closed": False,
}  # fmt: skip
_IDS = {"freeze": "freeze_id", "exception": "exception_id", "incident": "incident_id",
        "alert": "alert_key", "ticket": "ticket_id"}  # fmt: skip
_TOLD = {
    "freeze": ("reason",),
    "exception": ("control", "scope", "reason", "approver", "expires_at", "service"),
    "incident": ("service", "severity", "started_at", "summary", "mitigated_at", "resolved_at",
                 "deployment_id", "basis", "uri"),
    "alert": ("name", "service", "severity", "started_at", "ended_at", "summary", "uri"),
    "ticket": ("system", "ticket_type", "state", "resolution", "uri"),
}  # fmt: skip


def keys(fact: Fact, _: Rows) -> Iterator[Key]:
    """Declare the matter."""
    key = _key(fact)
    if key is not None:
        yield "matter", (fact.noun, key)


def apply(fact: Fact, rows: Rows) -> None:
    """Open, change or close the matter."""
    key = _key(fact)
    if key is None:
        return
    row = rows.get("matter", fact.noun, key) or _new(fact, key)
    moved = {
        "until": _until(fact) or row["until"],
        "position": fact.position,
        "doc": row["doc"] | _told(fact),
    }
    rows.put("matter", row | moved | _opened(row, fact))


def _opened(row: Row, fact: Fact) -> Row:
    """Tell whether it is open; an opening that came late, from before the end, opens nothing."""
    opens = _OPENS[fact.name]
    if opens is None or (opens and row["closed_at"] and fact.at <= row["closed_at"]):
        return {}
    return {"open": opens, "closed_at": None if opens else fact.at}


def _key(fact: Fact) -> str | None:
    return fact.text(_IDS[fact.noun]) if fact.name in _OPENS else None


def _new(fact: Fact, key: str) -> Row:
    doc = {_IDS[fact.noun]: key, **dict.fromkeys(_TOLD[fact.noun])}
    if fact.noun == "freeze":
        doc |= {"start": None, "end": None, "environments": [], "allowed_types": [], "rrule": None}
    if fact.noun in {"incident", "alert"}:
        doc |= {"environment": None, "tier": None}
    return {
        "kind": fact.noun, "key": key, "open": _OPENS[fact.name] is not False,
        "closed_at": None, "until": None, "position": fact.position, "doc": doc,
    }  # fmt: skip


def _until(fact: Fact) -> str | None:
    """When it ends by itself."""
    if fact.name == "exception.granted":
        return fact.time("expires_at")
    if fact.name == "freeze.declared":
        return None if fact.text("rrule") else _instant(fact, "end", 1)
    return None


def _told(fact: Fact) -> dict[str, Any]:
    told: dict[str, Any] = {
        name: value for name in _TOLD[fact.noun] if (value := fact.text(name)) is not None
    }
    if "uri" in told:
        told["uri"] = web(told["uri"])
    if fact.name == "freeze.declared":
        told |= _freeze(fact)
    if fact.noun in {"incident", "alert"} and fact.environment[0]:
        told |= {"environment": fact.environment[0], "tier": fact.environment[1]}
    if fact.name in {"freeze.lifted", "exception.revoked"}:
        told.pop("reason", None)  # why it was opened stays; the timeline tells why it ended
    return told


def _freeze(fact: Fact) -> dict[str, Any]:
    return {
        "start": _instant(fact, "start", 0),
        "end": _instant(fact, "end", 1),
        "environments": fact.texts("environments"),
        "allowed_types": fact.texts("allowed_types"),
        "rrule": fact.text("rrule"),
    }


def _instant(fact: Fact, name: str, fold: int) -> str | None:
    """Return a local time as an instant; of two readings the earlier start and the later end."""
    try:
        wall = datetime.fromisoformat(fact.text(name) or "")
        zone = ZoneInfo(fact.text("tz") or "")
        return format_time(wall.replace(tzinfo=zone, fold=fold))
    except (ValueError, OSError, OverflowError):
        return None
