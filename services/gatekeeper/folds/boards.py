"""Who decides together, and who speaks for whom: sessions of boards, delegations. Pure."""

from __future__ import annotations

from dataclasses import replace

from contracts.event import RecordedEvent, parse_time
from services.gatekeeper.facts import Facts
from services.gatekeeper.folds.handler import Handler, fault
from services.gatekeeper.records import BoardVote, Delegation, Session, Stamp


def _opened(facts: Facts, event: RecordedEvent, stamp: Stamp) -> None:
    data, id_ = event.data, event.data["session_id"]
    if fault(event, data["chair"]) is None and id_ not in facts.sessions:
        agenda = frozenset((item["release_id"], item["gate"]) for item in data["agenda"])
        facts.sessions[id_] = Session(stamp, id_, data["board"], data["chair"], agenda)


def _attended(facts: Facts, event: RecordedEvent, stamp: Stamp) -> None:
    data = event.data
    session, who = facts.sessions.get(data["session_id"]), data["principal"]
    if session and fault(event, who) is None:
        session.presence.append((stamp.position, who, data["presence"] == "joined"))


def _voted(facts: Facts, event: RecordedEvent, stamp: Stamp) -> None:
    data, who = event.data, event.data["principal"]
    facts.board_votes.append(
        BoardVote(stamp, data["session_id"], data["gate"], who, data["vote"],
                  data["target_digest"], data.get("reason") or "", fault(event, who))
    )  # fmt: skip


def _recused(facts: Facts, event: RecordedEvent, _: Stamp) -> None:
    """Take somebody out of an item, whatever they have said on it; not once all is closed."""
    data = event.data
    session, who = facts.sessions.get(data["session_id"]), data["principal"]
    if session and session.closed is None and fault(event, who) is None:
        session.recused.append((data["gate"], who))


def _closed(facts: Facts, event: RecordedEvent, stamp: Stamp) -> None:
    """Close once, by the chair; what else is said of an end means nothing."""
    session = facts.sessions.get(event.data["session_id"])
    if session and session.closed is None and fault(event, session.chair) is None:
        session.closed = stamp


def _delegated(facts: Facts, event: RecordedEvent, stamp: Stamp) -> None:
    data = event.data
    new = Delegation(stamp, data["delegation_id"], data["role"], data["gate"], data["delegator"],
                     data["delegate"], parse_time(data["until"]),
                     fault(event, data["delegator"]))  # fmt: skip
    if any(known.id == new.id and known.fault is None for known in facts.delegations):
        return  # an id is given once, by somebody who can have given it
    if new.fault is None:
        key = (new.delegator, new.role, new.gate)
        _end(facts, stamp, [d.id for d in facts.delegations
                            if (d.delegator, d.role, d.gate, d.fault) == (*key, None)])  # fmt: skip
    facts.delegations.append(new)


def _revoked(facts: Facts, event: RecordedEvent, stamp: Stamp) -> None:
    who, id_ = event.data["principal"], event.data["delegation_id"]
    if fault(event, who) is None:
        _end(facts, stamp, [d.id for d in facts.delegations
                            if (d.id, d.fault) == (id_, None)
                            and who in {d.delegator, d.delegate}])  # fmt: skip


def _end(facts: Facts, stamp: Stamp, ids: list[str]) -> None:
    facts.delegations = [
        replace(d, ended=stamp.position) if d.id in ids and d.ended is None else d
        for d in facts.delegations
    ]


HANDLERS: dict[str, Handler] = {
    "board.opened.v1": _opened,
    "board.attended.v1": _attended,
    "board.voted.v1": _voted,
    "board.recused.v1": _recused,
    "board.closed.v1": _closed,
    "delegation.granted.v1": _delegated,
    "delegation.revoked.v1": _revoked,
}
"""By type without our prefix."""
