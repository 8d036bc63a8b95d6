"""The order of cells, the callers of the load, the figures of several processes."""

from __future__ import annotations

import json
import random

import pytest

from bench import workload
from bench.append import CELLS, RATIOS
from bench.asked import Asked
from bench.peers.load import Sender, made
from bench.processes import figures


def asked(*only: str, rounds: int = 3) -> Asked:
    return Asked(1, rounds, random.Random(1), 1, 0, only)


def test_every_ratio_compares_cells_that_exist() -> None:
    assert {cell for pair in RATIOS.values() for cell in pair} <= set(CELLS)


def test_only_the_cells_that_were_asked_for_run(capsys: pytest.CaptureFixture[str]) -> None:
    order = list(asked("raw_1*", "append_1").order(["append_1", "raw_1", "raw_16", "raw2"]))
    assert sorted(set(order)) == ["append_1", "raw_1", "raw_16"]
    assert len(order) == 9
    assert "9/9" in capsys.readouterr().err


def test_a_batch_has_no_expectations_and_a_single_event_has_some() -> None:
    (caller,) = workload.callers(workload.templates(1), _versions(), seed=1, again=0)
    assert not any(call.expect for call in caller.request(100))
    assert any(call.expect for _ in range(100) for call in caller.request(1))


def test_the_lowest_share_is_that_of_the_slower_process() -> None:
    fast = {"events": 300, "took": [0.1], "cpu_us": 9000, "peak_mb": 90, "moved": 1,
            "batches": 10, "stored": 300}  # fmt: skip
    slow = fast | {"events": 100, "cpu_us": 3000, "peak_mb": 80, "batches": 10, "stored": 100}
    assert figures([fast, slow], 2) == {
        "per_s": 200,
        "p50_ms": 100,
        "p99_ms": 100,
        "client_us": 30,
        "peak_mb": 90,
        "lowest_share": 0.25,
        "failed_tries": 0.1,
        "batch_events": 20,
    }


def _versions() -> dict[str, int]:
    return {f"release:pay-0.{n}": 1 for n in range(4)}


def test_a_peer_stores_the_bytes_that_the_ledger_would_store() -> None:
    (events,) = workload.templates(1)
    sender = Sender(events, random.Random(1))
    facts = [sender.next()[0] for _ in range(20)]
    assert len({fact.id for fact in facts}) == 20
    for fact in facts:
        stored = json.loads(fact.body)["event"]
        assert stored["id"] == str(fact.id)
        assert 1000 < len(fact.body) < 1500
        assert fact.release in fact.subjects
        assert len(fact.subjects) == 4


def test_a_ready_peer_has_bytes_that_were_made_beforehand() -> None:
    (events,) = workload.templates(1)
    ready = {event.data["run_id"]: made(event) for event in events}
    sender = Sender(events, random.Random(1), ready)
    fact, expecting = sender.next()
    assert fact.body in {one.body for one in ready.values()}
    assert not expecting  # nothing is known about its release yet
    sender.learn(fact, 7)
    asked_again = [sender.next() for _ in range(200)]
    assert any(expecting for fact, expecting in asked_again if fact.release in sender.places)
    assert not any(e for fact, e in asked_again if fact.release not in sender.places)
