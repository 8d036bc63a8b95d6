"""Redaction: two people, a recorded reason, the content gone, all else as it was and proven."""

from __future__ import annotations

import asyncio
import io
import json
import os
import subprocess
import sys
import zipfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from contracts.event import Origin
from services import erasing
from services.kit.remote import Client
from services.kit.settings import SettingsError
from services.kit.tlog.policy import Policy
from services.ledger import own, redactions
from services.ledger.sealing.naming import NameChecker
from services.ledger.verify.pack import read_zip, verify_pack
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
    assert (list(report.portion.gone), report.portion.unexcused()) == ([3], [])
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
        assert (list(report.portion.gone), report.portion.unexcused()) == ([2], [])


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


async def test_a_webhook_that_says_it_again_does_not_bring_it_back(desk: Desk) -> None:
    """Sent once more in other bytes, after the redaction: no conflict that keeps the text."""
    event = {"specversion": "1.0", "id": "h", "source": "/h", "type": "x.y",
             "subject": "thing:1", "data": {"name": "Ada Person"}}  # fmt: skip
    headers = {
        "content-type": "application/cloudevents+json",
        "authorization": "Bearer demo-secret",
    }
    sql = await asyncpg.connect(desk.url)

    async def hook(raw: str, nth: int) -> None:
        answer = await desk.http.post("/v1/hooks/cloudevents", content=raw, headers=headers)
        assert answer.status_code == 202, answer.text
        settled = "SELECT count(*) FROM ledger.hook_delivery WHERE state = 'mapped'"
        async with asyncio.timeout(10):
            while await sql.fetchval(settled) != nth:  # noqa: ASYNC110 - the rows are all there is
                await asyncio.sleep(0.02)

    await hook(json.dumps(event), 1)
    await desk.service.app.state.desk.published.covering("main", 1, 10)
    await desk.ask(1)
    assert (await desk.approve(1)).status_code == 200
    await hook(json.dumps(event, indent=1), 2)
    await redactions._sweep(desk.service.app.state.desk.reader, "main")
    raws = await sql.fetch("SELECT raw, positions FROM ledger.hook_delivery")
    assert [(row["raw"], row["positions"]) for row in raws] == [(b"", [1]), (b"", [1])]
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
    assert [each async for each in erasing.agree(bob, "main", "erasure 17")] == done
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
    assert met.detail == "its principal holds a text, and stays"
    await ada.close()


async def test_where_a_name_stays_that_is_told(desk: Desk) -> None:
    """In the source and in a subject's key: the rest is removed, and these are not."""
    await desk.post(1, source="/ada-person", subject="thing:ada-person", data={"n": "ada-person"})
    ada = Client("http://ledger", "ada", desk.service.app)
    found = [each async for each in erasing.ask(ada, "main", ["Ada-Person"], "r 1", lambda _: None)]
    assert [(each.position, each.state) for each in found] == [(1, "requested"), (1, "refused")]
    assert found[1].detail == "its source, subject holds a text, and stays"
    await ada.close()


async def test_what_was_asked_for_before_stands_with_its_own_reason(desk: Desk) -> None:
    await desk.post(1)
    await desk.ask(1)
    ada = Client("http://ledger", "bob-reads", desk.service.app)
    (met,) = [e async for e in erasing.ask(ada, "main", ["Ada Person"], "r 2", lambda _: None)]
    assert (met.state, met.detail) == ("requested", "by key:ada: names a person")
    assert (await desk.ask(1)).json()["reason"] == "names a person"
    await ada.close()


async def test_agreeing_ends_while_others_append(desk: Desk) -> None:
    """It looks up to where the ledger ended when it began."""
    await desk.post(1)
    await desk.ask(1)
    bob = Client("http://ledger", "bob-reads", desk.service.app)
    appended, get = 10, bob.get

    async def busy(path: str, **query: Any) -> Any:
        nonlocal appended
        appended += 1
        await desk.post(appended)
        return await get(path, **query)

    bob.get = busy  # type: ignore[method-assign]
    async with asyncio.timeout(10):
        done = [each async for each in erasing.agree(bob, "main", "names a person")]
    assert [(each.position, each.state) for each in done] == [(1, "redacted")]
    await bob.close()


async def test_a_record_that_two_people_did_not_make_excuses_nothing(desk: Desk) -> None:
    """Written past the service with the rights of the database: a forged agreement."""
    for number in (1, 2, 3, 4):
        await desk.post(number)
    app = desk.service.app.state.desk
    appender, reader = app.appender_for("main"), app.reader
    rows = {n: (await reader.at("main", n)).commitment.hex() for n in (1, 2, 3, 4)}

    async def record(position: int, section: str = "redactions", **other: Any) -> None:
        data = {"position": position, "commitment": rows[position], "reason": "r",
                "requested_by": "key:ada", "approved_by": "key:bob"} | other  # fmt: skip
        event = {"id": f"event.redacted-{position}", "type": redactions.DONE, "data": data}
        await own.record(appender, section, event, Origin(principal="key:bob", assurance="A2"))

    for position in (1, 3, 4):
        await desk.ask(position)
    await record(1)
    await record(2)  # nobody asked
    await record(3, approved_by="key:ada")
    await record(4, commitment="00" * 32)
    await app.published.covering("main", (await reader.head("main"))[0], 10)
    sql = await asyncpg.connect(desk.url)
    await sql.execute("SET session_replication_role = replica")
    await sql.execute("CREATE TEMPORARY TABLE kept AS SELECT * FROM ledger.event_body")
    for position, fine in ((1, True), (2, False), (3, False), (4, False)):
        await sql.execute("DELETE FROM ledger.event_body WHERE position = $1", position)
        if fine:
            await desk.verified()
        else:
            with pytest.raises(Refused, match=f"position {position}: its body is gone"):
                await desk.verified()
            back = "INSERT INTO ledger.event_body SELECT * FROM kept WHERE position = $1"
            await sql.execute(back, position)
    await sql.close()


async def test_a_pack_has_the_record_of_what_it_lacks(desk: Desk, tmp_path: Path) -> None:
    """A body that is withheld is not a redacted one: for us, and for a shell with openssl."""
    for number in (1, 2):
        await desk.post(number)
    await desk.ask(1)
    await desk.approve(1)
    await desk.service.app.state.desk.published.covering("main", 4, 10)
    zipped = (await desk.http.get(f"{MAIN}/subjects/thing:1/pack")).content
    files = read_zip(io.BytesIO(zipped))
    policy = Policy.parse(files["trust/policy"].decode())
    naming = NameChecker.from_pem(files["trust/naming.pub.pem"])
    report = verify_pack(files, policy, naming)
    assert (report.subject, report.events, report.redacted) == ("thing:1", 4, 1)
    withheld = {name: each for name, each in files.items() if name != "events/2.json"}
    with pytest.raises(Refused, match="position 2: its body is gone and no redaction is recorded"):
        verify_pack(withheld, policy, naming)
    folder = tmp_path / "pack"
    await asyncio.to_thread(zipfile.ZipFile(io.BytesIO(zipped)).extractall, folder)
    recipe = ["sh", str(folder / "verify-proof.sh"), str(folder), "all"]
    said = await asyncio.to_thread(subprocess.run, recipe, capture_output=True, text=True)
    assert said.returncode == 0, said.stdout
    assert said.stdout.endswith("ok: all of that for 4 events, 1 of them redacted\n")
    for name in ("events/2.json", "events/2.salt"):
        (folder / name).unlink()
    said = await asyncio.to_thread(subprocess.run, recipe, capture_output=True, text=True)
    assert (said.returncode, "REFUSED: the body of position 2" in said.stdout) == (9, True)


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
