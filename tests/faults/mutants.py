"""Plants bugs, one at a time, in a copy of the tree, and sees whether the tests notice.

    python -m tests.faults.mutants [PART OF A NAME …]

Prints a line for each: killed, and by which test, or SURVIVED; exit status 1 when one has survived
or a bug can no longer be planted because the text has changed.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.faults.mutations import MUTATIONS, Mutation

ROOT = Path(__file__).parents[2]
LEFT_OUT = shutil.ignore_patterns(".*", "__pycache__", "docs", "node_modules")
SUITES = (
    ("tests/unit/ledger/test_decision.py", "tests/unit/ledger/test_overlay.py"),
    ("tests/integration/ledger/test_append.py", "tests/faults/test_found.py",
     "tests/faults/test_clock.py", "tests/integration/ledger/test_lost.py",
     "tests/faults/test_schedules.py"),
)  # fmt: skip
"""The quick ones first: only who survives them meets the others."""
OPTIONS = ("-x", "-q", "--timeout=60", "-p", "no:cacheprovider", "-p", "tests.faults.brief")
SECONDS = 600


def plant(tree: Path, mutation: Mutation) -> bool:
    """Change the file; False when the text is not there exactly once."""
    path = tree / mutation.file
    text = path.read_text()
    if text.count(mutation.old) != 1:
        return False
    path.write_text(text.replace(mutation.old, mutation.new))
    return True


def killer(tree: Path, suites: Sequence[Sequence[str]]) -> str | None:
    """Return the test that fails first, or None."""
    env = os.environ | {"FAULT_SCHEDULES": os.environ.get("FAULT_SCHEDULES", "60")}
    for suite in suites:
        command = [sys.executable, "-m", "pytest", *OPTIONS, *suite]
        try:
            done = subprocess.run(
                command, cwd=tree, env=env, capture_output=True, text=True, timeout=SECONDS,
                check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            return f"no answer within {SECONDS} s"
        if done.returncode:
            lines = done.stdout.splitlines()
            failed = [line for line in lines if line.startswith(("FAILED tests", "ERROR tests"))]
            return failed[0].split()[1] if failed else f"pytest ended with {done.returncode}"
    return None


def examine(mutation: Mutation) -> str:
    """Return what became of the bug."""
    with tempfile.TemporaryDirectory(prefix="rlg-mutant-") as place:
        tree = Path(place) / "tree"
        shutil.copytree(ROOT, tree, ignore=LEFT_OUT)
        if not plant(tree, mutation):
            return "NOT PLANTED: the text has changed"
        by = killer(tree, SUITES)
    if by is None:
        return "SURVIVED"
    if by.startswith("tests/") and any(killer(ROOT, ((by,),)) for _ in range(3)):
        return f"NOT PROVEN: {by} fails without the bug, too"
    return f"killed by {by}"


def main(words: list[str]) -> int:
    chosen = [m for m in MUTATIONS if not words or any(word in m.name for word in words)]
    failed = 0
    for mutation in chosen:
        fate = examine(mutation)
        failed += not fate.startswith("killed")
        print(f"{mutation.name:<62} {fate}", flush=True)  # noqa: T201
    print(f"{len(chosen) - failed} of {len(chosen)} killed")  # noqa: T201
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
