"""Approving: a person says yes, no or neither; it is recorded as theirs, the gate judged again.

Who it is comes from the authenticated request, never from its body. The approval is a fact whatever
becomes of the decision: rules say whether it counts. It is appended to the release as it was read,
so that nobody says yes to a scope or a candidate that they have not seen.
"""

from __future__ import annotations

import contextlib
import hashlib
import uuid
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Literal

from contracts import ijson
from contracts.decision import Decision
from contracts.event import OURS, Receipt
from contracts.payloads.readiness import ApprovalAbstained, ApprovalDecided
from contracts.problem import (
    Conflict,
    Forbidden,
    Invalid,
    NotFound,
    PreconditionFailed,
    TooLarge,
    Unavailable,
)
from services.gatekeeper.applying import Asked
from services.gatekeeper.deciding import Decider, Judged, Recorded, envelope, stamp
from services.gatekeeper.facts import Facts
from services.gatekeeper.folding import DECISION
from services.gatekeeper.people import is_person, not_a_person
from services.gatekeeper.policy import Applied
from services.gatekeeper.rules import delegation, words
from services.kit import clock
from services.kit.identity import Principal

TRIES = 30
"""Whenever a history has moved, somebody else was heard; so many speak at once at the most."""
_TOLD = 5
"""Events that a refusal names; the others it counts."""


@dataclass(frozen=True, slots=True)
class Vote:
    """What a person says about a release at a gate."""

    release: str
    gate: str
    decision: Literal["approved", "rejected", "abstained"]
    comment: str | None
    seen_digest: str | None
    """The candidate that the person looked at; None: what they were shown says."""
    statement: str = ""
    """What the person was shown; not empty without a `seen_decision`."""
    seen_decision: str | None = None
    """The id of the decision that the person was shown."""
    on_behalf_of: str | None = None
    """Whoever has delegated their role to the person; None: whose place they take is found out."""

    def looked_at(self) -> set[str | None]:
        """Return the candidates that the person is said to have seen; None: there was none."""
        said: set[str | None] = set() if self.seen_digest is None else {self.seen_digest}
        try:
            shown = ijson.loads(self.statement)
        except ijson.NotIJson:
            return said
        if isinstance(shown, dict) and isinstance(artefact := shown.get("artefact", 0), str | None):
            said.add(artefact)
        return said


@dataclass(frozen=True, slots=True)
class Cast:
    """The recorded vote, and the decision after it: None when it could not be made at once."""

    receipt: Receipt
    decision: Recorded | None


async def cast(decider: Decider, person: Principal, vote: Vote) -> Cast:
    """Record a vote and judge the gate again.

    Raises `Forbidden` for a key or for a person without a role that the gate asks for, `NotFound`
    for an unknown release, gate or decision, `Invalid` without a candidate, `PreconditionFailed`
    when the candidate is not the one that was seen, or what the decision that was seen rests on has
    moved: then the gate is judged anew, so that there is something new to look at.
    """
    if not is_person(person.id, person.via):
        raise Forbidden(not_a_person(person.id))
    async with speaking(decider, vote):
        receipt = await _record(decider, person, vote)
    try:
        return Cast(receipt, await decider.decide(vote.release, vote.gate))
    except (Conflict, Unavailable, TooLarge):
        return Cast(receipt, None)


class _MovedError(PreconditionFailed):
    """What the decision that was seen rests on has moved."""


@contextlib.asynccontextmanager
async def speaking(decider: Decider, vote: Vote) -> AsyncIterator[None]:
    """Let a person speak while nobody else of this process moves the release.

    Where what they saw has moved, the gate is judged anew, so that there is something to look at.
    """
    try:
        async with decider.alone(vote.release):
            yield
    except _MovedError:
        with contextlib.suppress(Conflict, Unavailable):
            await decider.decide(vote.release, vote.gate)
        raise


async def _record(decider: Decider, person: Principal, vote: Vote) -> Receipt:
    """Append a vote about the release as it was read: what moves meanwhile is looked at again."""
    key, moved = f"release:{vote.release}", Conflict()
    for _ in range(TRIES):
        judged = await decider.dry_run(vote.release, vote.gate)
        event = envelope(await _said(decider, person, vote, judged), key, stamp())
        try:
            return await decider.append(event, {key: judged.decision.read_set[key]}, person)
        except Conflict as conflict:
            moved = conflict
    detail = f"{vote.release} moved {TRIES} times meanwhile; say it again"
    raise Conflict(detail, actual=moved.members.get("actual", {}))


async def _said(
    decider: Decider, person: Principal, vote: Vote, judged: Judged
) -> ApprovalDecided | ApprovalAbstained:
    roles, behalf = _roles(judged, person, vote.on_behalf_of)
    seen = await what_was_seen(decider, vote, judged)
    known = judged.facts.requests.get(vote.gate) or str(uuid.uuid4())
    said: dict[str, object] = {"approval_id": known, "release_id": vote.release, "gate": vote.gate,
                               "principal": person.id, **seen}  # fmt: skip
    if vote.decision == "abstained":
        said |= {"reason": vote.comment} if vote.comment else {}
        return ApprovalAbstained.model_validate(said)
    said |= {"comment": vote.comment} if vote.comment else {}
    said |= {"on_behalf_of": behalf} if behalf else {}
    said |= {"decision": vote.decision, "roles": roles}
    return ApprovalDecided.model_validate(said)


def statement(seen: Recorded) -> str:
    """Return what a person was shown of a decision, as the text whose digest is recorded."""
    made = seen.decision
    return ijson.dumps({
        "artefact": made.artefact, "decision_id": seen.decision_id, "gate": made.gate,
        "facts_digest": made.facts_digest, "policy": made.policy.digest if made.policy else None,
        "read_set": dict(made.read_set), "release": made.release,
    }).decode()  # fmt: skip


async def what_was_seen(decider: Decider, vote: Vote, judged: Judged) -> dict[str, str]:
    """Return the candidate that a person speaks about and the digest of what they were shown.

    Raises `Invalid` where there is no candidate, `PreconditionFailed` where it has moved.
    """
    digest = _digest(judged.facts, vote)
    shown = await _shown(decider, vote, judged)
    return {"target_digest": digest, "statement_sha256": hashlib.sha256(shown.encode()).hexdigest()}


async def _shown(decider: Decider, vote: Vote, judged: Judged) -> str:
    """Return the statement that was shown, if it holds still."""
    if vote.seen_decision is None:
        return vote.statement
    seen = await decider.decision(vote.seen_decision)
    made, now = seen.decision, judged.decision
    if (made.release, made.gate) != (vote.release, vote.gate):
        detail = f"{seen.decision_id} is a decision about {made.release} at {made.gate}"
        raise Invalid(detail, errors=[{"pointer": "/seen_decision", "detail": detail}])
    if made.facts_digest == now.facts_digest:
        return vote.statement or statement(seen)
    moved = {k: v for k, v in now.read_set.items() if made.read_set.get(k) != v}
    news = await _news(decider, made, sorted(moved))
    said = [f"{word} (event {position})" for position, word in news.items()][:_TOLD]
    said += [f"{len(news) - _TOLD} more"] if len(news) > _TOLD else []
    told = words.both(said or ["what the policy asks for"])
    detail = f"it has moved since you looked: {told}; look again before you decide"
    raise _MovedError(detail, moved=moved, events=list(news))


async def _news(decider: Decider, seen: Decision, moved: Sequence[str]) -> dict[int, str]:
    """Return what came into histories since a decision: position → the event's type, in words."""
    found: dict[int, str] = {}
    for page in await decider.reader.histories(moved):
        for event in page.events[seen.read_set.get(page.subject, 0) :]:
            if event.type != DECISION:
                name = event.type.removeprefix(OURS).rpartition(".v")[0] or event.type
                found[event.position] = name.replace(".", " ").replace("_", " ")
    return dict(sorted(found.items()))


def _roles(judged: Judged, person: Principal, behalf: str | None) -> tuple[list[str], str | None]:
    """Return the roles of the gate that the person has now, and in whose place; none is a refusal.

    Whoever holds one speaks for themselves, unless they say for whom.
    """
    if not isinstance(judged.applied, Applied):
        raise NotFound(judged.applied.reason)
    facts, gate = judged.facts, judged.applied.gate
    moment = max(clock.now(), facts.newest or clock.now())
    asked = Asked(gate, facts, moment).people
    roles = words.unique(role for _, rule in asked for role in rule.roles)
    held = [role for role in roles if person.id in facts.holders([role], moment)]
    if not roles:
        raise Forbidden(f"{gate.id} asks nobody for an approval of this release", roles=[])
    lent = [
        d for d in delegation.standing(facts, moment)
        if d.delegate == person.id and d.role in roles and behalf in {None, d.delegator}
    ]  # fmt: skip
    if behalf is not None and not lent:
        detail = f"{behalf} has delegated none of these roles to {person.id}: {words.both(roles)}"
        raise Forbidden(detail, roles=roles)
    if lent and (behalf is not None or not held):
        whose = lent[0].delegator
        return words.unique(d.role for d in lent if d.delegator == whose), whose
    if not held:
        detail = f"{person.id} holds none of the roles that {gate.id} asks: {words.both(roles)}"
        raise Forbidden(detail, roles=roles)
    return held, None


def _digest(facts: Facts, vote: Vote) -> str:
    if facts.candidate is None:
        detail = "there is no release candidate yet, so there is nothing to approve"
        raise Invalid(detail, errors=[{"pointer": "/release", "detail": detail}])
    current = facts.candidate.digest
    if vote.looked_at() - {current}:
        raise PreconditionFailed(
            f"the candidate is now {facts.candidate.version}; look at it before you decide",
            moved={"target_digest": current},
        )
    return current
