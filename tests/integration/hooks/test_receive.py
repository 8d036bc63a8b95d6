import hashlib

import asyncpg
import pytest

from services.kit.metrics import render
from services.ledger.hooks import deliveries
from services.ledger.hooks.api import MAX_DELIVERY_BYTES
from tests.integration.hooks.desk import BEARER, Desk
from tests.unit.hooks.payloads import alert, notification, push

pytestmark = pytest.mark.postgres


async def stored(desk: Desk) -> int:
    return int(await desk.database.fetchval("SELECT count(*) FROM ledger.hook_delivery"))


async def test_a_signed_delivery_is_stored_byte_for_byte_and_not_yet_read(desk: Desk) -> None:
    raw = b'{"zen":  "white space is kept",\n "n": 1.0}'
    answer = await desk.github("ping", None, raw=raw)
    row = await desk.database.fetchrow("SELECT * FROM ledger.hook_delivery")
    assert answer.status_code == 202
    assert answer.json() == {"delivery": row["delivery_id"], "fate": "stored"}
    assert row["raw"] == raw
    assert row["raw_sha256"] == hashlib.sha256(raw).hexdigest()
    assert row["state"] == "waiting"
    assert '"x-github-event": "ping"' in row["headers"]
    assert await desk.events() == []


async def test_a_wrong_signature_is_401_and_nothing_is_stored_but_it_is_counted(desk: Desk) -> None:
    headers = {"x-github-event": "push", "x-hub-signature-256": "sha256=" + "0" * 64}
    for given in (headers, {}):
        answer = await desk.http.post("/v1/hooks/github", json=push(), headers=given)
        assert answer.status_code == 401
        assert answer.headers["content-type"] == "application/problem+json"
    wrong = {"authorization": "Bearer another"}
    for connection in ("alertmanager", "cloudevents"):
        answer = await desk.http.post(f"/v1/hooks/{connection}", json={}, headers=wrong)
        assert answer.status_code == 401
    assert await stored(desk) == 0
    assert b'rlg_hook_deliveries_total{connection="github",fate="unsigned"}' in render()


async def test_an_unknown_connection_is_404_in_the_same_shape(desk: Desk) -> None:
    answer = await desk.http.post("/v1/hooks/gitlab", json={}, headers=BEARER)
    assert (answer.status_code, answer.json()["title"]) == (404, "Nothing is there")


async def test_a_repeated_delivery_is_202_and_nothing_new(desk: Desk) -> None:
    first = await desk.github("push", push(), delivery="guid-1")
    second = await desk.github("push", push(), delivery="guid-1")
    assert (first.json()["fate"], second.json()["fate"]) == ("stored", "duplicate")
    assert first.json()["delivery"] == second.json()["delivery"]
    await desk.map_all()
    assert await desk.types() == ["change.pushed.v1"]


async def test_a_delivery_key_used_for_other_bytes_loses_neither(desk: Desk) -> None:
    await desk.github("push", push(), delivery="guid-1")
    for expected in ("stored", "duplicate"):
        other = await desk.github("push", push(ref="refs/heads/x"), delivery="guid-1")
        assert other.json()["fate"] == expected
    assert await stored(desk) == 2


async def test_without_a_delivery_key_the_bytes_are_the_key(desk: Desk) -> None:
    fates = [(await desk.alertmanager(notification(alert()))).json()["fate"] for _ in range(2)]
    assert fates == ["stored", "duplicate"]


async def test_a_body_beyond_the_limit_is_413_and_one_at_the_limit_is_taken(desk: Desk) -> None:
    too_long = await desk.github("ping", None, raw=b" " * (MAX_DELIVERY_BYTES + 1))
    assert too_long.status_code == 413
    assert (await desk.github("ping", None, raw=b" " * MAX_DELIVERY_BYTES)).status_code == 202


async def test_overload_and_a_closed_database_are_503_with_retry_after(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deliveries, "MOST_AT_ONCE", 0)
    busy = await desk.github("push", push())
    monkeypatch.undo()
    await desk.hooks.store.close()
    down = await desk.github("push", push())
    assert [busy.status_code, down.status_code] == [503, 503]
    assert "retry-after" in busy.headers
    await desk.hooks.store.open()
    assert await stored(desk) == 0


async def test_what_came_in_cannot_be_changed_or_deleted(desk: Desk) -> None:
    await desk.github("push", push())
    for statement in (
        "DELETE FROM {}",
        "UPDATE {} SET raw = ''",
        "UPDATE {} SET headers = '{{}}'",
        "TRUNCATE {} CASCADE",
    ):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await desk.database.execute(statement.format("ledger.hook_delivery"))


async def test_the_answer_does_not_wait_for_the_mapping(desk: Desk) -> None:
    for number in range(20):  # nobody maps while these are taken in
        assert (await desk.github("push", push(before=f"{number:040d}"))).status_code == 202
    assert await stored(desk) == 20
    assert await desk.types() == []
    await desk.map_all()
    assert len(await desk.types()) == 20
