"""The generated history: valid, mixed, the same for the same seed, judged again to the byte."""

from __future__ import annotations

import random
from collections import Counter

from bench.history import NAME, decided, generated
from services.gatekeeper.reading import Reader
from services.gatekeeper.replaying import replay


async def test_a_history_has_its_decisions_and_they_differ() -> None:
    history = await generated(random.Random(1), 160)
    verdicts = Counter(event.data["decision"]["decision"] for event in decided(history))
    assert sum(verdicts.values()) == 160
    assert min(verdicts[verdict] for verdict in ("allow", "deny", "pending")) >= 5, verdicts
    assert [event.position for event in history.events] == [*range(1, len(history.events) + 1)]


async def test_the_same_seed_tells_the_same_history() -> None:
    one, other = [await generated(random.Random(2), 16) for _ in range(2)]
    assert one.events == other.events


async def test_its_decisions_are_replayed_to_the_byte() -> None:
    history = await generated(random.Random(3), 40)
    reader = Reader(history, "main", [NAME])
    found = [await replay(reader, event) for event in decided(history)]
    assert [each.difference for each in found if each.outcome != "same"] == []
