"""Matching: who counts for which rule, when nobody may count twice.

Pure. Kuhn's augmenting paths, from the side of the rules: a place once filled stays filled, so the
first rules are served first and the answer does not depend on chance. Greedy choice would deadlock
when a person who fits two rules is spent on the wrong one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence


def assign(wanted: Mapping[str, int], able: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """Give each rule at most as many people as it wants, each person to one rule, as many in all
    as can be. `able` says who fits which rule, in order of preference.
    """
    holds: dict[str, str] = {}
    for rule, count in wanted.items():
        for _ in range(count):
            if not _seat(rule, able, holds, set()):
                break
    return {rule: [person for person in able[rule] if holds.get(person) == rule] for rule in wanted}


def _seat(
    rule: str, able: Mapping[str, Sequence[str]], holds: dict[str, str], seen: set[str]
) -> bool:
    """Find one more person for `rule`, moving others to their other rules where that helps."""
    for person in able[rule]:
        if person in seen or holds.get(person) == rule:
            continue
        seen.add(person)
        if person not in holds or _seat(holds[person], able, holds, seen):
            holds[person] = rule
            return True
    return False
