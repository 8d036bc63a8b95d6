"""Evidence: recorded facts show that something is so, for the very artefacts of the candidate.

Pure. Of each series (a suite, a scanner, a pipeline) the newest record about each artefact speaks;
all of them must. Missing or too old: pending, because it can still come. Contradicting: fail.
A threshold's metric that nobody reported, or a stamp from the future: error, never a pass.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime

from contracts.decision import NotCounted, RuleResult, Status
from contracts.event import format_time
from services.gatekeeper import cel, cel_facts
from services.gatekeeper.facts import Facts
from services.gatekeeper.records import Evidence as Record
from services.gatekeeper.rules import about, words
from services.gatekeeper.rules.schema import Evidence

WORST: tuple[Status, ...] = ("error", "fail", "pending")
NOUNS = {
    "tests": "test result", "scan": "vulnerability scan", "pipeline": "pipeline run",
    "plan": "plan", "verification": "verification", "analysis": "canary analysis",
    "gate": "result of a gate", "attestation": "attestation",
}  # fmt: skip
_SIGNS = {"max": "at most", "min": "at least"}


@dataclass(slots=True)
class _Findings:
    """What was seen: complaints by status, records that speak, records that do not count."""

    complaints: dict[Status, list[str]] = field(default_factory=dict)
    spoke: list[Record] = field(default_factory=list)
    void: list[NotCounted] = field(default_factory=list)
    ends: list[datetime] = field(default_factory=list)

    def complain(self, status: Status, text: str) -> None:
        self.complaints.setdefault(status, []).append(text)

    @property
    def status(self) -> Status:
        return next((s for s in WORST if s in self.complaints), "pass")


def judge(stage: str, rule: Evidence, facts: Facts, as_of: datetime) -> RuleResult:
    """Judge one evidence rule."""
    found = _Findings()
    groups = _groups(rule, facts, found)
    for target, records in groups.items():
        _judge_target(rule, target, records, as_of, found)
    if not groups:
        found.complain("pending", f"there is no candidate yet, so no {_noun(rule)} can be about it")
    for records in groups.values():
        _check_metrics(rule, records, found)
    return _result(stage, rule, found, groups)


def _groups(rule: Evidence, facts: Facts, found: _Findings) -> dict[str, list[Record]]:
    """Return the newest record of each series by target; note what is about other things."""
    targets = about.targets(rule, facts)
    newest: dict[tuple[str, str, frozenset[str]], Record] = {}
    hits: dict[str, list[str]] = {}  # about what → the targets that it hits
    places: dict[str, frozenset[str]] = {}  # and the environments that it tells of
    for record in facts.evidence:
        if record.kind != rule.kind or (rule.name or rule.plan or record.series) != record.series:
            continue
        if record.about not in hits:
            hits[record.about] = [t for t in targets if about.is_about(record, t, rule, facts)]
            places[record.about] = about.places(record, facts)
        if targets and not hits[record.about]:
            found.void.append(NotCounted(position=record.stamp.position, reason=_stray(record)))
        for target in hits[record.about]:
            newest[target, record.series, places[record.about]] = record
    return {t: [r for (target, *_), r in newest.items() if target == t] for t in targets}


def _stray(record: Record) -> str:
    noun = f"the {NOUNS[record.kind]} {record.series}"
    if not record.about:
        return f"{noun} does not say what it is about"
    return f"{noun} is about {words.brief(record.about)}, which is not in this candidate"


def _judge_target(
    rule: Evidence, target: str, records: list[Record], as_of: datetime, found: _Findings
) -> None:
    if not records:
        found.complain("pending", f"no {_noun(rule)} is recorded{_for(target)}")
    for record in records:
        if record not in found.spoke:
            found.spoke.append(record)
            for status, text in _complaints(rule, record, as_of, found):
                found.complain(status, text)


def _complaints(
    rule: Evidence, record: Record, as_of: datetime, found: _Findings
) -> Iterator[tuple[Status, str]]:
    if record.stamp.lead:
        lead = words.span(record.stamp.lead)
        yield "error", f"{record.series} is stamped {lead} in the future and proves nothing"
        return
    yield from _outcome(rule, record)
    yield from _bounds(rule, record)
    yield from _required_of(rule, record, as_of)
    if rule.max_age is None:
        return
    ends = record.stamp.at + rule.max_age
    if ends > as_of:
        found.ends.append(ends)
    else:
        age, limit = words.span(as_of - record.stamp.at), words.span(rule.max_age)
        yield "pending", f"{record.series} is {age} old; at most {limit} is allowed"


def _outcome(rule: Evidence, record: Record) -> Iterator[tuple[Status, str]]:
    failed = record.metrics.get("failed", 0)
    if rule.kind == "tests" and not failed and not record.metrics.get("passed"):
        yield "fail", f"{record.series} ran no test"
    elif rule.kind == "tests" and failed and record.outcome in {"success", "failure"}:
        if rule.max_failed is None:
            yield "fail", f"{record.series}: {words.count(int(failed), 'test')} failed"
    elif record.outcome != "success":
        yield "fail", f"{record.series} ended with {record.outcome}"


def _bounds(rule: Evidence, record: Record) -> Iterator[tuple[Status, str]]:
    for side, metric, bound in rule.bounds:
        if (value := record.metrics.get(metric)) is None:
            continue
        if value > bound if side == "max" else value < bound:
            limit = f"{_SIGNS[side]} {words.number(bound)} is allowed"
            if side == "min":
                limit = f"{_SIGNS[side]} {words.number(bound)} is required"
            yield "fail", f"{record.series} has {metric} {words.number(value)}; {limit}"


def _required_of(rule: Evidence, record: Record, as_of: datetime) -> Iterator[tuple[Status, str]]:
    if rule.require is None:
        return
    program = cel.compile(rule.require, "metrics")
    answer = cel.evaluate(program, cel_facts.CelMetrics(record.metrics), as_of)
    if isinstance(answer, cel.CelError):
        yield "error", f"{record.series} cannot be told by {rule.require}: {answer.text}"
    elif not answer:
        yield "fail", f"{record.series} does not meet {rule.require}"


def _check_metrics(rule: Evidence, records: list[Record], found: _Findings) -> None:
    """Complain of metrics that nobody reported; any of several suites may."""
    for _, metric, _ in rule.bounds if records else ():
        if not any(metric in record.metrics for record in records):
            names = words.both(words.unique(record.series for record in records))
            found.complain("error", f"{names} did not report {metric}")


def _result(
    stage: str, rule: Evidence, found: _Findings, groups: dict[str, list[Record]]
) -> RuleResult:
    status = found.status
    void = [] if status == "pass" else found.void
    reason = "; ".join(words.unique(found.complaints.get(status, []))) or _good(found)
    if status == "pending" and void:
        reason += words.not_counted(n.reason for n in void)
    return RuleResult(
        rule=rule.id,
        title=rule.title or f"{_noun(rule)[0].upper()}{_noun(rule)[1:]}",
        type=rule.type,
        stage=stage,
        status=status,
        reason=reason,
        required=_required(rule),
        found=_good(found) or "nothing",
        evidence=sorted(record.stamp.position for record in found.spoke),
        not_counted=void,
        satisfy=None if status == "pass" else _satisfy(rule, groups),
        next_change_at=format_time(min(found.ends)) if found.ends else None,
    )


def _good(found: _Findings) -> str:
    return "; ".join(words.unique(_seen(record) for record in found.spoke))


def _seen(record: Record) -> str:
    known = [metric for metric in _ORDER if metric in record.metrics]
    others = sorted(record.metrics.keys() - set(_ORDER))
    shown = [
        f"{words.number(record.metrics[metric])}{' %' if metric == 'coverage' else ''} {metric}"
        for metric in (*known, *others)
        if record.metrics[metric] or metric in _ALWAYS
    ]
    return f"{record.series}: {', '.join(shown) or _OUTCOMES.get(record.kind, record.outcome)}"


_ORDER = ("passed", "failed", "skipped", "coverage", "critical", "high", "medium", "low")
_ALWAYS = frozenset({"failed", "critical", "high"})
_OUTCOMES = {"plan": "published"}


def _required(rule: Evidence) -> str:
    bounds = [
        f"{metric} {_SIGNS[side]} {words.number(bound)}" for side, metric, bound in rule.bounds
    ]
    if rule.require is not None:
        bounds.append(rule.require)
    if rule.max_age is not None:
        bounds.append(f"not older than {words.span(rule.max_age)}")
    return ", ".join([_noun(rule), *bounds])


def _satisfy(rule: Evidence, groups: dict[str, list[Record]]) -> str:
    missing = [words.brief(target) for target, records in groups.items() if target and not records]
    about = f" for {words.both(missing)}" if missing else ""
    return f"a {'new ' if any(groups.values()) else ''}{_noun(rule)} that is good{about}"


def _noun(rule: Evidence) -> str:
    noun = f"{rule.plan} plan" if rule.plan else NOUNS[rule.kind]
    return f"{noun} of {rule.name}" if rule.name else noun


def _for(target: str) -> str:
    return f" for {words.brief(target)}" if target else ""
