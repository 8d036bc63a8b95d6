"""Lost connections, killed processes, two processes: acknowledged means stored, once (I3, I4)."""

from __future__ import annotations

import asyncio
import random
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from services.ledger import settling
from services.ledger.model import EventKey, Head, Plan, Snapshot
from services.ledger.receipt import Acknowledgement
from services.ledger.writer import Answer, Uncertain, Writer
from tests.integration.ledger.conftest import Ledger, submission
from tests.integration.running.served import app_on, event, listening_at, post, wire

pytestmark = pytest.mark.postgres

ROOT = Path(__file__).parents[3]
SLOW_COMMIT = """
CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql
AS 'BEGIN PERFORM pg_sleep(0.3); RETURN NULL; END';
CREATE CONSTRAINT TRIGGER slow AFTER INSERT ON ledger.event DEFERRABLE INITIALLY DEFERRED
FOR EACH ROW WHEN (NEW.type = 'org.example.slow') EXECUTE FUNCTION slow()
"""
KILL = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
 WHERE datname = current_database() AND application_name LIKE '%writer%'
"""


async def test_a_connection_that_dies_in_the_commit(ledger: Ledger) -> None:
    await ledger.sql.execute(SLOW_COMMIT)
    appender = ledger.appender()
    await appender.append_each([submission()])
    call = asyncio.create_task(appender.append_each([submission(type="org.example.slow")]))
    await asyncio.sleep(0.15)
    assert await ledger.sql.fetch(KILL)
    (outcome,) = await call
    assert outcome.kind == "appended"
    assert await ledger.check() == 2


class Forgetful(Writer):
    """Loses the answer to every other append after it was committed."""

    lost = 0

    async def append(self, lane: int, plan: Plan, *, probe: bool = False) -> Answer:
        answer = await super().append(lane, plan, probe=probe)
        self.lost += 1
        if self.lost % 2:
            raise Uncertain("the connection was lost after the commit")
        return answer


async def test_an_answer_that_is_lost_after_the_commit(ledger: Ledger) -> None:
    writer = Forgetful(ledger.url, ledger.reader.ledger("main"))
    appender = ledger.appender(writer)
    (first,) = await appender.append_each([submission(id="x")])
    assert first.kind == "appended"
    group = [submission(), submission()]
    outcomes = await appender.append_group(group, {"thing:1": 1})
    assert [o.kind for o in outcomes] == ["appended", "appended"]
    assert [o.receipt.position for o in outcomes if o.receipt] == [2, 3]
    (again,) = await appender.append_each([submission(id="x")])
    assert (again.kind, again.receipt) == ("duplicate", first.receipt)
    assert writer.lost >= 2
    assert await ledger.check() == 3


class Away(Writer):
    """Commits once; from then on neither that answer nor any other comes back, for a while."""

    away = False

    async def append(self, lane: int, plan: Plan, *, probe: bool = False) -> Answer:
        if not self.away:
            await super().append(lane, plan, probe=probe)
            self.away = True
        raise Uncertain("the server does not answer")

    async def load(
        self, lane: int, known: Head, subjects: Sequence[str], ids: Sequence[EventKey]
    ) -> Snapshot:
        if self.away:
            raise Uncertain("the server does not answer")
        return await super().load(lane, known, subjects, ids)


async def test_an_outcome_that_cannot_be_found_out_is_503_and_the_same_id_tells(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settling, "GIVE_UP_SECONDS", 0.4)
    writer = Away(ledger.url, ledger.reader.ledger("main"))
    app = app_on(ledger.appender(writer))
    async with listening_at(app) as port, wire(port) as one:
        await one.send(post(event("x")))
        answer = await one.answer()
    assert (answer.status, answer.headers["retry-after"]) == (503, "5")
    assert answer.json["detail"].endswith(settling.UNKNOWN)
    assert writer.away
    assert await ledger.check() == 1  # it was stored: nobody could know
    async with listening_at(app_on(ledger.appender())) as port, wire(port) as one:
        await one.send(post(event("x")))
        again = await one.answer()
    assert (again.status, again.json["receipt"]["position"]) == (200, 1)


async def test_connections_that_die_at_any_moment(ledger: Ledger) -> None:
    appender, chance, killed = ledger.appender(), random.Random(1), 0
    receipts: dict[str, Acknowledgement] = {}

    async def caller(name: int) -> None:
        n = 0
        while killed < 8:
            n += 1
            (outcome,) = await appender.append_each([submission(f"s:{n % 3}", id=f"{name}-{n}")])
            assert outcome.kind == "appended"
            assert outcome.receipt is not None
            receipts[f"{name}-{n}"] = outcome.receipt
            await asyncio.sleep(chance.uniform(0, 0.02))

    callers = asyncio.gather(*(caller(name) for name in range(12)))
    while not callers.done():
        await asyncio.sleep(chance.uniform(0.02, 0.2))
        killed += len(await ledger.sql.fetch(KILL))
    await callers
    assert await ledger.check() == len(receipts)
    stored = await ledger.reader.many("main", [r.position for r in receipts.values()])
    assert {event.receipt("main").event_id: event.receipt("main") for event in stored} == receipts


async def _worker(ledger: Ledger, name: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.integration.ledger.worker", ledger.url, name,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, cwd=ROOT,
    )  # fmt: skip


@pytest.mark.slow
async def test_two_processes_and_kill_9(ledger: Ledger) -> None:
    """Workers print each receipt after its append; what they printed must be there."""
    workers = [await _worker(ledger, name) for name in ("one", "two")]
    acknowledged: list[list[str]] = []
    for worker in workers:
        assert worker.stdout is not None
        assert await worker.stdout.readline() == b"ready\n"
    for worker in workers:
        assert worker.stdin is not None
        worker.stdin.write(b"go\n")
    await asyncio.sleep(0.5)
    for worker in workers:
        worker.send_signal(signal.SIGKILL)
        out, _ = await worker.communicate()
        acknowledged += [line.split() for line in out.decode().splitlines() if line.endswith(".")]
    names = {fields[0].partition("-")[0] for fields in acknowledged}
    assert names == {"one", "two"}
    head = await ledger.check()
    assert head >= len(acknowledged) > 20
    promised = {int(position): id_ for id_, position, _ in acknowledged}
    stored = await ledger.reader.many("main", list(promised))
    assert {event.position: event.receipt("main").event_id for event in stored} == promised
