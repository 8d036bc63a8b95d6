"""A delivery on its way: proven, kept, settled.

States: waiting → mapped | unmapped (a kind that we do not record) | quarantined; a replay takes it
from quarantined to mapped or unmapped.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from contracts.event import Assurance

State = Literal["mapped", "unmapped", "quarantined"]


@dataclass(frozen=True, slots=True)
class Incoming:
    """A proven delivery on its way in."""

    connection: str
    ledger: str
    key: str
    headers: Mapping[str, str]
    raw: bytes
    raw_sha256: str
    assurance: Assurance


@dataclass(frozen=True, slots=True)
class Delivery(Incoming):
    """A stored delivery."""

    id: int
    received_at: datetime


@dataclass(frozen=True, slots=True)
class Kept:
    """What became of a delivery when it came in."""

    id: int
    fate: Literal["stored", "duplicate"]


@dataclass(frozen=True, slots=True)
class Settled:
    """What became of a delivery when it was mapped. `reason`: why it is in the quarantine."""

    delivery: Delivery
    state: State
    positions: Sequence[int] = ()
    reason: str | None = None
