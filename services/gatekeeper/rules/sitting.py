"""Sittings: who counts in a closed session of a board, and what they said. Pure."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime

from contracts.decision import NotCounted
from services.gatekeeper.facts import Facts
from services.gatekeeper.people import short
from services.gatekeeper.records import BoardVote, Session, Stamp
from services.gatekeeper.rules import four_eyes, words
from services.gatekeeper.rules.binding import unbound
from services.gatekeeper.rules.schema import Board


@dataclass(slots=True)
class Tally:
    """What came of one item in a closed session."""

    session: Session
    votes: dict[str, BoardVote] = field(default_factory=dict)
    """Person → their vote, of those that count."""
    there: set[str] = field(default_factory=set)
    """People who count for the quorum: there at the end, or voted."""
    members: int = 0
    voted_on: bool = False
    """Whether a member, as they were then, has voted on this candidate."""
    void: list[NotCounted] = field(default_factory=list)
    ends: list[datetime] = field(default_factory=list)
    """Instants at which somebody ceases to count."""

    def count(self, vote: str) -> int:
        """Return how many voted so."""
        return sum(each.vote == vote for each in self.votes.values())


def tally(session: Session, close: Stamp, rule: Board, facts: Facts, as_of: datetime) -> Tally:
    """Count an item of a session that was closed at `close`."""
    found, key = Tally(session), facts.people.key
    holders = facts.holders(rule.members, as_of)
    found.members = len({key(who) for who in facts.held(rule.members, close)})

    def seat(who: str, stamp: Stamp, *, no: bool = False) -> str | None:
        """Count somebody for the quorum, or return why not."""
        why = _apart(who, session, rule, facts) or _without_role(who, stamp, rule, facts, holders,
                                                                 no=no)  # fmt: skip
        if why is None:
            found.there.add(key(who))
            until = holders.get(who) if rule.role_held != "at_approval" else None
            found.ends += [until] if until else []
        return why

    for vote in facts.board_votes:
        if (vote.session, vote.gate) != (session.id, facts.gate):
            continue
        who, why = vote.principal, _astray(vote, session, close, rule, facts)
        if why is None:
            why = seat(who, vote.stamp, no=vote.vote == "rejected")
            found.voted_on |= why is None or facts.did_hold(who, rule.members, vote.stamp)
        if why is None:
            found.votes[key(who)] = vote
        else:
            found.void.append(NotCounted(position=vote.stamp.position, reason=why))
    for who in session.there(close.position):
        seat(who, close)
    return found


def _astray(
    vote: BoardVote, session: Session, close: Stamp, rule: Board, facts: Facts
) -> str | None:
    """Return why a vote was not given in this session about this candidate."""
    who, key = short(vote.principal), facts.people.key
    if vote.fault is not None:
        return vote.fault
    if vote.stamp.position > close.position:
        return f"{who} voted after session {session.id} was closed"
    if key(vote.principal) not in map(key, session.there(vote.stamp.position)):
        return f"{who} voted without being at session {session.id}"
    return unbound(vote, rule.bind, facts)


def _apart(who: str, session: Session, rule: Board, facts: Facts) -> str | None:
    """Return what keeps somebody out of this item, whatever their role."""
    if any(gate == facts.gate and facts.people.same(one, who) for gate, one in session.recused):
        return f"{short(who)} takes no part in this item"
    if (tie := four_eyes.tied(who, rule, facts)) is not None:
        return f"{short(who)} {tie.what} and may not vote on it"
    return None


def _without_role(
    who: str, stamp: Stamp, rule: Board, facts: Facts, holders: Collection[str], *, no: bool
) -> str | None:
    then, now = facts.did_hold(who, rule.members, stamp), who in holders
    roles = words.either(rule.members)
    if no:  # a no counts either way
        return None if then or now else f"{short(who)} does not hold {roles}"
    if rule.role_held != "at_approval" and not now:
        return f"{short(who)} does not hold {roles}" + (" any more" if then else "")
    if rule.role_held != "at_judging" and not then:
        return f"{short(who)} did not hold {roles} at the time"
    return None
