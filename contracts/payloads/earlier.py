"""Earlier majors. Recorded and readable for ever; send the major that the row names.

Each entry of `EARLIER` leads one major up: its model as it was published, and an upcaster, a pure
function of the payload. An upcaster is total over what its model allows, does no I/O, keeps the
subjects named, and hands on fields that it does not know.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias
from zoneinfo import ZoneInfo

from pydantic import Field

from contracts.event import parse_time
from contracts.payloads.model import (
    Count,
    Digest,
    Environment,
    ExceptionId,
    FreezeId,
    Label,
    Payload,
    Principal,
    Prose,
    ReleaseId,
    Strict,
    TicketId,
    Timestamp,
    Uri,
    Window,
)

Data: TypeAlias = dict[str, Any]


class SeverityCountsV1(Strict):
    """How many findings, by severity. A severity left out was written, and read, as none."""

    critical: Count
    high: Count
    medium: Count = 0
    low: Count = 0
    unknown: Count = 0


class ArtifactScannedV1(Payload):
    """A scanner looked for known vulnerabilities; it may have left severities out."""

    digest: Digest
    scanner: Label
    db_version: Label
    counts: SeverityCountsV1
    report_uri: Uri | None = None
    release_id: ReleaseId | None = None


def scanned_v1(data: Data) -> Data:
    """Say null for a severity that was left out: silence is not a count of zero."""
    silent = dict.fromkeys(("medium", "low", "unknown"))
    return data | {"counts": silent | data["counts"]}


class ExceptionGrantedV1(Payload):
    """A control may be left out, within a scope, until a day, for a reason."""

    exception_id: ExceptionId
    control: Label
    scope: Label
    reason: Prose
    approver: Principal
    expires_at: Timestamp
    compensating: list[Prose] = Field(max_length=20)
    release_id: ReleaseId | None = None
    ticket_id: TicketId | None = None


def granted_v1(data: Data) -> Data:
    """Keep the scope as words; nobody said what it may cost, and who granted it owns it."""
    return data | {"impact": "", "owner": data["approver"]}


class FreezeDeclaredV1(Payload):
    """No deployments within a scope during a window, but for the allowed release types."""

    freeze_id: FreezeId
    scope: list[Environment] = Field(min_length=1, max_length=20)
    window: Window
    reason: Prose
    allowed_types: list[Label] = Field(max_length=20)


def declared_v1(data: Data) -> Data:
    """Tell the one window by the clock of its zone; where the zone is not known, by UTC."""
    window = data["window"]
    zone = _zone(window.get("tz", "UTC"))
    ends = {name: _wall(window[name], zone) for name in ("start", "end")}
    kept = {name: value for name, value in data.items() if name not in {"scope", "window"}}
    places = [place["id"] for place in data["scope"]]
    return kept | ends | {"environments": places, "tz": zone.key}


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ValueError, OSError):
        return ZoneInfo("UTC")


def _wall(instant: str, zone: ZoneInfo) -> str:
    return parse_time(instant).astimezone(zone).replace(tzinfo=None).isoformat("T", "seconds")


@dataclass(frozen=True, slots=True)
class Earlier:
    """A major that has a successor. `accepted` says whether it may still be appended."""

    model: type[Payload]
    upcast: Callable[[Data], Data]
    accepted: bool = True


EARLIER: dict[str, Earlier] = {
    "artifact.scanned.v1": Earlier(ArtifactScannedV1, scanned_v1),
    "exception.granted.v1": Earlier(ExceptionGrantedV1, granted_v1, accepted=False),
    "freeze.declared.v1": Earlier(FreezeDeclaredV1, declared_v1, accepted=False),
}
"""By type without prefix. An entry is never removed, because what was recorded stays."""


def successor(name: str) -> str | None:
    """Return the newest major of an earlier one, by type without prefix; else None."""
    newest = name
    while newest in EARLIER:
        newest = next_major(newest)
    return None if newest == name else newest


def next_major(name: str) -> str:
    """Return the type one major up: `a.b.v1` → `a.b.v2`."""
    stem, _, major = name.rpartition(".v")
    return f"{stem}.v{int(major) + 1}"
