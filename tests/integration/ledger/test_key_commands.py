"""`seal rotate`, `seal gap` and what `verify` says afterwards, each as its user gives it."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

from services.ledger.sealing.shelf import CHECKPOINT
from tests.integration.ledger.redacting import MAIN, Desk, redacting
from tests.integration.ledger.sealing import services
from tests.integration.ledger.test_gap import LOST
from tests.integration.running.served import listening_at

pytestmark = pytest.mark.postgres
SUBJECT = "release:x-1"


class Person:
    """Somebody at the machine of a ledger whose data lies in a folder."""

    def __init__(self, url: str, folder: Path) -> None:
        self.url = url
        self.folder = folder
        self.keys = folder / "keys/main"
        # As after the `export RLG_API_KEY=…` of the documentation.
        self._told = {"RLG_DATA": str(folder), "RLG_API_KEY": "demo-key"}

    async def does(self, *words: str) -> str:
        code, said = await services(self.url, self._told, *words)
        assert code == 0, said
        return said

    async def fails(self, code: int, *words: str) -> str:
        found, said = await services(self.url, self._told, *words)
        assert found == code, said
        assert "Traceback" not in said
        return said

    def copy(self, name: str) -> str:
        """Keep a public key as it is now."""
        kept = self.folder / f"kept-{name}"
        kept.write_bytes((self.keys / name).read_bytes())
        return str(kept)


@pytest.fixture
def person(database_url: str, tmp_path: Path) -> Person:
    return Person(database_url, tmp_path)


@pytest.fixture
async def desk(database_url: str, tmp_path: Path) -> AsyncIterator[Desk]:
    async with redacting(database_url, tmp_path) as running:
        yield running


async def receipt(desk: Desk, number: int, file: Path) -> str:
    found = await desk.post(number, subject=SUBJECT)
    text = json.dumps(found["receipt"], separators=(",", ":"), ensure_ascii=False)
    await asyncio.to_thread(file.write_text, text)
    return str(file)


async def pack(desk: Desk, file: Path) -> str:
    answer = await desk.http.get(f"{MAIN}/subjects/{SUBJECT}/pack")
    await asyncio.to_thread(file.write_bytes, answer.content)
    return str(file)


async def turned(person: Person, before: str) -> None:
    async with asyncio.timeout(10):
        while (person.keys / "sealer.vkey").read_text() == before:  # noqa: ASYNC110 - a file tells
            await asyncio.sleep(0.02)


async def test_what_was_handed_out_before_a_rotation_holds(
    desk: Desk, person: Person, tmp_path: Path
) -> None:
    early = [await receipt(desk, 1, tmp_path / "1.json"), await pack(desk, tmp_path / "1.zip")]
    old, before = person.copy("sealer.vkey"), (person.keys / "sealer.vkey").read_text()
    (tmp_path / "kept").write_bytes(desk.where.shelf("main").read(CHECKPOINT) or b"")
    told = await person.does("seal", "rotate", "sealer", "--reason", "yearly", "--prepare")
    coming = told.strip().removeprefix("the new key: ")
    said = await person.does("seal", "rotate", "sealer", "--reason", "yearly")
    assert said.startswith(f"the new key: {coming}\nposition 2 says so")
    await turned(person, before)
    assert (person.keys / "sealer.vkey").read_text().strip() == coming
    late = [await receipt(desk, 2, tmp_path / "2.json"), await pack(desk, tmp_path / "2.zip")]
    for each in (early[0], late[0]):
        assert (await person.does("verify", "--receipt", each)).startswith("VERIFIED")
    for each in (early[1], late[1]):
        assert (await person.does("verify", "--pack", each)).startswith("VERIFIED")
    kept = ("--known", str(tmp_path / "kept"))
    assert "replaced at position" not in await person.does("verify", *kept)
    shutil.move(person.keys / "retired", tmp_path)  # an auditor has nothing but the old key
    said = await person.does("verify", "--key", old, *kept)
    assert f"the key was replaced at position 2, by {coming}" in said
    assert "VERIFIED" in await person.does("verify", "--key", old, "--tree")
    assert "VERIFIED" in await person.does("verify", "--key", old, "--subject", SUBJECT)
    async with listening_at(desk.service.app) as port:
        online = ("verify", "--url", f"http://127.0.0.1:{port}{MAIN}", "--key", old)
        assert f"by {coming}" in await person.does(*online)
    shutil.rmtree(tmp_path / "log/main/rotated")
    said = await person.fails(9, "verify", "--key", old)
    assert "no key of" in said


async def test_a_receipt_by_a_key_that_had_ended_is_refused(
    desk: Desk, person: Person, tmp_path: Path
) -> None:
    """The running process signs with the old key until it is started again."""
    early = await receipt(desk, 1, tmp_path / "1.json")
    said = await person.does("seal", "rotate", "receipts", "--reason", "leaked")
    assert "until then receipts are void" in said
    late = await receipt(desk, 2, tmp_path / "2.json")
    assert "VERIFIED" in await person.does("verify", "--receipt", early)
    assert "not signed by this ledger" in await person.fails(9, "verify", "--receipt", late)
    async with listening_at(desk.service.app) as port:
        online = ("verify", "--url", f"http://127.0.0.1:{port}{MAIN}", "--receipt")
        assert "VERIFIED  the receipt of position 1" in await person.does(*online, early)
        lie = tmp_path / "lie.json"
        lie.write_text((tmp_path / "1.json").read_text().replace('"position":1', '"position":2'))
        assert "REFUSED" in await person.fails(9, *online, str(lie))
        whole = tmp_path / "answer.json"  # as an append was answered
        whole.write_text(f'{{"outcome":"appended","receipt":{(tmp_path / "1.json").read_text()}}}')
        assert "VERIFIED" in await person.does(*online, str(whole))
        whole.write_text("{}")
        assert "the file is no receipt" in await person.fails(1, *online, str(whole))
    assert "does not answer" in await person.fails(1, *online, early)
    assert "position 4 says so" in await person.does(
        "seal", "rotate", "attester", "--reason", "yearly"
    )


async def test_faults_are_told_in_a_sentence(desk: Desk, person: Person, tmp_path: Path) -> None:
    await desk.post(1)
    nowhere = Person("postgresql://x@127.0.0.1:1/x", tmp_path)
    rotate, gap = ("seal", "rotate"), ("seal", "gap", "--reason", "x")
    told = [
        (person, (*rotate, "naming", "--reason", "x"), "naming is not replaced"),
        (person, (*rotate, "sealer", "--reason", "x", "--ledger", "no"), "no/sealer.skey is miss"),
        (person, (*rotate, "receipts", "--reason", "x" * 20_001), "reason"),
        (person, gap, "nothing is lost: 1 events are here and 1 are sealed"),
        (person, (*gap, "--ledger", "no"), "no/sealer.skey is missing"),
        (nowhere, (*rotate, "sealer", "--reason", "x"), "Connect"),
        (nowhere, gap, "Connect"),
    ]
    found = await asyncio.gather(*(who.fails(1, *words) for who, words, _ in told))
    for said, (_, words, part) in zip(found, told, strict=True):
        assert part in said, words


async def test_a_gap(database_url: str, person: Person, tmp_path: Path) -> None:
    """Closed, begun, and verified against the closed one."""
    async with redacting(database_url, tmp_path) as desk:
        for number in range(1, 7):
            await desk.post(number, subject=SUBJECT)
        before = await pack(desk, tmp_path / "before.zip")
        (tmp_path / "kept").write_bytes(desk.where.shelf("main").read(CHECKPOINT) or b"")
    sql = await asyncpg.connect(database_url)
    await sql.execute(f"SET session_replication_role = replica; {LOST.format(4)}")
    await sql.close()
    assert "6 are sealed: it is an old copy" in await person.fails(
        1, "seal", "rotate", "sealer", "--reason", "x"
    )
    said = await person.does("seal", "gap", "--reason", "the disk burnt")
    assert "positions 5 to 6 are declared lost" in said
    assert (person.keys / "sealer.vkey").read_text().strip() in said
    async with redacting(database_url, tmp_path) as desk:
        assert (await desk.post(9, subject=SUBJECT))["receipt"]["position"] == 6
        closed = f"{desk.where.shelf('main')}.closed-1"
        said = await person.does("verify", "--closed", closed)
        assert "the closed log agrees up to 4; its end is declared lost" in said
        assert "VERIFIED" in await person.does("verify", "--pack", before)
        after = await pack(desk, tmp_path / "after.zip")
        assert "VERIFIED" in await person.does("verify", "--pack", after)
    said = await person.fails(9, "verify", "--known", str(tmp_path / "kept"))
    assert "compare with --closed" in said
