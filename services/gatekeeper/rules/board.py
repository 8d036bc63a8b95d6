"""Board: a session of it, once closed, had a quorum and a majority for the release. Pure.

The newest closed session that voted on the candidate speaks, and what came before is overtaken,
also where it had no quorum. A vote counts while its person was there, holds one of the roles
(`role_held`), is neither recused nor tied to the release, and it is about the candidate that is
judged (`bind`). A no needs less, as in `approvals`: the role then or now. The newest vote of a
person counts; nothing after the close does. Only such people make the quorum: who was there at the
end, and who had voted. A share is one of all who held the roles at the end, so recusals make a
quorum harder. Sessions that somebody without the roles opened, or that lasted longer than
`session_within`, decide nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime

from contracts.decision import NotCounted, Status
from services.gatekeeper.facts import Facts
from services.gatekeeper.people import short
from services.gatekeeper.records import Session
from services.gatekeeper.rules import four_eyes, quorum, words
from services.gatekeeper.rules.answer import Answer
from services.gatekeeper.rules.schema import Board
from services.gatekeeper.rules.sitting import Tally, tally


@dataclass(slots=True)
class _Found:
    """What the sessions of a board have come to."""

    open: list[Session] = field(default_factory=list)
    closed: list[Tally] = field(default_factory=list)
    void: list[NotCounted] = field(default_factory=list)

    def speaks(self) -> Tally | None:
        """Return the session whose word stands."""
        return next((t for t in reversed(self.closed) if t.voted_on), None)


def title(rule: Board) -> str:
    """Return what the rule is called where nobody named it."""
    return f"Decision of the board {rule.board}"


def judge(rule: Board, facts: Facts, as_of: datetime) -> Answer:
    """Judge one board rule."""
    need = f"{_quorum(rule)} and a {rule.majority} majority of the board {rule.board}"
    if (unproved := four_eyes.unproved(rule, facts)) is not None:
        said, satisfy = unproved
        reason = f"nobody recorded {said}, so four eyes cannot be proved"
        return Answer("error", reason, need, "not known", satisfy=satisfy)
    found = _sessions(rule, facts, as_of)
    speaks = found.speaks()
    spoken = speaks or next(reversed(found.closed), None)
    lapsed = _lapsed(spoken, rule, facts, as_of) if spoken else None
    answer = (
        _silent(rule, found, need, lapsed)
        if speaks is None
        else _said(rule, speaks, need, as_of, lapsed)
    )
    void = [
        *found.void,
        *(v for t in found.closed if speaks is None or t is speaks for v in t.void),
    ]
    return _explained(answer, rule, facts, as_of, found, void)


def _sessions(rule: Board, facts: Facts, as_of: datetime) -> _Found:
    """Sort the sessions that had this on their agenda, the closed ones by their close."""
    found = _Found(void=_strays(rule, facts))
    item = facts.release, facts.gate
    for session in facts.sessions.values():
        if session.board != rule.board or item not in session.agenda:
            continue
        if why := _why_void(session, rule, facts, as_of):
            found.void.append(NotCounted(position=session.stamp.position, reason=why))
        elif session.closed is None:
            found.open.append(session)
        else:
            found.closed.append(tally(session, session.closed, rule, facts, as_of))
    found.closed.sort(key=lambda t: t.session.closed.position if t.session.closed else 0)
    return found


def _why_void(session: Session, rule: Board, facts: Facts, as_of: datetime) -> str | None:
    if not facts.did_hold(session.chair, rule.members, session.stamp):
        roles = words.either(rule.members)
        return f"{short(session.chair)}, who opened session {session.id}, did not hold {roles}"
    limit = _limit(session, rule)
    if limit and (session.closed.recorded_at > limit if session.closed else as_of >= limit):
        span = words.span(rule.session_within) if rule.session_within else ""
        return f"session {session.id} was not closed within {span}"
    return None


def _limit(session: Session, rule: Board) -> datetime | None:
    return session.stamp.recorded_at + rule.session_within if rule.session_within else None


def _strays(rule: Board, facts: Facts) -> list[NotCounted]:
    """Return the votes of sessions that did not have this on their agenda."""
    item, void = (facts.release, facts.gate), []
    for vote in facts.board_votes:
        session = facts.sessions.get(vote.session)
        astray = session is None or (session.board == rule.board and item not in session.agenda)
        if vote.gate == facts.gate and astray:
            why = f"{short(vote.principal)} voted in session {vote.session}, which does not have"
            void.append(NotCounted(position=vote.stamp.position, reason=f"{why} it on its agenda"))
    return void


def _lapsed(voted: Tally, rule: Board, facts: Facts, as_of: datetime) -> str | None:
    """Return what a session has approved that is another thing by now; None: it has not."""
    if voted.session.closed is None:
        return None
    free = rule.model_copy(update={"bind": []})
    then = tally(voted.session, voted.session.closed, free, facts, as_of)
    wanted = quorum.needed(rule.quorum, then.members)
    yes, no = then.count("approved"), then.count("rejected")
    if len(then.there) < wanted or not quorum.carried(rule.majority, yes, no):
        return None
    now = facts.candidate.digest if facts.candidate else None
    rebuilt = "artefact" in (rule.bind or ()) and any(
        v.digest != now for v in then.votes.values() if v.vote == "approved"
    )
    what = "candidate" if rebuilt else "scope"
    have = f"{yes} for, {no} against, {then.count('abstained')} abstained"
    return f"session {voted.session.id} approved it: {have}; but the {what} has changed since"


def _silent(rule: Board, found: _Found, need: str, lapsed: str | None) -> Answer:
    if found.open:
        names = words.both([session.id for session in found.open])
        return Answer("pending", f"session {names} of the board {rule.board} is open", need, "open")
    if lapsed:
        return Answer("pending", f"{lapsed}, so a new session is needed", need, "no vote")
    if found.closed:
        last = found.closed[-1].session.id
        reason = f"session {last} of the board {rule.board} was closed without a vote on it"
        return Answer("pending", reason, need, "no vote")
    reason = f"no session of the board {rule.board} has had it on its agenda"
    return Answer("pending", reason, need, "no session")


def _said(
    rule: Board, speaks: Tally, need: str, as_of: datetime, lapsed: str | None
) -> Answer:  # fmt: skip
    id_, closed = speaks.session.id, speaks.session.closed
    yes, no, neither = (speaks.count(v) for v in ("approved", "rejected", "abstained"))
    have = f"{yes} for, {no} against, {neither} abstained"
    wanted = quorum.needed(rule.quorum, speaks.members)
    there = f"{len(speaks.there)} of {words.count(speaks.members, 'member')} took part"
    places = [speaks.session.stamp.position, *(v.stamp.position for v in speaks.votes.values())]
    places += [closed.position] if closed else []
    if len(speaks.there) < wanted:
        reason = f"session {id_} had no quorum: {there}, {wanted} needed"
        return Answer("pending", reason, need, there, places)
    if not quorum.carried(rule.majority, yes, no):
        if lapsed:  # it waits, unless more say no than yes of what is judged: a no outlives a yes
            status: Status = "fail" if no > yes else "pending"
            reason = f"{lapsed}, so a new session is needed; what still counts: {have}"
            return Answer(status, reason, need, have, places)
        against = [f"{short(v.principal)}: {words.quoted(v.reason)}" for v in speaks.votes.values()
                   if v.vote == "rejected" and v.reason]  # fmt: skip
        reason = f"the board {rule.board} did not approve it in session {id_}: {have}"
        reason += f"; {words.both(against)}" if against else ""
        return Answer("fail", reason, need, have, places)
    ends = closed.at + rule.valid_for if closed and rule.valid_for else None
    if ends and ends <= as_of:
        span = words.span(rule.valid_for) if rule.valid_for else ""
        return Answer("pending", f"the approval of session {id_} expired after {span}", need, have,
                      places)  # fmt: skip
    reason = f"session {id_} approved it: {have}; {there}, {wanted} needed"
    return Answer("pass", reason, need, have, places, changes=[ends] if ends else [])


def _explained(
    answer: Answer, rule: Board, facts: Facts, as_of: datetime, found: _Found,
    void: list[NotCounted],
) -> Answer:  # fmt: skip
    """Return an answer with when it may change, what did not count, and who could change it."""
    speaks = found.speaks()
    limits = (limit for session in found.open if (limit := _limit(session, rule)))
    ends = [*answer.changes, *limits, *(speaks.ends if speaks else [])]
    void.sort(key=lambda each: each.position)
    reason, satisfy, who = answer.reason, None, list[str]()
    if answer.status != "pass":
        reason += (
            "; not counted: " + "; ".join(words.unique(v.reason for v in void)) if void else ""
        )
        satisfy, who = _wanted(rule, facts), [
            each for each in facts.holders(rule.members, as_of)
            if four_eyes.tied(each, rule, facts) is None
        ]  # fmt: skip
    return replace(answer, reason=reason, satisfy=satisfy, who=who, not_counted=void, changes=ends,
                   roles=rule.members if satisfy else ())  # fmt: skip


def _wanted(rule: Board, facts: Facts) -> str:
    what = f"a session of the board {rule.board} that approves"
    if facts.candidate is None:
        return f"a release candidate, and {what} it"
    return f"{what} candidate {facts.candidate.version} ({words.brief(facts.candidate.digest)})"


def _quorum(rule: Board) -> str:
    if isinstance(rule.quorum, int):
        return f"a quorum of {rule.quorum}"
    return f"a quorum of {rule.quorum} of the members"
