"""Boards: people who decide together, in sessions, about releases at gates."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from contracts.payloads.model import (
    Digest,
    Identifier,
    Label,
    Payload,
    Principal,
    Prose,
    ReleaseId,
    SessionId,
    Sha256Hex,
    Strict,
)

MAX_AGENDA = 50
"""An event names at most 64 subjects, and the closing of a session names every release of it."""
BoardVote = Literal["approved", "rejected", "abstained"]


class AgendaItem(Strict):
    """A release before a gate."""

    release_id: ReleaseId
    gate: Label


class BoardOpened(Payload):
    """A board begins to sit. What is not on the agenda is not voted on."""

    session_id: SessionId
    board: Identifier
    chair: Principal
    agenda: list[AgendaItem] = Field(min_length=1, max_length=MAX_AGENDA)


class BoardAttended(Payload):
    """A person came to a session, or left it. Only those who are there vote."""

    session_id: SessionId
    principal: Principal
    presence: Literal["joined", "left"]


class BoardVoted(Payload):
    """A person at a session voted on an item of the agenda; a later vote takes its place.

    `target_digest` and `statement_sha256` are those of `ApprovalDecided`.
    """

    session_id: SessionId
    release_id: ReleaseId
    gate: Label
    principal: Principal
    vote: BoardVote
    reason: Prose | None = None
    target_digest: Digest
    statement_sha256: Sha256Hex | None = None


class BoardRecused(Payload):
    """A person takes no part in an item, for good: neither in its quorum nor in its votes."""

    session_id: SessionId
    release_id: ReleaseId
    gate: Label
    principal: Principal
    reason: Prose = Field(min_length=1)


class BoardClosed(Payload):
    """The chair ended a session. Votes count once this is recorded, and nothing changes them."""

    session_id: SessionId
    chair: Principal
    releases: list[ReleaseId] = Field(min_length=1, max_length=MAX_AGENDA)
    """Those of the agenda."""
    present: list[Principal] = Field(max_length=500)
    minutes: Prose = Field(min_length=1)
