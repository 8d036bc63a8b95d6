"""Witnesses: each cosigns one story; the stolen key gets no second one cosigned."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import httpx2
import pytest
from fastapi import FastAPI
from pydantic import SecretStr
from starlette.responses import Response

from services.kit import witnessing
from services.kit.identity import Keyring, demo_key
from services.kit.remote import Client
from services.kit.service import background, new_app
from services.kit.settings import Shared
from services.kit.tlog import checkpoint
from services.kit.tlog.checkpoint import Checkpoint
from services.kit.tlog.cosignature import Cosigner
from services.kit.tlog.keys import NotANote
from services.kit.tlog.merkle import consistency_proof
from services.kit.tlog.note import Ed25519Signer, Note, Unsigned
from services.kit.tlog.policy import Policy
from services.kit.tlog.tiles import Edge, TileReader
from services.kit.tlog.witness import SIZE_TYPE, Request
from services.ledger.sealing import keys, sealer
from services.ledger.sealing.gap import declare
from services.ledger.sealing.sealer import Places, Sealer
from services.ledger.sealing.service import Sealing
from services.ledger.sealing.shelf import CHECKPOINT, Folder
from services.ledger.sealing.site import Site
from services.ledger.sealing.state import SqliteStates
from services.ledger.sealing.where import Neighbours
from services.ledger.sealing.witnesses import NotWitnessed, Witnesses
from services.ledger.service import build
from services.ledger.settings import LedgerSettings
from tests.integration.ledger.conftest import Ledger, submission
from tests.integration.ledger.sealing import ORIGIN, Workshop, behind_the_back, seal_all
from tests.integration.ledger.test_gap import LOST
from tests.integration.ledger.test_rotation import published

LOG = Ed25519Signer.generate(ORIGIN)
NAMES = ("one", "two")


def app_of(folder: Path, *logs: Ed25519Signer) -> FastAPI:
    """Return a service that is a witness with the key and the record of its folder."""
    witnessing.make(folder, f"witness.example/{folder.name}")
    (folder / witnessing.LOGS).write_text("".join(f"{log.verifier.vkey}\n" for log in logs))
    app = new_app(folder.name, "A witness.")
    app.include_router(witnessing.served(folder.name, folder, Shared(data=folder)))
    return app


def client_of(app: FastAPI) -> Client:
    return Client(f"http://witness{witnessing.PATH}", "", app)


def entries(size: int, first: bytes = b"first") -> list[bytes]:
    return [first, *(b"%d" % n for n in range(1, size))][:size]


def request(old: int, new: int, first: bytes = b"first", log: Ed25519Signer = LOG) -> bytes:
    edge, files = Edge().grow(entries(new, first))
    proof = consistency_proof(old, new, TileReader(new, edge.root, files.get).read)
    note = checkpoint.sign(Checkpoint(log.name, new, edge.root), log)
    return Request(old, tuple(proof), note.content).encode()


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[Client]:
    made = client_of(app_of(tmp_path / "one", LOG))
    yield made
    await made.close()


async def test_it_cosigns_what_continues_and_answers_as_the_specification_says(
    client: Client,
) -> None:
    asked = [
        (request(0, 5), 200), (request(5, 9), 200), (request(9, 9), 200),
        (request(0, 9), 409), (request(5, 9), 409), (request(9, 9, b"rewritten"), 409),
        (request(9, 12, b"rewritten"), 422), (b"nonsense", 400),
        (request(0, 5, log=Ed25519Signer.generate("other.example")), 404),
        (request(9, 12, log=Ed25519Signer.generate(ORIGIN)), 403),
        (b"x" * 70_000, 413), (request(9, 12), 200),
    ]  # fmt: skip
    assert [(await client.send("/add-checkpoint", body))[0] for body, _ in asked] == [
        status for _, status in asked
    ]
    status, answer = await client.send("/add-checkpoint", request(0, 12))
    assert (status, answer) == (409, b"12\n")


async def test_of_two_requests_at_once_one_wins(client: Client) -> None:
    await client.send("/add-checkpoint", request(0, 5))
    bodies = [request(5, 6 + n) for n in range(8)]
    answers = await asyncio.gather(*(client.send("/add-checkpoint", body) for body in bodies))
    assert sorted(status for status, _ in answers) == [200, *[409] * 7]


async def test_a_restart_forgets_nothing(tmp_path: Path) -> None:
    for body, status in ((request(0, 9), 200), (request(0, 5, b"rewritten"), 409)):
        client = client_of(app_of(tmp_path / "one", LOG))
        assert (await client.send("/add-checkpoint", body))[0] == status
        await client.close()


async def test_without_a_key_there_is_no_witness(tmp_path: Path) -> None:
    app = new_app("none", "No witness.")
    app.include_router(witnessing.served("none", tmp_path / "none", Shared(data=tmp_path)))
    client = client_of(app)
    assert (await client.send("/add-checkpoint", request(0, 5)))[0] == 404
    await client.close()


async def test_the_size_has_its_own_type(tmp_path: Path) -> None:
    app = app_of(tmp_path / "one", LOG)
    transport = httpx2.ASGITransport(app=app)
    async with httpx2.AsyncClient(base_url="http://witness", transport=transport) as client:
        answer = await client.post(f"{witnessing.PATH}/add-checkpoint", content=request(3, 5))
    assert answer.headers["content-type"] == SIZE_TYPE


class Down:
    """A witness that does not answer while `down`."""

    def __init__(self, app: FastAPI) -> None:
        self._app = app
        self.down = False

    async def __call__(self, *asgi: object) -> None:
        if self.down:
            await asyncio.sleep(60)
        await self._app(*asgi)  # type: ignore[arg-type]


class Quorum:
    """A workshop's log with two witnesses."""

    def __init__(self, workshop: Workshop) -> None:
        self.workshop = workshop
        self.apps = {
            name: Down(app_of(workshop.root / name, workshop.keys.signer)) for name in NAMES
        }
        lines = [f"log {workshop.keys.signer.verifier.vkey}"]
        for name in NAMES:
            vkey = (workshop.root / name / witnessing.VKEY).read_text().strip()
            lines.append(f"witness {name} {vkey} http://{name}{witnessing.PATH}")
        self.policy = Policy.parse("\n".join([*lines, "group both all one two", "quorum both", ""]))
        self.asked: list[Witnesses] = []

    def dial(self, url: str) -> Client:
        name = url.removeprefix("http://").partition("/")[0]
        return Client(url, "", self.apps[name])

    def witnesses(self, *, required: bool = False) -> Witnesses:
        made = Witnesses("main", self.policy, self.workshop.shelf, self.dial, required=required)
        self.asked.append(made)
        return made

    def sealer(self, witnesses: Witnesses) -> Sealer:
        plain = self.workshop.sealer()
        at = plain._at
        places = Places(at.source, at.states, at.shelf, at.keys, witnesses.cosign, at.announce)
        return Sealer("main", places, 0.01)

    def believed(self) -> Checkpoint:
        return self.policy.check(self.workshop.shelf.read(CHECKPOINT) or b"")

    async def close(self) -> None:
        for each in self.asked:
            await each.close()
        await self.workshop.close()


@pytest.fixture
async def quorum(
    ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Quorum]:
    monkeypatch.setattr("services.ledger.sealing.witnesses.SECONDS", 1.5)  # slow machines too
    workshop = Workshop(ledger.url, tmp_path)
    workshop.begin()
    made = Quorum(workshop)
    yield made
    await made.close()


async def append(ledger: Ledger, count: int) -> None:
    await ledger.appender().append_all([submission() for _ in range(count)])


async def test_what_is_published_satisfies_the_policy(ledger: Ledger, quorum: Quorum) -> None:
    witnesses = quorum.witnesses()
    sealer = quorum.sealer(witnesses)
    for count in (3, 300, 1):
        await append(ledger, count)
        await seal_all(sealer)
    assert quorum.believed().size == 304
    assert witnesses.trouble is None
    await append(ledger, 5)  # another sealer process, which knows no sizes yet
    await seal_all(quorum.sealer(quorum.witnesses()))
    assert quorum.believed().size == 309


async def test_one_witness_away_is_an_alarm_and_not_the_end(ledger: Ledger, quorum: Quorum) -> None:
    witnesses = quorum.witnesses()
    quorum.apps["two"].down = True
    await append(ledger, 3)
    await seal_all(quorum.sealer(witnesses))
    assert quorum.workshop.published().size == 3
    assert witnesses.trouble == "the quorum of witnesses is not met: two did not cosign"
    with pytest.raises(Unsigned, match="two"):
        quorum.believed()
    quorum.apps["two"].down = False
    await append(ledger, 3)
    await seal_all(quorum.sealer(witnesses))
    assert quorum.believed().size == 6
    assert witnesses.trouble is None


async def test_where_the_quorum_is_required_nothing_is_published_without_it(
    ledger: Ledger, quorum: Quorum
) -> None:
    sealer = quorum.sealer(quorum.witnesses(required=True))
    quorum.apps["two"].down = True
    await append(ledger, 3)
    with pytest.raises(NotWitnessed, match="two did not cosign"):
        await sealer.step()
    assert quorum.workshop.published().size == 0
    quorum.apps["two"].down = False
    await seal_all(quorum.sealer(quorum.witnesses(required=True)))
    assert quorum.believed().size == 3


def _same_size(story: list[bytes]) -> list[bytes]:
    return [*story[:-1], b"another"]


def _longer(story: list[bytes]) -> list[bytes]:
    return [b"another", *story[1:], b"more"]


def _shorter(story: list[bytes]) -> list[bytes]:
    return story[:-2]


@pytest.mark.parametrize("lie", [_same_size, _longer, _shorter])
async def test_the_stolen_key_gets_no_second_story_cosigned(
    ledger: Ledger, quorum: Quorum, lie: Callable[[list[bytes]], list[bytes]]
) -> None:
    """Split view, rewrite and rollback: whoever asks for the quorum believes none of them."""
    await append(ledger, 9)
    await seal_all(quorum.sealer(quorum.witnesses()))
    workshop = quorum.workshop
    edge, files = Edge().grow(lie(workshop.entries()))
    for path, content in files.items():
        workshop.shelf.replace(path, content)
    head = Checkpoint(ORIGIN, edge.size, edge.root)
    forged = checkpoint.sign(head, workshop.keys.signer)
    thief = quorum.witnesses()
    shown = await thief.cosign(forged, head)
    assert checkpoint.open_note(shown.content, [workshop.keys.signer.verifier])[0] == head
    with pytest.raises(Unsigned, match="quorum both is not met without one, two"):
        quorum.policy.check(shown.content)


async def test_a_witness_that_lies_is_passed_over(ledger: Ledger, quorum: Quorum) -> None:
    """Its answer is a cosignature of another text: the note must not carry it."""
    witnesses = quorum.witnesses()
    other = checkpoint.sign(Checkpoint(ORIGIN, 1, b"r" * 32), quorum.workshop.keys.signer)
    folder = quorum.workshop.root / "two"
    cosigner = Cosigner.parse((folder / witnessing.KEY).read_text())

    async def lie(scope: dict[str, str], receive: object, send: object) -> None:
        app = new_app("liar", "Signs something else.")

        @app.post(f"{witnessing.PATH}/add-checkpoint")
        async def add() -> object:
            line = cosigner.cosign(other.text, 1).line
            return Response(line)

        await app(scope, receive, send)  # type: ignore[arg-type]

    quorum.apps["two"] = lie  # type: ignore[assignment]
    await append(ledger, 3)
    await seal_all(quorum.sealer(witnesses))
    assert witnesses.trouble == "the quorum of witnesses is not met: two did not cosign"
    with pytest.raises((Unsigned, NotANote)):
        quorum.believed()


async def test_a_quiet_log_is_cosigned_again_and_again(
    ledger: Ledger, quorum: Quorum, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else an old view that somebody holds up looks like a log in which nothing happens."""
    monkeypatch.setattr("services.ledger.sealing.sealer.REFRESH_SECONDS", 0.2)
    await ledger.appender().append_all([submission("release:1")])
    running = quorum.sealer(quorum.witnesses())
    await seal_all(running)
    shelf, size = quorum.workshop.shelf, quorum.believed().size
    first = quorum.policy.seen(shelf.read(CHECKPOINT) or b"")
    assert first is not None
    async with asyncio.timeout(10):
        while (quorum.policy.seen(shelf.read(CHECKPOINT) or b"") or 0) < first + 2:
            await running.step()
            await asyncio.sleep(0.05)
    assert quorum.believed().size == size == 1


async def test_a_whole_service_that_requires_its_quorum_says_why_it_waits(
    database_url: str, tmp_path: Path
) -> None:
    keys.make(tmp_path / "keys" / "main", ORIGIN)
    witnessing.make(tmp_path / "away", "witness.example/away")
    log = (tmp_path / "keys" / "main" / "sealer.vkey").read_text().strip()
    away = (tmp_path / "away" / witnessing.VKEY).read_text().strip()
    policy = f"log {log}\nwitness away {away} http://127.0.0.1:9/\nquorum away\n"
    (tmp_path / "keys" / "main" / "policy").write_text(policy)
    shared = Shared(data=tmp_path, dev=True, DATABASE_URL=SecretStr(database_url))
    settings = LedgerSettings(seal_seconds=0.05, witness_required=True)
    built = build(shared, settings, Keyring([demo_key()]))
    event = {"specversion": "1.0", "id": "1", "source": "/s", "type": "x.y", "subject": "thing:1"}
    async with (
        built.run(),
        httpx2.AsyncClient(
            transport=httpx2.ASGITransport(app=built.app),
            base_url="http://ledger",
            headers={"authorization": "Bearer demo-key"},
        ) as client,
    ):
        answer = await client.post("/v1/ledgers/main/events", json=event)
        assert (answer.status_code, answer.json()["receipt"]["sealed"]) == (201, False)
        async with asyncio.timeout(10):
            while "away did not cosign" not in (await client.get("/readyz")).text:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        assert (await client.get("/v1/ledgers/main/checkpoint")).text.splitlines()[1] == "0"
        waited = await client.get("/v1/ledgers/main/events/1/proof")
        assert waited.status_code == 503


async def test_after_a_gap_a_witness_goes_on_when_it_knows_the_new_log(
    ledger: Ledger, tmp_path: Path
) -> None:
    """It has seen the closed log, and never signs the new one for want of being told of it."""
    folder = tmp_path / "keys" / "main"
    keys.make(folder, ORIGIN)
    shelf, states = Folder(tmp_path / "log" / "main"), SqliteStates(tmp_path / "seal.db")
    at = Site("main", ledger.url, folder, shelf, states)
    sealer.begin(states, shelf, keys.sealer(folder))
    app = app_of(tmp_path / "one", keys.sealer(folder).signer)
    vkey = (tmp_path / "one" / witnessing.VKEY).read_text().strip()
    log = (folder / "sealer.vkey").read_text().strip()
    policy = f"log {log}\nwitness one {vkey} http://one{witnessing.PATH}\nquorum one\n"
    (folder / keys.POLICY).write_text(policy)
    shared = Shared(data=tmp_path, DATABASE_URL=SecretStr(ledger.url))
    settings = LedgerSettings(seal_seconds=0.05, witness_required=True)
    dialled = Neighbours(lambda _: client_of(app))

    async def until(size: int) -> None:
        async with asyncio.timeout(10):
            while Checkpoint.parse(Note.parse(published(at)).text).size != size:  # noqa: ASYNC110 - a file tells
                await asyncio.sleep(0.02)

    sealing = Sealing(shared, settings, lambda _: ledger.url, dialled)
    await ledger.appender().append_all([submission("release:1") for _ in range(9)])
    async with background("before", **sealing.tasks()):
        await until(9)
    await behind_the_back(ledger, LOST.format(5))
    await declare(at, "the disk burnt", lambda _: None)
    sealing = Sealing(shared, settings, lambda _: ledger.url, dialled)
    async with background("after", **sealing.tasks()):
        async with asyncio.timeout(10):
            while "one did not cosign" not in (await sealing.check() or ""):  # noqa: ASYNC110 - asked
                await asyncio.sleep(0.02)
        assert Checkpoint.parse(Note.parse(published(at)).text).size == 0
        with (tmp_path / "one" / witnessing.LOGS).open("a") as logs:
            logs.write((folder / "sealer.vkey").read_text())
        await until(6)
    assert Policy.parse((folder / keys.POLICY).read_text()).check(published(at)).size == 6
