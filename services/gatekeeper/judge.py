"""Judge: facts, a policy and an instant in; the decision out. The one evaluator for every path.

Pure and deterministic: no clock, no locale, no I/O. The same arguments give the same bytes for ever
(ENGINE names the rules of the game; it changes when they do). Fails closed: error or fail → deny,
no policy or nothing that applies → deny, else pending, else allow. People who break the glass pass
all of it, but not a release that has ended.
"""

from __future__ import annotations

from datetime import datetime

from contracts.decision import Decision, Obligation, PolicyRef, RuleResult, Verdict
from contracts.event import format_time
from services.gatekeeper import cel, zones
from services.gatekeeper.applying import Asked
from services.gatekeeper.facts import Facts
from services.gatekeeper.policy import Applied, NoPolicy
from services.gatekeeper.rules import break_glass, words
from services.gatekeeper.rules.answer import Answer
from services.gatekeeper.rules.break_glass import Broken
from services.gatekeeper.rules.schema import Rule
from services.gatekeeper.schema import BreakGlass

ENGINE = "release-ledger-gatekeeper/7"
NOT_COUNTED = 50
LIBRARIES = {"cel": cel.VERSION, "tzdata": zones.TZDATA}
"""What else answers depend on."""
_CLOSED = Rule(id="release-open", title="The release is open")
REMOVED = Rule(id="history-whole", title="History whole")
"""The row that names what was redacted, as its evidence."""
_PLAIN = Rule(id="facts-agree", title="Facts agree")
_FORMER = BreakGlass.model_validate({"roles": ["release-manager"], "review_within": "48h"})
"""For a gate that nobody may pass without rules any more: what was passed is reviewed still."""
_REVIEWED = Rule(id="break-glass-reviewed", title=break_glass.TITLE)


def judge(facts: Facts, policy: Applied | NoPolicy, as_of: datetime) -> Decision:
    """Return the decision for `facts.release` at `facts.gate`, as at `as_of`."""
    results = _results(facts, policy, as_of)
    verdict = _verdict(results)
    broken = _broken(facts, policy, as_of) if verdict != "allow" else None
    verdict = "allow-by-break-glass" if broken else verdict
    return Decision(
        decision=verdict,
        release=facts.release,
        gate=facts.gate,
        environment=_environment(facts, policy),
        artefact=facts.candidate.digest if facts.candidate else None,
        as_of=format_time(as_of),
        policy=_ref(policy),
        summary=_summary(verdict, results, policy, broken),
        rules=results,
        read_set=dict(sorted(facts.read_set.items())),
        facts_digest=facts.digest,
        engine=ENGINE,
        libraries=LIBRARIES,
        obligations=[_obligation(broken)] if broken else [],
        next_change_at=_next(results, broken, policy.until),
    )


def _next(results: list[RuleResult], broken: Broken | None, until: datetime | None) -> str | None:
    turns = [result.next_change_at for result in results if result.next_change_at]
    turns += [format_time(broken.lapses_at)] if broken else []
    return min([*turns, *([format_time(until)] if until else [])], default=None)


def loss(decision: Decision) -> str | None:
    """Return the first instant at which time alone could take an allow away."""
    if decision.decision == "allow-by-break-glass":
        return min((owed.lapses_at for owed in decision.obligations), default=None)
    return decision.next_change_at


def _results(facts: Facts, policy: Applied | NoPolicy, as_of: datetime) -> list[RuleResult]:
    if isinstance(policy, NoPolicy):
        return []
    gate = policy.gate
    asked = Asked(gate, facts, as_of)
    first = gate.stages[0].id
    found = [_closed(facts, first)] if facts.closed else []
    found += [_removed(facts, first)] if facts.removed else []
    found += [_doubted(facts, first)] if facts.doubts else []
    if due := break_glass.overdue(gate.break_glass or _FORMER, facts, as_of):
        found.append(due.told(first, _REVIEWED, break_glass.TITLE))
    return found + [_bounded(asked.result(stage, rule)) for stage, rule in gate.rules()]


def _bounded(result: RuleResult) -> RuleResult:
    """Keep the newest of what did not count: a decision must fit into an event."""
    if len(result.not_counted) <= NOT_COUNTED:
        return result
    newest = sorted(result.not_counted, key=lambda each: each.position)[-NOT_COUNTED:]
    return result.model_copy(update={"not_counted": newest})


def _verdict(results: list[RuleResult]) -> Verdict:
    statuses = {result.status for result in results}
    asked = [r for r in results if r.type != "release" and r.status != "not_applicable"]
    if statuses & {"error", "fail"} or not asked:
        return "deny"
    return "pending" if "pending" in statuses else "allow"


def _broken(facts: Facts, policy: Applied | NoPolicy, as_of: datetime) -> Broken | None:
    if isinstance(policy, NoPolicy) or policy.gate.break_glass is None or facts.closed:
        return None
    return break_glass.invoked(policy.gate.break_glass, facts, as_of)


def _obligation(broken: Broken) -> Obligation:
    return Obligation(kind="review", due_at=format_time(broken.due_at),
                      lapses_at=format_time(broken.lapses_at),
                      by=list(broken.people), evidence=list(broken.positions))  # fmt: skip


def _closed(facts: Facts, stage: str) -> RuleResult:
    position, word = facts.closed or (0, "")
    reason, required = f"the release has ended: {word}", "a release that has not ended"
    return Answer("fail", reason, required, word, [position]).told(stage, _CLOSED, "")


def _removed(facts: Facts, stage: str) -> RuleResult:
    """Return an error: what was removed might have been a no, and nobody can tell any more."""
    where = words.both([str(position) for position in facts.removed])
    reason = f"the content of position {where} was redacted and may have spoken against it"
    satisfy = "a new release: this one can no longer be judged"
    answer = Answer("error", reason, "every event that a rule reads", f"redacted: {where}",
                    facts.removed, satisfy=satisfy)  # fmt: skip
    return answer.told(stage, REMOVED, "")


def _doubted(facts: Facts, stage: str) -> RuleResult:
    """Return an error: of two stories nobody can tell which one was approved and tested."""
    said = words.both(words.unique(facts.doubts.values()))
    need, satisfy = "facts that do not contradict each other", "a candidate with its own manifest"
    answer = Answer("error", said, need, said, list(facts.doubts), satisfy=satisfy)
    return answer.told(stage, _PLAIN, "")


def _environment(facts: Facts, policy: Applied | NoPolicy) -> str:
    if isinstance(policy, Applied):
        return policy.gate.place
    return facts.gate.partition(":")[2] or facts.gate


def _ref(policy: Applied | NoPolicy) -> PolicyRef | None:
    return policy.ref if isinstance(policy, Applied) else None


def _summary(
    verdict: Verdict, results: list[RuleResult], policy: Applied | NoPolicy, broken: Broken | None
) -> str:
    if broken:
        return f"Allowed by break-glass: {break_glass.said(broken)}; to be reviewed afterwards."
    if isinstance(policy, NoPolicy):
        return f"Denied: {policy.reason}."
    if verdict == "allow":
        return _allowed(results)
    blocking = ("error", "fail") if verdict == "deny" else ("pending",)
    rows = [result for result in results if result.status in blocking]
    if not rows:
        return "Denied: no rule of the policy applies to this release, so nothing was shown."
    lead = "Denied" if verdict == "deny" else "Waiting"
    said = "; ".join(f"{row.title} – {_first(row.reason)}" for row in rows)
    return f"{lead}: {said}."


def _allowed(results: list[RuleResult]) -> str:
    asked = [r for r in results if r.type != "release" and r.status != "not_applicable"]
    lead = "the one rule is" if len(asked) == 1 else f"all {len(asked)} rules are"
    waived = words.both([result.title for result in asked if result.status == "waived"])
    return f"Allowed: {lead} satisfied{f', {waived} by exception' if waived else ''}."


def _first(reason: str) -> str:
    return reason.partition("; not counted: ")[0].rstrip(".")
