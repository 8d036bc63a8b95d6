"""The leaf: one spelling, read and written; every other one is refused."""

from __future__ import annotations

import contextlib
import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts import leaf
from contracts.leaf import Leaf, Named, NotALeaf

HASHES = st.binary(min_size=32, max_size=32)
NUMBERS = st.integers(1, 2**53 - 1)
LEAVES = st.builds(
    Leaf,
    commitment=HASHES,
    event=st.uuids(),
    position=NUMBERS,
    recorded_at=st.datetimes(datetime(1000, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001
    subjects=st.lists(st.builds(Named, HASHES, NUMBERS), max_size=4).map(tuple),
)
ENTRY = (
    b'{"commitment":"' + b"ab" * 32 + b'","event":"0189d3f5-0000-7000-8000-00000000000a",'
    b'"position":7,"recorded_at":"2026-03-01T12:00:00.000001Z",'
    b'"subjects":[["' + b"cd" * 32 + b'",3],["' + b"ef" * 32 + b'",12]],"v":1}'
)


@given(LEAVES)
def test_what_is_written_is_read_again(made: Leaf) -> None:
    entry = made.encode()
    assert leaf.decode(entry) == made
    # RFC 8785: members sorted, no white space; all of it is ASCII.
    assert json.dumps(json.loads(entry), sort_keys=True, separators=(",", ":")).encode() == entry


OTHERWISE = {
    "white space": (b":7,", b": 7,"),
    "leading zero": (b":7,", b":07,"),
    "a float": (b":7,", b":7.0,"),
    "zero": (b":7,", b":0,"),
    "negative": (b":7,", b":-7,"),
    "too large": (b":7,", b":9007199254740992,"),
    "version too large": (b",12]", b",9999999999999999]"),
    "upper case": (b"ab", b"AB"),
    "a short hash": (b"cdcd", b"cd"),
    "another version": (b'"v":1', b'"v":2'),
    "another zone": (b"001Z", b"001+00:00"),
    "fewer digits": (b".000001Z", b".000Z"),
    "no such month": (b"-03-", b"-13-"),
    "no such second": (b":00.", b":60."),
    "no comma": (b"],[", b"]["),
    "a comma more": (b",12]]", b",12],]"),
    "another member": (b',"v"', b',"u":1,"v"'),
    "no members": (ENTRY, b"{}"),
    "no JSON": (ENTRY, b"\xff"),
    "a line break": (b"}", b"}\n"),
    "an id that is no UUID": (b"0189d3f5-", b"0189d3f5_"),
}


@pytest.mark.parametrize("how", OTHERWISE)
def test_any_other_spelling_is_refused(how: str) -> None:
    assert leaf.decode(ENTRY).subjects[1].version == 12
    changed = ENTRY.replace(*OTHERWISE[how])
    assert changed != ENTRY
    with pytest.raises(NotALeaf):
        leaf.decode(changed)


@given(LEAVES, st.integers(0, 400), st.integers(1, 255))
def test_one_changed_byte_never_reads_as_the_same_leaf(made: Leaf, at: int, flip: int) -> None:
    entry = bytearray(made.encode())
    entry[at % len(entry)] ^= flip
    with contextlib.suppress(NotALeaf):
        assert leaf.decode(bytes(entry)).encode() == bytes(entry)
