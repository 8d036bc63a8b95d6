"""decide: a decision over HTTP, from the question to the recorded answer, beside OPA.

`decide_N` asks a gatekeeper that runs with its ledger, each a process of its own, with N callers:
histories are read over HTTP, judged by twelve rules, and the decision is appended with an
expectation on each history. `opa_N` asks OPA the same of facts that it holds in memory already, and
records nothing. 64 releases of 40 events; no two callers share any. Before each cell every release
is asked about once: both say allow by the same twelve rules, and pending of one more release that
lacks its last approval.
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx2

from bench import meters, story
from bench.asked import Asked
from bench.cells import Figures, MissingPeer
from bench.edge import driven
from bench.load import Task
from bench.meters import Counters
from bench.peers import opa
from bench.product import gatekeeper_alone, ledger_alone
from bench.report import Book, ratio_table
from bench.servers import Databases, databases
from contracts import ijson
from services.gatekeeper.facts import Facts
from services.gatekeeper.policy import load
from services.gatekeeper.reading import Reader
from services.kit import clock, database
from services.kit.identity import Principal
from services.kit.remote import Client, HttpLedger

NAME = "decide"
CALLERS = (1, 32)
CELLS = [f"{whose}_{callers}" for callers in CALLERS for whose in ("decide", "opa")]
RELEASES = [f"pay-{number}.0" for number in range(64)]
WAITING = "pay-64.0"
"""It lacks its last approval."""
_SCOPES = ("event:write", "read", "decision:make", "act-as", "role:write")
_CONFLICT = 'rlg_ledger_append_total{ledger="main",outcome="conflict"} '


@dataclass(frozen=True)
class _Told:
    """What was told beforehand: the head of the template, and the facts for OPA."""

    head: int
    facts: list[Facts]


async def run(asked: Asked) -> str:
    """Measure all cells, print the tables and return the line of JSON."""
    book = Book(NAME, CELLS)
    peer = await _peer(asked)
    with tempfile.TemporaryDirectory(prefix="rlg-bench-") as name:
        folder = Path(name)
        async with databases() as servers:
            told = await _tell(folder, servers.template)
            for cell in asked.order(CELLS):
                whose, _, callers = cell.partition("_")
                if whose == "decide":
                    figures = await _ours(servers, folder, told, int(callers), asked)
                elif peer is not None:
                    figures = await _theirs(peer, folder, told, int(callers), asked)
                else:
                    continue
                book.note(cell, figures)
    ratios = {
        "vs_opa_p50_1": book.ratio("decide_1", "opa_1", "p50_ms"),
        "vs_opa_throughput_32": book.ratio("decide_32", "opa_32", "per_s"),
    }
    print(book.table(), ratio_table(ratios), sep="\n\n")
    return book.line(ratios, book.figures())


async def _peer(asked: Asked) -> Path | None:
    try:
        return await opa.program(asked.opa)
    except MissingPeer as reason:
        print(f"!! OPA is left out, its ratios are null: {reason}", file=sys.stderr, flush=True)
        return None


async def _tell(folder: Path, url: str) -> _Told:
    """Let a ledger record the releases, as the people and machines that speak would."""
    start = clock.now() - timedelta(hours=1)
    async with ledger_alone(folder, url, _SCOPES) as (server, key), _client(server.url, key) as to:
        ledger = HttpLedger(to)
        await _one(ledger, RELEASES[0], list(story.told(RELEASES[0], *story.SIZES[40], start)))
        others = []
        for release in (*RELEASES[1:], WAITING):
            said = [s for s in story.told(release, *story.SIZES[40], start)
                    if s[0] not in story.SHARED]  # fmt: skip
            others.append(_one(ledger, release, said[:-1] if release == WAITING else said))
        await asyncio.gather(*others)
        head = (await ledger.page("main", 0, limit=1)).head
        reader, policy = Reader(ledger, "main", ()), load(story.POLICY)
        read = [await reader.read_for(release, story.GATE, policy, head)
                for release in (*RELEASES, WAITING)]  # fmt: skip
    return _Told(head, [each.facts for each in read])


async def _one(ledger: HttpLedger, release: str, said: Sequence[story.Said]) -> None:
    start = clock.now() - timedelta(hours=1)
    for number, each in enumerate(said):
        event = story.event(each, f"{release}/{number}", start + timedelta(seconds=number))
        person = Principal(each[2], "A3") if each[2].startswith("acme:") else None
        await ledger.append("main", [event], acting_for=person)


@asynccontextmanager
async def _client(url: str, key: str) -> AsyncIterator[Client]:
    client = Client(url, key)
    try:
        yield client
    finally:
        await client.close()


async def _ours(
    servers: Databases, folder: Path, told: _Told, callers: int, asked: Asked
) -> Figures:
    async with (
        servers.copy() as url,
        ledger_alone(folder, url, _SCOPES) as (ledger, key),
        gatekeeper_alone(folder, url, ledger, key) as gatekeeper,
        _client(ledger.url, key) as to,
        _client(gatekeeper.url, key) as client,
    ):
        asks: dict[str, ijson.Json] = {
            release: {"release": release, "gate": story.GATE} for release in (*RELEASES, WAITING)
        }
        for release, ask in asks.items():
            _agree(release, (await client.post("/v1/decisions", ask))["decision"])
        bodies = [json.dumps(asks[release]) for release in RELEASES]
        seed = asked.chance.randrange(2**32)
        task = Task(gatekeeper.port, key, callers, "ask", ["/v1/decisions"], 1, seed, bodies=bodies)
        connection = await database.connection(url, "bench meters")
        sources: list[Counters] = [
            meters.of_process(gatekeeper.pid, "engine_us"),
            meters.of_process(ledger.pid, "ledger_us"),
            meters.of_postgres(connection, servers.pid),
        ]
        before = await _conflicts(to)
        try:
            figures, sent = await driven(task, asked.seconds, sources)
        finally:
            connection.terminate()
        head = (await HttpLedger(to).page("main", 0, limit=1)).head
        assert head == told.head + 1 + len(asks) + sent, (head, sent)  # 1: the policy
        figures["conflicts"] = (await _conflicts(to) - before) / sent
        figures["peak_mb"] = meters.peak_mb(gatekeeper.pid)
    return figures


async def _conflicts(ledger: Client) -> float:
    """Return how many events the ledger has refused since something had moved: tries to record."""
    rows = (await ledger.text("/metrics")).splitlines()
    return sum(float(row.removeprefix(_CONFLICT)) for row in rows if row.startswith(_CONFLICT))


async def _theirs(peer: Path, folder: Path, told: _Told, callers: int, asked: Asked) -> Figures:
    async with opa.serving(peer, folder, opa.data(told.facts)) as (port, pid):
        asks = {release: {"input": {"release": release, "gate": story.GATE}}
                for release in (*RELEASES, WAITING)}  # fmt: skip
        async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}") as http:
            for release, ask in asks.items():
                answer = (await http.post(opa.QUESTION, json=ask)).json()["result"]
                named = [each | {"rule": rule} for rule, each in answer["rules"].items()]
                _agree(release, answer | {"rules": named})
        bodies = [json.dumps(asks[release]) for release in RELEASES]
        seed = asked.chance.randrange(2**32)
        task = Task(port, "none", callers, "ask", [opa.QUESTION], 1, seed, bodies=bodies)
        figures, _ = await driven(task, asked.seconds, [meters.of_process(pid, "engine_us")])
        figures["peak_mb"] = meters.peak_mb(pid)
    return figures


def _agree(release: str, decision: Mapping[str, Any]) -> None:
    """Check the answer, rule by rule: a fast answer that is wrong is no answer."""
    statuses = {rule["rule"]: rule["status"] for rule in decision["rules"]}
    expected = dict.fromkeys(_RULES, "pass")
    if release == WAITING:
        expected["manager"] = "pending"
    verdict = "pending" if release == WAITING else "allow"
    assert (decision["decision"], statuses) == (verdict, expected), (release, decision)


_RULES = [rule.id for gate in load(story.POLICY).document.gates for _, rule in gate.rules()]
