import asyncio
import json

import pytest

from contracts.problem import Unavailable
from services.ledger.appender import Appender
from services.ledger.hooks.adapter import VERSION
from services.ledger.hooks.store import Claim
from tests.integration.hooks.desk import BEARER, Desk, name, open_desk
from tests.unit.hooks.payloads import (
    alert,
    deployment,
    map_github,
    notification,
    only,
    push,
    status,
)

pytestmark = pytest.mark.postgres
SAID = {"release_id": "pay-1.42", "artifact_digest": "sha256:" + "d" * 64}


async def test_a_delivery_becomes_an_event_that_says_how_it_came_in(desk: Desk) -> None:
    await desk.github("deployment", deployment(SAID))
    await desk.map_all()
    row = await desk.database.fetchrow("SELECT * FROM ledger.hook_delivery")
    (event,) = await desk.events()
    assert name(event) == "deployment.queued.v1"
    assert event.versions["release:pay-1.42"] == 1
    assert event.origin == {
        "principal": "hook:github", "assurance": "A2", "connection": "github",
        "raw_sha256": row["raw_sha256"],
    }  # fmt: skip
    assert (row["state"], row["positions"], row["adapter_version"]) == ("mapped", [1], VERSION)


async def test_the_loop_maps_at_once_when_a_delivery_arrives(desk: Desk) -> None:
    loop = asyncio.create_task(desk.hooks.run())
    await asyncio.sleep(0.1)
    await desk.alertmanager(notification(alert()))
    async with asyncio.timeout(0.9):  # less than the poll
        while await desk.types() != ["alert.fired.v1", "incident.detected.v1"]:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    loop.cancel()


async def test_deliveries_keep_their_order(desk: Desk) -> None:
    for number in range(100):
        await desk.github("push", push(before=f"{number:040d}"))
    await desk.map_all()
    told = [json.loads(event.event)["data"]["before"] for event in await desk.events()]
    assert told == [f"{number:040d}" for number in range(100)]


async def test_two_hooks_that_tell_one_fact_in_different_bytes_make_one_event(desk: Desk) -> None:
    await desk.github("push", push())
    await desk.github("push", push(organization={"id": 1}))
    await desk.map_all()
    states = await desk.database.fetch("SELECT state, positions FROM ledger.hook_delivery")
    assert await desk.types() == ["change.pushed.v1"]
    assert [tuple(row) for row in states] == [("mapped", [1]), ("mapped", [1])]


async def test_the_same_natural_key_with_other_content_is_a_conflict_and_overwrites_nothing(
    desk: Desk,
) -> None:
    await desk.github("push", push())
    await desk.map_all()
    (before,) = await desk.events()
    await desk.github("push", push(forced=True))
    await desk.map_all()
    after, quarantined = await desk.events()
    (item,) = await desk.quarantine()
    assert before == after
    assert name(quarantined) == "ingest.quarantined.v1"
    assert "conflict" in item["reason"]


async def test_a_second_final_status_counts_only_when_it_contradicts_the_first(desk: Desk) -> None:
    for id_, state in ((1, "in_progress"), (2, "in_progress"), (3, "success"), (4, "success")):
        told = status(state, SAID, id=id_, created_at=f"2026-03-01T13:0{id_}:00Z")
        await desk.github("deployment_status", told)
    await desk.github("deployment_status", status("inactive", SAID))
    await desk.map_all()
    assert await desk.types() == ["deployment.started.v1", "deployment.finished.v1"]
    assert await desk.quarantine() == []
    await desk.github("deployment_status", status("failure", SAID, id=5))
    await desk.map_all()
    (item,) = await desk.quarantine()
    assert "deployment.finished" in item["reason"]


async def test_nobody_else_can_take_an_id_first_and_so_silence_a_sender(desk: Desk) -> None:
    """The ids are no secret: another connection can name them. Then the conflict is to be seen."""
    genuine = status("in_progress", SAID)
    forged = only(map_github("deployment_status", genuine)) | {"time": "2020-01-01T00:00:00Z"}
    headers = BEARER | {"content-type": "application/cloudevents+json"}
    await desk.http.post("/v1/hooks/cloudevents", json=forged, headers=headers)
    await desk.map_all()
    await desk.github("deployment_status", genuine)
    await desk.map_all()
    (item,) = await desk.quarantine()
    assert (item["connection"], item["positions"]) == ("github", [])
    assert "conflict" in item["reason"]


async def test_only_a_service_of_ours_writes_a_decision(desk: Desk) -> None:
    event = {"specversion": "1.0", "id": "1", "source": "/ci", "subject": "release:pay-1.42",
             "type": "org.releaseledger.policy.activated.v1",
             "data": {"policy_id": "p", "version": 1, "content_sha256": "0" * 64, "content": "x",
                      "author": "me"}}  # fmt: skip
    headers = BEARER | {"content-type": "application/cloudevents+json"}
    await desk.http.post("/v1/hooks/cloudevents", json=event, headers=headers)
    await desk.map_all()
    (item,) = await desk.quarantine()
    assert "needs the scope act-as" in item["reason"]
    assert await desk.types() == ["ingest.quarantined.v1"]


async def test_a_crash_between_append_and_settling_changes_nothing(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    await desk.alertmanager(notification(alert()))
    monkeypatch.setattr(Claim, "settle", _crash)
    with pytest.raises(Crash):
        await desk.hooks.map_waiting()
    monkeypatch.undo()
    assert len(await desk.events()) == 2
    await desk.map_all()
    assert len(await desk.events()) == 2
    row = await desk.database.fetchrow("SELECT state, positions FROM ledger.hook_delivery")
    assert tuple(row) == ("mapped", [1, 2])


class Crash(Exception):
    """The process ends here."""


async def _crash(*_: object) -> None:
    raise Crash


async def test_while_the_ledger_cannot_append_deliveries_wait_and_are_not_quarantined(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def unavailable(*_: object) -> None:
        raise Unavailable("down")

    await desk.github("push", push())
    monkeypatch.setattr(Appender, "append_each", unavailable)
    assert await desk.hooks.map_waiting() == 0
    monkeypatch.undo()
    assert await desk.quarantine() == []
    await desk.map_all()
    assert await desk.types() == ["change.pushed.v1"]


async def test_two_processes_share_the_work_and_map_each_delivery_once(
    desk: Desk, database_url: str
) -> None:
    async with open_desk(database_url) as other:
        for number in range(150):
            await desk.github("push", push(before=f"{number:040d}"))
        await asyncio.gather(desk.map_all(), other.map_all())
        await desk.map_all()
    events = await desk.events()
    assert len(events) == 150
    assert [event.position for event in events] == list(range(1, 151))
    assert not await desk.database.fetchval(
        "SELECT count(*) FROM ledger.hook_delivery WHERE state <> 'mapped'"
    )


async def test_kinds_that_we_do_not_record_are_kept_and_are_no_trouble(desk: Desk) -> None:
    await desk.github("star", {"action": "created"})
    await desk.map_all()
    state = await desk.database.fetchval("SELECT state FROM ledger.hook_delivery")
    assert state == "unmapped"
    assert await desk.quarantine() == []
    assert await desk.events() == []
