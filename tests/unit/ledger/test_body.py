from __future__ import annotations

import hashlib
import json
import uuid
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts import catalogue, leaf
from contracts.event import MAX_EVENT_BYTES, Origin, format_time
from contracts.problem import Invalid, TooLarge
from services.ledger import body
from services.ledger.model import Submission

ORIGIN = Origin(principal="key:ci", assurance="A2", via="service:x")


def submission(**attributes: Any) -> Submission:
    event = {"specversion": "1.0", "id": "1", "source": "/s", "type": "t.t", "subject": "a:1"}
    return Submission(catalogue.parse(event | attributes), ORIGIN)


def test_the_body_is_canonical_and_committed_to_under_a_fresh_salt() -> None:
    first, second = body.make(submission(data={"b": 1, "a": "é"})), body.make(submission())
    assert first.body == (
        b'{"event":{"data":{"a":"\xc3\xa9","b":1},"id":"1","source":"/s","specversion":"1.0",'
        b'"subject":"a:1","type":"t.t"},'
        b'"origin":{"assurance":"A2","principal":"key:ci","via":"service:x"}}'
    )
    assert first.commitment == hashlib.sha256(first.salt + first.body).digest()
    assert first.salt != second.salt
    assert len(first.salt) == body.SALT_BYTES


def test_what_the_item_takes_from_the_event() -> None:
    made = body.make(
        submission(subjects="b:2,a:1", time="2026-01-01T01:00:00+01:00", causationid="c1")
    )
    assert made.subjects == ("a:1", "b:2")
    assert made.occurred_at == datetime(2026, 1, 1, tzinfo=UTC)
    assert (made.causation, made.principal, made.assurance) == ("c1", "key:ci", "A2")


def test_an_event_beyond_the_limit_is_refused() -> None:
    body.make(submission(data="x" * (MAX_EVENT_BYTES - 200)))
    with pytest.raises(TooLarge):
        body.make(submission(data="x" * MAX_EVENT_BYTES))


@pytest.mark.parametrize("value", [float("nan"), 2**53, "\ud800", "\x00"])
def test_data_that_is_not_ijson_never_gets_in(value: object) -> None:
    with pytest.raises(Invalid) as caught:
        body.make(submission(data={"k": [value]}))
    assert caught.value.members["errors"][0]["pointer"] == "/data/k/0"


def test_a_canonical_uuid_is_its_own_key() -> None:
    given_ = "0194f5b0-0000-7000-8000-0123456789ab"
    assert leaf.event_uuid(given_) == uuid.UUID(given_)


@pytest.mark.parametrize(
    "event_id",
    [
        "build-1",
        "0194F5B0-0000-7000-8000-0123456789AB",
        "0194f5b0000070008000 0123456789ab",
        "{0194f5b0-0000-7000-8000-0123456789ab}",
        str(leaf.event_uuid("build-1")),
    ],
)
def test_every_other_id_gets_a_marked_hash_of_its_own(event_id: str) -> None:
    key = leaf.event_uuid(event_id)
    assert key.version == 8
    assert key == leaf.event_uuid(event_id)
    assert str(key) != event_id
    assert key != leaf.event_uuid(event_id + " ")


texts = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=30)
tricky = st.sampled_from(
    [',"origin":', ',"origin":{', '{"event":', '"}', "\\", '\\",\\"origin\\":']
)
values = st.recursive(
    texts | tricky | st.integers(-(2**53) + 1, 2**53 - 1) | st.booleans() | st.none(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts | tricky, inner, max_size=3),
)


@given(values, tricky | texts.filter(bool))
def test_what_was_put_in_comes_out_of_the_stored_bytes(data: Any, principal: str) -> None:
    given_ = Submission(
        submission(data={"origin": data}).event, Origin(principal=principal, assurance="A3")
    )
    made = body.make(given_)
    back = body.Recorded(
        3, {"a:1": 2}, datetime(2026, 1, 1, tzinfo=UTC), made.commitment, made.body
    )
    assert json.loads(back.event) == given_.event.as_json()
    assert back.origin == {"principal": principal, "assurance": "A3"}
    model = back.as_model()
    assert model.event == given_.event.as_json()
    assert (model.position, model.versions, model.principal) == (3, {"a:1": 2}, principal)
    assert model.recorded_at == "2026-01-01T00:00:00.000000Z"
    receipt = back.receipt("main")
    assert (receipt.event_id, receipt.source, receipt.position) == ("1", "/s", 3)
    assert receipt.commitment == made.commitment.hex()


@pytest.mark.parametrize("via", [None, "service:é"])
def test_a_recorded_event_is_canonical_json_with_the_event_last(via: str | None) -> None:
    origin = Origin(principal='key:"ci"', assurance="A2", via=via, connection="c", raw_sha256="0")
    made = body.make(Submission(submission().event, origin))
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    back = body.Recorded(3, {"b:1": 2, "a:1": 1}, moment, made.commitment, made.body)
    head = {"position": 3, "versions": {"a:1": 1, "b:1": 2}, "assurance": "A2",
            "recorded_at": "2026-01-01T00:00:00.000000Z", "principal": 'key:"ci"',
            "commitment": made.commitment.hex()} | ({"via": via} if via else {})  # fmt: skip
    written = json.dumps(head, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert back.as_json() == written[:-1].encode() + b',"event":' + back.event + b"}"


def test_times_are_written_in_utc_with_microseconds() -> None:
    moment = datetime(2026, 1, 1, 1, 2, 3, 4, tzinfo=timezone(timedelta(hours=1)))
    assert format_time(moment) == "2026-01-01T00:02:03.000004Z"
