"""OPA (from Go): the policy engine that the field asks, over HTTP, with our policy in Rego.

It gets facts that our own fold has made, preloaded and indexed by what its rules look up, and the
store that is optimised for reading. Promises: an answer to what it was told. It does not: read
history, bind an answer to what it has read, record it.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import socket
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import httpx2

from bench.cells import MissingPeer
from services.gatekeeper.facts import Facts
from services.gatekeeper.people import login
from services.gatekeeper.rules import words
from services.kit import clock
from services.kit.settings import environment

VERSION = "v1.22.2"
QUESTION = "/v1/data/gate/decision"
_POLICY = Path(__file__).parent / "gate.rego"
_BUILD_SECONDS, _START_SECONDS, _OK = 400, 20, 200
_EXCLUDED = ("requester", "author", "committer", "co_author")


async def program(given: Path | None) -> Path:
    """Return OPA: the one that is given, or built by Go once. Raises `MissingPeer` without both."""
    if given is not None:
        return given
    folder = Path(tempfile.gettempdir()) / "release-ledger-bench" / f"opa-{VERSION}"
    target = folder / "opa"
    if not target.is_file():
        go = shutil.which("go")
        if go is None:
            raise MissingPeer("there is no Go on the path to build it, and no --opa")
        await _build(go, folder)
    return target


async def _build(go: str, folder: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        go, "install", f"github.com/open-policy-agent/opa@{VERSION}",
        env={**environment(), "GOBIN": str(folder)}, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        _, said = await asyncio.wait_for(process.communicate(), _BUILD_SECONDS)
    except TimeoutError:
        process.kill()
        raise MissingPeer(f"Go has not built it in {_BUILD_SECONDS} s") from None
    if process.returncode:
        raise MissingPeer(said.decode()[-500:])


@asynccontextmanager
async def serving(
    opa: Path, folder: Path, data: Mapping[str, Any]
) -> AsyncIterator[tuple[int, int]]:
    """Run OPA on our policy and on data for the time of the block; yield its port and pid."""
    path = folder / "data.json"
    path.write_text(json.dumps(data), encoding="utf-8")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    process = subprocess.Popen(  # noqa: ASYNC220, S603 - at once, what was given or built
        [opa, "run", "--server", "--addr", f"127.0.0.1:{port}", "--log-level", "error",
         "--skip-version-check", "--optimize-store-for-read-speed", _POLICY, path],
    )  # fmt: skip
    try:
        await _until_it_answers(port, process)
        yield port, process.pid
    finally:
        process.kill()
        await asyncio.to_thread(process.wait)


async def _until_it_answers(port: int, process: subprocess.Popen[bytes]) -> None:
    ends = clock.monotonic() + _START_SECONDS
    async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=5) as http:
        while True:
            try:
                if (await http.get("/health")).status_code == _OK:
                    return
            except httpx2.TransportError:
                assert process.poll() is None, "OPA has ended; see above"
            assert clock.monotonic() < ends, "OPA does not answer"
            await asyncio.sleep(0.05)


def data(some: Iterable[Facts]) -> dict[str, Any]:
    """Return the facts of several releases as the policy looks them up. Pure."""
    told: dict[str, Any] = {"releases": {}, "roles": {}, "calendars": {}}
    for facts in some:
        told["releases"][facts.release] = _release(facts)
        for held in facts.holdings:
            kept = {"position": held.stamp.position}
            kept |= {"until": _ns(held.until)} if held.until else {}
            told["roles"].setdefault(held.role, {})[held.principal] = kept
        for freeze in facts.freezes.values():
            start, end = (
                _ns(moment.replace(tzinfo=ZoneInfo(freeze.zone)))
                for moment in (freeze.start, freeze.end)
            )
            row = {"position": freeze.position, "allows": freeze.allows, "start": start, "end": end}
            told["calendars"].setdefault(facts.calendars[freeze.id], {})[freeze.id] = row
    return told


def _release(facts: Facts) -> dict[str, Any]:
    assert facts.candidate is not None
    candidate, evidence = facts.candidate, dict[str, Any]()
    place = facts.gate.partition(":")[2]
    for one in facts.evidence:
        about = words.repo(one.about) if one.kind == "pipeline" else one.about
        series = evidence.setdefault(one.kind, {}).setdefault(about, {}).setdefault(one.series, [])
        series.append({"series": one.series, "outcome": one.outcome, "metrics": dict(one.metrics),
                       "position": one.stamp.position})  # fmt: skip
    votes = dict[str, Any]()
    for vote in facts.approvals:
        row = {"person": vote.principal, "login": login(vote.principal), "approved": vote.approved,
               "digest": vote.digest, "at": _ns(vote.stamp.at),
               "position": vote.stamp.position}  # fmt: skip
        votes.setdefault(vote.gate, {}).setdefault(vote.principal, []).append(row)
    return {
        "type": facts.release_type,
        "candidate": {"digest": candidate.digest, "artifacts": candidate.artifacts},
        "repos": words.unique(map(words.repo, facts.changes())),
        "window": [_ns(moment) for moment in facts.window(place) or ()],
        "scope_changes": [
            {"at": _ns(one.stamp.at), "position": one.stamp.position} for one in facts.scope_changes
        ],
        "vetoes": [
            {"person": veto.principal, "position": veto.stamp.position}
            for veto in facts.vetoes.values()
        ],
        "tied": sorted({login(tie.who) for tie in facts.ties if tie.kind in _EXCLUDED}),
        "evidence": evidence,
        "votes": votes,
    }


def _ns(moment: datetime) -> int:
    return int(moment.timestamp()) * 1_000_000_000
