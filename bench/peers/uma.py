"""UmaDB (PyPI `umadb`: server and client): an event store of its own, in one file, over gRPC.

Promises: positions in order, append conditions over tags, an append with a condition may be sent
again; two syncs a commit, commits of several callers grouped. It does not: number the histories of
subjects, answer a duplicate without a condition. Its rate falls with the size of its file, so each
cell starts with a copy of a file that holds `FILLED` events, as many as the ledger holds.
"""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from bench import meters
from bench.cells import Figures, Measure, MissingPeer
from bench.driving import tidy
from bench.peers.load import Fact, Sender, in_threads, senders
from services.kit import clock

FILLED = 2048
_CHUNK = 256
_START_SECONDS = 20
_SERVER = "from umadb.umadb_server_cli import main; main()"


def in_clients(*, ready: bool) -> Measure:
    """Return the cell of 32 threads, each with a client of its own."""
    return lambda bench, seconds: measure(senders(bench, ready=ready), seconds)


async def measure(some: list[Sender], seconds: float) -> Figures:
    """Measure so many threads, each with a client of its own."""
    umadb = _module()
    tidy()
    with tempfile.TemporaryDirectory(prefix="rlg-uma-") as name:
        path = Path(name) / "uma.db"
        async with _server(path) as (url, pid):
            await asyncio.to_thread(_fill, umadb.Client(url), some)
            with ExitStack() as stack:
                clients = {id(one): stack.enter_context(umadb.Client(url)) for one in some}

                def send(sender: Sender, fact: Fact, expecting: bool) -> int:  # noqa: FBT001
                    condition = None
                    if expecting:
                        query = umadb.Query(items=[umadb.QueryItem(tags=[fact.release])])
                        condition = umadb.AppendCondition(query, sender.places[fact.release])
                    return int(clients[id(sender)].append([_event(umadb, fact)], condition))

                sources = [meters.own_cpu, meters.of_process(pid, "server_us")]
                figures = await in_threads(send, some, seconds, sources)
                head = next(iter(clients.values())).head()
    assert head == FILLED + sum(one.sent for one in some), head
    return figures


def _module() -> Any:
    try:
        import umadb  # noqa: PLC0415 - it may be missing
    except ImportError as error:
        raise MissingPeer(f"umadb is not installed ({error}); try `make bench`") from None
    return umadb


def _event(umadb: Any, fact: Fact) -> Any:
    return umadb.Event(fact.type, fact.body, list(fact.subjects), fact.id)


def _fill(client: Any, some: list[Sender]) -> None:
    umadb = _module()
    for start in range(0, FILLED, _CHUNK):
        facts = [some[n % len(some)].next()[0] for n in range(start, start + _CHUNK)]
        client.append([_event(umadb, fact) for fact in facts])


@asynccontextmanager
async def _server(path: Path) -> AsyncIterator[tuple[str, int]]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    command = [sys.executable, "-c", _SERVER, "--listen", address, "--db-path", str(path)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)  # noqa: ASYNC220, S603 - at once
    try:
        await _until_it_answers(f"http://{address}", process)
        yield f"http://{address}", process.pid
    finally:
        process.kill()
        await asyncio.to_thread(process.wait)


async def _until_it_answers(url: str, process: subprocess.Popen[bytes]) -> None:
    umadb, ends = _module(), clock.monotonic() + _START_SECONDS
    while True:
        try:
            await asyncio.to_thread(lambda: umadb.Client(url).head())
        except Exception:
            assert process.poll() is None, "the UmaDB server has ended; see above"
            if clock.monotonic() > ends:
                raise
            await asyncio.sleep(0.1)
        else:
            return


CELLS: dict[str, Measure] = {
    "umadb_32": in_clients(ready=False),
    "umadb_ready_32": in_clients(ready=True),
}
