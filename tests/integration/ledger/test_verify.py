"""The verifier against a superuser: triggers off, after everything was sealed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from services.kit.tlog import checkpoint
from services.kit.tlog.checkpoint import Checkpoint
from services.kit.tlog.tiles import Edge
from services.ledger.sealing.shelf import CHECKPOINT, Folder
from services.ledger.verify.whole import Refused, Report, verify
from services.ledger.verify.work import Job
from tests.integration.ledger.conftest import Ledger, submission
from tests.integration.ledger.sealing import Workshop, behind_the_back, command, sealed

COUNT = 5000
"""More than one portion, so that several processes work."""


@pytest.fixture
async def workshop(ledger: Ledger, tmp_path: Path) -> AsyncIterator[Workshop]:
    made = Workshop(ledger.url, tmp_path)
    made.begin()
    yield made
    await made.close()


async def verified(
    ledger: Ledger, workshop: Workshop, *known: Checkpoint, tree: bool = False, workers: int = 1
) -> Report:
    naming = workshop.keys.naming.checker.pem()
    url = None if tree else ledger.url
    job = Job(workshop.published(), Folder(workshop.shelf.root), "main", url, naming)
    return await asyncio.to_thread(verify, job, workers, lambda _: None, known)


async def test_an_honest_ledger_is_verified_by_several_processes(
    ledger: Ledger, workshop: Workshop
) -> None:
    await sealed(ledger, workshop, COUNT)
    known = workshop.seen[0]
    await ledger.appender().append_all([submission("release:late")])
    report = await verified(ledger, workshop, known, workers=2)
    assert report.portion.events == COUNT
    assert report.subjects == 8
    assert report.portion.entries == 2 * COUNT
    assert report.unsealed == 1


async def test_a_fault_that_another_process_found_is_named_too(
    ledger: Ledger, workshop: Workshop
) -> None:
    await sealed(ledger, workshop, COUNT)
    await behind_the_back(ledger, "DELETE FROM ledger.event WHERE position = 4500")
    with pytest.raises(Refused, match="position 4500: the log does not have it"):
        await verified(ledger, workshop, workers=2)


MOVE = (
    "UPDATE ledger.event SET position = position + 1000 WHERE position IN (300, 301);"
    "UPDATE ledger.event SET position = CASE position WHEN 1300 THEN 301 ELSE 300 END"
    " WHERE position > 1000;"
)
ATTACKS = {
    "body": (
        (
            "UPDATE ledger.event_body SET body = replace(convert_from(body, 'UTF8'), '\"n\":1',"
            " '\"n\":2')::bytea WHERE position = 300"
        ),
        "position 300: salt and body do not open the commitment",
    ),
    "body and commitment": (
        (
            "UPDATE ledger.event_body SET body = replace(convert_from(body, 'UTF8'), '\"n\":1',"
            " '\"n\":2')::bytea WHERE position = 300; UPDATE ledger.event SET commitment ="
            " (SELECT sha256(salt || body) FROM ledger.event_body WHERE position = 300)"
            " WHERE position = 300"
        ),
        "position 300: commitment is .* in the log and .* in the tree",
    ),
    "derived column": (
        "UPDATE ledger.event SET principal = 'person:eve' WHERE position = 300",
        "position 300: principal is 'person:eve' and the body says 'key:test'",
    ),
    "time of record": (
        (
            "UPDATE ledger.event SET recorded_at = recorded_at - interval '1 day'"
            " WHERE position = 300"
        ),
        "position 300: recorded_at is .* in the log and .* in the tree",
    ),
    "rows swapped": (MOVE, "position 300: "),
    "salt swapped": (
        (
            "UPDATE ledger.event_body SET salt = '\\x00112233445566778899aabbccddeeff'"
            " WHERE position = 300"
        ),
        "position 300: salt and body do not open the commitment",
    ),
    "tail deleted": (
        "DELETE FROM ledger.event WHERE position > 590",
        "position 591: it was sealed and the log does not have it any more",
    ),
    "event deleted in the middle": (
        "DELETE FROM ledger.event WHERE position = 300",
        "position 300: the log does not have it",
    ),
    "redaction without a record": (
        "DELETE FROM ledger.event_body WHERE position = 300",
        "position 300: its body is gone and no redaction is recorded",
    ),
    "history shortened": (
        "DELETE FROM ledger.history WHERE position = 300",
        "position 300: a history of one of its subjects does not have it",
    ),
    "history lengthened": (
        (
            "INSERT INTO ledger.history SELECT ledger_id, subject_id, 9999, 300"
            " FROM ledger.subject LIMIT 1"
        ),
        "histories have 1201 entries and events say 1200",
    ),
    "subject renamed": (
        "UPDATE ledger.subject SET key = 'release:other' WHERE key = 'release:3'",
        "position 4: the signature is not the one that names release:other",
    ),
    "names swapped": (
        (
            "UPDATE ledger.subject_name SET signature = (SELECT signature FROM ledger.subject_name"
            " ORDER BY subject_id LIMIT 1)"
        ),
        "position [12]: the signature is not the one that names",
    ),
}


@pytest.mark.parametrize("attack", ATTACKS)
async def test_what_a_superuser_changes_is_named(
    ledger: Ledger, workshop: Workshop, attack: str
) -> None:
    await sealed(ledger, workshop)
    await verified(ledger, workshop)
    statements, said = ATTACKS[attack]
    await behind_the_back(ledger, statements)
    with pytest.raises(Refused, match=said):
        await verified(ledger, workshop)


async def test_an_insertion_in_the_past_is_named(ledger: Ledger, workshop: Workshop) -> None:
    """Everything behind it moves up by one, as if the event had always been there."""
    await sealed(ledger, workshop)
    tables = ("event", "event_body", "history")
    up = "".join(
        f"UPDATE ledger.{table} SET position = position + 1001 WHERE position >= 300;"  # noqa: S608
        f"UPDATE ledger.{table} SET position = position - 1000 WHERE position > 1000;"
        for table in tables
    )
    copied = (
        "INSERT INTO ledger.event SELECT ledger_id, 300, gen_random_uuid(), source, type,"
        " subject_ids, versions, occurred_at, recorded_at, principal, assurance, causation,"
        " commitment FROM ledger.event WHERE position = 299;"
        "INSERT INTO ledger.event_body SELECT ledger_id, 300, salt, body"
        " FROM ledger.event_body WHERE position = 299"
    )
    await behind_the_back(ledger, up + copied)
    with pytest.raises(Refused, match="position 300: "):
        await verified(ledger, workshop)


async def test_a_log_rewritten_and_signed_with_the_stolen_key_betrays_itself(
    ledger: Ledger, workshop: Workshop
) -> None:
    """A forged tree is consistent with itself; a checkpoint kept from before is not with it."""
    await sealed(ledger, workshop)
    known = workshop.published()
    entries = workshop.entries()
    entries[299] = entries[300]
    edge, files = Edge().grow([*entries, *entries])
    for path, content in files.items():
        workshop.shelf.replace(path, content)
    head = Checkpoint(known.origin, edge.size, edge.root)
    forged = checkpoint.sign(head, workshop.keys.signer)
    workshop.shelf.replace(CHECKPOINT, forged.content)
    with pytest.raises(Refused, match="old root"):
        await verified(ledger, workshop, known, tree=True)
    with pytest.raises(Refused, match="position 300: "):
        await verified(ledger, workshop, tree=True)


async def test_a_tree_that_shrank_is_refused(ledger: Ledger, workshop: Workshop) -> None:
    await sealed(ledger, workshop)
    known = workshop.published()
    larger = Checkpoint(known.origin, known.size + 1, known.root)
    with pytest.raises(Refused, match="a tree of 601 was seen before and this one has 600"):
        await verified(ledger, workshop, larger, tree=True)


@pytest.mark.parametrize("path", ["tile/0/001", "tile/entries/001", "tile/1/000.p/2"])
async def test_a_damaged_file_is_refused(ledger: Ledger, workshop: Workshop, path: str) -> None:
    await sealed(ledger, workshop)
    content = bytearray(workshop.shelf.read(path) or b"")
    content[len(content) // 3] ^= 1
    workshop.shelf.replace(path, bytes(content))
    with pytest.raises(Refused):
        await verified(ledger, workshop, tree=True)


async def test_the_command_says_so_and_its_exit_code_too(
    ledger: Ledger, workshop: Workshop
) -> None:
    await sealed(ledger, workshop)
    keys = workshop.root / "keys" / "main"
    keys.mkdir(parents=True)
    (keys / "sealer.vkey").write_text(workshop.keys.signer.verifier.vkey + "\n")
    (keys / "naming.pub.pem").write_bytes(workshop.keys.naming.checker.pem())
    (workshop.root / "log-of").mkdir()
    (workshop.root / "log-of" / "main").symlink_to(workshop.shelf.root)
    code, said = await command(workshop, ledger)
    assert (code, "VERIFIED" in said, "600 events" in said) == (0, True, True), said
    await behind_the_back(ledger, ATTACKS["body"][0])
    code, said = await command(workshop, ledger)
    assert (code, "REFUSED  position 300" in said) == (9, True), said
    code, said = await command(workshop, ledger, "--tree")
    assert code == 0, said
    (keys / "sealer.vkey").write_text("nonsense")
    assert (await command(workshop, ledger))[0] == 9
    (keys / "sealer.vkey").unlink()
    code, said = await command(workshop, ledger)
    assert (code, "cannot read" in said) == (1, True), said
