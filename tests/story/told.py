"""Commands as a document tells them: blocks of shell with lines `# → …` that say what to expect."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping
from pathlib import Path

BLOCK = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PROMISE = re.compile(r"^# → (.+)$", re.MULTILINE)


def blocks(document: str, heading: str = "") -> list[str]:
    """Return the blocks of a Markdown text, or those between one heading and the next."""
    if heading:
        _, _, rest = document.partition(f"\n{heading}\n")
        assert rest, f"there is no {heading}"
        document = re.split(r"^#{2,} ", rest, maxsplit=1, flags=re.MULTILINE)[0]
    return BLOCK.findall(document)


def run(block: str, folder: Path, env: Mapping[str, str] | None = None, seconds: float = 60) -> str:
    """Run a block with bash in a folder; it succeeds, keeps its promises, and says this."""
    ran = subprocess.run(
        ["bash", "-c", f"set -euo pipefail\n{block}"], cwd=folder, env=env, timeout=seconds,
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ran.returncode == 0, f"{block}\n{ran.stdout}\n{ran.stderr}"
    for promised in PROMISE.findall(block):
        assert promised in ran.stdout, f"{block}\n{ran.stdout}\n{ran.stderr}"
    return ran.stdout
