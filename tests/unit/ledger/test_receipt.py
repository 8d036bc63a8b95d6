"""A receipt: what is written lazily is what the contract's model would write."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.event import Receipt, format_time
from services.kit.tlog.note import Ed25519Signer, Note, Unsigned
from services.ledger.model import Stored
from services.ledger.receipt import Acknowledgement, Seal

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


def test_a_signed_receipt_is_a_note_that_others_can_open() -> None:
    key = Ed25519Signer.generate("ledger.example/main/receipts")
    seal = Seal(1, lambda text: key.sign(text).line.decode().rstrip("\n"))
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    stored = Stored(1, b"s" * 16, b"c" * 32, {"a:\n\x01ü": 1}, moment)
    receipt = Acknowledgement("l", "1", "/s", stored)
    written = receipt.as_json(seal)
    assert json.loads(written)["sealed"] is True
    text, _, rest = written.decode().partition(',"sealed":')
    line = json.loads(f'{{"sealed":{rest}')["signature"]
    note = Note.parse(f"{text}}}\n\n{line}\n".encode())
    assert note.signed_by([key.verifier]) == [key.verifier]
    forged = Note.parse(note.content.replace(b'"position":1', b'"position":2'))
    with pytest.raises(Unsigned):
        forged.signed_by([key.verifier])
    later = receipt._replace(stored=replace(stored, position=2))
    assert json.loads(later.as_json(seal))["sealed"] is False
