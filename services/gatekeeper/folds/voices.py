"""What people say: approvals, withdrawals, vetoes; and who may say it: roles, identities. Pure."""

from __future__ import annotations

from dataclasses import replace

from contracts.event import RecordedEvent, parse_time
from services.gatekeeper.facts import Facts
from services.gatekeeper.folds.handler import Handler, fault
from services.gatekeeper.people import is_person, short
from services.gatekeeper.records import Approval, Holding, Stamp, Tie, Veto


def _requested(facts: Facts, event: RecordedEvent, stamp: Stamp) -> None:
    gate = event.data["target"]
    facts.requests[gate] = event.data["approval_id"]
    if is_person(event.principal, event.via):
        what = "asked for this approval"
        facts.ties.append(Tie("requester", event.principal, what, stamp.position, gate))


def _decided(facts: Facts, event: RecordedEvent, stamp: Stamp) -> None:
    data = event.data
    who = data["principal"]
    yes, comment = data["decision"] == "approved", data.get("comment") or ""
    digest, why = data.get("target_digest"), fault(event, who)
    facts.approvals.append(
        Approval(stamp, data["gate"], who, yes, digest, comment, why, data.get("on_behalf_of"))
    )
    if yes and why is None and data["gate"] != facts.gate:
        facts.ties.append(Tie("approver", who, f"approved it at {data['gate']}", stamp.position))


def _abstained(facts: Facts, event: RecordedEvent, stamp: Stamp) -> None:
    """Void what the person has said so far, and keep that they said neither."""
    data, who = event.data, event.data["principal"]
    if fault(event, who) is None:
        why = f"{short(who)} abstained"
        _void(facts, who, data["gate"], f"{why} since")
        facts.approvals.append(
            Approval(stamp, data["gate"], who, approved=False, digest=data["target_digest"],
                     comment=data.get("reason") or "", fault=why, abstained=True)
        )  # fmt: skip


def _withdrawn(facts: Facts, event: RecordedEvent, _: Stamp) -> None:
    """Void what the person has said so far; what somebody else sends in their name voids nothing.

    That errs on neither side: a yes falls, and so does a no.
    """
    who = event.data["principal"]
    if fault(event, who) is None:
        _void(facts, who, event.data["gate"], f"{short(who)} took it back")


def _void(facts: Facts, who: str, gate: str, why: str) -> None:
    facts.approvals = [
        replace(vote, fault=why, abstained=False)
        if (vote.principal, vote.gate) == (who, gate) and (vote.fault is None or vote.abstained)
        else vote
        for vote in facts.approvals
    ]


def _raised(facts: Facts, event: RecordedEvent, stamp: Stamp) -> None:
    data = event.data
    who, id_ = data["principal"], data["veto_id"]
    if fault(event, who) is None and id_ not in facts.vetoes:
        facts.vetoes[id_] = Veto(stamp, id_, data.get("gate"), who, data["reason"])


def _lifted(facts: Facts, event: RecordedEvent, stamp: Stamp) -> None:
    data = event.data
    who, veto = data["principal"], facts.vetoes.get(data["veto_id"])
    if fault(event, who) is None and veto is not None:
        facts.vetoes[veto.id] = replace(veto, lifts=(*veto.lifts, (who, stamp)))


def _assigned(facts: Facts, event: RecordedEvent, stamp: Stamp) -> None:
    data = event.data
    until = parse_time(data["valid_until"]) if data.get("valid_until") else None
    new = Holding(stamp, data["role"], data["principal"], data["scope"], until)
    _end(facts, new.role, new.principal, {new.scope}, stamp)
    facts.holdings.append(new)


def _revoked(facts: Facts, event: RecordedEvent, stamp: Stamp) -> None:
    data = event.data
    scopes = None if data["scope"] == "*" else {data["scope"]}
    _end(facts, data["role"], data["principal"], scopes, stamp)


def _end(facts: Facts, role: str, person: str, scopes: set[str] | None, stamp: Stamp) -> None:
    facts.holdings = [
        replace(held, ended=stamp.position)
        if (held.role, held.principal, held.ended) == (role, person, None)
        and (scopes is None or held.scope in scopes)
        else held
        for held in facts.holdings
    ]


def _linked(facts: Facts, event: RecordedEvent, _: Stamp) -> None:
    facts.people.links[event.data["identity"]] = event.data["principal"]


def _unlinked(facts: Facts, event: RecordedEvent, _: Stamp) -> None:
    identity, person = event.data["identity"], event.data["principal"]
    if facts.people.links.get(identity) == person:
        del facts.people.links[identity]


HANDLERS: dict[str, Handler] = {
    "approval.requested.v1": _requested,
    "approval.decided.v1": _decided,
    "approval.abstained.v1": _abstained,
    "approval.withdrawn.v1": _withdrawn,
    "veto.raised.v1": _raised,
    "veto.lifted.v1": _lifted,
    "role.assigned.v1": _assigned,
    "role.revoked.v1": _revoked,
    "identity.linked.v1": _linked,
    "identity.unlinked.v1": _unlinked,
}
"""By type without our prefix."""
