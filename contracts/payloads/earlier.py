"""Earlier majors. Recorded and readable for ever; send the major that the row names.

Each entry of `EARLIER` leads one major up: its model as it was published, and an upcaster, a pure
function of the payload. An upcaster is total over what its model allows, does no I/O, keeps the
subjects named, and hands on fields that it does not know.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

from contracts.payloads.model import Count, Digest, Label, Payload, ReleaseId, Strict, Uri

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


@dataclass(frozen=True, slots=True)
class Earlier:
    """A major that has a successor. `accepted` says whether it may still be appended."""

    model: type[Payload]
    upcast: Callable[[Data], Data]
    accepted: bool = True


EARLIER: dict[str, Earlier] = {
    "artifact.scanned.v1": Earlier(ArtifactScannedV1, scanned_v1),
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
