import contextlib
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts import catalogue
from contracts.event import OURS
from services.ledger.hooks import alertmanager
from services.ledger.hooks.adapter import CannotMap, Mapped, Scope
from tests.unit.hooks.payloads import alert, notification

FIRED, RESOLVED = OURS + "alert.fired.v1", OURS + "alert.resolved.v1"
DETECTED, OVER = OURS + "incident.detected.v1", OURS + "incident.resolved.v1"
ENDED = {"status": "resolved", "endsAt": "2026-03-01T14:30:00Z"}


def mapped(*alerts: dict[str, Any], scope: Scope | None = None, **members: Any) -> Mapped:
    raw = json.dumps(notification(*alerts, **members)).encode()
    return alertmanager.map_delivery({}, raw, scope or Scope("am"))


def by_type(made: Mapped) -> dict[str, Any]:
    for fact in made.facts:
        catalogue.parse(fact.event)
    return {str(fact.event["type"]): fact.event for fact in made.facts}


def test_a_critical_alert_of_an_environment_is_an_incident_too() -> None:
    made = by_type(mapped(alert()))
    common = {
        "severity": "critical", "started_at": "2026-03-01T14:00:00.000000Z", "service": "pay",
        "environment": {"id": "production", "tier": "production"}, "summary": "5 % errors",
        "uri": "http://prometheus.example/g",
    }  # fmt: skip
    assert made[FIRED]["data"] == common | {"alert_key": "f1", "name": "Errors"}
    assert made[DETECTED]["data"] == common | {"incident_id": "am-f1-1772373600"}
    assert made[FIRED]["time"] == "2026-03-01T14:00:00.000000Z"


def test_its_end_names_the_same_incident() -> None:
    made = by_type(mapped(alert(**ENDED)))
    assert made[RESOLVED]["data"]["ended_at"] == "2026-03-01T14:30:00.000000Z"
    assert made[OVER]["data"]["incident_id"] == "am-f1-1772373600"
    assert made[OVER]["data"]["resolved_at"] == made[OVER]["time"] == "2026-03-01T14:30:00.000000Z"


@pytest.mark.parametrize(
    "labels",
    [
        {"alertname": "Errors", "severity": "warning", "environment": "production"},
        {"alertname": "Errors", "severity": "critical"},
        {"alertname": "Errors"},
    ],
)
def test_an_alert_that_is_not_severe_or_is_nowhere_stays_a_signal(labels: dict[str, str]) -> None:
    assert list(by_type(mapped(alert(labels=labels)))) == [FIRED]


def test_the_connection_says_which_severities_are_incidents() -> None:
    scope = Scope("am", incident_severities=frozenset({"sev1"}))
    assert list(by_type(mapped(alert(), scope=scope))) == [FIRED]


def test_repetitions_and_doubles_have_one_id_and_the_first_wins() -> None:
    first = mapped(alert()).facts
    again = mapped(alert(annotations={"summary": "7 % errors"}), groupKey="other").facts
    assert [f.event["id"] for f in first] == [f.event["id"] for f in again]
    assert all(fact.agree == frozenset() for fact in first)


def test_start_status_and_fingerprint_make_it_another_alert() -> None:
    ids = {
        str(mapped(one).facts[0].event["id"])
        for one in (alert(), alert(**ENDED), alert(startsAt="2026-03-01T15:00:00Z"),
                    alert(fingerprint="f2"))
    }  # fmt: skip
    assert len(ids) == 4


def test_an_old_sender_without_fingerprint_and_status_is_understood() -> None:
    old = alert()
    del old["fingerprint"], old["status"]
    data = by_type(mapped(old))[FIRED]["data"]
    assert len(data["alert_key"]) == 16


def test_left_out_alerts_are_a_loss_and_the_others_are_mapped() -> None:
    made = mapped(alert(), truncatedAlerts=3)
    assert len(made.facts) == 2
    assert made.loss == "truncated: the sender left out 3 alerts"
    assert mapped(alert(), truncatedAlerts=0).loss is None


def test_one_bad_alert_does_not_keep_the_others_out() -> None:
    made = mapped(alert(startsAt="never"), alert())
    assert len(made.facts) == 2
    assert len(made.unread) == 1


@pytest.mark.parametrize("body", [b"[]", b"{}", b'{"version":"3","alerts":[]}', b"5 alerts"])
def test_another_format_is_not_guessed_at(body: bytes) -> None:
    with pytest.raises(CannotMap):
        alertmanager.map_delivery({}, body, Scope("am"))


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from(["labels", "annotations", "startsAt", "endsAt", "fingerprint", "status"]),
    st.sampled_from([None, "", "x y", 0, -1, 2**60, True, [], {}, {"alertname": 7}]),
)
def test_a_bent_alert_is_mapped_or_refused_in_one_way(member: str, junk: Any) -> None:
    with contextlib.suppress(CannotMap):
        mapped(alert() | {member: junk})
