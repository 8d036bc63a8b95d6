"""The timeline: every event once, in words. A release shows those that name it or what it holds."""

from __future__ import annotations

from services.projector.readmodels.fact import Fact, table, text, web
from services.projector.readmodels.rows import Rows
from services.projector.readmodels.words import WORDS, Words

_PHASES = {
    "release": "plan", "role": "plan", "ticket": "plan",
    "change": "build", "pipelinerun": "build", "testsuiterun": "build", "artifact": "build",
    "attestation": "build",
    "gate": "readiness", "approval": "readiness", "exception": "readiness", "freeze": "readiness",
    "policy": "readiness", "decision": "readiness", "veto": "readiness",
    "breakglass": "readiness", "permit": "readiness", "identity": "readiness",
    "board": "readiness", "delegation": "readiness",
    "deployment": "deploy", "service": "deploy", "rollout": "deploy", "analysis": "deploy",
    "verification": "deploy", "featureflag": "deploy", "rollback": "deploy",
    "alert": "operate", "incident": "operate",
    "retro": "review", "actionitem": "review", "survey": "review",
}  # fmt: skip
_LINKS = ("uri", "doc_uri", "report_uri", "summary_uri", "sbom_uri")


def apply(fact: Fact, rows: Rows) -> None:
    """Add the event's entry."""
    tone, title, detail = describe(fact)
    rows.log(
        "entry",
        {
            "position": fact.position,
            "type": fact.type,
            "phase": _phase(fact),
            "tone": tone,
            "title": title,
            "detail": detail,
            "principal": fact.event.principal,
            "assurance": fact.event.assurance,
            "occurred_at": fact.at,
            "recorded_at": fact.recorded_at,
            "subjects": fact.subjects,
            "uri": next((uri for name in _LINKS if (uri := web(fact.text(name)))), None),
        },
    )


def describe(fact: Fact) -> Words:
    """Return tone, title and detail. A type without words of its own is shown by its name."""
    if fact.event.redacted:
        return "neutral", "Redacted", f"the content of a {fact.type} was removed"
    words = WORDS.get(fact.name)
    if words is not None:
        return words(fact)
    if fact.ours:
        return "neutral", fact.name.replace(".", " ").replace("_", " ").capitalize(), ""
    return "neutral", fact.type, _foreign(fact)


def _foreign(fact: Fact) -> str:
    """Take a sentence from a stranger's payload where it is likely to have one."""
    names = ("summary", "message", "description", "title", "name")
    # CDEvents put theirs one level down, in `subject.content`.
    content = table(fact.table("subject").get("content"))
    found = (text(place.get(name)) for place in (fact.data, content) for name in names)
    return next((sentence for sentence in found if sentence), "")[:300]


def _phase(fact: Fact) -> str:
    if fact.name in {"release.completed", "release.cancelled"}:
        return "review"
    if fact.name == "release.candidate_created":
        return "build"
    return _PHASES.get(fact.noun, "other")
