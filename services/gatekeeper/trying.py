"""Trying: run an expression that nobody has approved where it can take nothing down.

A child process of its own, which bounds its own processor time and memory before it looks at the
text. It costs about 0.2 s; use it for drafts, never for gates. Blocks: call it from a thread.
"""

from __future__ import annotations

import json
import math
import pickle
import resource
import subprocess
import sys
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from services.gatekeeper.cel import CelError, Program, Seen, compile, evaluate  # noqa: A004

_ROOT = Path(__file__).parents[2]
_START = 10.0
"""Seconds for the child to come up on a busy machine, beyond those that it may compute."""


def try_out(
    program: Program,
    facts: Seen,
    as_of: datetime,
    seconds: float = 1.0,
    memory: int = 512 * 1024 * 1024,
) -> bool | CelError:
    """Answer as `evaluate` does, within `seconds` of processor time and `memory` bytes of address
    space, of which Python and the engine themselves take about 50 MiB.
    """
    # A copy, without the message that the facts may have made and nobody can pickle.
    question = pickle.dumps((program.text, program.scope, replace(facts), as_of))
    command = [sys.executable, "-m", __name__, str(math.ceil(seconds)), str(memory)]
    try:
        child = subprocess.run(  # noqa: S603 – our own interpreter and module
            command,
            cwd=_ROOT,
            env={},
            input=question,
            capture_output=True,
            timeout=seconds + _START,
            check=True,
        )
    except subprocess.SubprocessError:
        return CelError(f"gave no answer within {seconds:g} s and {memory >> 20} MiB")
    answer = json.loads(child.stdout)
    return answer if isinstance(answer, bool) else CelError(answer)


def _child(seconds: int, memory: int) -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    with suppress(ValueError):  # macOS refuses this one; there the time is the only bound
        resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    text, scope, facts, as_of = pickle.load(sys.stdin.buffer)  # noqa: S301 – our parent wrote it
    answer = evaluate(compile(text, scope), facts, as_of)
    sys.stdout.write(json.dumps(answer if isinstance(answer, bool) else answer.text))


if __name__ == "__main__":
    _child(int(sys.argv[1]), int(sys.argv[2]))
