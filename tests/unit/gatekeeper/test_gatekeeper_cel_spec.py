"""The engine keeps the language's own conformance suite: run again whenever its pin moves."""

from pathlib import Path

import pytest

from tests.unit.gatekeeper import celspec

COUNTED = {
    "basic": (43, 0),
    "comparisons": (406, 44),
    "integer_math": (64, 0),
    "lists": (39, 0),
    "logic": (30, 0),
    "macros": (44, 0),
    "string": (51, 0),
    "timestamps": (78, 0),
}
"""File → cases in it, and how many of them need messages that we do not have."""


@pytest.mark.parametrize("name", COUNTED)
def test_the_engine_gives_what_the_language_prescribes(vectors: Path, name: str) -> None:
    cases = celspec.cases(vectors / "cel-spec" / f"{name}.textproto")
    asked = [case for case in cases if not celspec.foreign(case)]
    missed = [case.name for case in asked if not celspec.holds(case)]
    assert missed == []
    assert (len(cases), len(cases) - len(asked)) == COUNTED[name]


def test_every_file_of_the_suite_that_is_there_is_asked(vectors: Path) -> None:
    assert {file.stem for file in (vectors / "cel-spec").iterdir()} == set(COUNTED)


def test_the_harness_sees_a_wrong_value_and_a_missing_error(vectors: Path) -> None:
    cases = {case.name: case for case in celspec.cases(vectors / "cel-spec" / "basic.textproto")}
    wrong, fine = cases["self_eval_int_zero"], cases["unbound"]
    assert celspec.holds(wrong)
    wrong.value.int64_value = 1
    assert not celspec.holds(wrong)
    wrong.value.uint64_value = 0
    wrong.value.ClearField("int64_value")
    assert not celspec.holds(wrong)
    assert celspec.holds(fine)
    fine.expr = "1"
    assert not celspec.holds(fine)
