"""The daily time-stamp: by an authority made with openssl, checked by us and by openssl."""

from __future__ import annotations

import asyncio
import io
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from services.kit.remote import Client
from services.kit.settings import SettingsError
from services.kit.tlog.checkpoint import open_note, sign
from services.kit.tlog.policy import Policy
from services.ledger.sealing import anchor, keys
from services.ledger.sealing.anchor import Anchorer, NotStamped, anchors, read_roots, stamped
from services.ledger.sealing.anchor import Authority as Trusted
from services.ledger.sealing.shelf import CHECKPOINT, Folder
from services.ledger.settings import LedgerSettings
from services.ledger.verify.anchored import check_anchors
from services.ledger.verify.pack import read_zip, verify_pack
from services.ledger.verify.whole import Refused
from services.ledger.verify.work import Job
from tests.integration.ledger.authority import Authority
from tests.integration.ledger.conftest import Ledger
from tests.integration.ledger.sealing import Workshop, sealed, services
from tests.integration.ledger.test_pack import pack

pytestmark = pytest.mark.postgres


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("tsa") / "a")


@pytest.fixture
def tsa(made: Authority) -> Iterator[Authority]:
    made.mood = "good"
    made.asked.clear()
    with made.serving():
        yield made


@pytest.fixture
async def workshop(ledger: Ledger, tmp_path: Path) -> AsyncIterator[Workshop]:
    keys.make(tmp_path / "keys", "ledger.example/main")
    made_here = Workshop(ledger.url, tmp_path, keys.sealer(tmp_path / "keys"))
    made_here.begin()
    await sealed(ledger, made_here, 300)
    yield made_here
    await made_here.close()


class Days:
    """An anchorer whose days pass when they are told to."""

    def __init__(self, workshop: Workshop, tsa: Authority) -> None:
        self.day = 1
        self._shelf = workshop.shelf
        self._client = Client(tsa.url, "")
        self._trusted = Trusted(tsa.url, tuple(read_roots(tsa.roots)))
        self.start()

    def start(self) -> None:
        """Start its process, again too."""
        self._anchorer = Anchorer("main", self._shelf, self._client, self._trusted, self.now)

    def now(self) -> datetime:
        return datetime(2026, 3, self.day, 12, tzinfo=UTC)

    async def step(self) -> float:
        return await self._anchorer.step()

    async def close(self) -> None:
        await self._client.close()


@pytest.fixture
async def days(workshop: Workshop, tsa: Authority) -> AsyncIterator[Days]:
    passing = Days(workshop, tsa)
    yield passing
    await passing.close()


def checked(workshop: Workshop, tsa: Authority) -> list[int]:
    job = Job(workshop.published(), workshop.shelf, "main")
    found = check_anchors(job, workshop.keys.signer.verifier, [], read_roots(tsa.roots))
    return [each.size for each in found]


async def test_each_day_gets_one_time_stamp(
    ledger: Ledger, workshop: Workshop, tsa: Authority, days: Days
) -> None:
    before = workshop.shelf.read(CHECKPOINT)
    assert await days.step() == anchor.LOOK_SECONDS
    await sealed(ledger, workshop, 10)
    await days.step()
    assert len(tsa.asked) == 1
    days.day = 2
    await days.step()
    assert tsa.asked == ["application/timestamp-query"] * 2
    assert [(each.date, each.checkpoint == before) for each in anchors(workshop.shelf)] == [
        ("2026-03-01", True), ("2026-03-02", False),
    ]  # fmt: skip
    assert checked(workshop, tsa) == [300, 310]


async def test_openssl_accepts_it_and_refuses_another_checkpoint(
    workshop: Workshop, tsa: Authority, days: Days
) -> None:
    await days.step()
    folder = workshop.shelf.root / "anchor" / "2026-03-01"

    def openssl(data: Path) -> int:
        command = ["openssl", "ts", "-verify", "-in", "response.tsr", "-data", str(data),
                   "-CAfile", str(tsa.roots)]  # fmt: skip
        return subprocess.run(command, cwd=folder, check=False, capture_output=True).returncode

    assert openssl(folder / CHECKPOINT) == 0
    other = workshop.root / "other"
    other.write_bytes((folder / CHECKPOINT).read_bytes() + b"\n")
    assert openssl(other) != 0


@pytest.mark.parametrize("mood", ["away", "garbage", "reject", "replay"])
async def test_a_bad_answer_is_not_kept_and_it_asks_again(
    ledger: Ledger, workshop: Workshop, tsa: Authority, days: Days, mood: str
) -> None:
    tsa.answer(anchor.request(workshop.shelf.read(CHECKPOINT) or b"")[0])  # for the replay
    tsa.mood = mood
    assert [await days.step() for _ in range(3)] == [5, 10, 20]
    assert workshop.shelf.read(anchor.INDEX) is None
    tsa.mood = "good"
    assert await days.step() == anchor.LOOK_SECONDS
    assert checked(workshop, tsa) == [300]


async def test_an_authority_that_nobody_trusts(
    workshop: Workshop, tsa: Authority, days: Days, tmp_path: Path
) -> None:
    await days.step()
    stranger = Authority(tmp_path / "stranger")
    with pytest.raises(Refused, match="the anchor of 2026-03-01: "):
        checked(workshop, stranger)
    (each,) = anchors(workshop.shelf)
    with pytest.raises(NotStamped):
        stamped(each.response, each.checkpoint + b"\n", read_roots(tsa.roots))


@pytest.mark.parametrize("file", ["checkpoint", "response.tsr"])
async def test_a_changed_anchor_is_refused(
    ledger: Ledger, workshop: Workshop, tsa: Authority, days: Days, file: str
) -> None:
    await days.step()
    path = workshop.shelf.root / "anchor" / "2026-03-01" / file
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(Refused, match="the anchor of 2026-03-01: "):
        checked(workshop, tsa)
    path.unlink()
    with pytest.raises(Refused, match="its files are not there"):
        checked(workshop, tsa)
    workshop.shelf.replace(anchor.INDEX, b"2026-03-01\n")
    with pytest.raises(Refused, match="index is damaged"):
        checked(workshop, tsa)
    assert "anchor/checkpoint" not in read_zip(
        io.BytesIO((await pack(ledger, workshop, "release:3")).content)
    )


async def test_a_crash_before_the_index_stamps_the_same_checkpoint_again(
    ledger: Ledger, workshop: Workshop, tsa: Authority, days: Days
) -> None:
    await days.step()
    (workshop.shelf.root / anchor.INDEX).unlink()
    await sealed(ledger, workshop, 10)
    days.start()
    await days.step()
    assert checked(workshop, tsa) == [300]


async def test_days_that_vanish_are_noticed(
    ledger: Ledger, workshop: Workshop, tsa: Authority, days: Days
) -> None:
    """By the sealer that had seen them, and by whoever asks for time-stamps and finds none."""
    await days.step()
    (workshop.shelf.root / anchor.INDEX).unlink()
    with capture_logs() as logged:
        assert await days.step() < anchor.LOOK_SECONDS
    assert "has lost or changed a day" in logged[0]["reason"]
    settings = {"LEDGER_SHELF": str(workshop.root / "shelves"), "LEDGER_TSA_ROOTS": str(tsa.roots)}
    shutil.copytree(workshop.shelf.root, workshop.root / "shelves" / "main")
    shutil.copytree(workshop.root / "keys", workshop.root / "trust" / "main")
    settings["LEDGER_KEYS"] = str(workshop.root / "trust")
    code, said = await services(ledger.url, settings, "verify", "--tree")
    assert (code, "LEDGER_TSA_ROOTS is set and there are no time-stamps" in said) == (1, True), said


async def verify_zip(workshop: Workshop, zipped: Path, tsa: Authority) -> tuple[int, str]:
    folder = workshop.root / "trust" / "main"
    if not folder.exists():
        shutil.copytree(workshop.root / "keys", folder)
        policy = f"log {workshop.keys.signer.verifier.vkey}\nquorum none\n"
        (folder / keys.POLICY).write_text(policy)
    environ = {"LEDGER_KEYS": str(folder.parent), "LEDGER_TSA_ROOTS": str(tsa.roots)}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "services", "verify", "--pack", str(zipped),
        env=environ, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    out, _ = await asyncio.wait_for(process.communicate(), 60)
    return process.returncode or 0, out.decode()


async def test_a_full_disk_is_asked_again_later(
    workshop: Workshop, tsa: Authority, days: Days, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as disk:
        disk.setattr(Folder, "replace", full)
        assert [await days.step() for _ in range(2)] == [5, 10]
    assert await days.step() == anchor.LOOK_SECONDS
    assert checked(workshop, tsa) == [300]


async def test_packs_carry_the_newest_one(
    ledger: Ledger, workshop: Workshop, tsa: Authority, days: Days, tmp_path: Path
) -> None:
    stamp = workshop.shelf.read(CHECKPOINT) or b""
    await days.step()
    await sealed(ledger, workshop, 10)
    files = read_zip(io.BytesIO((await pack(ledger, workshop, "release:3")).content))
    assert files["anchor/checkpoint"] == stamp
    assert stamped(files["anchor/response.tsr"], stamp, read_roots(tsa.roots)).tzinfo is UTC
    zipped = workshop.root / "pack.zip"
    zipped.write_bytes((await pack(ledger, workshop, "release:3")).content)
    code, said = await verify_zip(workshop, zipped, tsa)
    assert (code, "300 events at 20" in said) == (0, True), said
    code, said = await verify_zip(workshop, zipped, Authority(tmp_path / "stranger"))
    assert (code, "REFUSED  the time-stamp in the pack" in said) == (9, True), said
    policy = Policy.parse(f"log {workshop.keys.signer.verifier.vkey}\nquorum none\n")
    naming = workshop.keys.naming.checker
    assert verify_pack(files, policy, naming).head.size == 310
    head = open_note(stamp, [workshop.keys.signer.verifier])[0]
    other = sign(replace(head, root=bytes(32)), workshop.keys.signer)
    with pytest.raises(Refused, match="root"):
        verify_pack(files | {"anchor/checkpoint": other.content}, policy, naming)


def test_settings_that_do_not_fit(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="LEDGER_TSA_ROOTS"):
        anchor.authority(LedgerSettings(tsa="http://127.0.0.1/tsa"))
    (tmp_path / "roots").write_text("no certificates")
    with pytest.raises(SettingsError, match="roots"):
        anchor.authority(LedgerSettings(tsa="http://127.0.0.1/tsa", tsa_roots=tmp_path / "roots"))
    assert anchor.authority(LedgerSettings()) is None
