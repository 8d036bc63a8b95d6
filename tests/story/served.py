"""The product as its users meet it: started by its commands, spoken to over HTTP.

`Shape` starts one or several processes and knows where each service answers; `stop` and `kill`
end exactly what it started.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import httpx2

ROOT = Path(__file__).resolve().parents[2]
START_SECONDS = 120
OURS = ("RLG_", "LEDGER_", "PROJECTOR_", "GATEKEEPER_", "DATABASE_URL", "KAFKA_BOOTSTRAP_SERVERS")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def environment(**more: str) -> dict[str, str]:
    """The caller's environment without our own settings, plus `more`.

    Data are those of the test (tests/conftest.py), and never those of the folder that we stand in.
    """
    kept = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
    data = os.environ.get("RLG_DATA") or str(Path(tempfile.gettempdir()) / f"rlg-{uuid.uuid4()}")
    ours = {"RLG_DEV": "1", "RLG_DEMO": "0", "RLG_DATA": data, "PYTHONUNBUFFERED": "1"}
    return kept | ours | more


@dataclass
class Process:
    """One of our commands, running in a process group of its own."""

    command: str
    port: int
    env: Mapping[str, str]
    log: Path
    started: subprocess.Popen[bytes] = field(init=False)

    def __post_init__(self) -> None:
        self.start()

    def start(self) -> None:
        with self.log.open("ab") as out:
            self.started = subprocess.Popen(
                [sys.executable, "-m", "services", self.command],
                env=dict(self.env) | {"RLG_PORT": str(self.port)},
                cwd=ROOT,
                stdout=out,
                stderr=out,
                start_new_session=True,
            )

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def wait_until_ready(self, path: str = "/readyz") -> None:
        ends = time.monotonic() + START_SECONDS
        while time.monotonic() < ends:
            if self.started.poll() is not None:
                raise AssertionError(f"{self.command} ended at start:\n{self.log.read_text()}")
            with contextlib.suppress(httpx2.HTTPError):
                if httpx2.get(self.url + path, timeout=5).status_code == 200:
                    return
            time.sleep(0.1)
        raise AssertionError(f"{self.command} is not ready:\n{self.log.read_text()[-4000:]}")

    def signal(self, number: signal.Signals) -> None:
        """Signal the whole group, as a terminal does."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.started.pid, number)

    def stop(self) -> int:
        self.signal(signal.SIGINT)
        try:
            return self.started.wait(30)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"{self.command} did not stop:\n{self.log.read_text()}") from None

    def kill(self) -> None:
        self.signal(signal.SIGKILL)
        self.started.wait(10)


@dataclass
class Shape:
    """Where each service answers."""

    name: str
    ledger: str
    gatekeeper: str
    projector: str
    console: str
    processes: list[Process]

    def stop(self) -> None:
        for process in reversed(self.processes):
            process.stop()


def all_in_one(name: str, data: Path, **env: str) -> Shape:
    """Start `python -m services all`, as `make run` does."""
    process = Process(
        "all", free_port(), environment(RLG_DATA=str(data), **env), data.with_suffix(".log")
    )
    process.wait_until_ready()
    url = process.url
    return Shape(name, f"{url}/ledger", f"{url}/gatekeeper", f"{url}/projector", url, [process])


def apart(name: str, folder: Path, database_url: str, kafka: str, **more: str) -> Shape:
    """Start three processes, as in production, against given servers."""
    ports = {part: free_port() for part in ("ledger", "gatekeeper", "projector")}
    env = (
        environment(
            DATABASE_URL=database_url,
            RLG_DATA=str(folder / "data"),
            KAFKA_BOOTSTRAP_SERVERS=kafka,
            RLG_SERVICE_KEY="demo-key",
            RLG_LEDGER_URL=f"http://127.0.0.1:{ports['ledger']}",
            RLG_GATEKEEPER_URL=f"http://127.0.0.1:{ports['gatekeeper']}",
        )
        | more
    )
    processes = [Process(part, port, env, folder / f"{part}.log") for part, port in ports.items()]
    try:
        for process in processes:
            process.wait_until_ready()
    except BaseException:
        for process in processes:
            process.stop()
        raise
    ledger, gatekeeper, projector = (process.url for process in processes)
    return Shape(name, ledger, gatekeeper, projector, projector, processes)
