"""The bugs to plant can be planted, and only a test that fails kills one."""

from __future__ import annotations

import pytest

from tests.faults.mutants import ROOT, SECONDS, verdict
from tests.faults.mutations import MUTATIONS, Mutation


@pytest.mark.parametrize("mutation", MUTATIONS, ids=[one.name for one in MUTATIONS])
def test_what_a_bug_replaces_stands_in_the_code_exactly_once(mutation: Mutation) -> None:
    assert (ROOT / mutation.file).read_text(encoding="utf-8").count(mutation.old) == 1
    assert mutation.new != mutation.old


@pytest.mark.parametrize(
    ("status", "printed", "said"),
    [
        (0, "3 passed", None),
        (1, "FAILED tests/a.py::test_x[of two] - 1 == 2", "killed by tests/a.py::test_x[of two]"),
        (1, "ERROR tests/a.py::test_x - no room", "NOT PROVEN: pytest ended with 1"),
        (2, "FAILED tests/a.py::test_x", "NOT PROVEN: pytest ended with 2"),
        (-9, "", "NOT PROVEN: pytest ended with -9"),
        (None, "", f"NOT PROVEN: no answer within {SECONDS} s"),
    ],
)
def test_only_a_failed_test_kills(status: int | None, printed: str, said: str | None) -> None:
    found = verdict(status, printed)
    assert found == said if found is None or said is None else found.startswith(said)
