"""Applying: each rule of a gate to the facts, with when it is asked and what is waived. Pure."""

from __future__ import annotations

from datetime import datetime
from functools import cached_property

from contracts.decision import RuleResult
from services.gatekeeper import cel
from services.gatekeeper.cel_facts import CelFacts, CelRelease
from services.gatekeeper.facts import Facts
from services.gatekeeper.rules import (
    approvals,
    board,
    dependencies,
    evidence,
    expression,
    freeze,
    late_scope,
    soak,
    veto,
    words,
)
from services.gatekeeper.rules.answer import Answer
from services.gatekeeper.rules.schema import (
    AnyOf,
    AnyRule,
    Approvals,
    Board,
    Cel,
    Dependencies,
    Evidence,
    FreezeRule,
    LateScope,
    Rule,
    Soak,
    Veto,
    leaves,
)
from services.gatekeeper.rules.waivers import waived
from services.gatekeeper.schema import Gate, Stage

_BEST = ("pass", "waived", "pending", "fail")


class Asked:
    """One gate's rules and one release's facts at one instant."""

    def __init__(self, gate: Gate, facts: Facts, as_of: datetime) -> None:
        self._gate, self._facts, self._as_of = gate, facts, as_of
        self.people = [
            (stage.id, rule)
            for stage, top in gate.rules()
            if self.applies(top) is not False
            for rule in leaves([top])
            if isinstance(rule, Approvals) and self.applies(rule) is not False
        ]
        """The rules that ask people of this release, each with its stage."""
        self._approved = approvals.judge(self.people, facts, as_of)

    @cached_property
    def _first(self) -> CelRelease:
        return expression.seen_first(self._facts)

    @cached_property
    def _seen(self) -> CelFacts:
        return expression.seen(self._facts, self._as_of)

    def applies(self, rule: Rule) -> bool | cel.CelError:
        """Say whether a rule is asked of this release. What is not known is taken to match."""
        when, facts = rule.when, self._facts
        fits_risk = when.risk is None or facts.risk is None or facts.risk in when.risk
        fits_type = (
            when.type is None or facts.release_type is None or facts.release_type in when.type
        )
        if not fits_risk or not fits_type:
            return False
        if when.expr is None or expression.blind(when.expr, facts):
            return True
        return cel.evaluate(cel.compile(when.expr, "when"), self._first, self._as_of)

    def result(self, stage: Stage, rule: AnyRule) -> RuleResult:
        """Judge one rule."""
        asked = self.applies(rule)
        if isinstance(asked, cel.CelError):
            reason = f"nobody can tell whether it is asked: {asked.text}"
            return Answer("error", reason, rule.when.expr or "", "no answer").told(
                stage.id, rule, rule.id
            )
        if not asked:
            return _not_applicable(stage, rule, self._facts)
        try:
            found = self._judged(stage, rule)
        except OverflowError:  # a time at the edge of the calendar, and a span beyond it
            reason = "a time that somebody has sent is too far away to be reckoned with"
            answer = Answer("error", reason, "times within the calendar", "no answer")
            return answer.told(stage.id, rule, rule.id)
        return waived(rule, _explained(rule, self._facts, found), self._facts, self._as_of)

    def _judged(self, stage: Stage, rule: AnyRule) -> RuleResult:  # noqa: C901, PLR0911 - one case a type
        facts, place, as_of = self._facts, self._gate.place, self._as_of
        match rule:
            case Approvals():
                return self._approved[rule.id]
            case Evidence():
                return evidence.judge(stage.id, rule, facts, as_of)
            case AnyOf():
                return self._any_of(stage, rule)
            case Board():
                return board.judge(rule, facts, as_of).told(stage.id, rule, board.title(rule))
            case Veto():
                return veto.judge(rule, facts).told(stage.id, rule, veto.TITLE)
            case Soak():
                return soak.judge(rule, facts, as_of).told(stage.id, rule, soak.title(rule))
            case Dependencies():
                answer = dependencies.judge(rule, facts, place)
                return answer.told(stage.id, rule, dependencies.TITLE)
            case FreezeRule():
                return freeze.judge(rule, facts, place, as_of).told(stage.id, rule, freeze.TITLE)
            case LateScope():
                answer = late_scope.judge(rule, facts, place)
                return answer.told(stage.id, rule, late_scope.TITLE)
            case Cel():
                answer = expression.judge(rule, facts, self._seen, as_of)
                return answer.told(stage.id, rule, expression.TITLE)

    def _any_of(self, stage: Stage, rule: AnyOf) -> RuleResult:
        """Let the best of its rules speak; but an error is never outvoted."""
        found = [_certain(each, self._facts, self.result(stage, each)) for each in rule.rules]
        asked = [each for each in found if each.status != "not_applicable"]
        if not asked:
            return _not_applicable(stage, rule, self._facts)
        broken = [each for each in asked if each.status == "error"]
        best = broken or sorted(asked, key=lambda each: _BEST.index(each.status))
        status = best[0].status
        speaking = [each for each in asked if each.status == status]
        if status in {"pass", "waived"}:
            speaking = speaking[:1]
        answer = Answer(
            status,
            words.either([f"{each.title} – {each.reason}" for each in speaking]),
            words.either([each.required for each in asked]),
            words.both([each.found for each in speaking]),
            [position for each in speaking for position in each.evidence],
            [void for each in speaking for void in each.not_counted],
            words.either([each.satisfy for each in speaking if each.satisfy]) or None,
            words.unique(who for each in speaking for who in each.who),
            words.unique(role for each in speaking for role in each.roles),
        )
        told = answer.told(stage.id, rule, words.either([each.title for each in asked]))
        turns = [each.next_change_at for each in asked if each.next_change_at]
        return told.model_copy(update={"next_change_at": min(turns, default=None)})


def _not_applicable(stage: Stage, rule: Rule, facts: Facts) -> RuleResult:
    asked = {"risk": rule.when.risk, "type": rule.when.type}
    needs = [f"{name} {words.either(values)}" for name, values in asked.items() if values]
    needs += [rule.when.expr] if rule.when.expr else []
    found = f"risk {facts.risk or 'not assessed'}, type {facts.release_type or 'not known'}"
    need = words.both(needs)
    reason = f"only asked for {need}" if need else "none of its rules is asked"
    return Answer("not_applicable", reason, need, found).told(stage.id, rule, rule.id)


def _explained(rule: Rule, facts: Facts, result: RuleResult) -> RuleResult:
    """Say so where a rule applies only because something is not known."""
    unknown = _unknown(rule, facts)
    if not unknown:
        return result
    reason = f"asked because {words.both(unknown)}: {result.reason}"
    return result.model_copy(update={"reason": reason})


def _certain(rule: Rule, facts: Facts, result: RuleResult) -> RuleResult:
    """Let an alternative wait that may not be one: once all is known, another may be asked."""
    unknown = _unknown(rule, facts)
    if not unknown or result.status not in {"pass", "waived"}:
        return result
    satisfy = "a plan and an assessment of the release"
    return result.model_copy(update={"status": "pending", "satisfy": satisfy})


def _unknown(rule: Rule, facts: Facts) -> list[str]:
    """Return what is not known of the release and would tell whether a rule is asked."""
    when, blind = rule.when, expression.blind(rule.when.expr or "", facts)
    found = []
    if facts.risk is None and (when.risk is not None or "risk" in blind):
        found.append("the risk has not been assessed")
    if facts.release_type is None and (when.type is not None or "type" in blind):
        found.append("the type of the release is not known")
    return found
