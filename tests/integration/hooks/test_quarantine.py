import base64
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from services.ledger.hooks import recorder
from services.ledger.hooks.adapter import Mapped, Scope
from services.ledger.hooks.kinds import KINDS
from tests.integration.hooks.desk import BEARER, Desk, name
from tests.unit.hooks.payloads import alert, notification, push

pytestmark = pytest.mark.postgres
BASE = "/v1/ledgers/main/quarantine"


async def test_garbage_with_a_right_signature_is_202_and_one_row_and_one_event(desk: Desk) -> None:
    answer = await desk.github("push", None, raw=b"{garbage")
    await desk.map_all()
    (item,) = await desk.quarantine()
    (event,) = await desk.events()
    assert answer.status_code == 202
    assert (item["connection"], item["size"], item["state"]) == ("github", 8, "open")
    assert item["reason"].startswith("the body is not JSON")
    assert name(event) == "ingest.quarantined.v1"
    assert event.versions == {"connection:github": 1}
    assert event.origin["raw_sha256"] == item["raw_sha256"]


async def test_an_item_shows_what_was_sent_to_an_administrator_only(desk: Desk) -> None:
    await desk.github("push", None, raw=b"{garbage", delivery="guid-9")
    await desk.map_all()
    (item,) = await desk.quarantine()
    path = f"{BASE}/{item['id']}"
    shown = (await desk.get(path, "admin")).json()
    assert base64.b64decode(shown["raw_base64"]) == b"{garbage"
    assert shown["headers"]["x-github-delivery"] == "guid-9"
    assert (await desk.get(path, "read")).status_code == 403
    assert (await desk.post(f"{path}/replay", "read")).status_code == 403
    assert (await desk.http.get(BASE)).status_code == 401
    assert (await desk.get(f"{BASE}/999", "admin")).status_code == 404
    assert (await desk.get("/v1/ledgers/other/quarantine", "read")).status_code == 404


async def test_a_replay_with_a_better_adapter_takes_it_out_of_the_quarantine(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_headers: Mapping[str, str], _raw: bytes, _scope: Scope) -> Mapped:
        raise ZeroDivisionError

    await desk.github("push", push())
    with monkeypatch.context() as today:
        worse: dict[str, Any] = {**KINDS, "github": replace(KINDS["github"], adapter=broken)}
        today.setattr(recorder, "KINDS", worse)
        await desk.map_all()
        (item,) = await desk.quarantine()
        assert item["reason"] == "the adapter failed: ZeroDivisionError"
        again = (await desk.post(f"{BASE}/{item['id']}/replay", "admin")).json()
        assert again["state"] == "open"
    done = (await desk.post(f"{BASE}/{item['id']}/replay", "admin")).json()
    assert (done["state"], done["replayed_by"], done["positions"]) == ("replayed", "key:admin", [2])
    assert await desk.types() == ["ingest.quarantined.v1", "change.pushed.v1"]
    page = (await desk.get(f"{BASE}?state=open", "read")).json()
    assert page == {"items": [], "open": 0}


async def test_left_out_alerts_are_shown_and_the_others_are_mapped(desk: Desk) -> None:
    await desk.alertmanager(notification(alert(), truncatedAlerts=2))
    await desk.map_all()
    (item,) = await desk.quarantine()
    assert item["reason"].startswith("truncated")
    assert item["positions"] == [1, 2]
    assert await desk.types() == [
        "alert.fired.v1", "incident.detected.v1", "ingest.quarantined.v1",
    ]  # fmt: skip
    closed = (await desk.post(f"{BASE}/{item['id']}/replay", "admin")).json()
    assert closed["state"] == "replayed"
    assert len(await desk.events()) == 3


async def test_of_a_batch_the_good_events_are_recorded_and_the_bad_one_is_named(desk: Desk) -> None:
    good = {"specversion": "1.0", "id": "1", "source": "/ci", "type": "com.x.y",
            "subject": "release:a"}  # fmt: skip
    bad = good | {"id": "2", "type": "org.releaseledger.nothing.v1"}
    headers = BEARER | {"content-type": "application/cloudevents-batch+json"}
    await desk.http.post("/v1/hooks/cloudevents", json=[good, bad], headers=headers)
    await desk.map_all()
    (item,) = await desk.quarantine()
    assert await desk.types() == ["com.x.y", "ingest.quarantined.v1"]
    assert item["positions"] == [1]
    assert "not in the catalogue" in item["reason"]


async def test_an_event_that_its_model_refuses_is_quarantined_with_the_field(desk: Desk) -> None:
    await desk.github("push", push(before="not a sha"))
    await desk.map_all()
    (item,) = await desk.quarantine()
    assert "/data/before" in item["reason"]


async def test_a_page_ends_at_its_limit_and_goes_on_after_an_id(desk: Desk) -> None:
    for number in range(3):
        await desk.github("push", None, raw=b"{" * (number + 1))
    await desk.map_all()
    first = (await desk.get(f"{BASE}?limit=2", "read")).json()
    rest = (await desk.get(f"{BASE}?after={first['items'][-1]['id']}", "read")).json()
    assert [item["size"] for item in first["items"] + rest["items"]] == [1, 2, 3]
    assert first["open"] == 3


async def test_a_database_that_is_away_is_503_and_an_impossible_id_is_422(desk: Desk) -> None:
    assert (await desk.get(f"{BASE}/{2**63}", "admin")).status_code == 422
    await desk.hooks.store.close()
    assert (await desk.get(BASE, "read")).status_code == 503
    assert (await desk.post(f"{BASE}/1/replay", "admin")).status_code == 503
    await desk.hooks.store.open()
