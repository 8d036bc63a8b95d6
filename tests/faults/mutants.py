"""Plants bugs, one at a time, in a copy of the tree, and sees whether the tests notice.

    python -m tests.faults.mutants [PART OF A NAME …]

Prints a line for each: killed, and by which test; SURVIVED; or NOT PROVEN and why. Only a test that
fails with the bug and passes without it is a kill: an error of the machine, a run that hangs or a
test that cannot be set up proves nothing. Exit status 1 when one is not killed, or a bug can no
longer be planted because the text has changed.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.faults.mutations import MUTATIONS, Mutation

ROOT = Path(__file__).parents[2]
LEFT_OUT = shutil.ignore_patterns(".*", "__pycache__", "docs", "node_modules")
UNCONFIRMED = (
    "tests/faults/test_failover.py"
    "::test_without_its_standby_a_ledger_acknowledges_nothing_and_then_everything_once"
)
SUITES = (
    ("tests/unit/ledger/test_decision.py", "tests/unit/ledger/test_overlay.py",
     "tests/unit/ledger/test_backlog.py"),
    ("tests/integration/ledger/test_append.py", "tests/integration/ledger/test_pipeline.py",
     "tests/faults/test_found.py", "tests/faults/test_clock.py",
     "tests/integration/ledger/test_lost.py", "tests/faults/test_schedules.py"),
    (UNCONFIRMED,),
)  # fmt: skip
"""The quick ones first: only who survives them meets the others."""
OPTIONS = ("-x", "-q", "--timeout=60", "-p", "no:cacheprovider", "-p", "tests.faults.brief")
SECONDS = 600
KILLED = "killed by "


def plant(tree: Path, mutation: Mutation) -> bool:
    """Change the file; False when the text is not there exactly once."""
    path = tree / mutation.file
    text = path.read_text()
    if text.count(mutation.old) != 1:
        return False
    path.write_text(text.replace(mutation.old, mutation.new))
    return True


def played(tree: Path, tests: Sequence[str]) -> tuple[int | None, str]:
    """Run tests in a tree; return pytest's exit status (None: it hung) and what it printed."""
    env = os.environ | {"FAULT_SCHEDULES": os.environ.get("FAULT_SCHEDULES", "60")}
    command = [sys.executable, "-m", "pytest", *OPTIONS, *tests]
    try:
        done = subprocess.run(
            command, cwd=tree, env=env, capture_output=True, text=True, timeout=SECONDS,
            check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return None, ""
    return done.returncode, done.stdout


def verdict(status: int | None, printed: str) -> str | None:
    """Return what a run says of the bug in its tree; None: all tests passed."""
    if status == pytest.ExitCode.OK:
        return None
    named = [line for line in printed.splitlines() if line.startswith("FAILED tests/")]
    if status == pytest.ExitCode.TESTS_FAILED and named:
        return KILLED + named[0].removeprefix("FAILED ").partition(" - ")[0]
    return "NOT PROVEN: " + (
        f"no answer within {SECONDS} s"
        if status is None
        else f"pytest ended with {status}, which names no failed test"
    )


def examine(mutation: Mutation) -> str:
    """Return what became of the bug."""
    with tempfile.TemporaryDirectory(prefix="rlg-mutant-") as place:
        tree = Path(place) / "tree"
        shutil.copytree(ROOT, tree, ignore=LEFT_OUT)
        if not plant(tree, mutation):
            return "NOT PLANTED: the text has changed"
        verdicts = (verdict(*played(tree, suite)) for suite in SUITES)
        fate = next((one for one in verdicts if one is not None), "SURVIVED")
    by = fate.removeprefix(KILLED)
    if fate.startswith(KILLED) and any(played(ROOT, (by,))[0] != 0 for _ in range(3)):
        return f"NOT PROVEN: {by} fails without the bug, too"
    return fate


def main(words: list[str]) -> int:
    chosen = [m for m in MUTATIONS if not words or any(word in m.name for word in words)]
    failed = 0
    for mutation in chosen:
        fate = examine(mutation)
        failed += not fate.startswith(KILLED)
        print(f"{mutation.name:<62} {fate}", flush=True)  # noqa: T201
    print(f"{len(chosen) - failed} of {len(chosen)} killed")  # noqa: T201
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
