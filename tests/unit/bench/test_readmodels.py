"""The cells of `runner`: what is compared, how many events, and a peer that is not installed."""

from __future__ import annotations

import signal
import sys
from typing import cast

import pytest

from bench import __main__ as bench
from bench import readmodels
from bench.asked import Asked
from bench.cells import MissingPeer
from bench.servers import Databases


def test_every_ratio_compares_cells_that_exist() -> None:
    assert {cell for pair in readmodels.RATIOS.values() for cell in pair} <= set(readmodels.CELLS)


async def test_a_peer_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "eventsourcing.application", None)
    monkeypatch.delitem(sys.modules, "bench.peers.projection", raising=False)
    nothing = cast("Databases", None)  # it is missed before anything is asked
    with pytest.raises(MissingPeer, match=r"eventsourcing is not installed.*make bench"):
        await readmodels._peer(nothing, "", "", 1)


@pytest.mark.parametrize(
    ("arguments", "events"),
    [(["runner"], 50_000), (["rebuild"], 50_000), (["seal"], 500_000),
     (["runner", "--events", "7"], 7)],
)  # fmt: skip
def test_each_benchmark_has_its_own_number_of_events(
    monkeypatch: pytest.MonkeyPatch, arguments: list[str], events: int
) -> None:
    seen: list[int] = []

    async def run(asked: Asked) -> str:
        seen.append(asked.events)
        return "{}"

    monkeypatch.setitem(bench.BENCHES, arguments[0], run)
    monkeypatch.setattr(sys, "argv", ["bench", *arguments])
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    assert bench.main() == 0
    assert seen == [events]
