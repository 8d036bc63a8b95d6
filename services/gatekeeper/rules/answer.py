"""Answers: what a rule found, as the decision document tells it. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from contracts.decision import NotCounted, RuleResult, Status
from contracts.event import format_time
from services.gatekeeper.rules.schema import Rule


@dataclass(frozen=True, slots=True)
class Answer:
    """A status, the sentence for it, and short words for what is required and what there is."""

    status: Status
    reason: str
    required: str
    found: str
    evidence: Sequence[int] = ()
    not_counted: Sequence[NotCounted] = ()
    satisfy: str | None = None
    who: Sequence[str] = ()
    roles: Sequence[str] = ()
    changes: Iterable[datetime] = field(default_factory=tuple)
    """Instants at which time alone may change it."""

    def told(self, stage: str, rule: Rule, title: str) -> RuleResult:
        """Return it as the result of a rule."""
        first = min(self.changes, default=None)
        return RuleResult(
            rule=rule.id,
            title=rule.title or title,
            type=getattr(rule, "type", "release"),
            stage=stage,
            status=self.status,
            reason=self.reason,
            required=self.required,
            found=self.found,
            evidence=sorted(set(self.evidence)),
            not_counted=list(self.not_counted),
            satisfy=self.satisfy,
            who=list(self.who),
            roles=list(self.roles),
            next_change_at=format_time(first) if first else None,
        )
