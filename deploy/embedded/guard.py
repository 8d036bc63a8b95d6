"""Stands between a run and its server, so that the server ends when the run does, in whatever way.

The guard is a small process in a session of its own: Ctrl-C in the terminal and a kill of the run's
process group do not reach it. It starts the server, records who runs what, and waits. When the run
closes the pipe that is the guard's standard input - or dies, which closes it too - the guard stops
the server in order. It is started as a script, with nothing but the standard library, so that it
is up in a few milliseconds.
"""

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

POLL_SECONDS = 0.1

# (signal name, seconds to wait for it to work), in order; SIGKILL follows by itself.
StopPlan = Sequence[tuple[str, float]]


def started_at(pid: int) -> str | None:
    """Return a mark of when process `pid` started, None if it is gone.

    A reused pid has another mark.
    """
    if not Path("/proc/self/stat").exists():
        return _started_at_by_ps(pid)
    try:
        fields = (
            Path(f"/proc/{pid}/stat")
            .read_text(encoding="utf-8", errors="replace")
            .rpartition(")")[2]
            .split()
        )
    except OSError:
        return None
    return None if fields[0] in "ZX" else fields[19]


def _started_at_by_ps(pid: int) -> str | None:
    # Where there is no /proc (macOS), ps tells the start to the second.
    command = ["ps", "-o", "stat=,lstart=", "-p", str(pid)]
    words = subprocess.run(command, capture_output=True, text=True, check=False).stdout.split()  # noqa: S603
    return None if not words or words[0].startswith("Z") else " ".join(words[1:])


def is_alive(process: tuple[int, str] | None) -> bool:
    """Tell whether this very process, not just its pid, still runs."""
    return process is not None and started_at(process[0]) == process[1]


def end(process: tuple[int, str], plan: StopPlan) -> None:
    """Send the signals of `plan` in order, then SIGKILL, until this very process is gone."""
    for name, seconds in (*plan, ("SIGKILL", 10.0)):
        if not is_alive(process):
            return
        try:
            os.kill(process[0], signal.Signals[name])
        except ProcessLookupError:
            return
        deadline = time.monotonic() + seconds
        while is_alive(process) and time.monotonic() < deadline:
            time.sleep(0.02)


def write_record(path: Path, record: dict[str, tuple[int, str]]) -> None:
    """Replace the record of who runs what, all at once: a reader never sees half of it."""
    draft = path.with_suffix(".draft")
    draft.write_text(json.dumps(record), encoding="utf-8")
    draft.replace(path)


def read_record(path: Path) -> dict[str, tuple[int, str]]:
    """Return the record of who runs what; empty if there is none that can be read."""
    try:
        return {
            who: (int(pid), str(mark))
            for who, (pid, mark) in json.loads(path.read_text("utf-8")).items()
        }
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def identify(pid: int) -> tuple[int, str]:
    """Return the identity of a process; one that is gone gets a mark that no process has."""
    return pid, started_at(pid) or "gone"


def _owner_is_there(owner_pid: int) -> bool:
    # The parent's pid is looked at too: a forked child of the run may hold the pipe open after the
    # run's death.
    readable, _, _ = select.select([0], [], [], POLL_SECONDS)
    return os.getppid() == owner_pid and not (readable and os.read(0, 1) == b"")


def main(record_path: Path, plan: StopPlan, argv: list[str]) -> int:
    """Run `argv` until it ends or the run that started this guard lets go of it."""
    asked: list[int] = []
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(number, lambda received, _frame: asked.append(received))
    owner_pid = os.getppid()
    child = subprocess.Popen(argv, stdin=subprocess.DEVNULL)  # noqa: S603 - the servers' own command lines
    server = identify(child.pid)
    write_record(
        record_path, {**read_record(record_path), "guard": identify(os.getpid()), "server": server}
    )
    while child.poll() is None:
        if asked or not _owner_is_there(owner_pid):
            end(server, plan)
            break
    return child.wait()


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), json.loads(sys.argv[2]), sys.argv[3:]))
