"""Proposals: what was said of texts that may come to judge, and what each still lacks. Pure.

A text judges when as many different people stand behind it as the service asks for (whoever
proposed it, if that is a person, and holders of the role who approved), and a backtest is attached
that covered decisions, or looked at the whole history where there are none for it to cover.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from contracts.catalogue import type_of
from contracts.event import HistoryPage, RecordedEvent
from contracts.payloads.policies import (
    PolicyActivated,
    PolicyApprovalWithdrawn,
    PolicyApproved,
    PolicyBacktested,
    PolicyProposed,
)
from services.gatekeeper.people import People, is_person, short
from services.gatekeeper.rules import words

_PROPOSED, _BACKTESTED = type_of(PolicyProposed), type_of(PolicyBacktested)
_APPROVED, _ACTIVATED = type_of(PolicyApproved), type_of(PolicyActivated)
_WITHDRAWN = type_of(PolicyApprovalWithdrawn)
_MANY = 500
"""Decisions: as many as can be asked about in one request are twice that."""


@dataclass(slots=True)
class Proposal:
    """A text that somebody would have judge."""

    position: int
    version: int
    digest: str
    content: str
    author: str
    is_person: bool
    """Whether the author is somebody who was signed in; a file of the folder has none."""
    reason: str
    shadow: bool
    backtests: list[int] = field(default_factory=list)
    approvals: dict[str, int] = field(default_factory=dict)
    """Principal → position of the approval that stands."""
    activated: int | None = None


@dataclass(frozen=True, slots=True)
class Governance:
    """Who may let texts judge, and who those are at present."""

    role: str
    count: int
    """Different people who must stand behind a text."""
    holders: Sequence[str]
    people: People

    def holds(self, who: str) -> bool:
        """Say whether a person has the role."""
        return who in self.holders


def proposed(said: HistoryPage, policy: HistoryPage) -> list[Proposal]:
    """Return the proposals of a policy in their order, from what was said and what was activated.

    What a digest alone names is about the proposal of that digest; each is proposed once.
    """
    found: dict[str, Proposal] = {}
    for event in said.events:
        if event.redacted:
            continue
        digest = f"sha256:{event.data.get('content_sha256')}"
        if event.type == _PROPOSED:
            found.setdefault(digest, _proposal(event, digest))
        elif (one := found.get(digest)) is None:
            continue
        elif event.type == _BACKTESTED and _says_something(event, one):
            one.backtests.append(event.position)
        elif event.type == _APPROVED and _is_theirs(event):
            one.approvals.setdefault(event.data["principal"], event.position)
        elif event.type == _WITHDRAWN and _is_theirs(event):
            one.approvals.pop(event.data["principal"], None)
    for event in policy.events:
        one = found.get(f"sha256:{event.data.get('content_sha256')}")
        if event.type == _ACTIVATED and one is not None:
            one.activated = event.position
    return list(found.values())


def fault(proposal: Proposal, who: str, by: Governance) -> str | None:
    """Return why somebody's approval does not count; None: it does."""
    if not by.holds(who):
        return f"{short(who)} does not hold {by.role}"
    if by.people.same(who, proposal.author):
        return f"{short(who)} proposed it, and somebody else approves"
    return None


def missing(proposal: Proposal, by: Governance) -> list[str]:
    """Return what a proposal lacks to be activated, for people."""
    behind = {by.people.key(proposal.author)} if proposal.is_person else set()
    behind |= {by.people.key(who) for who in proposal.approvals if not fault(proposal, who, by)}
    lacks = [] if proposal.backtests else ["a backtest"]
    if len(behind) < by.count:
        more = words.count(by.count - len(behind), "more approval")
        lacks.append(f"{more} by holders of {by.role} who did not propose it")
    return lacks


def _proposal(event: RecordedEvent, digest: str) -> Proposal:
    data = event.data
    person = is_person(event.principal, event.via) and event.principal == data["author"]
    return Proposal(
        event.position, data["version"], digest, data["content"], data["author"], person,
        data["reason"], bool(data.get("shadow")),
    )  # fmt: skip


def _says_something(backtest: RecordedEvent, proposal: Proposal) -> bool:
    """Say whether decisions were covered; where there are none, it has to have looked at all, or
    at so many that it shows a new gate.
    """
    data = backtest.data
    looked_at_all = data["first"] == 1 and data["last"] >= proposal.position
    return bool(data["covered"] > 0 or looked_at_all or data["decisions"] >= _MANY)


def _is_theirs(event: RecordedEvent) -> bool:
    return event.principal == event.data["principal"] and is_person(event.principal, event.via)
