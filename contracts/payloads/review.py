"""Post-release validation and continuous improvement."""

from __future__ import annotations

from pydantic import Field

from contracts.payloads.model import (
    Count,
    Identifier,
    Label,
    Payload,
    Principal,
    Prose,
    ReleaseId,
    Timestamp,
    Uri,
)


class RetroHeld(Payload):
    """People looked back."""

    release_id: ReleaseId
    attendees: list[Principal] = Field(max_length=100)
    summary_uri: Uri
    summary: Prose | None = None


class ActionItemOpened(Payload):
    """Something shall be better next time."""

    item_id: Identifier
    release_id: ReleaseId
    owner: Principal
    due: Timestamp
    title: Label | None = None


class ActionItemClosed(ActionItemOpened):
    """It is."""


class SurveyResponded(Payload):
    """One answer to a survey, on a scale from 1 to `scale`."""

    survey_id: Identifier
    release_id: ReleaseId
    role: Label
    score: int = Field(ge=1)
    scale: int = Field(ge=2, le=100)
    invited_n: Count
