"""The ledger's own facts about itself."""

from __future__ import annotations

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
