"""What an append is asked and answers over HTTP; the event itself is in `event`."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from contracts.event import MAX_BATCH, HistoryPage, Receipt

MAX_EXPECTED = 1000


class Result(BaseModel):
    """What became of one event: a receipt (appended, duplicate), else a problem (RFC 9457)."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    outcome: Literal["appended", "duplicate", "conflict", "invalid", "refused"]
    receipt: Receipt | None = None
    problem: dict[str, Any] | None = None
    checkpoint: str | None = None
    """The newest checkpoint of the ledger (C2SP signed note); in the answer for a single event."""


class Results(BaseModel):
    """One result for each event, in the order sent."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    results: list[Result]
    checkpoint: str | None = None
    """The newest checkpoint of the ledger (C2SP signed note)."""


class GroupAppend(BaseModel):
    """Events that are appended together or not at all, if every expected version holds."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    events: Annotated[list[dict[str, Any]], Field(min_length=1, max_length=MAX_BATCH)]
    """CloudEvents in the JSON format."""
    expect: Annotated[dict[str, Annotated[int, Field(ge=0)]], Field(max_length=MAX_EXPECTED)] = (
        Field(default_factory=dict)
    )
    """Subject → the version that its history must have at the append; 0: no event names it yet."""


class HeadOfLedger(BaseModel):
    """The end of a ledger: its last position and that event's commitment ("" when empty)."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    ledger: str
    epoch: int
    position: int
    commitment: str


class Histories(BaseModel):
    """The beginnings of several histories, all as of one position."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    histories: list[HistoryPage]
