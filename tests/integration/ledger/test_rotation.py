"""Keys that are replaced while the log goes on, and what the old ones are worth afterwards."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from services.kit.settings import SettingsError
from services.kit.tlog import checkpoint
from services.kit.tlog.checkpoint import Checkpoint, open_note
from services.kit.tlog.note import Ed25519Signer, Ed25519Verifier, Note, Unsigned
from services.ledger import own
from services.ledger.sealing import keys, rotation, sealer
from services.ledger.sealing.rotation import Rotation, open_log
from services.ledger.sealing.sealer import Places, Sealer, SealerRefuses, Turned, unwitnessed
from services.ledger.sealing.shelf import CHECKPOINT, Folder
from services.ledger.sealing.site import Site, rotate
from services.ledger.sealing.source import Source
from services.ledger.sealing.state import SqliteStates
from tests.integration.ledger.conftest import Ledger, submission
from tests.integration.ledger.redacting import MAIN, Desk, redacting
from tests.integration.ledger.sealing import Killed, seal_all

pytestmark = pytest.mark.postgres
ORIGIN = "ledger.example/main"


@pytest.fixture
def site(ledger: Ledger, tmp_path: Path) -> Site:
    folder = tmp_path / "keys"
    keys.make(folder, ORIGIN)
    made = Site("main", ledger.url, folder, Folder(tmp_path / "log"), SqliteStates(tmp_path / "db"))
    sealer.begin(made.states, made.shelf, keys.sealer(folder))
    return made


async def nobody(_note: Note, _size: int) -> None:
    """Nobody waits."""


def opened(site: Site, rotation_: Rotation | None = None) -> Sealer:
    """A sealer's process, started now."""
    own_keys = keys.sealer(site.keys)
    source = Source(site.url, site.ledger, own_keys.naming)
    places = Places(
        source, site.states, site.shelf, own_keys, unwitnessed, nobody,
        rotation_ or Rotation(site.keys),
    )  # fmt: skip
    return Sealer("main", places, 0.01)


async def seal(site: Site) -> None:
    """Seal all there is, starting the process again when its key was replaced."""
    while True:
        running = opened(site)
        try:
            await seal_all(running)
        except Turned:
            continue
        finally:
            await running._at.source.aclose()
        return


def published(site: Site) -> bytes:
    return site.shelf.read(CHECKPOINT) or b""


def trusted(site: Site) -> Ed25519Verifier:
    return Ed25519Verifier.parse((site.keys / "sealer.vkey").read_text())


async def test_the_new_key_signs_from_the_event_on(ledger: Ledger, site: Site) -> None:
    await ledger.appender().append_all([submission("release:1") for _ in range(5)])
    await seal(site)
    old, before = trusted(site), published(site)
    stolen = keys.sealer(site.keys).signer
    position = await rotate(site, "sealer", "yearly")
    assert (position, await rotate(site, "sealer", "again")) == (6, 6)
    await seal(site)
    new = trusted(site)
    assert new != old
    head, note = open_note(published(site), [new])
    assert (head.size, note.signed_by([old]), head.origin) == (6, [old], ORIGIN)  # both, once
    await ledger.appender().append_all([submission("release:1")])
    await seal(site)
    head, note = open_note(published(site), [new])
    assert (head.size, note.signed_by([old])) == (7, [])
    retired = rotation.former(site.keys)
    assert [(each.which, each.key, each.below) for each in retired] == [("sealer", old.vkey, 6)]
    assert open_log(before, [new], retired)[0].size == 5
    forged = checkpoint.sign(Checkpoint(ORIGIN, 6, head.root), stolen)
    with pytest.raises(Unsigned):
        open_log(forged.content, [new], retired)


async def test_a_sealer_without_the_new_key_stops(ledger: Ledger, site: Site) -> None:
    await ledger.appender().append_all([submission("release:1")])
    await rotate(site, "sealer", "moved")
    (site.keys / f"{keys.SEALER}.next").unlink()
    running = opened(site)
    with pytest.raises(SealerRefuses, match="position 2: the sealer's key was replaced by one not"):
        await seal_all(running)
    await running._at.source.aclose()


async def test_a_log_with_several_rotations_can_be_sealed_from_its_start(
    ledger: Ledger, site: Site, tmp_path: Path
) -> None:
    for _ in range(2):
        await ledger.appender().append_all([submission("release:1")])
        await rotate(site, "sealer", "yearly")
        await seal(site)
    again = Site("main", site.url, site.keys, Folder(tmp_path / "b"), SqliteStates(tmp_path / "c"))
    sealer.begin(again.states, again.shelf, keys.sealer(site.keys))
    await seal(again)
    assert (
        open_note(published(again), [trusted(site)])[0]
        == open_note(published(site), [trusted(site)])[0]
    )


@pytest.mark.parametrize("step", range(4))
async def test_a_crash_in_the_turn_is_made_good(
    ledger: Ledger, site: Site, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    """Step 0: the state is swapped and no file is changed; then policy, public, private key."""
    await ledger.appender().append_all([submission("release:1")])
    await seal(site)
    (site.keys / keys.POLICY).write_text(f"log {trusted(site).vkey}\nquorum none\n")
    await rotate(site, "sealer", "yearly")
    left, replace_ = step, Path.replace

    def dying(file: Path, target: Path) -> Path:
        nonlocal left
        if target.parent == site.keys:
            left -= 1
            if left == 0:
                raise Killed
        return replace_(file, target)

    def dead(*_: object) -> None:
        raise Killed

    with monkeypatch.context() as broken:
        broken.setattr(Path, "replace", dying)
        if step == 0:
            broken.setattr(rotation, "turn", dead)
        running = opened(site)
        with pytest.raises(Killed):
            await seal_all(running)
        await running._at.source.aclose()
    await seal(site)
    new = trusted(site)
    assert open_note(published(site), [new])[0].size == 2
    assert [each.below for each in rotation.former(site.keys)] == [2]
    assert new.vkey in (site.keys / keys.POLICY).read_text()
    assert not list(site.keys.glob("*.next"))
    assert (site.keys / keys.SEALER).stat().st_mode & 0o077 == 0


def test_what_is_never_replaced(site: Site) -> None:
    with pytest.raises(SettingsError, match="naming is not replaced"):
        rotation.prepare(site.keys, "naming")


@pytest.fixture
async def desk(database_url: str, tmp_path: Path) -> AsyncIterator[Desk]:
    async with redacting(database_url, tmp_path) as running:
        yield running


async def test_a_running_ledger_goes_on_with_the_new_key(desk: Desk) -> None:
    """Sealer, witnesses by policy, and whoever waits for a checkpoint notice nothing."""
    folder = desk.where.keys("main")
    before = (folder / "sealer.vkey").read_text()
    here = Site("main", desk.url, folder, desk.where.shelf("main"), desk.where.states())
    await desk.post(1)
    await rotate(here, "sealer", "yearly")
    async with asyncio.timeout(10):
        while (folder / "sealer.vkey").read_text() == before:  # noqa: ASYNC110 - a file tells
            await asyncio.sleep(0.02)
    await desk.post(3)
    report = await desk.verified()
    assert report.portion.events >= 3
    said = (await desk.http.get(f"{MAIN}/trust/retired")).text
    assert said == f"sealer {before.strip()} 2\n"


async def test_receipts_and_statements_get_new_keys_too(ledger: Ledger, site: Site) -> None:
    await ledger.appender().append_all([submission("release:1")])
    signer = keys.receipts(site.keys)
    assert signer is not None
    assert await rotate(site, "receipts", "leaked") == 2
    assert await rotate(site, "attester", "yearly") == 3
    retired = rotation.former(site.keys)
    assert rotation.holding(retired, "receipts", 1) == [signer.verifier]
    assert rotation.holding(retired, "receipts", 2) == []
    now = keys.receipts(site.keys)
    assert now is not None
    assert now.verifier.vkey == (site.keys / "receipts.vkey").read_text().strip()
    assert keys.attester(site.keys) is not None
    assert retired[1].key.startswith("-----BEGIN PUBLIC KEY-----")
    assert retired[1].key.strip() != (site.keys / "attester.pub.pem").read_text().strip()


async def test_nobody_else_can_say_that_a_key_was_replaced(desk: Desk) -> None:
    eve = Ed25519Signer.generate("eve").verifier.vkey
    data = {"ledger": "main", "key": "sealer", "retired": "x", "introduced": eve, "reason": "r",
            "operator": "eve"}  # fmt: skip
    event = {"specversion": "1.0", "id": "k", "source": "/s", "type": rotation.TYPE, "data": data}
    assert (await desk.http.post(f"{MAIN}/events", json=event)).status_code == 403


async def test_the_operators_commands_leave_other_processes_alone(
    ledger: Ledger, site: Site
) -> None:
    appender = ledger.appender()
    await appender.append_all([submission("release:1")])
    async with own.operating(site.url, "main") as other:
        event = {"id": "x", "type": "x.y", "data": {}, "subject": "release:1"}
        assert await own.record(other, "keys", event, own.operator()) == 2
    (outcome,) = await appender.append_all([submission("release:1")])
    assert outcome.receipt is not None
    assert outcome.receipt.position == 3
    shutil.rmtree(site.keys)
