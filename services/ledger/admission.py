"""What may come in from whom: an event and a principal → a submission."""

from __future__ import annotations

import functools
import re

from pydantic import ValidationError

from contracts import catalogue, ijson
from contracts.append import GroupAppend
from contracts.event import OURS, Assurance, Event, Origin
from contracts.problem import Forbidden, Invalid, Problem, message
from services.kit.identity import Principal
from services.ledger.bindings import check_count
from services.ledger.model import Outcome, Submission

OURS_ALONE = frozenset(
    {
        f"{OURS}decision.recorded.v1",
        f"{OURS}policy.proposed.v1",
        f"{OURS}policy.backtested.v1",
        f"{OURS}policy.approved.v1",
        f"{OURS}policy.approval_withdrawn.v1",
        f"{OURS}policy.activated.v1",
        f"{OURS}policy.retired.v1",
        f"{OURS}permit.issued.v1",
    }
)
"""Types that only a service of ours may write: others would trust them as judged by us."""
LEDGERS_OWN = frozenset(
    OURS + name
    for name in (
        "event.redaction_requested.v1", "event.redacted.v1", "key.rotated.v1", "gap.declared.v1",
    )
)  # fmt: skip
"""Types that the ledger writes when it does something to itself. They are taken from nobody: not
from our services either, because what is recorded as redacted is removed."""
OWN_SOURCE = "/ledger/"
"""Sources and ids below it are the ledger's own, so that nobody takes such an id first."""
_OWN_SUBJECT = re.compile(r"event:[0-9]+", re.ASCII)
"""What stands for an event by its position."""
GOVERNED = frozenset({
    "permit", "role", "policy", "calendar", "control", "identity", "breakglass", "decision", "veto",
    "exception", "freeze", "board", "delegation", "proposal",
})  # fmt: skip
"""Kinds of subjects whose histories gates rest on: only types of the catalogue may name them, and
only where their payload does, or anybody could move, and so hold up, every decision."""
NEEDED = {
    **dict.fromkeys(OURS_ALONE, "act-as"),
    # Whoever hands out roles, or says whose an account is, decides who may approve; whoever lifts a
    # freeze opens a gate.
    f"{OURS}role.assigned.v1": "role:write",
    f"{OURS}role.revoked.v1": "role:write",
    f"{OURS}identity.linked.v1": "role:write",
    f"{OURS}identity.unlinked.v1": "role:write",
    f"{OURS}freeze.declared.v2": "role:write",
    f"{OURS}freeze.lifted.v1": "role:write",
}
"""Type → the scope that it needs besides `event:write`."""


def refusal(event: Event, scopes: frozenset[str] = frozenset()) -> Forbidden | None:
    """Return why an event is not taken from whoever holds these scopes; None when it is."""
    if event.type in LEDGERS_OWN or event.source.startswith(OWN_SOURCE):
        return Forbidden(f"{event.type} from {event.source} is for the ledger itself to write")
    if any(map(_OWN_SUBJECT.fullmatch, catalogue.subjects_of(event))):
        return Forbidden("the history of an event is for the ledger itself to write")
    if not event.type.startswith(OURS) and GOVERNED & _kinds(event):
        names = ", ".join(sorted(GOVERNED & _kinds(event)))
        return Forbidden(f"{event.type} is not of our catalogue and may not name: {names}")
    if (astray := _astray(event)) is not None:
        return Forbidden(f"{event.type} is not about {astray} and may not stand in its history")
    needed = NEEDED.get(event.type)
    if needed is not None and needed not in scopes:
        return Forbidden(f"to write {event.type} needs the scope {needed}", scope=needed)
    return None


def _astray(event: Event) -> str | None:
    """Return the governed subject of the envelope that the payload of a type of ours leaves out.

    What our services alone may write stands where they say.
    """
    said = event.subject
    if (
        said is None
        or event.type in OURS_ALONE
        or not event.type.startswith(OURS)
        or said.partition(":")[0] not in GOVERNED
    ):
        return None
    return None if said in catalogue.named_by_payload(event) else said


def _kinds(event: Event) -> set[str]:
    return {key.partition(":")[0] for key in catalogue.subjects_of(event)}


def submission(event: Event | Problem, who: Principal) -> Submission | Outcome:
    """Return the event with its origin, or why it is not taken from this principal."""
    if isinstance(event, Problem):
        return Outcome("invalid", problem=event)
    refused = refusal(event, who.scopes)
    if refused is not None:
        return Outcome("refused", problem=refused)
    return Submission(event, _origin(who.id, who.assurance, who.via))


@functools.lru_cache(maxsize=256)
def _origin(principal: str, assurance: Assurance, via: str | None) -> Origin:
    """Make an origin; the same callers come again and again, and it is frozen."""
    return Origin(principal=principal, assurance=assurance, via=via)


def of_group(index: int, attributes: object, who: Principal) -> Submission:
    """Read one event of a group; pointers in its problem start at the group's root.

    The attributes come from `ijson.loads`.
    """
    try:
        checked = submission(catalogue.parse(attributes, vouched=True), who)
    except Invalid as problem:
        errors = [
            e | {"pointer": f"/events/{index}{e['pointer']}"} for e in problem.members["errors"]
        ]
        raise Invalid(problem.detail, errors=errors) from None
    if isinstance(checked, Outcome):
        raise checked.problem or Problem()
    return checked


def read_group(value: ijson.Json) -> GroupAppend:
    """Read the body of a group append, or raise `Invalid` with pointers, or `TooLarge`."""
    if isinstance(value, dict) and isinstance(events := value.get("events"), list):
        check_count(len(events))
    try:
        return GroupAppend.model_validate(value)
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False, include_context=False)
        errors = [{"pointer": ijson.pointer(e["loc"]), "detail": message(e)} for e in found]
        raise Invalid(f"{errors[0]['pointer']}: {errors[0]['detail']}", errors=errors) from None
