"""Boards sit: sessions are opened, attended, voted in and closed, each by people for themselves.

Whatever is said in a session is appended with an expectation on its history: so nothing comes after
the close, and the minutes name all who were there. Rules say what it comes to.
"""

from __future__ import annotations

import asyncio
import uuid
import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from contracts.event import Receipt
from contracts.payloads.board import (
    AgendaItem,
    BoardAttended,
    BoardClosed,
    BoardOpened,
    BoardRecused,
    BoardVoted,
)
from contracts.payloads.model import Payload
from contracts.problem import Conflict, Forbidden, Invalid, NotFound
from services.gatekeeper.approving import TRIES, Vote, speaking, what_was_seen
from services.gatekeeper.deciding import Decider, Judged, envelope, stamp
from services.gatekeeper.folding import fold
from services.gatekeeper.people import is_person, not_a_person
from services.gatekeeper.policy import Applied
from services.gatekeeper.records import BoardVote, Session
from services.gatekeeper.rules import words
from services.gatekeeper.rules.schema import Board
from services.kit import clock
from services.kit.identity import Principal

_HEAD = 2**62
"""Later than everything."""
_Says: TypeAlias = Callable[[Session], Payload]
"""What somebody says, given the session as it stands."""
_NOTHING: Mapping[str, int] = {}


@dataclass(frozen=True, slots=True)
class Item:
    """One item of the agenda, and what was said on it."""

    release: str
    gate: str
    votes: list[BoardVote]
    recused: list[str]


@dataclass(frozen=True, slots=True)
class Seen:
    """A session as it stands."""

    session: Session
    there: list[str]
    items: list[Item]
    minutes: str | None


class Boards:
    """Records the sessions of boards in one ledger."""

    def __init__(self, decider: Decider) -> None:
        self._decider = decider
        self._locks: weakref.WeakValueDictionary[str, asyncio.Lock] = weakref.WeakValueDictionary()

    async def open(
        self, who: Principal, board: str, agenda: Sequence[tuple[str, str]], id_: str | None
    ) -> tuple[str, Receipt]:
        """Open a session, chaired by the person, who is a member. `Conflict`: the id is taken."""
        _person(who)
        for index, (release, gate) in enumerate(agenda):
            judged = await self._decider.dry_run(release, gate)
            _member(who, judged, board, f"/agenda/{index}/gate")
        id_ = id_ or str(uuid.uuid4())
        items = [AgendaItem(release_id=release, gate=gate) for release, gate in agenda]
        payload = BoardOpened(session_id=id_, board=board, chair=who.id, agenda=items)
        try:
            return id_, await self._append(who, id_, payload, {f"board:{id_}": 0})
        except Conflict as conflict:
            actual = conflict.members.get("actual", {})
            raise Conflict(f"there is a session {id_} already", actual=actual) from None

    async def attend(self, who: Principal, id_: str, *, came: bool) -> Receipt:
        """Say that a person has come, or has left."""
        _person(who)

        def payload(_: Session) -> Payload:
            presence = "joined" if came else "left"
            said = {"session_id": id_, "principal": who.id, "presence": presence}
            return BoardAttended.model_validate(said)

        return await self._say(who, id_, payload)

    async def vote(self, who: Principal, id_: str, vote: Vote) -> Receipt:
        """Vote on an item. `Conflict` for whoever is not there; else as `approving.cast`."""
        _person(who)
        session, _ = await self._session(id_)
        _on_agenda(session, vote.release, vote.gate)
        key = f"release:{vote.release}"
        async with speaking(self._decider, vote):
            for _ in range(TRIES):
                judged = await self._decider.dry_run(vote.release, vote.gate)
                _member(who, judged, session.board, "/gate")
                seen = await what_was_seen(self._decider, vote, judged)
                as_read = {key: judged.decision.read_set[key]}
                try:
                    return await self._say(who, id_, self._ballot(who, id_, vote, seen), as_read)
                except Conflict as conflict:
                    if key not in conflict.members.get("actual", {}):
                        raise
        raise Conflict(f"{vote.release} moved {TRIES} times meanwhile; say it again", actual={})

    @staticmethod
    def _ballot(who: Principal, id_: str, vote: Vote, seen: dict[str, str]) -> _Says:
        reason = {"reason": vote.comment} if vote.comment else {}

        def payload(now: Session) -> Payload:
            if who.id not in now.there(_HEAD):
                raise Conflict(f"{who.id} is not at session {id_}; come before you vote")
            return BoardVoted.model_validate({
                "session_id": id_, "release_id": vote.release, "gate": vote.gate,
                "principal": who.id, "vote": vote.decision} | reason | seen)  # fmt: skip

        return payload

    async def recuse(
        self, who: Principal, id_: str, release: str, gate: str, reason: str
    ) -> Receipt:
        """Take no part in an item, for good."""
        _person(who)

        def payload(now: Session) -> Payload:
            _on_agenda(now, release, gate)
            return BoardRecused(session_id=id_, release_id=release, gate=gate, principal=who.id,
                                reason=reason)  # fmt: skip

        return await self._say(who, id_, payload)

    async def close(self, who: Principal, id_: str, minutes: str) -> Receipt:
        """Close a session with its minutes; only its chair can."""
        _person(who)

        def payload(now: Session) -> Payload:
            if who.id != now.chair:
                raise Forbidden(f"only {now.chair}, who chairs session {id_}, can close it")
            releases = sorted({release for release, _ in now.agenda})
            return BoardClosed(session_id=id_, chair=who.id, releases=releases,
                               present=sorted(now.there(_HEAD)), minutes=minutes)  # fmt: skip

        return await self._say(who, id_, payload)

    async def session(self, id_: str) -> Seen:
        """Return a session as it stands, or raise `NotFound`."""
        page = await self._decider.reader.history(f"board:{id_}")
        session = fold("", "", [page]).sessions.get(id_)
        if session is None:
            raise NotFound(f"there is no session {id_}")
        items: list[Item] = []
        for release, gate in sorted(session.agenda):
            facts = fold(release, gate, [page])
            votes = [vote for vote in facts.board_votes if vote.gate == gate]
            recused = [who for at, who in facts.sessions[id_].recused if at == gate]
            items.append(Item(release, gate, votes, recused))
        end = session.closed.position if session.closed else _HEAD
        minutes = [e.data["minutes"] for e in page.events if e.position == end]
        return Seen(session, session.there(end), items, minutes[0] if minutes else None)

    async def _say(
        self, who: Principal, id_: str, payload: _Says, as_read: Mapping[str, int] = _NOTHING
    ) -> Receipt:
        """Append what somebody says while the session is open and as it was read.

        `as_read`: what else must not have moved; where it has, that `Conflict` is raised.
        """
        moved = Conflict()
        async with self._locks.setdefault(id_, asyncio.Lock()):
            for _ in range(TRIES):
                session, version = await self._session(id_)
                if session.closed:
                    raise Conflict(f"session {id_} was closed at {session.closed.position}")
                try:
                    expect = {f"board:{id_}": version, **as_read}
                    return await self._append(who, id_, payload(session), expect)
                except Conflict as conflict:
                    if not (actual := conflict.members.get("actual")) or as_read.keys() & actual:
                        raise
                    moved = conflict
        detail = f"session {id_} moved {TRIES} times meanwhile; say it again"
        raise Conflict(detail, actual=moved.members["actual"])

    async def _session(self, id_: str) -> tuple[Session, int]:
        page = await self._decider.reader.history(f"board:{id_}")
        session = fold("", "", [page]).sessions.get(id_)
        if session is None:
            raise NotFound(f"there is no session {id_}")
        return session, page.version

    async def _append(
        self, who: Principal, id_: str, payload: Payload, expect: dict[str, int]
    ) -> Receipt:
        return await self._decider.append(envelope(payload, f"board:{id_}", stamp()), expect, who)


def _person(who: Principal) -> None:
    if not is_person(who.id, who.via):
        raise Forbidden(not_a_person(who.id))


def _on_agenda(session: Session, release: str, gate: str) -> None:
    if (release, gate) not in session.agenda:
        detail = f"{release} at {gate} is not on the agenda of session {session.id}"
        raise Invalid(detail, errors=[{"pointer": "/release", "detail": detail}])


def _member(who: Principal, judged: Judged, board: str, pointer: str) -> None:
    """Let members of the board through, as a rule of the gate counts them."""
    if not isinstance(judged.applied, Applied):
        raise NotFound(judged.applied.reason)
    facts, gate = judged.facts, judged.applied.gate
    rules = [rule for rule in gate.of(Board) if rule.board == board]
    if not rules:
        detail = f"{gate.id} does not ask the board {board} about {facts.release}"
        raise Invalid(detail, errors=[{"pointer": pointer, "detail": detail}])
    roles = words.unique(role for rule in rules for role in rule.members)
    if who.id not in facts.holders(roles, max(clock.now(), facts.newest or clock.now())):
        detail = f"{who.id} is no member of the board {board}, which are {words.both(roles)}"
        raise Forbidden(detail, roles=roles)
