"""Every sentence of docs/promises.md names a test that exists."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "promises.md").read_text(encoding="utf-8")
PROMISES = re.findall(r"^- (.+)$", TEXT, re.MULTILINE)
HELD = re.compile(r"\. `(tests/[\w/.]+\.py)::(test_\w+)`$")


@pytest.mark.parametrize("promise", PROMISES)
def test_a_promise_is_held_by_a_test_that_exists(promise: str) -> None:
    found = HELD.search(promise)
    assert found, "it ends with no test"
    path, name = found.groups()
    assert f"def {name}(" in (ROOT / path).read_text(encoding="utf-8")


def test_each_verb_and_each_property_has_its_promises() -> None:
    headings = re.findall(r"^#+ (\w+)", TEXT, re.MULTILINE)
    wanted = {"Append", "Order", "Durability", "Idempotence", "Isolation", "Failure", "Read"}
    assert wanted <= set(headings)
    assert len(PROMISES) > 40
