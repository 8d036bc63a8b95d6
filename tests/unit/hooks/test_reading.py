from typing import Any

import pytest

from services.ledger.hooks.adapter import CannotMap
from services.ledger.hooks.reading import find, json_object, moment, need, prose


@pytest.mark.parametrize(
    ("sent", "read"),
    [
        ("2019-05-15T15:20:18Z", "2019-05-15T15:20:18.000000Z"),
        ("2019-05-15T17:20:18+02:00", "2019-05-15T15:20:18.000000Z"),
        ("2022-02-06T13:48:15.307+0800", "2022-02-06T05:48:15.307000Z"),
        ("2016-08-12 15:23:28 UTC", "2016-08-12T15:23:28.000000Z"),
        ("2021-04-28 21:50:00 +0200", "2021-04-28T19:50:00.000000Z"),
        ("2018-03-07T06:33:21.873077559-05:00", "2018-03-07T11:33:21.873077Z"),
        (1557933618, "2019-05-15T15:20:18.000000Z"),
        (1557933618000, "2019-05-15T15:20:18.000000Z"),
        ("0001-01-01T00:00:00Z", None),
        (None, None),
        ("", None),
    ],
)
def test_times_are_read_as_they_are_really_sent(sent: Any, read: str | None) -> None:
    assert moment(sent) == read


@pytest.mark.parametrize("sent", ["yesterday", "2019-13-01T00:00:00Z", 1e300, float("nan"), [1]])
def test_what_is_no_time_is_refused(sent: Any) -> None:
    with pytest.raises(CannotMap):
        moment(sent)


def test_a_missing_field_is_named_by_its_path() -> None:
    with pytest.raises(CannotMap, match="/pull_request/head/sha is missing"):
        need({"pull_request": {"head": None}}, "pull_request", "head", "sha")
    assert need({"id": 7}, "id") == "7"
    assert find(["not", "an", "object"], "id") is None


@pytest.mark.parametrize("raw", [b"", b"{", b"[]", b"null", b"\xff", b"[" * 100_000])
def test_a_body_that_is_no_json_object_cannot_be_mapped(raw: bytes) -> None:
    with pytest.raises(CannotMap):
        json_object(raw)


def test_foreign_text_loses_what_json_cannot_carry() -> None:
    assert prose("a\x00b\ud83d") == "a\ufffdb\ufffd"
    assert prose("x" * 5000, longest=10) == "x" * 10
    assert prose("") is None
    assert prose(17) is None
