"""Gates: the newest decision for each release, gate and environment."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import ValidationError

from contracts.decision import Decision
from services.projector.readmodels.fact import Fact, text
from services.projector.readmodels.rows import Key, Row, Rows

_UNDECIDED = frozenset({"pending", "fail", "error"})


def keys(fact: Fact, _: Rows) -> Iterator[Key]:
    """Declare the gate that was judged."""
    decision = _decision(fact)
    if decision is not None:
        yield "gate", (decision.release, decision.gate, decision.environment)


def apply(fact: Fact, rows: Rows) -> None:
    """Put the decision in the place of the one before."""
    decision = _decision(fact)
    if decision is None:
        return
    key = (decision.release, decision.gate, decision.environment)
    before = rows.get("gate", *key)
    rows.put("gate", _row(decision, fact, before))


def _row(decision: Decision, fact: Fact, before: Row | None) -> Row:
    open_rules = [rule for rule in decision.rules if rule.status in _UNDECIDED]
    same = before is not None and before["verdict"] == decision.decision
    return {
        "release_id": decision.release,
        "gate": decision.gate,
        "environment": decision.environment,
        "decision_id": fact.text("decision_id") or "",
        "position": fact.position,
        "recorded_at": fact.recorded_at,
        "verdict": decision.decision,
        "since": before["since"] if before and same else fact.recorded_at,
        "judged": (before["judged"] if before else 0) + 1,
        "who": sorted({person for rule in open_rules for person in rule.who}),
        "roles": sorted({role for rule in open_rules for role in rule.roles}),
        "decision": decision.model_dump(mode="json"),
    }


def _decision(fact: Fact) -> Decision | None:
    """Read the decision; a newer gatekeeper may say more than we know."""
    if fact.name != "decision.recorded" or not text(fact.table("decision").get("release")):
        return None
    try:
        return Decision.model_validate(fact.table("decision"), extra="ignore")
    except ValidationError:
        return None
