"""Drafts run in a child process: the same answers, and a bound on time and memory."""

from __future__ import annotations

import time
from datetime import UTC, datetime

from services.gatekeeper import cel
from services.gatekeeper.cel import CelError
from services.gatekeeper.cel_facts import CelFacts, CelMetrics, Evidence, Release
from services.gatekeeper.trying import try_out

NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
MIB = 1024 * 1024
NONE = {CelError(f"gave no answer within 1 s and {mib} MiB") for mib in (128, 8192)}
NONE.add(CelError("ran out of memory"))


def doubled(times: int) -> cel.Program:
    """A short expression that makes a list of 2 ** times items: 256 MiB of them at 22."""
    return cel.compile("[[0]]" + ".map(a, a + a)" * times + ".exists(a, a.size() > 1)", "rule")


def test_a_draft_is_answered_as_it_would_be_in_process() -> None:
    facts = CelFacts(Release(id="r"), evidence=(Evidence(NOON, metrics={"coverage": 80.0}),))
    for text in ("release.id == 'r' && now == now", "evidence[0].metrics['coverage'] > 80.0",
                 "evidence[0].metrics['failed'] == 0.0"):  # fmt: skip
        program = cel.compile(text, "rule")
        assert try_out(program, facts, NOON) == cel.evaluate(program, facts, NOON)
    threshold = cel.compile("m['coverage'] == 80.0", "metrics")
    assert try_out(threshold, CelMetrics({"coverage": 80.0}), NOON) is True


def test_nine_thousand_steps_that_join_texts_end_with_the_child() -> None:
    """In a process without bounds this one took more than 15 s and 6 GiB."""
    services = tuple(f"service-{n}" for n in range(1125))
    text = "release.services" + ".map(s, s + s + s + s + s + s + s + s + s)" * 8 + ".size() == 1125"
    start = time.monotonic()
    bomb = cel.compile(text, "rule")
    assert try_out(bomb, CelFacts(Release(services=services)), NOON, 1.0, 128 * MIB) in NONE
    assert time.monotonic() - start < 10


def test_memory_is_bounded_and_its_bound_is_what_ends_it() -> None:
    assert try_out(doubled(22), CelFacts(), NOON, 30.0, 1024 * MIB) is True
    assert try_out(doubled(22), CelFacts(), NOON, 1.0, 128 * MIB) in NONE


def test_time_is_bounded_and_its_bound_is_what_ends_it() -> None:
    start = time.monotonic()
    assert try_out(doubled(26), CelFacts(), NOON, 1.0, 8192 * MIB) in NONE
    assert time.monotonic() - start < 10
