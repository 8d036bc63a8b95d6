"""The HTTP verbs of boards: a session is opened, attended, voted in, and closed."""

from __future__ import annotations

from typing import Literal

from fastapi import APIRouter
from pydantic import BaseModel, Field, model_validator
from starlette.requests import Request

from contracts.event import Receipt, format_time
from contracts.payloads.board import MAX_AGENDA, BoardVote
from services.gatekeeper.approving import Vote
from services.gatekeeper.boards import Boards, Item, Seen
from services.gatekeeper.rules.schema import Slug
from services.gatekeeper.shapes import In, Looked, Name, Prose, Reason
from services.kit.identity import Keyring, Principal, authenticate


class Before(In):
    """A release before a gate."""

    release: Name
    gate: Name


class Opening(In):
    """A board begins to sit; the authenticated person chairs."""

    session_id: Name | None = None
    """Null: one is made."""
    board: Slug
    agenda: list[Before] = Field(min_length=1, max_length=MAX_AGENDA)


class Presence(In):
    """Whether the person has come or has left."""

    presence: Literal["joined", "left"]


class BoardSay(Before, Looked):
    """A member's vote on an item."""

    vote: BoardVote
    reason: Prose | None = None

    @model_validator(mode="after")
    def _no_says_why(self) -> BoardSay:
        if self.vote == "rejected" and not (self.reason or "").strip():
            raise ValueError("a rejection needs a reason")
        return self


class Recusal(Before):
    """The person takes no part in an item."""

    reason: Reason


class Close(In):
    """The session ends, with its minutes."""

    minutes: Reason


class Opened(BaseModel):
    """A session that was opened."""

    session_id: str
    receipt: Receipt


class Ballot(BaseModel):
    """One vote, whether or not a rule counts it; a later one of the same person replaces it."""

    principal: str
    vote: str
    reason: str
    target_digest: str
    position: int


class OnAgenda(BaseModel):
    """An item, and what was said on it."""

    release: str
    gate: str
    votes: list[Ballot]
    recused: list[str]


class SessionView(BaseModel):
    """A session as it stands. `present`: now, or when it was closed."""

    session_id: str
    board: str
    chair: str
    opened_at: str
    closed_at: str | None
    present: list[str]
    agenda: list[OnAgenda]
    minutes: str | None


class BoardApi:
    """The routes over `Boards`."""

    def __init__(self, boards: Boards, keyring: Keyring) -> None:
        """Serve `boards` to whoever `keyring` knows."""
        self._boards, self._keyring = boards, keyring

    def router(self) -> APIRouter:
        """Return the routes."""
        router = APIRouter(prefix="/v1/board-sessions", tags=["boards"])
        router.post("", status_code=201)(self.open)
        router.get("/{session}")(self.session)
        router.post("/{session}/attendance", status_code=201)(self.attend)
        router.post("/{session}/votes", status_code=201)(self.vote)
        router.post("/{session}/recusals", status_code=201)(self.recuse)
        router.post("/{session}/close", status_code=201)(self.close)
        return router

    async def open(self, request: Request, body: Opening) -> Opened:
        """Open a session of a board, chaired by the authenticated person, a member."""
        agenda = [(item.release, item.gate) for item in body.agenda]
        who = self._who(request)
        id_, receipt = await self._boards.open(who, body.board, agenda, body.session_id)
        return Opened(session_id=id_, receipt=receipt)

    async def session(self, request: Request, session: Name) -> SessionView:
        """Give a session as it stands."""
        self._who(request, "read")
        return _view(await self._boards.session(session))

    async def attend(self, request: Request, session: Name, body: Presence) -> Receipt:
        """Come to a session, or leave it."""
        came = body.presence == "joined"
        return await self._boards.attend(self._who(request), session, came=came)

    async def vote(self, request: Request, session: Name, body: BoardSay) -> Receipt:
        """Vote on an item, as an authenticated member who is there. It counts once it is closed."""
        who, shown = self._who(request), (body.target_digest, body.statement, body.seen_decision)
        vote = Vote(body.release, body.gate, body.vote, body.reason, *shown)
        return await self._boards.vote(who, session, vote)

    async def recuse(self, request: Request, session: Name, body: Recusal) -> Receipt:
        """Take no part in an item, for good: neither in its quorum nor in its votes."""
        said = (body.release, body.gate, body.reason)
        return await self._boards.recuse(self._who(request), session, *said)

    async def close(self, request: Request, session: Name, body: Close) -> Receipt:
        """Close a session, as its chair; what was voted counts from here on and stays."""
        return await self._boards.close(self._who(request), session, body.minutes)

    def _who(self, request: Request, scope: str = "decision:make") -> Principal:
        principal = authenticate(self._keyring, request.headers)
        principal.require(scope)
        return principal


def _view(seen: Seen) -> SessionView:
    session = seen.session
    return SessionView(
        session_id=session.id,
        board=session.board,
        chair=session.chair,
        opened_at=format_time(session.stamp.recorded_at),
        closed_at=format_time(session.closed.recorded_at) if session.closed else None,
        present=seen.there,
        agenda=[_item(item) for item in seen.items],
        minutes=seen.minutes,
    )


def _item(item: Item) -> OnAgenda:
    votes = [
        Ballot(principal=v.principal, vote=v.vote, reason=v.reason, target_digest=v.digest,
               position=v.stamp.position)
        for v in item.votes if v.fault is None
    ]  # fmt: skip
    return OnAgenda(release=item.release, gate=item.gate, votes=votes, recused=item.recused)
