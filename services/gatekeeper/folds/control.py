"""What stands in the way or lifts a rule: freezes, exceptions, passing without rules. Pure."""

from __future__ import annotations

from dataclasses import replace

from contracts.event import RecordedEvent, parse_time
from contracts.payloads.control import FreezeDeclared
from services.gatekeeper.calendars import declared
from services.gatekeeper.facts import Facts
from services.gatekeeper.folds.handler import Handler, fault
from services.gatekeeper.records import Invocation, Review, Stamp, Tie, Waiver


def _declared(facts: Facts, event: RecordedEvent, stamp: Stamp) -> None:
    payload = FreezeDeclared.model_validate(event.data, extra="ignore")
    facts.freezes[payload.freeze_id] = declared(payload, stamp.position)
    facts.calendars[payload.freeze_id] = payload.calendar


def _lifted(facts: Facts, event: RecordedEvent, _: Stamp) -> None:
    facts.freezes.pop(event.data["freeze_id"], None)


def _granted(facts: Facts, event: RecordedEvent, stamp: Stamp) -> None:
    data, why = event.data, fault(event, event.data["approver"])
    # An id is granted once; what nobody can have granted is kept beside it, and takes no id.
    key = data["exception_id"] if why is None else f"{data['exception_id']} at {stamp.position}"
    if key in facts.waivers:
        return
    facts.waivers[key] = Waiver(
        stamp,
        data["exception_id"],
        data["control"],
        data["approver"],
        data["reason"],
        parse_time(data["expires_at"]),
        data.get("gate"),
        data.get("release_id"),
        data.get("service"),
        data.get("version"),
        data.get("artifact_digest"),
        why,
    )


def _revoked(facts: Facts, event: RecordedEvent, _: Stamp) -> None:
    id_ = event.data["exception_id"]
    known = facts.waivers.get(id_)
    if known and fault(event, event.data["revoked_by"]) is None:
        facts.waivers[id_] = replace(known, fault="it was revoked")


def _invoked(facts: Facts, event: RecordedEvent, stamp: Stamp) -> None:
    data = event.data
    if data["gate"] == facts.gate:
        facts.invocations.append(
            Invocation(
                stamp,
                data["release_id"],
                data["principal"],
                data["incident_id"],
                data["reason"],
                data["target_digest"],
                fault(event, data["principal"]),
            )
        )


def _reviewed(facts: Facts, event: RecordedEvent, stamp: Stamp) -> None:
    data = event.data
    if data["gate"] == facts.gate and fault(event, data["reviewer"]) is None:
        facts.reviews.append(Review(stamp, data["release_id"], data["reviewer"]))


def _activated(facts: Facts, event: RecordedEvent, stamp: Stamp) -> None:
    """Tie whoever wrote a text that judges, or judged, to what is judged by it."""
    data = event.data
    what = f"wrote version {data['version']} of the policy {data['policy_id']}"
    facts.ties.append(Tie("policy_author", data["author"], what, stamp.position))


HANDLERS: dict[str, Handler] = {
    "freeze.declared.v2": _declared,
    "freeze.lifted.v1": _lifted,
    "exception.granted.v2": _granted,
    "exception.revoked.v1": _revoked,
    "breakglass.invoked.v1": _invoked,
    "breakglass.reviewed.v1": _reviewed,
    "policy.activated.v1": _activated,
}
"""By type without our prefix."""
