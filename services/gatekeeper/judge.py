"""Judge: facts, a policy and an instant in; the decision out. The one evaluator for every path.

Pure and deterministic: no clock, no locale, no I/O. The same arguments give the same bytes for ever
(ENGINE names the rules of the game; it changes when they do). Fails closed: error or fail → deny,
no policy or nothing that applies → deny, else pending, else allow.
"""

from __future__ import annotations

from datetime import datetime

from contracts.decision import Decision, PolicyRef, RuleResult, Verdict
from contracts.event import format_time
from services.gatekeeper.facts import Facts
from services.gatekeeper.policy import Applied, NoPolicy
from services.gatekeeper.rules import approvals, evidence, words
from services.gatekeeper.schema import Approvals, Evidence, Rule, Stage

ENGINE = "release-ledger-gatekeeper/3"
_CLOSED = "release-open"
_REMOVED = "history-whole"


def judge(facts: Facts, policy: Applied | NoPolicy, as_of: datetime) -> Decision:
    """Return the decision for `facts.release` at `facts.gate`, as at `as_of`."""
    results = _results(facts, policy, as_of)
    verdict = _verdict(results)
    return Decision(
        decision=verdict,
        release=facts.release,
        gate=facts.gate,
        environment=_environment(facts, policy),
        artefact=facts.candidate.digest if facts.candidate else None,
        as_of=format_time(as_of),
        policy=_ref(policy),
        summary=_summary(verdict, results, policy),
        rules=results,
        read_set=dict(sorted(facts.read_set.items())),
        facts_digest=facts.digest,
        engine=ENGINE,
        next_change_at=min((r.next_change_at for r in results if r.next_change_at), default=None),
    )


def applies(rule: Rule, facts: Facts) -> bool:
    """Say whether a rule is asked of this release. What is not known is taken to match."""
    when = rule.when
    fits_risk = when.risk is None or facts.risk is None or facts.risk in when.risk
    fits_type = when.type is None or facts.release_type is None or facts.release_type in when.type
    return fits_risk and fits_type


def _results(facts: Facts, policy: Applied | NoPolicy, as_of: datetime) -> list[RuleResult]:
    if isinstance(policy, NoPolicy):
        return []
    placed = list(policy.gate.rules())
    people = [(s, r) for s, r in placed if isinstance(r, Approvals) and applies(r, facts)]
    approved = approvals.judge(people, facts, as_of)
    found = [_closed(facts, placed[0][0])] if facts.closed else []
    found += [_removed(facts, placed[0][0])] if facts.removed else []
    for stage, rule in placed:
        if not applies(rule, facts):
            found.append(_not_applicable(stage, rule, facts))
        elif isinstance(rule, Evidence):
            found.append(_explained(rule, facts, evidence.judge(stage, rule, facts, as_of)))
        else:
            found.append(_explained(rule, facts, approved[rule.id]))
    return found


def _verdict(results: list[RuleResult]) -> Verdict:
    statuses = {result.status for result in results}
    if statuses & {"error", "fail"} or not statuses - {"not_applicable"}:
        return "deny"
    return "pending" if "pending" in statuses else "allow"


def _closed(facts: Facts, stage: Stage) -> RuleResult:
    position, word = facts.closed or (0, "")
    return RuleResult(
        rule=_CLOSED,
        title="The release is open",
        type="release",
        stage=stage.id,
        status="fail",
        reason=f"the release has ended: {word}",
        required="a release that has not ended",
        found=word,
        evidence=[position],
    )


def _removed(facts: Facts, stage: Stage) -> RuleResult:
    """Return an error: what was removed might have been a no, and nobody can tell any more."""
    where = words.both([str(position) for position in facts.removed])
    return RuleResult(
        rule=_REMOVED,
        title="History whole",
        type="release",
        stage=stage.id,
        status="error",
        reason=f"the content of position {where} was redacted and may have spoken against it",
        required="every event that a rule reads",
        found=f"redacted: {where}",
        evidence=facts.removed,
        satisfy="a new release: this one can no longer be judged",
    )


def _not_applicable(stage: Stage, rule: Approvals | Evidence, facts: Facts) -> RuleResult:
    asked = {"risk": rule.when.risk, "type": rule.when.type}
    needs = [f"{name} {words.either(values)}" for name, values in asked.items() if values]
    return RuleResult(
        rule=rule.id,
        title=rule.title or rule.id,
        type=rule.type,
        stage=stage.id,
        status="not_applicable",
        reason=f"only asked for {words.both(needs)}",
        required=words.both(needs),
        found=f"risk {facts.risk or 'not assessed'}, type {facts.release_type or 'not known'}",
    )


def _explained(rule: Rule, facts: Facts, result: RuleResult) -> RuleResult:
    """Say so where a rule applies only because something is not known."""
    unknown = []
    if rule.when.risk is not None and facts.risk is None:
        unknown.append("the risk has not been assessed")
    if rule.when.type is not None and facts.release_type is None:
        unknown.append("the type of the release is not known")
    if not unknown:
        return result
    reason = f"asked because {words.both(unknown)}: {result.reason}"
    return result.model_copy(update={"reason": reason})


def _environment(facts: Facts, policy: Applied | NoPolicy) -> str:
    if isinstance(policy, Applied):
        return policy.gate.place
    return facts.gate.partition(":")[2] or facts.gate


def _ref(policy: Applied | NoPolicy) -> PolicyRef | None:
    return policy.ref if isinstance(policy, Applied) else None


def _summary(verdict: Verdict, results: list[RuleResult], policy: Applied | NoPolicy) -> str:
    if isinstance(policy, NoPolicy):
        return f"Denied: {policy.reason}."
    if verdict == "allow":
        asked = sum(result.status != "not_applicable" for result in results)
        return (
            f"Allowed: {'the one rule is' if asked == 1 else f'all {asked} rules are'} satisfied."
        )
    blocking = ("error", "fail") if verdict == "deny" else ("pending",)
    rows = [result for result in results if result.status in blocking]
    if not rows:
        return "Denied: no rule of the policy applies to this release, so nothing was shown."
    lead = "Denied" if verdict == "deny" else "Waiting"
    said = "; ".join(f"{row.title} – {_first(row.reason)}" for row in rows)
    return f"{lead}: {said}."


def _first(reason: str) -> str:
    return reason.partition("; not counted: ")[0].rstrip(".")
