"""A backup that lacks the end of the log: what is left goes on, and what was lost is said."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from services.kit.settings import SettingsError
from services.kit.tlog.checkpoint import open_note
from services.ledger import epoch, own
from services.ledger.sealing import keys, rotation, sealer
from services.ledger.sealing.gap import declare
from services.ledger.sealing.leaves import Tampered
from services.ledger.sealing.rotation import open_log
from services.ledger.sealing.shelf import CHECKPOINT, Folder
from services.ledger.sealing.site import Site
from services.ledger.sealing.state import SqliteStates
from services.ledger.sealing.where import shelf_at
from services.ledger.verify.closed import check_closed
from services.ledger.verify.whole import Refused, verify
from services.ledger.verify.work import Job
from tests.integration.ledger.conftest import Ledger, submission
from tests.integration.ledger.sealing import Killed, behind_the_back
from tests.integration.ledger.test_rotation import ORIGIN, opened, published, seal, site, trusted

pytestmark = pytest.mark.postgres
__all__ = ["site"]
LOST = """
DELETE FROM ledger.event_body WHERE position > {0}; DELETE FROM ledger.history WHERE position > {0};
DELETE FROM ledger.event WHERE position > {0}; DELETE FROM ledger.subject_name WHERE subject_id >= ({0} + 1) * 64;
DELETE FROM ledger.subject WHERE subject_id >= ({0} + 1) * 64;
"""  # noqa: E501


@pytest.fixture
async def restored(ledger: Ledger, site: Site) -> Site:
    """600 events were sealed; the backup has 550."""
    appender = ledger.appender()
    await appender.append_all([submission(f"release:{n}") for n in range(400)])
    await appender.append_all([submission(f"release:{n}") for n in range(400, 600)])
    await seal(site)
    await behind_the_back(ledger, LOST.format(550))
    return site


def job(at: Site) -> Job:
    naming = keys.sealer(at.keys).naming.checker.pem()
    head, _ = open_note(published(at), [trusted(at)])
    return Job(head, at.shelf, "main", at.url, naming)


async def test_what_is_left_goes_on_in_a_new_log(ledger: Ledger, restored: Site) -> None:
    running = opened(restored)
    with pytest.raises(Tampered, match="position 600: it was sealed and the log does not have it"):
        await running.step()
    await running._at.source.aclose()
    before, counted = published(restored), list[int]()
    plan = await declare(restored, "the disk burnt", counted.append)
    assert (plan.first, plan.last, sum(counted)) == (551, 600, 550)
    assert plan.origin == f"{ORIGIN}/gap-1"
    await seal(restored)
    present = job(restored)
    report = await asyncio.to_thread(verify, present, 1, lambda _: None)
    assert (report.portion.events, present.head.origin) == (551, plan.origin)
    closed = shelf_at(f"{restored.shelf}.closed-600")
    assert closed.read(CHECKPOINT) == before
    old, _ = open_log(before, [], rotation.former(restored.keys))
    assert await asyncio.to_thread(check_closed, present, old, closed) == 551
    row = await ledger.sql.fetchrow(
        "SELECT convert_from(body, 'UTF8') AS body FROM ledger.event_body WHERE position = 551"
    )
    assert '"reason":"the disk burnt"' in row["body"]
    assert await ledger.sql.fetchval("SELECT epoch FROM ledger.ledger WHERE name = 'main'") == 2


async def test_a_second_gap(ledger: Ledger, restored: Site) -> None:
    await declare(restored, "one", lambda _: None)
    await seal(restored)
    await behind_the_back(ledger, LOST.format(540))
    plan = await declare(restored, "two", lambda _: None)
    assert (plan.first, plan.last, plan.origin) == (541, 551, f"{ORIGIN}/gap-2")
    await seal(restored)
    assert job(restored).head.size == 541


async def test_a_changed_copy_is_no_old_one(ledger: Ledger, restored: Site) -> None:
    await behind_the_back(
        ledger,
        "UPDATE ledger.event SET recorded_at = recorded_at - interval '1 s' WHERE position = 300",
    )
    with pytest.raises(SettingsError, match="no old copy but a changed one: position 300: "):
        await declare(restored, "r", lambda _: None)
    assert open_note(published(restored), [trusted(restored)])[0].origin == ORIGIN


async def test_nothing_is_declared_where_nothing_is_lost(ledger: Ledger, site: Site) -> None:
    await ledger.appender().append_all([submission("release:1")])
    await seal(site)
    with pytest.raises(SettingsError, match="nothing is lost: 1 events are here and 1 are sealed"):
        await declare(site, "r", lambda _: None)


@pytest.mark.parametrize("step", ["shelf", "keys", "begin", "epoch", "record"])
async def test_a_crash_in_the_ceremony_is_made_good(
    restored: Site, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    def dead(*_: Any, **__: Any) -> Any:
        raise Killed

    places: dict[str, tuple[Any, str]] = {
        "shelf": (Folder, "set_aside"), "keys": (rotation, "turn"), "begin": (sealer, "begin"),
        "epoch": (epoch, "begin"), "record": (own, "record"),
    }  # fmt: skip
    with monkeypatch.context() as broken:
        broken.setattr(*places[step], dead)
        with pytest.raises(Killed):
            await declare(restored, "first", lambda _: None)
    plan = await declare(restored, "again", lambda _: None)
    assert (plan.first, plan.last, plan.reason) == (551, 600, "first")
    await seal(restored)
    assert job(restored).head.size == 551


async def test_a_difference_that_nobody_declared_is_refused(ledger: Ledger, restored: Site) -> None:
    """A log over what is left, sealed from its start without the ceremony."""
    old, naming = job(restored).head, job(restored).naming
    await ledger.appender().append_all([submission("release:new")])
    restored.shelf.set_aside(".aside")
    aside = shelf_at(f"{restored.shelf}.aside")
    states = SqliteStates(restored.keys / "db")
    other = replace(restored, states=states)
    sealer.begin(states, restored.shelf, keys.sealer(restored.keys))
    await seal(other)
    present = Job(job(other).head, restored.shelf, "main", restored.url, naming)
    with pytest.raises(Refused, match="position 551: the closed log had another event"):
        await asyncio.to_thread(check_closed, present, old, aside)
