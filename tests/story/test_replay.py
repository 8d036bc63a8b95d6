"""Every decision of a running product is made again, in another process, locale and time zone."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.story.served import ROOT, Shape, environment
from tests.story.teller import Teller
from tests.story.test_story import GATE, release, tell

__all__ = ["release", "tell"]
ELSEWHERE = [
    {"TZ": "Pacific/Chatham", "LC_ALL": "C", "PYTHONHASHSEED": "1"},
    {"TZ": "America/St_Johns", "LC_ALL": "tr_TR.UTF-8", "PYTHONHASHSEED": "4711"},
]


@pytest.mark.parametrize("place", ELSEWHERE, ids=["east", "west"])
def test_every_decision_is_made_again_to_the_byte(
    tell: Teller, release: str, shape: Shape, place: dict[str, str]
) -> None:
    tell.ask(release, GATE)
    tell.vote("dev:grace", release, GATE, comment="Read.")
    tell.ask(release, "deploy:moon")
    command = [sys.executable, "-m", "services", "decisions", "replay", "--url", shape.ledger]
    done = subprocess.run(
        command, cwd=ROOT, env=environment(RLG_API_KEY="demo-key", **place),
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 other engine, 0 different, 0 unreadable" in done.stdout
    assert int(done.stdout.split()[0]) >= 3


def test_another_policy_is_tried_on_the_decisions_that_were_made(
    tell: Teller, release: str, shape: Shape
) -> None:
    tell.ask(release, GATE)
    tell.vote("dev:grace", release, GATE, comment="Read.")
    file = "deploy/policies/standard.yaml"
    command = [sys.executable, "-m", "services", "decisions", "backtest", file]
    done = subprocess.run(
        [*command, "--url", shape.ledger], cwd=ROOT, env=environment(RLG_API_KEY="demo-key"),
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "allow → allow" in done.stdout
    assert "0 releases affected" in done.stdout
