"""The sealer on a real log: everything is proven; kills, rivals and changed logs are survived."""

from __future__ import annotations

import json
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from contracts import leaf
from services.kit.settings import SettingsError, Shared
from services.kit.tlog.policy import Policy
from services.ledger.sealing.leaves import Tampered
from services.ledger.sealing.naming import NameChecker, NamingKey
from services.ledger.sealing.published import Published
from services.ledger.sealing.resume import SealerRefuses
from services.ledger.sealing.service import Seals
from services.ledger.sealing.shelf import CHECKPOINT, Overwritten
from services.ledger.sealing.state import StateMoved
from services.ledger.settings import LedgerSettings
from tests.integration.ledger.conftest import Ledger, submission
from tests.integration.ledger.sealing import Fuse, Killed, Workshop, seal_all


@pytest.fixture
async def workshop(ledger: Ledger, tmp_path: Path) -> AsyncIterator[Workshop]:
    made = Workshop(ledger.url, tmp_path)
    made.begin()
    yield made
    await made.close()


async def append(ledger: Ledger, count: int, *subjects: str) -> None:
    appender = ledger.appender()
    await appender.append_all([submission(*(subjects or ("thing:1",))) for _ in range(count)])


async def test_every_event_is_sealed_and_every_subject_is_complete(
    ledger: Ledger, workshop: Workshop
) -> None:
    await append(ledger, 300, "release:a", "service:pay")
    await append(ledger, 41, "release:b", "service:pay")
    assert await seal_all(workshop.sealer()) == 341
    leaves = [leaf.decode(entry) for entry in workshop.entries()]
    assert [each.position for each in leaves] == list(range(1, 342))
    rows = await ledger.sql.fetch("SELECT * FROM ledger.event ORDER BY position")
    assert [each.commitment for each in leaves] == [row["commitment"] for row in rows]
    names = await ledger.sql.fetch(
        "SELECT key, signature FROM ledger.subject JOIN ledger.subject_name USING (subject_id)"
    )
    checker = NameChecker.from_pem(workshop.keys.naming.checker.pem())
    uids = {row["key"]: checker.check(row["key"], row["signature"]) for row in names}
    for key, count in (("release:a", 300), ("release:b", 41), ("service:pay", 341)):
        versions = [v for each in leaves for uid, v in each.subjects if uid == uids[key]]
        assert versions == list(range(1, count + 1))


async def test_a_proof_convinces_who_has_the_key_and_nothing_else(
    ledger: Ledger, workshop: Workshop
) -> None:
    await append(ledger, 500)
    await seal_all(workshop.sealer())
    published = Published({"main": workshop.shelf})
    published.look("main")
    sealed = await published.covering("main", 500, 0)
    proof = published.proof("main", 77, sealed)
    policy = Policy.parse(f"log {workshop.keys.signer.verifier.vkey}\nquorum none\n")
    assert proof.verify(workshop.entries()[76], policy).size == 500


async def test_steps_of_any_size_make_the_same_tree(ledger: Ledger, workshop: Workshop) -> None:
    one_by_one = workshop.sealer()
    for count in (1, 254, 1, 1, 300, 7):
        await append(ledger, count)
        assert await one_by_one.step() == count
    again = Workshop(ledger.url, workshop.root / "again", workshop.keys)
    again.begin()
    await seal_all(again.sealer())
    assert again.published() == workshop.published()
    assert again.entries() == workshop.entries()
    workshop.tell_one_story()
    await again.close()


WRITES = 8
"""A pass stages, swaps, writes some files and publishes."""


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("nth", range(WRITES))
async def test_a_kill_at_any_write_costs_nothing_and_tells_one_story(
    ledger: Ledger,
    workshop: Workshop,
    nth: int,
    after: bool,  # noqa: FBT001
) -> None:
    await append(ledger, 255)
    await seal_all(workshop.sealer())
    await append(ledger, 3)
    fuse = Fuse(nth, after)
    with pytest.raises(Killed):
        await seal_all(workshop.sealer(fuse))
    await append(ledger, 2)
    await seal_all(workshop.sealer())
    assert workshop.published().size == 260
    assert len(workshop.entries()) == 260
    workshop.tell_one_story()


async def test_of_two_sealers_one_is_refused_and_publishes_nothing(
    ledger: Ledger, workshop: Workshop
) -> None:
    await append(ledger, 3)
    first, second = workshop.sealer(), workshop.sealer()
    await first.step()
    assert await second.step() == 0
    await append(ledger, 3)
    await first.step()
    with pytest.raises((StateMoved, Overwritten)):
        await second.step()
    assert await second.step() == 0  # it has looked again and goes on from the other's state
    assert workshop.published().size == 6
    workshop.tell_one_story()


async def test_a_missing_state_is_never_made_up(ledger: Ledger, workshop: Workshop) -> None:
    await append(ledger, 3)
    await seal_all(workshop.sealer())
    (workshop.root / "seal.db").unlink()
    with pytest.raises(SealerRefuses, match="seal begin"):
        await workshop.sealer().step()
    with pytest.raises(SealerRefuses, match="lost, not new"):
        workshop.begin()


async def test_a_state_that_was_set_back_is_refused(ledger: Ledger, workshop: Workshop) -> None:
    await append(ledger, 3)
    await seal_all(workshop.sealer())
    old = (workshop.root / "seal.db").read_bytes()
    await append(ledger, 3)
    await seal_all(workshop.sealer())
    (workshop.root / "seal.db").write_bytes(old)
    with pytest.raises(SealerRefuses, match="set back"):
        await workshop.sealer().step()


async def test_a_checkpoint_of_another_key_is_refused(ledger: Ledger, workshop: Workshop) -> None:
    await append(ledger, 3)
    await seal_all(workshop.sealer())
    stranger = Workshop(ledger.url, workshop.root / "stranger")
    stranger.begin()
    await stranger.close()
    forged = stranger.shelf.read(CHECKPOINT)
    assert forged is not None
    workshop.shelf.replace(CHECKPOINT, forged)
    with pytest.raises(SealerRefuses, match="not ours"):
        await workshop.sealer().step()


# What a superuser does to the log before or behind the sealer's back, with triggers off.
UNSEALED = {
    "body": (
        (
            "UPDATE ledger.event_body SET body = replace(convert_from(body, 'UTF8'), '\"n\":1',"
            " '\"n\":2')::bytea WHERE position = 5"
        ),
        "position 5: salt and body do not open",
    ),
    "salt": (
        (
            "UPDATE ledger.event_body SET salt = (SELECT salt FROM ledger.event_body"
            " WHERE position = 4) WHERE position = 5"
        ),
        "position 5: salt and body do not open",
    ),
    "type column": (
        "UPDATE ledger.event SET type = 'org.example.other' WHERE position = 5",
        "position 5: type is 'org.example.other'",
    ),
    "principal column": (
        "UPDATE ledger.event SET principal = 'person:eve' WHERE position = 5",
        "position 5: principal is 'person:eve'",
    ),
    "subject": (
        (
            "UPDATE ledger.event SET subject_ids = ARRAY[(SELECT subject_id FROM ledger.subject"
            " WHERE key = 'other:1')], versions = ARRAY[9] WHERE position = 5"
        ),
        r"position 5: subjects is \['other:1'\]",
    ),
    "body gone": (
        "DELETE FROM ledger.event_body WHERE position = 5",
        "position 5: its body is gone",
    ),
    "gap": ("DELETE FROM ledger.event WHERE position = 5", "position 5: the log has a gap"),
    "rows swapped": (
        (
            "UPDATE ledger.event_body SET position = CASE position WHEN 5 THEN -6 ELSE -5 END"
            " WHERE position IN (5, 6);"
            "UPDATE ledger.event_body SET position = -position WHERE position < 0"
        ),
        "position 5: salt and body do not open",
    ),
}


@pytest.mark.parametrize("attack", UNSEALED)
async def test_a_log_changed_before_it_was_sealed_stops_the_sealer(
    ledger: Ledger, workshop: Workshop, attack: str
) -> None:
    await append(ledger, 7)
    await append(ledger, 2, "other:1")
    await behind_the_back(ledger, UNSEALED[attack][0])
    with pytest.raises(Tampered, match=UNSEALED[attack][1]):
        await workshop.sealer().step()
    assert workshop.published().size == 0


async def behind_the_back(ledger: Ledger, statements: str) -> None:
    await ledger.sql.execute(f"SET session_replication_role = replica; {statements}")
    await ledger.sql.execute("RESET session_replication_role")


async def test_a_sealed_tail_that_is_gone_or_replaced_stops_the_sealer(
    ledger: Ledger, workshop: Workshop
) -> None:
    await append(ledger, 9)
    await seal_all(workshop.sealer())
    gone = "".join(
        f"DELETE FROM ledger.{table} WHERE position > 6;"  # noqa: S608 - our own words
        for table in ("event", "event_body", "history")
    )
    await behind_the_back(ledger, gone)
    with pytest.raises(Tampered, match="position 9: it was sealed and the log does not have it"):
        await workshop.sealer().step()
    await append(ledger, 5)  # a new process goes on from the shortened log
    with pytest.raises(Tampered, match="position 9: it was sealed and the log has another"):
        await workshop.sealer().step()


async def test_a_subject_never_gets_a_second_uid(ledger: Ledger, workshop: Workshop) -> None:
    await append(ledger, 3, "release:a")
    await seal_all(workshop.sealer())
    forged = NamingKey.generate().sign("release:a")
    for signature in (forged, workshop.keys.naming.sign("release:b")):
        await behind_the_back(
            ledger,
            f"UPDATE ledger.subject_name SET signature = '\\x{signature.hex()}'",  # noqa: S608
        )
        await append(ledger, 1, "release:a")
        with pytest.raises(Tampered, match="not the one that names release:a"):
            await workshop.sealer().step()


async def test_uids_tell_nothing_without_the_key() -> None:
    one, other = NamingKey.generate(), NamingKey.generate()
    names = {one.sign("release:a"), other.sign("release:a"), one.sign("release:b")}
    assert len(names) == 3
    assert one.sign("release:a") in names
    assert json.dumps(str(uuid.NAMESPACE_URL)) not in {name.hex() for name in names}


async def test_a_process_refuses_a_ledger_that_is_shorter_than_its_tree(
    ledger: Ledger, workshop: Workshop
) -> None:
    """An old copy was restored: positions that are sealed must not get a second meaning."""
    await append(ledger, 9)
    await seal_all(workshop.sealer())
    (workshop.root / "shelf").mkdir()
    (workshop.root / "shelf" / "main").symlink_to(workshop.shelf.root)
    settings = LedgerSettings(shelf=workshop.root / "shelf")
    seals = Seals(Shared(data=workshop.root), settings, lambda _: ledger.url)
    await seals.refuse_short("main", 9)
    with pytest.raises(SettingsError, match="has 6 events and 9 are sealed"):
        await seals.refuse_short("main", 6)
