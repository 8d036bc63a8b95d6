"""A receipt: what is written lazily is what the contract's model would write."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

from hypothesis import given
from hypothesis import strategies as st

from contracts.event import Receipt, format_time
from services.ledger.model import Stored
from services.ledger.receipt import Acknowledgement

texts = st.text(st.characters(exclude_categories=["Cs"]))
moments = st.datetimes(timezones=st.just(timezone(timedelta(hours=2))))


@given(texts, texts, texts, st.dictionaries(texts, st.integers(1, 2**31)), moments)
def test_it_is_written_as_the_model_is(
    ledger: str, event_id: str, source: str, versions: dict[str, int], moment: datetime
) -> None:
    stored = Stored(2**40, b"s" * 16, b"\xab" * 32, versions, moment)
    receipt = Acknowledgement(ledger, event_id, source, stored)
    model = Receipt(
        ledger=ledger,
        position=2**40,
        versions=versions,
        event_id=event_id,
        source=source,
        commitment="ab" * 32,
        recorded_at=format_time(moment),
    )
    assert receipt.as_json() == model.model_dump_json().encode()
    assert receipt.as_model() == model


def test_a_redacted_body_does_not_change_the_receipt() -> None:
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    salts = (b"s" * 16, None)
    first, again = (
        Acknowledgement("l", "1", "/s", Stored(1, salt, b"c" * 32, {"a:1": 1}, moment))
        for salt in salts
    )
    assert first == again
    other = Stored(2, None, b"c" * 32, {"a:1": 1}, moment)
    assert first != first._replace(stored=other)
