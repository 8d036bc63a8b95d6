"""The ledger's own facts about itself."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from contracts.payloads.model import Identifier, Label, Payload, Principal, Prose, Sha256Hex


class LedgerCorrected(Payload):
    """An earlier event said something wrong. Nothing is erased: readers apply the correction."""

    target_event_ids: list[Identifier] = Field(min_length=1, max_length=50)
    reason: Prose
    approver: Principal
    correction: dict[str, str] = Field(default_factory=dict)


class IngestQuarantined(Payload):
    """A delivery with good credentials could not be understood; its bytes are kept for a retry."""

    composed = ("connection:{connection}",)

    connection: Identifier
    raw_sha256: Sha256Hex
    reason: Prose
    adapter_version: Label


class EventRedactionRequested(Payload):
    """Somebody asks that an event's content be removed. Nothing goes before another agrees."""

    composed = ("event:{position}",)

    position: int = Field(ge=1)
    reason: Prose
    requested_by: Principal


class EventRedacted(Payload):
    """An event's content was removed. Its leaf, position, versions and times stay, proven."""

    composed = ("event:{position}",)

    position: int = Field(ge=1)
    commitment: Sha256Hex
    """Of what was removed: it opens no more."""
    reason: Prose
    requested_by: Principal
    approved_by: Principal


class KeyRotated(Payload):
    """A key of the ledger is replaced. What the old one signs from this position on is void."""

    composed = ("log:{ledger}",)

    ledger: Identifier
    key: Literal["sealer", "receipts", "attester"]
    retired: Prose
    """The old public key: a C2SP vkey, or PEM."""
    introduced: Prose
    """The new public key."""
    reason: Prose
    operator: Label


class GapDeclared(Payload):
    """A restored backup lacks the end of the log: these positions had other events once."""

    composed = ("log:{ledger}",)

    ledger: Identifier
    first: int = Field(ge=1)
    last: int = Field(ge=1)
    closed: Prose
    """The last checkpoint of the log that had them, a signed note."""
    origin: Label
    """Of the log that goes on."""
    reason: Prose
    operator: Label
