"""kill −9 of the whole product while the demo loads: nothing acknowledged is lost or doubled."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from contracts.event import OURS
from tests.story.served import Shape, all_in_one
from tests.story.teller import KEY, Teller, until

pytestmark = [pytest.mark.slow, pytest.mark.kafka, pytest.mark.timeout(400)]
LEDGER = "/ledger/v1/ledgers/main"


class Client:
    """Appends events one after the other and keeps the receipts that it was given."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.receipts: dict[str, dict[str, Any]] = {}
        self._halt = threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def _work(self) -> None:
        with httpx2.Client(base_url=self.url, timeout=10) as http:
            while not self._halt.is_set():
                event = {
                    "specversion": "1.0", "id": str(uuid.uuid4()), "source": "/witness",
                    "type": "com.example.tick", "subject": "service:witness",
                }  # fmt: skip
                with contextlib.suppress(httpx2.HTTPError):
                    answer = http.post(f"{LEDGER}/events", json=event, headers=KEY)
                    if answer.status_code == 201:
                        self.receipts[str(event["id"])] = answer.json()["receipt"]

    def stop(self) -> None:
        self._halt.set()
        self._thread.join(15)


def servers_of(data: Path) -> list[int]:
    """The guards and the servers under them, by the notes that the product keeps of them."""
    found = [json.loads(note.read_text()) for note in data.glob("*/run.json")]
    return [int(part[0]) for note in found for part in note.values() if isinstance(part, list)]


def kill_all(shape: Shape, data: Path) -> None:
    """kill −9 the group and, unlike a terminal, also the servers and those who guard them."""
    servers = servers_of(data)
    assert len(servers) >= 2, servers  # at least a server and its guard
    shape.processes[0].signal(signal.SIGKILL)
    for pid in servers:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    shape.processes[0].started.wait(10)


def everything(url: str) -> Iterator[dict[str, Any]]:
    """Read the whole ledger, page by page."""
    after = 0
    with httpx2.Client(base_url=url, timeout=30, headers=KEY) as http:
        while True:
            page = http.get(f"{LEDGER}/events", params={"after": after, "limit": 1000}).json()
            yield from page["events"]
            after = page["scanned_to"]
            if after >= page["head"]:
                return


def head(url: str) -> int:
    params = {"after": 0, "limit": 1}
    return int(httpx2.get(f"{url}{LEDGER}/events", params=params, headers=KEY).json()["head"])


def test_nothing_is_lost_and_nothing_is_twice_after_kill_9_of_everything(
    work_dir: Path, kafka: str
) -> None:
    data = work_dir / "killed"
    shape = all_in_one("killed", data, RLG_DEMO="1")
    client = Client(shape.console)
    acknowledged: dict[str, dict[str, Any]] = {}
    try:
        for reached in (250, 900):
            until(lambda: head(shape.console) > reached, f"position {reached}", seconds=120)  # noqa: B023
            kill_all(shape, data)
            client.stop()
            acknowledged |= client.receipts
            shape = all_in_one("killed", data, RLG_DEMO="1")
            client = Client(shape.console)
        finished = f"{shape.console}{LEDGER}/subjects/event%3Ademo/history"
        until(
            lambda: "demo.finished" in httpx2.get(finished, headers=KEY, timeout=30).text,
            "the rest of the demo",
            seconds=200,
        )
        client.stop()
        acknowledged |= client.receipts
        examine(Teller(shape), shape.console, acknowledged)
    finally:
        client.stop()
        shape.stop()


def examine(tell: Teller, url: str, acknowledged: dict[str, dict[str, Any]]) -> None:
    events = list(everything(url))
    assert [event["position"] for event in events] == list(range(1, len(events) + 1))
    ids = [(event["event"]["source"], event["event"]["id"]) for event in events]
    assert len(set(ids)) == len(ids), "an event stands twice"
    stored = {event["event"]["id"]: event for event in events}
    for event_id, receipt in acknowledged.items():
        assert stored[event_id]["position"] == receipt["position"], "an acknowledged event is lost"
        assert stored[event_id]["commitment"] == receipt["commitment"]
    assert len(acknowledged) > 100
    projections_are_whole(tell, events)


def projections_are_whole(tell: Teller, events: list[dict[str, Any]]) -> None:
    """Every release is there, and its timeline has every event that names it, once."""
    last = events[-1]["position"]
    planned = [
        event["event"]["data"]["release_id"]
        for event in events
        if event["event"]["type"] == OURS + "release.planned.v1"
    ]
    assert len(planned) == len(set(planned)) > 30
    listed = tell.read("/v1/releases", limit=200, min_position=last)["releases"]
    assert {row["release_id"] for row in listed} >= set(planned)
    for release in planned:
        named = [e["position"] for e in events if f"release:{release}" in e["versions"]]
        timeline = [e["position"] for e in tell.read(f"/v1/releases/{release}")["timeline"]]
        assert len(timeline) == len(set(timeline))
        assert set(named) <= set(timeline)
