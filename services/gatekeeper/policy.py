"""Policies: one YAML document says which rules guard which gates.

Pure: text in, rules out. The format is told in deploy/policies/README.md. `load` reports every
fault at once, each as `file:line:column rule.field: text`.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any

from pydantic import ValidationError

from contracts.decision import PolicyRef
from contracts.problem import message
from services.gatekeeper import cel, document, params
from services.gatekeeper.facts import Facts
from services.gatekeeper.rules import expression
from services.gatekeeper.rules.schema import AnyOf, AnyRule, Approvals, Board, Bound
from services.gatekeeper.schema import Defaults, Document, Gate


@dataclass(frozen=True, slots=True)
class Policy:
    """A valid document and the digest of its very bytes."""

    document: Document
    ref: PolicyRef

    def gate(self, facts: Facts) -> Gate | None:
        """Return the gate that is asked about when this policy covers it for such a release.

        A condition that has no answer covers: two policies that do are a deny.
        """
        scope = self.document.applies_to
        for known in self.document.gates:
            place = not scope.environment or known.place in scope.environment
            kind = not scope.type or facts.release_type in scope.type
            if known.id == facts.gate and place and kind and self._condition(facts):
                return known
        return None

    def _condition(self, facts: Facts) -> bool:
        when = self.document.applies_to.when
        if when is None or facts.newest is None:
            return True
        answer = cel.evaluate(cel.compile(when, "when"), expression.seen_first(facts), facts.newest)
        return answer is True or isinstance(answer, cel.CelError)


@dataclass(frozen=True, slots=True)
class Applied:
    """The one policy and gate that answer a question."""

    ref: PolicyRef
    gate: Gate
    until: datetime | None = None
    """When another text of a policy will judge."""


@dataclass(frozen=True, slots=True)
class NoPolicy:
    """Nothing answers it, which is a deny; `reason` says why, for people."""

    reason: str
    until: datetime | None = None
    """As in `Applied`."""


_TAG = re.compile(
    r"Input tag '(?P<given>.*)' found using '(?P<key>\w+)' does not match any of the expected tags:"
    r" (?P<known>.*)", re.DOTALL,
)  # fmt: skip
MOST_EXPRESSIONS = 200
"""In one document: each takes a while to compile, and what judges is kept compiled."""
_EXPRESSIONS = frozenset({"expr", "require", "when"})


class PolicyFaultsError(ValueError):
    """The document is not a policy; `faults` lists every reason."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__("\n".join(faults))
        self.faults = faults


@lru_cache(maxsize=64)
def load(text: str, file: str = "policy.yaml") -> Policy:
    """Read a policy document, or raise `PolicyFaultsError` with all of its faults."""
    try:
        source = document.read(text, file)
    except document.UnreadableError as error:
        raise PolicyFaultsError([str(error)]) from None
    value, misused = params.resolve(source)
    faults = [*source.doubles(), *misused]
    if (count := _expressions(value)) > MOST_EXPRESSIONS:  # before any of them is compiled
        said = f"{count} expressions are too many; {MOST_EXPRESSIONS} are the most"
        raise PolicyFaultsError([source.fault(("gates",), said)])
    try:
        found = Document.model_validate(value)
    except ValidationError as error:
        faults += [source.fault(item["loc"], _words(item)) for item in _errors(error)]
    if faults:
        raise PolicyFaultsError(sorted(set(faults), key=document.by_place))
    digest = "sha256:" + hashlib.sha256(text.encode()).hexdigest()
    ref = PolicyRef(name=found.metadata.name, version=found.metadata.version, digest=digest)
    return Policy(_with_defaults(found), ref)


def select(policies: Iterable[Policy], facts: Facts) -> Applied | NoPolicy:
    """Return the policy that answers for a release at a gate. Two that answer are as bad as none.

    Of the facts only what the release itself says is looked at.
    """
    found = [(p, g) for p in policies if (g := p.gate(facts)) is not None]
    gate, release_type = facts.gate, facts.release_type
    kind = f"a {release_type} release" if release_type else "a release that nobody has planned"
    if not found:
        return NoPolicy(f"no active policy covers the gate {gate} for {kind}")
    if len(found) > 1:
        names = " and ".join(sorted(p.ref.name for p, _ in found))
        return NoPolicy(f"the policies {names} all cover the gate {gate} for {kind}; one must")
    return Applied(found[0][0].ref, found[0][1])


def _expressions(value: Any) -> int:
    """Count what stands where a document may hold expressions."""
    if isinstance(value, dict):
        own = sum(isinstance(value.get(key), str) for key in _EXPRESSIONS)
        return own + sum(map(_expressions, value.values()))
    return sum(map(_expressions, value)) if isinstance(value, list) else 0


def _errors(error: ValidationError) -> Iterable[Any]:
    return error.errors(include_url=False, include_input=False, include_context=False)


def _words(item: Any) -> str:
    text = message(item)
    if found := _TAG.fullmatch(text):
        return f"{found['key']} {found['given']} is none of {found['known']}"
    ours = {"extra_forbidden": "is not a known key", "union_tag_not_found": "type is missing"}
    return ours.get(item["type"], text)


def _with_defaults(found: Document) -> Document:
    return found.model_copy(
        update={"gates": [_filled_gate(g, found.defaults) for g in found.gates]}
    )


def _filled_gate(gate: Gate, defaults: Defaults) -> Gate:
    stages = [
        stage.model_copy(update={"rules": [_filled_rule(rule, defaults) for rule in stage.rules]})
        for stage in gate.stages
    ]
    return gate.model_copy(update={"stages": stages})


def _filled_rule(rule: AnyRule, defaults: Defaults) -> AnyRule:
    update: dict[str, object] = {}
    if isinstance(rule, AnyOf):
        update["rules"] = [_filled_rule(each, defaults) for each in rule.rules]
    if isinstance(rule, Bound):
        update["bind"] = defaults.bind if rule.bind is None else rule.bind
    if isinstance(rule, Approvals | Board):
        update["exclude"] = defaults.exclude if rule.exclude is None else rule.exclude
        update["role_held"] = rule.role_held or defaults.role_held
    return rule.model_copy(update=update)
