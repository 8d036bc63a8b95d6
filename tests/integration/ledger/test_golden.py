"""The golden corpus through a real database: in by the appender, out by the reader."""

from __future__ import annotations

import pytest

from contracts import catalogue
from contracts.event import OURS
from contracts.payloads.earlier import EARLIER
from services.ledger.model import Submission
from tests.golden import corpus
from tests.integration.ledger.conftest import Ledger

pytestmark = pytest.mark.postgres


async def test_what_is_recorded_comes_back_in_the_bytes_of_the_corpus(ledger: Ledger) -> None:
    retired = {name for name, each in EARLIER.items() if not each.accepted}
    taken = [
        golden
        for golden in corpus.load()
        if not golden.foreign and golden.sent["type"].removeprefix(OURS) not in retired
    ]
    submissions = [Submission(catalogue.parse(g.sent), g.origin) for g in taken]
    outcomes = await ledger.appender().append_each(submissions)
    assert {outcome.kind for outcome in outcomes} == {"appended"}
    page = await ledger.reader.page("main", 0, limit=500)
    assert len(page.events) == len(taken) > 80
    for golden, recorded in zip(taken, page.events, strict=True):
        assert recorded.body == golden.bytes_
        assert list(recorded.versions) == list(golden.document["stored"]["versions"])
    assert await ledger.check() == len(taken)
