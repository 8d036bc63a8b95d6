from services.ledger.hooks.adapter import CannotMap, Scope
from services.ledger.hooks.cloudevents import map_delivery
from services.ledger.hooks.kinds import KINDS, digest

SHA = digest(b"{}")
EVENT = b'{"specversion":"1.0","id":"1","source":"/ci","type":"com.x.y","subject":"release:a"}'
STRUCTURED = {"content-type": "application/cloudevents+json"}


def test_no_header_that_holds_a_secret_is_kept() -> None:
    sent = {"authorization": "Bearer x", "cookie": "x", "content-type": "application/json",
            "x-github-event": "push", "ce-id": "1", "x-hub-signature": "sha1=x"}  # fmt: skip
    assert set(KINDS["github"].kept(sent)) == {"content-type", "x-github-event"}
    assert set(KINDS["alertmanager"].kept(sent)) == {"content-type"}
    assert set(KINDS["cloudevents"].kept(sent)) == {"content-type", "ce-id"}


def test_the_delivery_key_is_the_senders_or_the_digest_of_the_bytes() -> None:
    github, plain = KINDS["github"], KINDS["alertmanager"]
    assert github.delivery_key({"x-github-delivery": "g-1"}, SHA) == "g-1"
    assert github.delivery_key({}, SHA) == f"sha256:{SHA}"
    assert github.delivery_key({"x-github-delivery": "g" * 999}, SHA) == f"sha256:{SHA}"
    assert plain.delivery_key({"x-github-delivery": "g-1"}, SHA) == f"sha256:{SHA}"
    binary = {"ce-source": "/ci", "ce-id": "7"}
    assert KINDS["cloudevents"].delivery_key(binary, SHA) == "/ci 7"
    assert KINDS["cloudevents"].delivery_key({"ce-id": "7"}, SHA) == f"sha256:{SHA}"


def test_only_a_signature_over_the_body_counts_as_more_than_a_channel() -> None:
    assert {name: kind.assurance for name, kind in KINDS.items()} == {
        "github": "A2", "alertmanager": "A1", "cloudevents": "A1", "kafka": "A1",
    }  # fmt: skip


def test_cloudevents_are_taken_as_they_are() -> None:
    (fact,) = map_delivery(STRUCTURED, EVENT, Scope("c")).facts
    assert fact.event["id"] == "1"
    assert fact.agree is None


def test_a_bad_event_does_not_keep_the_rest_of_its_batch_out() -> None:
    batch = {"content-type": "application/cloudevents-batch+json"}
    mapped = map_delivery(batch, b"[" + EVENT + b',{"specversion":"0.3"}]', Scope("c"))
    assert (len(mapped.facts), len(mapped.unread)) == (1, 1)


def test_what_is_no_cloudevent_cannot_be_mapped() -> None:
    for headers, raw in ((STRUCTURED, b"{"), ({}, EVENT), ({"content-type": "text/plain"}, b"x")):
        try:
            map_delivery(headers, raw, Scope("c"))
        except CannotMap:
            continue
        raise AssertionError(raw)
