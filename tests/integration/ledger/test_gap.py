"""A backup that lacks the end of the log: what is left goes on, and what was lost is said."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from contracts.problem import Problem
from services.kit.settings import SettingsError
from services.kit.tlog.checkpoint import open_note
from services.kit.tlog.policy import Policy
from services.ledger import epoch, own
from services.ledger.sealing import keys, rotation, sealer
from services.ledger.sealing.gap import closed_shelf, declare
from services.ledger.sealing.leaves import Tampered
from services.ledger.sealing.rotation import open_log
from services.ledger.sealing.sealer import Sealer
from services.ledger.sealing.shelf import CHECKPOINT, Folder
from services.ledger.sealing.site import Site, rotate
from services.ledger.sealing.state import SqliteStates
from services.ledger.sealing.where import shelf_at
from services.ledger.verify.closed import check_closed
from services.ledger.verify.whole import Refused, verify
from services.ledger.verify.work import Job
from tests.integration.ledger.conftest import Ledger, submission
from tests.integration.ledger.sealing import Killed, behind_the_back, seal_all
from tests.integration.ledger.test_rotation import ORIGIN, opened, published, seal, site, trusted

pytestmark = pytest.mark.postgres
__all__ = ["site"]


def nobody_watches(_count: int) -> None:
    """Nobody watches."""


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


async def put(at: Site, count: int, subject: str = "release:1") -> None:
    """Append as a process does that has begun in the present epoch."""
    async with own.operating(at.url, "main") as appender:
        await appender.append_all([submission(subject) for _ in range(count)])


async def compared(at: Site, number: int) -> int:
    """Return the first position that only the log has which that gap has closed."""
    closed = closed_shelf(at, number)
    old, _ = open_log(closed.read(CHECKPOINT) or b"", [], rotation.former(at.keys))
    return await asyncio.to_thread(check_closed, job(at), old, closed)


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
    assert closed_shelf(restored, 1).read(CHECKPOINT) == before
    assert await compared(restored, 1) == 551
    row = await ledger.sql.fetchrow(
        "SELECT convert_from(body, 'UTF8') AS body FROM ledger.event_body WHERE position = 551"
    )
    assert '"reason":"the disk burnt"' in row["body"]
    assert await ledger.sql.fetchval("SELECT epoch FROM ledger.ledger WHERE name = 'main'") == 2


@pytest.mark.parametrize("left", [540, 553])
async def test_a_second_gap(ledger: Ledger, restored: Site, left: int) -> None:
    """Before the first one's event, which is then declared again, and behind it."""
    first = await declare(restored, "one", nobody_watches)
    await put(restored, 5)
    await seal(restored)
    await behind_the_back(ledger, LOST.format(left))
    plan = await declare(restored, "two", nobody_watches)
    assert (plan.first, plan.last, plan.origin) == (left + 1, 556, f"{ORIGIN}/gap-2")
    assert plan.earlier == ([(600, first.closed)] if left < first.first else [])
    await seal(restored)
    assert job(restored).head.size == left + 1 + len(plan.earlier)
    for number, lost in [(1, min(left + 1, first.first)), (2, plan.first)]:
        assert await compared(restored, number) == lost


async def test_closed_logs_of_one_size_lie_apart(ledger: Ledger, restored: Site) -> None:
    for number in (1, 2, 3):
        plan = await declare(restored, f"gap {number}", nobody_watches)
        await put(restored, 49 - len(plan.earlier))
        await seal(restored)
        assert (plan.last, job(restored).head.size) == (600, 600)
        await behind_the_back(ledger, LOST.format(550))
    assert (await declare(restored, "last", nobody_watches)).origin == f"{ORIGIN}/gap-4"
    await seal(restored)
    for number in (1, 2, 3, 4):
        assert await compared(restored, number) == 551


async def test_a_changed_copy_is_no_old_one(ledger: Ledger, restored: Site) -> None:
    await behind_the_back(
        ledger,
        "UPDATE ledger.event SET recorded_at = recorded_at - interval '1 s' WHERE position = 300",
    )
    with pytest.raises(SettingsError, match="no old copy but a changed one: position 300: "):
        await declare(restored, "r", nobody_watches)
    assert open_note(published(restored), [trusted(restored)])[0].origin == ORIGIN


async def test_nothing_is_declared_where_nothing_is_lost(ledger: Ledger, site: Site) -> None:
    await ledger.appender().append_all([submission("release:1")])
    await seal(site)
    with pytest.raises(SettingsError, match="nothing is lost: 1 events are here and 1 are sealed"):
        await declare(site, "r", nobody_watches)


@pytest.mark.parametrize(
    "step",
    ["epoch", "plan", "record", "recorded", "shelf", "keys", "policy", "begin", "shown", "end"],
)
async def test_a_crash_in_the_ceremony_is_made_good(
    restored: Site, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    def dead(*_: Any, **__: Any) -> Any:
        raise Killed

    def dying(name: str) -> Any:
        """Put files in their places until the one of this name."""

        def replacing(file: Path, target: Path) -> Path:
            if target.name == name:
                raise Killed
            return replace_(file, target)

        return replacing

    replace_, policy = Path.replace, restored.keys / keys.POLICY
    policy.write_text(f"log {trusted(restored).vkey}\nquorum none\n")
    places: dict[str, tuple[Any, str, Any]] = {
        "epoch": (epoch, "begin", dead), "plan": (Path, "replace", dying("gap.json")),
        "record": (own, "record", dead), "recorded": (Folder, "set_aside", dead),
        "shelf": (keys, "replace", dead_at(keys.replace, "sealer.skey.next")),
        "keys": (rotation, "turn", dead), "policy": (Path, "replace", dying("policy")),
        "begin": (sealer, "begin", dead), "shown": (Folder, "replace", dead),
        "end": (Path, "unlink", dead_at(Path.unlink, "gap.json")),
    }  # fmt: skip
    with monkeypatch.context() as broken:
        broken.setattr(*places[step])
        with pytest.raises(Killed):
            await declare(restored, "first", nobody_watches)
    planned = step not in {"epoch", "plan"}
    with monkeypatch.context() as other:
        other.setattr(own, "person", lambda: "bob")
        if planned:
            with pytest.raises(SettingsError, match="give `seal gap` again"):
                await rotate(restored, "receipts", "meanwhile")
        plan = await declare(restored, "again", nobody_watches)
    said = ("first", own.person()) if planned else ("again", "bob")
    assert (plan.first, plan.last, plan.reason, plan.operator) == (551, 600, *said)
    await seal(restored)
    assert job(restored).head.size == 551
    assert await compared(restored, 1) == 551
    assert Policy.parse(policy.read_text()).check(published(restored)).size == 551
    assert (restored.keys / keys.RETIRED).read_text().count("\n") == 1


def dead_at(work: Callable[..., Any], name: str) -> Callable[..., Any]:
    """Do it, but for the file of this name."""

    def doing(file: Path, *more: Any, **named: Any) -> Any:
        if file.name == name:
            raise Killed
        return work(file, *more, **named)

    return doing


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


async def test_first_everything_is_checked(ledger: Ledger, restored: Site) -> None:
    """Whatever is refused leaves the log, its keys and the ledger's head as they were."""
    before = sorted(file.name for file in restored.keys.iterdir())
    epochs = "SELECT epoch FROM ledger.ledger"

    async def refused(said: str, at: Site = restored, reason: str = "r") -> None:
        with pytest.raises((SettingsError, Problem), match=said):
            await declare(at, reason, nobody_watches)
        assert sorted(file.name for file in restored.keys.iterdir()) == before
        assert open_note(published(restored), [trusted(restored)])[0].size == 600
        assert await ledger.sql.fetchval("SELECT max(position) FROM ledger.event") == 550

    await refused("cannot be recorded.*reason", reason="x" * 20_001)
    await refused("there is no ledger other in this database", replace(restored, ledger="other"))
    with pytest.raises(SettingsError, match="550 events and 600 are sealed: it is an old copy"):
        await rotate(restored, "receipts", "r")
    assert await ledger.sql.fetchval(epochs) == 1
    assert (await declare(restored, "fine", nobody_watches)).reason == "fine"


async def test_an_empty_database_has_to_be_meant(ledger: Ledger, restored: Site) -> None:
    await behind_the_back(ledger, LOST.format(0))
    with pytest.raises(SettingsError, match="not one event is left"):
        await declare(restored, "r", nobody_watches)
    plan = await declare(restored, "r", nobody_watches, everything=True)
    assert (plan.first, plan.last) == (1, 600)
    await seal(restored)
    assert await compared(restored, 1) == 1


async def test_a_standby_is_refused_and_nothing_is_closed(
    restored: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It only seems to lack the end; what it will be promoted to has it."""

    async def standby(*_: object) -> None:
        raise SettingsError("this database is a standby: promote it first")

    with monkeypatch.context() as lagging:
        lagging.setattr(epoch, "begin", standby)
        with pytest.raises(SettingsError, match="standby"):
            await declare(restored, "r", nobody_watches)
    assert not (restored.keys / keys.GAP).exists()
    assert open_note(published(restored), [trusted(restored)])[0].origin == ORIGIN


async def test_what_is_appended_meanwhile_is_told(
    ledger: Ledger, restored: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between looking and the new epoch; and when a plan is taken up again."""
    begin = epoch.begin

    async def late(*args: Any) -> Any:
        await put(restored, 1)
        return await begin(*args)

    with monkeypatch.context() as racing:
        racing.setattr(epoch, "begin", late)
        with pytest.raises(SettingsError, match="has 551 events now and had 550: stop whatever"):
            await declare(restored, "r", nobody_watches)
    await behind_the_back(ledger, LOST.format(550))
    with monkeypatch.context() as broken:
        broken.setattr(own, "record", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            await declare(restored, "r", nobody_watches)
    await put(restored, 1)
    with pytest.raises(
        SettingsError, match="begins at 551 and the ledger has 551 events: it is not"
    ):
        await declare(restored, "r", nobody_watches)
    await behind_the_back(ledger, LOST.format(550))
    assert (await declare(restored, "r", nobody_watches)).first == 551


@pytest.mark.parametrize("step", ["kept", "written"])
async def test_what_a_killed_sealer_has_left_is_closed_whole(
    ledger: Ledger, site: Site, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """Its state is kept; the tiles are staged only, or written and nothing is published."""
    await ledger.appender().append_all([submission("release:1") for _ in range(50)])
    await seal(site)
    await ledger.appender().append_all([submission("release:1") for _ in range(10)])

    def dead(*_: object) -> None:
        raise Killed

    running = opened(site)
    with monkeypatch.context() as broken:
        where: tuple[Any, str] = (Folder, "write") if step == "kept" else (Sealer, "_publish")
        broken.setattr(*where, dead)
        with pytest.raises(Killed):
            await seal_all(running)
    await running._at.source.aclose()
    await behind_the_back(ledger, LOST.format(45))
    assert (await declare(site, "r", nobody_watches)).last == 60
    await seal(site)
    assert await compared(site, 1) == 46


@pytest.mark.parametrize("left", [50, 61])
async def test_a_turn_that_was_cut_short_is_ended_first(
    ledger: Ledger, site: Site, monkeypatch: pytest.MonkeyPatch, left: int
) -> None:
    """With the event of the rotation lost, and with it left."""
    await ledger.appender().append_all([submission("release:1") for _ in range(60)])
    await seal(site)
    await rotate(site, "sealer", "yearly")
    await ledger.appender().append_all([submission("release:1") for _ in range(5)])

    def dead(*_: object) -> None:
        raise Killed

    running = opened(site)
    with monkeypatch.context() as broken:
        broken.setattr(rotation, "turn", dead)
        with pytest.raises(Killed):
            await seal_all(running)
    await running._at.source.aclose()
    await behind_the_back(ledger, LOST.format(left))
    plan = await declare(site, "r", nobody_watches)
    assert (plan.first, plan.last) == (left + 1, 66)
    await seal(site)
    assert await compared(site, 1) == left + 1
    assert not list(site.keys.glob("*.next"))
    assert (
        await asyncio.to_thread(verify, job(site), 1, nobody_watches)
    ).portion.events == left + 1


async def test_rotations_and_gaps_in_turn(ledger: Ledger, site: Site) -> None:
    for number in (1, 2, 3):
        await put(site, 30)
        await rotate(site, "sealer", "yearly")
        await rotate(site, "receipts", "yearly")
        await seal(site)
        size = job(site).head.size
        await behind_the_back(ledger, LOST.format(size - 4 * number))
        plan = await declare(site, f"gap {number}", nobody_watches)
        await seal(site)
        assert (plan.origin, plan.last) == (f"{ORIGIN}/gap-{number}", size)
        assert await compared(site, number) == size - 4 * number + 1
        await asyncio.to_thread(verify, job(site), 1, nobody_watches)


async def test_an_origin_that_speaks_of_gaps_itself(ledger: Ledger, tmp_path: Path) -> None:
    folder = tmp_path / "keys"
    keys.make(folder, "example.com/gap-analysis/main")
    at = Site("main", ledger.url, folder, Folder(tmp_path / "log"), SqliteStates(tmp_path / "db"))
    sealer.begin(at.states, at.shelf, keys.sealer(folder))
    await ledger.appender().append_all([submission("release:1") for _ in range(20)])
    await seal(at)
    await behind_the_back(ledger, LOST.format(10))
    assert (await declare(at, "r", nobody_watches)).origin == "example.com/gap-analysis/main/gap-1"
