"""Keys that are replaced while the log goes on, and what the old ones are worth afterwards."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from services.kit import service
from services.kit.settings import SettingsError, Shared
from services.kit.tlog import checkpoint
from services.kit.tlog.checkpoint import Checkpoint, open_note
from services.kit.tlog.note import Ed25519Signer, Ed25519Verifier, Note, Unsigned
from services.ledger import own
from services.ledger.sealing import keys, rotation, sealer, succession
from services.ledger.sealing.resume import SealerRefuses
from services.ledger.sealing.rotation import Rotation, open_log
from services.ledger.sealing.sealer import Places, Sealer, Turned, unwitnessed
from services.ledger.sealing.service import Sealing
from services.ledger.sealing.shelf import CHECKPOINT, Folder
from services.ledger.sealing.site import Site, rotate
from services.ledger.sealing.source import Source
from services.ledger.sealing.state import SqliteStates
from services.ledger.sealing.succession import NotASuccession, follow
from services.ledger.settings import LedgerSettings
from services.ledger.verify.history import verify_history
from services.ledger.verify.whole import Refused, verify
from services.ledger.verify.work import Job
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
    recorded = await rotate(site, "sealer", "yearly")
    assert recorded.position == 6
    assert await rotate(site, "sealer", "again") == recorded
    await seal(site)
    new = trusted(site)
    assert new != old
    assert recorded.introduced == new.vkey
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


@pytest.mark.parametrize("step", range(5))
async def test_a_crash_in_the_turn_is_made_good(
    ledger: Ledger, site: Site, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    """Step 0: the state is swapped and no file is changed; then `retired`, policy, public and
    private key."""
    await ledger.appender().append_all([submission("release:1")])
    await seal(site)
    old = trusted(site)
    (site.keys / keys.POLICY).write_text(f"log\t{trusted(site).vkey}\nquorum none\n")
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
            broken.setattr(succession, "made", dead)
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
    assert [each.successor for each in follow(site.shelf, old)] == [new]


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
    before = (site.keys / "attester.pub.pem").read_text().strip()
    assert (await rotate(site, "receipts", "leaked")).position == 2
    found = await rotate(site, "attester", "yearly")
    assert found.position == 3
    retired = rotation.former(site.keys)
    assert rotation.holding(retired, "receipts", 1) == [signer.verifier]
    assert rotation.holding(retired, "receipts", 2) == []
    now = keys.receipts(site.keys)
    assert now is not None
    assert now.verifier.vkey == (site.keys / "receipts.vkey").read_text().strip()
    assert keys.attester(site.keys) is not None
    assert found.introduced == (site.keys / "attester.pub.pem").read_text().strip() != before


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


async def test_who_trusts_the_old_key_follows_the_events(ledger: Ledger, site: Site) -> None:
    """By the event in a tree that the old key has signed; a signature beside it shows nothing."""
    await ledger.appender().append_all([submission("release:1")])
    await seal(site)
    first = trusted(site)
    for _ in range(2):
        await rotate(site, "sealer", "yearly")
        await seal(site)
    steps = follow(site.shelf, first)
    assert [each.position for each in steps] == [2, 3]
    assert steps[-1].successor == trusted(site)
    assert follow(site.shelf, trusted(site)) == []
    eve, kept = Ed25519Signer.generate(ORIGIN), succession.path(first.vkey)
    shown = json.loads(site.shelf.read(kept) or b"")
    forged = [
        shown | {"body": shown["body"].replace(steps[0].successor.vkey, eve.verifier.vkey)},
        shown | {"salt": "00" * 16},
        {name: value for name, value in shown.items() if name != "leaf"},
        json.loads(site.shelf.read(succession.path(steps[0].successor.vkey)) or b""),
    ]
    for each in forged:
        site.shelf.replace(kept, json.dumps(each).encode())
        with pytest.raises(NotASuccession):
            follow(site.shelf, first)


async def test_a_checkpoint_is_published_before_its_second_key_takes_over(
    ledger: Ledger, site: Site
) -> None:
    await ledger.appender().append_all([submission("release:1")])
    await seal(site)
    await rotate(site, "sealer", "yearly")
    running = opened(site)
    with pytest.raises(Turned):
        await seal_all(running)
    await running._at.source.aclose()
    assert open_note(published(site), [trusted(site)])[0].size == 2


async def test_an_idle_sealer_does_not_sign_on_with_the_key_that_ended(
    ledger: Ledger, site: Site
) -> None:
    appender = ledger.appender()
    await appender.append_all([submission("release:1")])
    await seal(site)
    idle = opened(site)
    await idle.step()
    await rotate(site, "sealer", "leaked")
    await seal(site)
    await appender.append_all([submission("release:1")])
    for _ in range(2):
        with pytest.raises(SealerRefuses, match="replaced by one not here"):
            await idle.step()
        idle._now = None  # what `run` does first
    await idle._at.source.aclose()
    await seal(site)
    assert open_note(published(site), [trusted(site)])[0].size == 3


async def test_a_copy_of_the_folder_from_before_does_not_sign_on(
    ledger: Ledger, site: Site, tmp_path: Path
) -> None:
    await ledger.appender().append_all([submission("release:1")])
    await seal(site)
    shutil.copytree(site.keys, tmp_path / "before")
    await rotate(site, "sealer", "yearly")
    await seal(site)
    running = opened(replace(site, keys=tmp_path / "before"))
    with pytest.raises(SealerRefuses, match="position 2: the sealer's key was replaced"):
        await running.step()
    await running._at.source.aclose()


@pytest.mark.parametrize("again", range(3))
async def test_two_whole_sealers_at_one_folder(ledger: Ledger, tmp_path: Path, again: int) -> None:
    """Whichever of them seals the position: both go on with the new key, and none with the old."""
    del again
    folder = tmp_path / "keys/main"
    keys.make(folder, ORIGIN)
    shelf, states = Folder(tmp_path / "log/main"), SqliteStates(tmp_path / "seal.db")
    here = Site("main", ledger.url, folder, shelf, states)
    sealer.begin(states, shelf, keys.sealer(folder))
    old = trusted(here)
    shared, settings = (
        Shared(data=tmp_path, DATABASE_URL=ledger.url),
        LedgerSettings(seal_seconds=0.05),
    )
    two = [Sealing(shared, settings, lambda _: ledger.url) for _ in range(2)]
    appender = ledger.appender()

    async def until(size: int) -> None:
        async with asyncio.timeout(20):
            while Checkpoint.parse(Note.parse(published(here)).text).size < size:  # noqa: ASYNC110 - a file tells
                await asyncio.sleep(0.02)

    async with service.background("a", **two[0].tasks()), service.background("b", **two[1].tasks()):
        await appender.append_all([submission("release:1")])
        await until(1)
        assert (await rotate(here, "sealer", "yearly")).position == 2
        for size in range(3, 9):
            await appender.append_all([submission("release:1")])
            await until(size)
    note = Note.parse(published(here))
    assert (note.signed_by([trusted(here)]), note.signed_by([old])) == ([trusted(here)], [])


async def test_a_tree_that_an_ended_key_has_signed_is_refused(ledger: Ledger, site: Site) -> None:
    """A thief of the old key signs on where nothing shows the successor: the log tells it."""
    await ledger.appender().append_all([submission("release:1")])
    await seal(site)
    old = trusted(site)
    await rotate(site, "sealer", "leaked")
    await seal(site)
    head, _ = open_note(published(site), [old])  # both have signed this one
    naming = keys.sealer(site.keys).naming.checker.pem()
    job = Job(head, site.shelf, "main", site.url, naming, key=old.vkey)
    with pytest.raises(Refused, match="position 2: the log's key was replaced there"):
        await asyncio.to_thread(verify, job, 1, lambda _: None)
    with pytest.raises(Refused, match="position 2: the log's key was replaced there"):
        await asyncio.to_thread(verify_history, job, "release:1", 1, lambda _: None)
    report = await asyncio.to_thread(
        verify, replace(job, key=trusted(site).vkey), 1, lambda _: None
    )
    assert report.portion.events == 2
