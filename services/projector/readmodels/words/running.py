"""Deployments and incidents, in words."""

from __future__ import annotations

from collections.abc import Callable

from services.projector.readmodels.fact import Fact
from services.projector.readmodels.words.phrases import Words, ended, join, say, short

_WHAT = {"rollback": "Rollback", "hotfix": "Hotfix deployment"}


def _deployment(fact: Fact) -> Words:
    place = fact.environment[0] or "an unknown environment"
    repairs = fact.text("remediates")
    detail = join(
        fact.text("service"), fact.text("release_id"), fact.text("description") or _content(fact),
        repairs and f"repairs {repairs}",
    )  # fmt: skip
    if fact.name == "deployment.finished":
        return _deployed(fact, place, detail)
    what = _WHAT.get(say(fact, "kind"), "Deployment")
    verb = "queued" if fact.name == "deployment.queued" else "started"
    return "neutral", f"{what} to {place} {verb}", detail


def _deployed(fact: Fact, place: str, detail: str) -> Words:
    kind = say(fact, "kind")
    if fact.text("outcome") == "success":
        if kind == "rollback":
            return "wait", f"Rolled back in {place}", detail
        return "good", f"{'Hotfix deployed' if kind == 'hotfix' else 'Deployed'} to {place}", detail
    tone, end = ended(fact)
    return tone, f"{_WHAT.get(kind, 'Deployment')} to {place} {end}", detail


def _content(fact: Fact) -> str | None:
    digest, head = fact.text("artifact_digest"), fact.text("head_sha")
    return short(digest or head) if digest or head else None


def _service(fact: Fact) -> Words:
    verb = "runs again" if fact.name == "service.rolledback" else "runs"
    title = f"{say(fact, 'service')} {verb} in {fact.environment[0]}"
    return "neutral", title, say(fact, "purl", "")


def _rollout(fact: Fact) -> Words:
    title = f"Rollout reached {fact.data.get('weight')} % of traffic"
    return "neutral", title, join(f"step {fact.data.get('step')}", fact.text("target"))


def _analysis(fact: Fact) -> Words:
    tone, end = ended(fact)
    values = [f"{key} {value}" for key, value in fact.table("values").items()]
    return tone, f"Analysis {say(fact, 'metric_set')} {end}", join(*values)


def _verification(fact: Fact) -> Words:
    tone, end = ended(fact)
    return tone, f"{say(fact, 'kind').capitalize()} verification {end}", ""


def _flag(fact: Fact) -> Words:
    title = f"Flag {say(fact, 'flag')} set to {say(fact, 'new')} in {fact.environment[0]}"
    return "neutral", title, f"was {say(fact, 'old')}"


def _rollback(fact: Fact) -> Words:
    how = "automatically" if fact.text("cause") == "auto" else "by hand"
    return "bad", f"Rollback triggered {how}", join(fact.text("rule"), say(fact, "deployment_id"))


def _alert(fact: Fact) -> Words:
    fired = fact.name == "alert.fired"
    title = f"Alert {say(fact, 'name')} {'fired' if fired else 'resolved'}"
    return "bad" if fired else "good", title, join(fact.text("severity"), fact.text("summary"))


def _incident(fact: Fact) -> Words:
    number = say(fact, "incident_id")
    if fact.name == "incident.attributed":
        deployment = fact.text("deployment_id")
        title = f"Incident {number} attributed to " + (
            f"deployment {deployment}" if deployment else "no deployment"
        )
        return "bad" if deployment else "neutral", title, f"basis: {say(fact, 'basis')}"
    over = fact.name == "incident.resolved"
    title = f"Incident {number} {'resolved' if over else 'detected'}"
    return "good" if over else "bad", title, join(fact.text("severity"), fact.text("summary"))


WORDS: dict[str, Callable[[Fact], Words]] = {
    "deployment.queued": _deployment,
    "deployment.started": _deployment,
    "deployment.finished": _deployment,
    "service.deployed": _service,
    "service.rolledback": _service,
    "rollout.progressed": _rollout,
    "analysis.finished": _analysis,
    "verification.finished": _verification,
    "featureflag.changed": _flag,
    "rollback.triggered": _rollback,
    "alert.fired": _alert,
    "alert.resolved": _alert,
    "incident.detected": _incident,
    "incident.resolved": _incident,
    "incident.attributed": _incident,
}
"""By noun and verb."""
