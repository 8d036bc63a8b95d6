"""Nobody moves a history that gates rest on by an event that is not about it."""

from __future__ import annotations

from typing import Any

import pytest

from contracts.event import OURS, Event
from services.ledger.admission import GOVERNED, refusal

CANDIDATE: dict[str, Any] = {
    "type": f"{OURS}release.candidate_created.v1",
    "data": {"release_id": "pay-1", "version": "1.4.2", "manifest_digest": "sha256:" + "a" * 64,
             "artifacts": ["sha256:" + "b" * 64]},
}  # fmt: skip


def event(subject: str, **more: Any) -> Event:
    said = {"specversion": "1.0", "id": "1", "source": "/ci", "subject": subject}
    return Event.model_validate(said | CANDIDATE | more)


@pytest.mark.parametrize("kind", sorted(GOVERNED))
def test_a_type_of_ours_stands_in_no_governed_history_that_it_is_not_about(kind: str) -> None:
    refused = refusal(event(f"{kind}:payments"), frozenset({"act-as", "role:write"}))
    assert refused is not None
    assert f"not about {kind}:payments" in refused.detail


def test_it_stands_in_all_others_and_in_those_that_it_is_about() -> None:
    assert refusal(event("service:pay")) is None
    veto = {"type": f"{OURS}veto.raised.v1",
            "data": {"veto_id": "v1", "release_id": "pay-1", "principal": "acme:uma",
                     "reason": "no"}}  # fmt: skip
    assert refusal(event("veto:v1", **veto)) is None
    assert refusal(event("veto:v2", **veto)) is not None
