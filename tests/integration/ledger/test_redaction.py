"""Redaction: two people, a recorded reason, the content gone, all else as it was and proven."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

from services import erasing
from services.kit.remote import Client
from services.kit.settings import SettingsError
from services.ledger import redactions
from services.ledger.verify.whole import Refused
from tests.integration.ledger.redacting import MAIN, Desk, redacting
from tests.integration.running.served import listening_at

pytestmark = pytest.mark.postgres


@pytest.fixture
async def desk(database_url: str, tmp_path: Path) -> AsyncIterator[Desk]:
    async with redacting(database_url, tmp_path) as running:
        yield running


async def test_what_two_people_agree_to_is_gone_and_the_rest_stands(desk: Desk) -> None:
    for number in range(1, 6):
        await desk.post(number)
    before = await desk.get("events")
    assert (await desk.ask(3)).json()["state"] == "requested"
    assert (await desk.get("events/3"))["event"]["data"] == {"name": "Ada Person 3"}
    assert (await desk.approve(3)).json() == {
        "position": 3, "state": "redacted", "reason": "names a person",
        "requested_by": "key:ada", "approved_by": "key:bob",
    }  # fmt: skip
    after = await desk.get("events")
    assert [each["position"] for each in after["events"]] == list(range(1, 8))
    left = after["events"][2]
    assert left["redacted"] is True
    assert "data" not in left["event"]
    assert (left["event"]["type"], left["event"]["source"]) == ("x.y", "/s")
    kept = ("position", "versions", "recorded_at", "commitment", "principal", "assurance")
    assert {n: left[n] for n in kept} == {n: before["events"][2][n] for n in kept}
    others = [0, 1, 3, 4]
    assert [after["events"][n] for n in others] == [before["events"][n] for n in others]
    assert await desk.get("events/3") == left
    history = await desk.get("subjects/thing:1/history")
    assert [each["versions"]["thing:1"] for each in history["events"]] == [1, 2, 3, 4, 5]
    assert b"Ada Person 3" not in (await desk.http.get(f"{MAIN}/events")).content
    sql = await asyncpg.connect(desk.url)
    assert await sql.fetchval("SELECT count(*) FROM ledger.event_body WHERE position = 3") == 0
    await sql.close()


async def test_every_proof_stays_valid(desk: Desk) -> None:
    for number in range(1, 6):
        await desk.post(number)
    proof = (await desk.http.get(f"{MAIN}/events/3/proof")).text
    await desk.ask(3)
    await desk.approve(3)
    await desk.post(6)
    report = await desk.verified()
    assert (report.portion.gone, report.portion.redacted) == ([3], [3])
    again = (await desk.http.get(f"{MAIN}/events/3/proof")).text
    assert again.splitlines()[1:3] == proof.splitlines()[1:3]


async def test_ndjson_says_redacted_too(desk: Desk) -> None:
    await desk.post(1)
    await desk.post(2)
    await desk.ask(1)
    await desk.approve(1)
    answer = await desk.http.get(f"{MAIN}/events", headers={"accept": "application/x-ndjson"})
    lines = [json.loads(line) for line in answer.text.splitlines()]
    assert [line.get("redacted", False) for line in lines[:2]] == [True, False]
    assert "data" not in lines[0]["event"]


async def test_a_new_log_can_be_sealed_over_redacted_events(
    desk: Desk, tmp_path: Path, database_url: str
) -> None:
    """After a lost state: the tree is made again, and only from what is recorded."""
    for number in range(1, 4):
        await desk.post(number)
    await desk.ask(2)
    await desk.approve(2)
    before = (await desk.verified()).head
    async with desk.sealed_again(tmp_path / "other", database_url) as other:
        await other.service.app.state.desk.published.covering("main", before.size, 10)
        report = await other.verified()
        assert report.head.size >= before.size
        assert (report.portion.gone, report.portion.redacted) == ([2], [2])


async def test_the_database_refuses_what_is_not_recorded(desk: Desk) -> None:
    await desk.post(1)
    await desk.post(2)
    await desk.ask(1)
    await desk.approve(1)
    sql = await asyncpg.connect(desk.url)
    for role in ("rlg_owner", "postgres"):
        await sql.execute(f"SET ROLE {role}")
        with pytest.raises(asyncpg.InsufficientPrivilegeError, match="no redaction of 2"):
            await sql.execute("DELETE FROM ledger.event_body WHERE position = 2")
    await sql.execute("SET session_replication_role = replica")
    await sql.execute("DELETE FROM ledger.event_body WHERE position = 2")
    await sql.close()
    with pytest.raises(Refused, match="position 2: its body is gone and no redaction"):
        await desk.verified()


async def test_a_crash_between_record_and_removal_is_made_good(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    await desk.post(1)
    await desk.ask(1)

    async def crash(*_: object) -> None:
        raise TimeoutError

    with monkeypatch.context() as broken:
        broken.setattr(redactions, "_erase", crash)
        with pytest.raises(TimeoutError):
            await desk.approve(1)
    assert (await desk.get("redactions/1"))["state"] == "redacted"
    reader = desk.service.app.state.desk.reader
    await redactions._sweep(reader, "main")
    assert (await desk.get("events/1"))["redacted"] is True


async def test_the_raw_webhook_goes_too(desk: Desk) -> None:
    event = {"specversion": "1.0", "id": "h", "source": "/h", "type": "x.y",
             "subject": "thing:1", "data": {"name": "Ada Person"}}  # fmt: skip
    headers = {
        "content-type": "application/cloudevents+json",
        "authorization": "Bearer demo-secret",
    }
    answer = await desk.http.post(
        "/v1/hooks/cloudevents", content=json.dumps(event), headers=headers
    )
    assert answer.status_code == 202, answer.text
    async with asyncio.timeout(10):
        while not (await desk.get("events?wait=5"))["events"]:
            pass
    sql = await asyncpg.connect(desk.url)
    async with asyncio.timeout(10):
        while await sql.fetchval("SELECT state FROM ledger.hook_delivery") != "mapped":  # noqa: ASYNC110
            await asyncio.sleep(0.02)  # the row is all that there is to look at
    await desk.service.app.state.desk.published.covering("main", 1, 10)
    await desk.ask(1)
    assert (await desk.approve(1)).status_code == 200
    raw = await sql.fetchval("SELECT raw FROM ledger.hook_delivery")
    with pytest.raises(asyncpg.InsufficientPrivilegeError, match="deliveries are its evidence"):
        await sql.execute("UPDATE ledger.hook_delivery SET raw = 'other'")
    await sql.close()
    assert raw == b""


async def test_a_webhook_that_is_settled_after_the_redaction_goes_too(desk: Desk) -> None:
    """Its facts are appended before the delivery is noted as settled; a crash came between."""
    await desk.post(1)
    sql = await asyncpg.connect(desk.url)
    await sql.execute(
        "INSERT INTO ledger.hook_delivery (connection, ledger, delivery_key, headers, raw,"
        " raw_sha256, assurance, state) VALUES ('c', 'main', 'k', '{}', 'Ada Person',"
        " repeat('0', 64), 'A1', 'unmapped')"
    )
    await desk.ask(1)
    await desk.approve(1)
    await sql.execute("UPDATE ledger.hook_delivery SET positions = '{1}', state = 'mapped'")
    await redactions._sweep(desk.service.app.state.desk.reader, "main")
    assert await sql.fetchval("SELECT raw FROM ledger.hook_delivery") == b""
    await sql.close()


async def test_a_redacted_id_is_never_taken_again(desk: Desk) -> None:
    first = await desk.post(1)
    await desk.ask(1)
    await desk.approve(1)
    event = {"specversion": "1.0", "id": "e-1", "source": "/s", "type": "x.y",
             "subject": "thing:1", "data": {"name": "another"}}  # fmt: skip
    answer = await desk.http.post(f"{MAIN}/events", json=event)
    assert answer.status_code == 409
    assert answer.json()["position"] == first["receipt"]["position"]


async def test_a_person_is_taken_out_with_a_report(desk: Desk) -> None:
    """All events that hold the name, whichever way it is written, and no other."""
    await desk.post(1)
    await desk.post(2, data={"note": "nothing personal"})
    await desk.post(3, data={"by": ["ADA PERSON <ada@example.com>"]})
    await desk.post(4, type="org.releaseledger.role.assigned.v1", subject="role:qa", data={
        "role": "qa", "principal": "acme:ada-person", "scope": "*",
    })  # fmt: skip
    app, steps = desk.service.app, list[int]()
    ada, bob = Client("http://ledger", "ada", app), Client("http://ledger", "bob-reads", app)
    texts = ["Ada Person", "acme:ada-person"]
    asked = [each async for each in erasing.ask(ada, "main", texts, "erasure 17", steps.append)]
    assert [(each.position, each.state) for each in asked] == [
        (1, "requested"), (3, "requested"), (4, "refused"),
    ]  # fmt: skip
    assert "role.assigned" in asked[2].detail
    await desk.ask(2)  # of another reason: left alone
    done = [each async for each in erasing.agree(bob, "main", "erasure 17")]
    assert [(each.position, each.state) for each in done] == [(1, "redacted"), (3, "redacted")]
    assert [each async for each in erasing.agree(bob, "main", "erasure 17")] == []
    assert b"Ada Person" not in (await desk.http.get(f"{MAIN}/events?limit=3")).content
    assert (await desk.get("redactions/2"))["state"] == "requested"
    await ada.close()
    await bob.close()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Zoë Ångström", "by Zoe\u0308 A\u030angstro\u0308m"),
        ('Ada "Countess" Lovelace', 'Ada "countess" Lovelace'),
        ("C:\\users\\ada", "at c:\\Users\\Ada\\x"),
        ("ｆｕｌｌ ａｄａ", "full ada"),
    ],
)
async def test_a_name_is_found_however_it_is_composed(desk: Desk, text: str, said: str) -> None:
    await desk.post(1, data={"note": "nobody"})
    await desk.post(2, data={"by": [said]})
    ada = Client("http://ledger", "ada", desk.service.app)
    found = [each async for each in erasing.ask(ada, "main", [text], "erasure 17", lambda _: None)]
    assert [(each.position, each.state) for each in found] == [(2, "requested")]
    await ada.close()


async def test_what_would_meet_too_much_or_stay_for_ever_is_not_begun(desk: Desk) -> None:
    """An empty text is in every event; a reason that names the person is never removed."""
    await desk.post(1)
    ada = Client("http://ledger", "ada", desk.service.app)

    async def told(text: str, reason: str) -> list[erasing.Met]:
        return [each async for each in erasing.ask(ada, "main", [text], reason, lambda _: None)]

    for text in ("", "  ", "ad"):
        with pytest.raises(SettingsError, match="nearly everywhere"):
            await told(text, "erasure 17")
    with pytest.raises(SettingsError, match="recorded for ever"):
        await told("Ada Person", "ada person asked")
    (met,) = await told("dev:demo", "erasure 17")
    assert (met.position, met.state) == (1, "refused")
    assert "principals stay" in met.detail
    await ada.close()


async def erase(*arguments: str, key: str) -> tuple[int, str]:
    environ = {"PATH": os.environ["PATH"], "RLG_API_KEY": key, "COLUMNS": "200"}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "services", "erase", *arguments,
        env=environ, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    out, _ = await asyncio.wait_for(process.communicate(), 60)
    return process.returncode or 0, out.decode()


async def test_two_people_erase_by_command(desk: Desk, tmp_path: Path) -> None:
    await desk.post(1)
    await desk.post(2, data={"note": "nothing personal"})
    report = tmp_path / "report.json"
    async with listening_at(desk.service.app) as port:
        common = ("--reason", "erasure 18", "--url", f"http://127.0.0.1:{port}")
        ask = ("ask", "--text", "ada person", *common, "--report", str(report))
        code, said = await erase(*ask, key="ada")
        assert (code, "1 events, 0 refused" in said) == (0, True), said
        assert [each["state"] for each in json.loads(report.read_text())] == ["requested"]
        code, said = await erase("agree", *common, key="ada")  # one person is not two
        assert (code, "1 events, 1 refused" in said) == (1, True), said
        code, said = await erase("agree", *common, key="eve")  # no scope
        assert (code, "redact" in said, "Traceback" in said) == (1, True, False), said
        code, said = await erase("agree", *common, "--report", str(report), key="bob-reads")
        assert (code, "1 events, 0 refused" in said) == (0, True), said
        assert [each["state"] for each in json.loads(report.read_text())] == ["redacted"]
        code, said = await erase(*ask, key="nobody")
        assert (code, "Traceback" in said) == (1, False), said
    assert b"Ada Person" not in (await desk.http.get(f"{MAIN}/events?limit=3")).content
    code, said = await erase("agree", *common, key="bob-reads")  # the server is gone
    assert (code, f"127.0.0.1:{port}" in said, "Traceback" in said) == (1, True, False), said
