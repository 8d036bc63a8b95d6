"""Every command of the README is run, against the whole product, and gives what the README says."""

import re
from pathlib import Path

import pytest

from tests.story.told import PROMISE, blocks, run

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
ADDRESS = "http://127.0.0.1:8080"
"""Where the README says that everything answers; a test has a port of its own."""
MAKE = re.compile(r"(?:\w+=\S+ )*make(?: (\S+))?")
GIT = re.compile(r"git clone \S+.*")

BLOCKS = blocks(README)
TOLD = [b for b in BLOCKS if all(MAKE.fullmatch(n) or GIT.fullmatch(n) for n in b.splitlines())]
"""Blocks that would start the product or its tests: looked at, not run."""
RUN = [block for block in BLOCKS if block not in TOLD]


def test_the_two_commands_are_targets_of_the_makefile() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    found = [MAKE.fullmatch(line) for block in TOLD for line in block.splitlines()]
    targets = [match[1] for match in found if match]
    assert {"run", "test"} <= set(targets)
    for target in targets:
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


def test_what_is_run_promises_something() -> None:
    assert len(RUN) >= 5
    for block in RUN:
        assert PROMISE.search(block), block


@pytest.mark.kafka
def test_five_minutes_of_use_go_as_they_are_told(served: str, tmp_path: Path) -> None:
    for block in RUN:
        run(block.replace(ADDRESS, served.rstrip("/")), tmp_path)
