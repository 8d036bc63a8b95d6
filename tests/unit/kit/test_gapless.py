"""The rule of positions, against every way in which a transport can lose, repeat and garble."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts import topics
from contracts.event import RecordedEvent
from services.kit.kafka.gapless import Arrival, FeedBroken, follows, take


def recorded(position: int) -> dict[str, Any]:
    return {
        "position": position,
        "versions": {"thing:one": position},
        "recorded_at": "2026-03-01T12:00:00.000000Z",
        "principal": "key:test",
        "assurance": "A2",
        "commitment": f"{position:064x}",
        "event": {"specversion": "1.0", "id": str(position), "source": "urn:x", "type": "t"},
    }


def arrival(
    position: int, ledger: str = "main", epoch: int = 1, garbled: tuple[str, bytes] | None = None
) -> Arrival:
    named = {
        topics.HEADER_LEDGER: ledger.encode(),
        topics.HEADER_POSITION: b"%d" % position,
        topics.HEADER_EPOCH: b"%d" % epoch,
        topics.HEADER_COMMITMENT: f"{position:064x}".encode(),
    }
    named |= [garbled] if garbled else []
    return Arrival(named, json.dumps(recorded(position)).encode())


GOOD = st.integers(1, 30).map(arrival)
FOREIGN = st.integers(1, 30).map(lambda n: arrival(n, ledger="other", epoch=9))
GARBLED = st.builds(
    lambda n, name, raw: arrival(n, garbled=(name, raw)),
    st.integers(1, 30),
    st.sampled_from([topics.HEADER_POSITION, topics.HEADER_COMMITMENT]),
    st.binary(max_size=6),
)
BLANK = st.builds(Arrival, st.just({}), st.none() | st.binary(max_size=9))


@given(st.lists(GOOD | FOREIGN | GARBLED | BLANK), st.integers(0, 10))
def test_whatever_arrives_a_reader_moves_without_a_gap(some: list[Arrival], cursor: int) -> None:
    taken = take(some, "main", 1, cursor)
    count = len(taken.events)
    assert [e.position for e in taken.events] == list(range(cursor + 1, cursor + 1 + count))
    assert taken.events == [RecordedEvent(**recorded(e.position)) for e in taken.events]


@given(st.permutations(range(1, 9)), st.integers(0, 8))
def test_what_is_not_taken_is_a_gap_that_names_itself(order: list[int], cursor: int) -> None:
    taken = take(map(arrival, order), "main", 1, cursor)
    reached = cursor + len(taken.events)
    assert taken.gap == (taken.reaches > reached + 1)
    assert taken.gap or reached == 8


@given(st.lists(st.integers(1, 5)))
def test_a_repetition_is_never_a_gap(repeated: list[int]) -> None:
    order = [1, 2, 3, 4, 5, *repeated, 6]
    taken = take(map(arrival, order), "main", 1, 0)
    assert ([e.position for e in taken.events], taken.gap) == ([1, 2, 3, 4, 5, 6], False)


def test_another_epoch_breaks_the_feed_even_for_what_was_seen() -> None:
    with pytest.raises(FeedBroken, match="epoch 2"):
        take([arrival(1, epoch=2)], "main", 1, cursor=5)


def test_a_page_with_a_gap_breaks_the_feed() -> None:
    page = [RecordedEvent(**recorded(n)) for n in (4, 5, 7)]
    assert follows(page[:2], 3) == page[:2]
    with pytest.raises(FeedBroken, match="position 7 where 6 is due"):
        follows(page, 3)
