"""Gates, approvals and rules, in words."""

from __future__ import annotations

from collections.abc import Callable

from services.projector.readmodels.fact import Fact, text, texts
from services.projector.readmodels.words.phrases import TONES, Words, join, say

_VERDICTS = {
    "allow": "opened", "deny": "refused", "pending": "waits",
    "allow-by-break-glass": "was opened by breaking the glass",
}  # fmt: skip


def _gate(fact: Fact) -> Words:
    outcome = say(fact, "outcome")
    reasons = join(*fact.texts("reasons"))
    return TONES.get(outcome, "neutral"), f"Gate {say(fact, 'gate')}: {outcome}", reasons


def _asked(fact: Fact) -> Words:
    required = fact.table("required")
    roles = ", ".join(texts(required.get("roles")))
    needed = f"{required.get('count', 1)} of {roles}" if roles else ""
    return "wait", f"Approval requested: {say(fact, 'target')}", join(needed)


def _approval(fact: Fact) -> Words:
    decision = say(fact, "decision")
    roles = ", ".join(fact.texts("roles"))
    title = f"{decision.capitalize()} by {say(fact, 'principal')}" + (
        f" as {roles}" if roles else ""
    )
    behalf = fact.text("on_behalf_of")
    detail = join(fact.text("comment"), f"gate {say(fact, 'gate')}", behalf and f"for {behalf}")
    return TONES.get(decision, "neutral"), title, detail


def _approval_closed(fact: Fact) -> Words:
    status = say(fact, "status")
    return TONES.get(status, "neutral"), f"Approval closed: {status}", ""


def _exception(fact: Fact) -> Words:
    if fact.name == "exception.revoked":
        return (
            "neutral",
            f"Exception {say(fact, 'exception_id')} revoked",
            say(fact, "reason", ""),
        )
    title = f"Exception granted from {say(fact, 'control')} until {say(fact, 'expires_at')}"
    return "wait", title, join(fact.text("reason"), f"by {say(fact, 'approver')}")


def _freeze(fact: Fact) -> Words:
    if fact.name == "freeze.lifted":
        return "good", f"Freeze {say(fact, 'freeze_id')} lifted", say(fact, "reason", "")
    places = fact.texts("environments") or ["all environments"]
    again = fact.text("rrule") and "again and again"
    return "wait", f"Freeze declared for {', '.join(places)}", join(fact.text("reason"), again)


def _withdrawn(fact: Fact) -> Words:
    title = f"{say(fact, 'principal')} took back what they had said"
    return "wait", title, join(fact.text("reason"), f"gate {say(fact, 'gate')}")


def _veto(fact: Fact) -> Words:
    if fact.name == "veto.lifted":
        return "good", f"Veto lifted by {say(fact, 'principal')}", say(fact, "reason", "")
    gate = fact.text("gate")
    where = f"gate {gate}" if gate else "every gate"
    return "bad", f"Veto by {say(fact, 'principal')}", join(fact.text("reason"), where)


def _identity(fact: Fact) -> Words:
    verb = "is" if fact.name == "identity.linked" else "is not"
    title = f"{say(fact, 'identity')} {verb} {say(fact, 'principal')}"
    return "neutral", title, fact.text("basis") or fact.text("reason") or ""


def _break_glass(fact: Fact) -> Words:
    gate = say(fact, "gate")
    if fact.name == "breakglass.reviewed":
        outcome = say(fact, "outcome").replace("_", " ")
        title = f"Passing {gate} without its rules was {outcome}"
        return "neutral", title, join(fact.text("findings"), f"by {say(fact, 'reviewer')}")
    title = f"{say(fact, 'principal')} asks to pass {gate} without its rules"
    return "bad", title, join(fact.text("reason"), fact.text("incident_id"))


def _permit(fact: Fact) -> Words:
    title = f"Permit to deploy to {say(fact, 'environment')}"
    return "good", title, f"once, before {say(fact, 'not_after')}"


def _policy(fact: Fact) -> Words:
    name = say(fact, "policy_id")
    match fact.name:
        case "policy.backtested":
            tried = f"{fact.data.get('changed')} of {fact.data.get('covered')} decisions differ"
            return "neutral", f"Policy {name}: a proposal was tried on the past", tried
        case "policy.approved":
            title = f"Policy {name}: a proposal was approved by {say(fact, 'principal')}"
            return "good", title, join(fact.text("comment"))
        case "policy.approval_withdrawn":
            title = f"Policy {name}: {say(fact, 'principal')} took an approval back"
            return "wait", title, join(fact.text("reason"))
        case "policy.retired":
            return "wait", f"Policy {name} retired", join(fact.text("reason"))
        case "policy.proposed":
            title = f"Policy {name} version {fact.data.get('version')} proposed"
            return "neutral", title, join(fact.text("reason"), f"by {say(fact, 'author')}")
    since = fact.text("effective_from")
    title = f"Policy {name} version {fact.data.get('version')} activated"
    return "neutral", title, join(since and f"from {since}", f"by {say(fact, 'author')}")


def _decision(fact: Fact) -> Words:
    decision = fact.table("decision")
    verdict = text(decision.get("decision")) or "unknown"
    gate, environment = text(decision.get("gate")), text(decision.get("environment"))
    place = f" for {environment}" if environment and environment not in (gate or "") else ""
    title = f"Gate {gate}{place} {_VERDICTS.get(verdict, verdict)}"
    return TONES.get(verdict, "neutral"), title, text(decision.get("summary")) or ""


WORDS: dict[str, Callable[[Fact], Words]] = {
    "gate.evaluated": _gate,
    "approval.requested": _asked,
    "approval.decided": _approval,
    "approval.closed": _approval_closed,
    "approval.withdrawn": _withdrawn,
    "veto.raised": _veto,
    "veto.lifted": _veto,
    "identity.linked": _identity,
    "identity.unlinked": _identity,
    "breakglass.invoked": _break_glass,
    "breakglass.reviewed": _break_glass,
    "permit.issued": _permit,
    "exception.granted": _exception,
    "exception.revoked": _exception,
    "freeze.declared": _freeze,
    "freeze.lifted": _freeze,
    "policy.proposed": _policy,
    "policy.backtested": _policy,
    "policy.approved": _policy,
    "policy.approval_withdrawn": _policy,
    "policy.activated": _policy,
    "policy.retired": _policy,
    "decision.recorded": _decision,
}
"""By noun and verb."""
