"""About: what needs evidence, and which records speak of it. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from services.gatekeeper.facts import Facts
from services.gatekeeper.records import Evidence as Record
from services.gatekeeper.rules import words
from services.gatekeeper.rules.schema import Evidence


def targets(rule: Evidence, facts: Facts) -> list[str]:
    """Return what needs evidence: "" stands for the release as a whole."""
    if not rule.bind or rule.kind == "plan":
        return [""]
    if facts.candidate is None:
        return []
    if rule.kind == "pipeline":  # of each repository the newest run speaks
        return words.unique(map(words.repo, facts.changes())) or [""]
    return words.unique(facts.candidate.artifacts)


def is_about(record: Record, target: str, rule: Evidence, facts: Facts) -> bool:
    """Say whether a record speaks of a target."""
    if not rule.bind or rule.kind == "plan":
        return True
    if rule.kind == "pipeline":
        return record.about in _built(target, facts) and target in {"", words.repo(record.about)}
    shipped = {one.digest for one in facts.shipped_by(record.about) if one.digest}
    about = shipped or {record.about}
    return target in about or (facts.candidate is not None and facts.candidate.digest in about)


def _built(target: str, facts: Facts) -> Sequence[str]:
    """Return the changes whose runs speak for a repository: what the artefacts were built from, if
    that is known, else all that the candidate names.
    """
    built = facts.built_from()
    here = [change for change in built if target in {"", words.repo(change)}]
    return here or facts.changes()


def places(record: Record, facts: Facts) -> frozenset[str]:
    """Return where a deployment went that is spoken of: what went well in one place says nothing of
    another.
    """
    return frozenset(one.environment for one in facts.shipped_by(record.about))
