"""Every sentence of docs/promises.md names a test that exists and is run."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "promises.md").read_text(encoding="utf-8")
PROMISES = re.findall(r"^- (.+)$", TEXT, re.MULTILINE)
TEST = (ast.FunctionDef, ast.AsyncFunctionDef)
NEVER_RUN = re.compile(r"pytest\.mark\.(skip\b|xfail\b|skipif\((True|1)\b)|unittest\.skip\b")
HELD = re.compile(r"\. `(tests/[\w/.]+\.py)::(test_\w+)`$")


@pytest.mark.parametrize("promise", PROMISES)
def test_a_promise_is_held_by_a_test_that_is_run(promise: str) -> None:
    found = HELD.search(promise)
    assert found, "it ends with no test"
    path, name = found.groups()
    module = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    tests = [one for one in module.body if isinstance(one, TEST) and one.name == name]
    assert len(tests) == 1, "there is no such test"
    marks = [ast.unparse(mark) for mark in tests[0].decorator_list]
    assert not any(NEVER_RUN.match(mark) for mark in [*marks, *_marks_of_all(module)])


def _marks_of_all(module: ast.Module) -> list[str]:
    """Return the marks that `pytestmark` gives to every test of a file."""
    found: list[str] = []
    for one in module.body:
        if isinstance(one, ast.Assign) and ast.unparse(one.targets[0]) == "pytestmark":
            several = one.value.elts if isinstance(one.value, ast.List) else [one.value]
            found += map(ast.unparse, several)
    return found


@pytest.mark.parametrize(
    ("mark", "never"),
    [
        ("pytest.mark.skip", True),
        ("pytest.mark.skip(reason='later')", True),
        ("pytest.mark.xfail(strict=True)", True),
        ("pytest.mark.skipif(True, reason='later')", True),
        ("pytest.mark.skipif(not tmpfs, reason='no quota here')", False),
        ("pytest.mark.slow", False),
    ],
)
def test_a_test_that_is_never_run_holds_nothing(mark: str, *, never: bool) -> None:
    assert bool(NEVER_RUN.match(mark)) is never


def test_each_verb_and_each_property_has_its_promises() -> None:
    headings = re.findall(r"^#+ (\w+)", TEXT, re.MULTILINE)
    wanted = {"Append", "Order", "Durability", "Idempotence", "Isolation", "Failure", "Read"}
    assert wanted <= set(headings)
    assert len(PROMISES) > 40
