"""Linting: what is valid in a policy and yet will not do what its author meant. Pure.

Told: rules that cannot be satisfied by those who hold the roles, rules that are never asked, roles
that nobody holds, and conditions that have to be judged by the minute.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import get_args

from contracts.payloads.deploy import VerificationFinished
from services.gatekeeper import cel
from services.gatekeeper.policy import Policy
from services.gatekeeper.rules import words
from services.gatekeeper.rules.matching import assign
from services.gatekeeper.rules.schema import Approvals, Board, Cel, Evidence, Rule, Veto, leaves
from services.gatekeeper.schema import Gate

Holders = Mapping[str, Sequence[str]]
"""Role → who holds it, in whatever scope."""


@dataclass(frozen=True, slots=True)
class Remark:
    """Something to look at. `rule` is empty where it concerns the gate."""

    gate: str
    rule: str
    text: str


def lint(policy: Policy, holders: Holders) -> list[Remark]:
    """Return what is odd in a policy, in the order of the document."""
    found: list[Remark] = []
    for gate in policy.document.gates:
        rules = [rule for _, rule in gate.rules()]
        for rule in [*rules, *(each for each in leaves(rules) if each not in rules)]:
            of_rule = [*_dead(policy, rule), *_nameless(rule), *_by_the_minute(rule)]
            said = [*of_rule, *_people(rule, holders)]
            found += [Remark(gate.id, rule.id, text) for text in said]
        found += [Remark(gate.id, "", text) for text in _of_gate(gate, holders)]
    return found


def _dead(policy: Policy, rule: Rule) -> Iterator[str]:
    types = policy.document.applies_to.type
    asked = rule.when.type
    if types and asked and not set(types) & set(asked):
        yield (
            f"is never asked: it is for {words.either(asked)},"
            f" and the policy for {words.either(types)}"
        )


def _nameless(rule: Rule) -> Iterator[str]:
    """Tell names that no event can have: such a rule waits for ever."""
    if isinstance(rule, Evidence) and rule.kind == "verification" and rule.name:
        known = get_args(VerificationFinished.model_fields["kind"].annotation)
        if rule.name not in known:
            yield f"no verification is called {rule.name}: there are {words.both(list(known))}"


def _people(rule: Rule, holders: Holders) -> Iterator[str]:
    if isinstance(rule, Approvals):
        who = _who(rule.roles, holders)
        if len(who) < rule.count:
            yield (f"asks {rule.count} of {words.either(rule.roles)}, and {_number(len(who))}")
    if isinstance(rule, Board) and isinstance(rule.quorum, int):
        who = _who(rule.members, holders)
        if len(who) < rule.quorum:
            yield (f"asks {rule.quorum} of {words.either(rule.members)}, and {_number(len(who))}")
    if isinstance(rule, Veto) and not _who(rule.roles, holders):
        yield f"nobody holds {words.either(rule.roles)}, so nobody can object"
    if rule.waivable and not _who(rule.waivable.by, holders):
        yield f"nobody holds {words.either(rule.waivable.by)}, so nobody can grant an exception"


def _by_the_minute(rule: Rule) -> Iterator[str]:
    if isinstance(rule, Cel) and cel.compile(rule.expr, "rule").timed:
        yield (
            "speaks of now, so it is judged again each minute; soak, max_age and freeze have"
            " exact instants"
        )


def _of_gate(gate: Gate, holders: Holders) -> Iterator[str]:
    groups: dict[str, list[Approvals]] = {}
    for rule in gate.of(Approvals):
        if rule.distinct_group:
            groups.setdefault(rule.distinct_group, []).append(rule)
    for name, rules in groups.items():
        wanted = {rule.id: rule.count for rule in rules}
        seats = assign(wanted, {rule.id: _who(rule.roles, holders) for rule in rules})
        if sum(map(len, seats.values())) < sum(wanted.values()):
            yield (
                f"the group {name} asks {sum(wanted.values())} different people, and"
                f" {sum(map(len, seats.values()))} can be found among those who hold the roles"
            )
    glass = gate.break_glass
    if glass and len(who := _who(glass.roles, holders)) < glass.count:
        yield (
            f"nobody can break the glass: it takes {glass.count} of"
            f" {words.either(glass.roles)}, and {_number(len(who))}"
        )


def _who(roles: Sequence[str], holders: Holders) -> list[str]:
    return words.unique(person for role in roles for person in holders.get(role, ()))


def _number(count: int) -> str:
    if not count:
        return "nobody holds it"
    return "1 person does" if count == 1 else f"{count} people do"
