"""Generated decisions are replayed to the byte in other processes, zones and locales."""

from __future__ import annotations

import json
import random

import pytest

from bench import replay
from bench.asked import Asked
from bench.history import decided, generated


async def test_decisions_are_the_same_in_other_processes_zones_and_locales() -> None:
    said = json.loads(await replay.run(Asked(1, 1, random.Random(7), 80, 1)))
    assert [each["same"] for each in said["elsewhere"]] == [said["figures"]["decisions"]] * 2
    assert {each["zone"] for each in said["elsewhere"]} == {"Pacific/Chatham", "America/St_Johns"}


async def test_a_decision_that_says_something_else_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    history = await generated(random.Random(8), 8)

    async def changed(*_: object) -> object:
        decision = decided(history)[2].event["data"]["decision"]
        decision["summary"] = "So it was."
        return history

    monkeypatch.setattr(replay, "generated", changed)
    with pytest.raises(AssertionError, match=r"different /summary: recorded .So it was"):
        await replay.run(Asked(1, 1, random.Random(8), 8, 1))
