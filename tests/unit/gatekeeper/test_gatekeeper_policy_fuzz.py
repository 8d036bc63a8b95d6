"""Whatever a text says, it is a policy or it is refused in words, soon."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from services.gatekeeper.policy import PolicyFaultsError
from services.gatekeeper.testing import check

POLICIES = Path(__file__).parents[3] / "deploy" / "policies"
STARTERS = [path.read_text(encoding="utf-8") for path in sorted(POLICIES.glob("*.yaml"))]
PLACED = re.compile(r"p\.yaml:[1-9]\d*:[1-9]\d* .+")
SECONDS = 20.0
BITS = st.sampled_from([
    "$x", "$a-b", "[]", "{}", "null", "-1", "1e999", ".nan", "0x10", "2026-01-01", "1:30",
    "!!python/none",
    "&a x", "*a", "<<: {a: b}", "? [a]", "'", '"', "|", ">", "#", "%", "@", "\t", "\n", "- ", "  ",
    "\u0000", "\ud7ff", "\ufeff", "\u2028", "é", "true", "~", "allow", "type: cel", "expr: 'x'",
    "params: {a: {type: list, default: [$a]}}", "tests: [{name: x}]", "given: [a.b]",
    "{event: policy.activated}", "after: 9999w", "begins: x", "data: {counts: {failed: 1.5}}",
])  # fmt: skip
KEYS = ["gates", "params", "tests", "id", "stages", "rules", "type", "default", "given", "expect",
        "metadata", "name", "event", "data", "1"]  # fmt: skip


def outcome(text: str) -> list[str]:
    """Return the faults of a text; none where it is a policy that passes its tests."""
    began = time.monotonic()
    try:
        check(text, "p.yaml")
        found = []
    except PolicyFaultsError as error:
        found = error.faults
        assert found
        assert all(PLACED.fullmatch(fault) for fault in found), found
    assert time.monotonic() - began < SECONDS
    return found


@given(st.text(max_size=300))
def test_any_text(text: str) -> None:
    outcome(text)


@given(
    st.sampled_from(STARTERS),
    st.lists(st.tuples(st.integers(0, 6000), st.integers(0, 40), BITS), min_size=1, max_size=6),
)
def test_a_policy_in_which_something_was_changed(
    text: str, edits: list[tuple[int, int, str]]
) -> None:
    for at, length, bit in edits:
        text = text[: at % len(text)] + bit + text[at % len(text) + length :]
    outcome(text)


@given(st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | BITS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(
        st.sampled_from(KEYS), inner, max_size=5),
    max_leaves=30,
))  # fmt: skip
def test_any_shape_of_values_in_the_place_of_params_gates_and_tests(value: object) -> None:
    text = json.dumps(value)
    head = "apiVersion: release-ledger/v1\nkind: ReleasePolicy\n"
    assert outcome(f"{head}params: {text}\ngates: {text}\ntests: {text}\n")


def test_the_starters_are_good() -> None:
    assert [outcome(text) for text in STARTERS] == [[], [], [], [], []]
