"""A server of the product, or beside it, in a process of its own that ends when we do."""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx2

from deploy.embedded import guard
from services.kit import clock
from services.kit.settings import PREFIXES, environment

ROOT = Path(__file__).resolve().parents[1]
START_SECONDS = 120
_STOP_PLAN = (("SIGINT", 30.0),)
_SERVERS = ("DATABASE_URL", "KAFKA_BOOTSTRAP_SERVERS")
_WORKS = 500


@dataclass(frozen=True)
class Running:
    """A server that answers on loopback."""

    port: int
    log: Path
    _guard: subprocess.Popen[bytes]
    _record: Path

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        """The server's own."""
        return guard.read_record(self._record)["server"][0]

    async def until(self, ready: Callable[[], Awaitable[bool]]) -> None:
        """Wait until it is ready. An AssertionError with its log when it ends before."""
        ends = clock.monotonic() + START_SECONDS
        while not await ready():
            assert self._guard.poll() is None, self._told("ended at start")
            assert clock.monotonic() < ends, self._told("is not ready")
            await asyncio.sleep(0.1)

    async def answers(self) -> bool:
        """Say whether it answers HTTP."""
        try:
            async with httpx2.AsyncClient(timeout=5) as http:
                return (await http.get(f"{self.url}/livez")).status_code < _WORKS
        except httpx2.TransportError:
            return False

    def _told(self, fate: str) -> str:
        text = self.log.read_text(encoding="utf-8", errors="replace")
        return f"the server on port {self.port} {fate}:\n{text}"


@asynccontextmanager
async def running(
    words: Sequence[str], folder: Path, told: Mapping[str, str]
) -> AsyncIterator[Running]:
    """Run `python -m WORDS` with only `told` of our settings, for the time of the block.

    `{port}` in a word or a setting stands for the port that it gets.
    """
    port = _free_port()
    name = "-".join((*words[:2], str(port)))
    kept = {n: v for n, v in environment().items() if not n.startswith((*PREFIXES, *_SERVERS))}
    env = kept | {key: value.format(port=port) for key, value in told.items()}
    command = [sys.executable, "-m", *(word.format(port=port) for word in words)]
    log, record = folder / f"{name}.log", folder / f"{name}.json"
    process = await asyncio.to_thread(_start, command, env, log, record)
    try:
        yield Running(port, log, process, record)
    finally:
        await asyncio.to_thread(_stop, process)


def _start(
    command: list[str], env: Mapping[str, str], log: Path, record: Path
) -> subprocess.Popen[bytes]:
    """Start it under the guard of the embedded servers: it ends when we do, in whatever way."""
    script = [sys.executable, "-I", "-S", guard.__file__, str(record), json.dumps(_STOP_PLAN)]
    with log.open("wb") as out:
        return subprocess.Popen(  # noqa: S603 - our own command line
            [*script, *command],
            env=env,
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=out,
            stderr=out,
            start_new_session=True,
        )


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Let go of the guard, which ends the server as Ctrl-C does, and for certain."""
    assert process.stdin is not None
    process.stdin.close()
    process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
