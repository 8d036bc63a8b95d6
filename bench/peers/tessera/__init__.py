"""Tessera (transparency-dev): the log that the field uses, with its POSIX driver, from Go.

Promises: entries bundled, a tree, tiles on disk, a signed checkpoint published. It does not: look
at what an entry says, or know what was recorded elsewhere. It gets our leaves, in batches of ours.
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from pathlib import Path

from bench.cells import Figures, MissingPeer
from services.ledger.sealing.sealer import BATCH

_HOME = Path(__file__).parent
_BUILD_SECONDS = 400


async def build() -> Path:
    """Build the program and return it. Raises `MissingPeer` without Go."""
    go = shutil.which("go")
    if go is None:
        raise MissingPeer("there is no Go on the path")
    target = Path(tempfile.gettempdir()) / "release-ledger-bench" / "tessera"
    target.parent.mkdir(exist_ok=True)
    await _done(go, "build", "-o", str(target), ".", seconds=_BUILD_SECONDS, cwd=_HOME)
    return target


async def seal(program: Path, leaves: list[bytes]) -> Figures:
    """Have so many leaves integrated and published; time begins when all of them are in memory."""
    sent = b"".join(len(leaf).to_bytes(2, "big") + leaf for leaf in leaves)
    with tempfile.TemporaryDirectory() as folder:
        said = await _done(str(program), folder, str(BATCH), seconds=300, given=sent)
    count, seconds = said.split()
    return {"per_s": int(count) / float(seconds), "sealed": float(count)}


async def _done(*command: str, seconds: float, cwd: Path = _HOME, given: bytes = b"") -> str:
    process = await asyncio.create_subprocess_exec(
        *command, cwd=cwd, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, err = await asyncio.wait_for(process.communicate(given), seconds)
    if process.returncode:
        raise MissingPeer(err.decode()[-500:])
    return out.decode()
