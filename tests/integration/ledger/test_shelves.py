"""Where tiles and states are kept: one suite for each kind of place, and a killed sealer."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import threading
import time
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import pytest

from services.kit import clock
from services.kit.settings import SettingsError
from services.kit.tlog import checkpoint
from services.kit.tlog.checkpoint import Checkpoint, open_note
from services.kit.tlog.note import Ed25519Signer
from services.ledger.sealing import objects, sealer
from services.ledger.sealing import shelf as shelves
from services.ledger.sealing.objects import ObjectShelf, ObjectStates
from services.ledger.sealing.published import Published
from services.ledger.sealing.resume import SealerRefuses
from services.ledger.sealing.sealer import Places, Sealer, unwitnessed
from services.ledger.sealing.shelf import CHECKPOINT, Folder, Overwritten, Shelf
from services.ledger.sealing.source import Source
from services.ledger.sealing.state import SqliteStates, State, StateMoved, StateStore
from services.ledger.sealing.where import shelf_at
from services.ledger.verify.whole import verify
from services.ledger.verify.work import Job
from tests.integration.ledger.conftest import Ledger, submission
from tests.integration.ledger.sealing import Fuse, Killed, Workshop, command, seal_all

pytestmark = pytest.mark.postgres
KEYS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "testtest"}
GATEWAY = "RLG_TEST_VERSITYGW"
"""Environment variable: the program of a real S3 gateway, to be used in the place of moto."""
FIRST = State(0, bytes(32), b"note 0\n")
SECOND = State(7, b"\x01" * 32, b"note 7\n")


@pytest.fixture(scope="module")
def bucket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server that speaks S3, on loopback; its conditional writes are what is tested with."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    data = tmp_path_factory.mktemp("s3")
    (data / "logs").mkdir()
    gateway, environ = os.environ.get(GATEWAY), dict(os.environ)
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    if gateway:
        command = [gateway, "--port", f"127.0.0.1:{port}", "posix", str(data)]
        environ |= {"ROOT_ACCESS_KEY": "test", "ROOT_SECRET_KEY": "testtest"}
    url = f"http://127.0.0.1:{port}"
    with subprocess.Popen(
        command, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as server:
        for _ in range(300):
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                time.sleep(0.1)
        if not gateway:
            made = urllib.request.Request(f"{url}/logs", method="PUT")  # noqa: S310 - loopback
            urllib.request.urlopen(made).close()  # noqa: S310
        with pytest.MonkeyPatch.context() as environment:
            for name, value in KEYS.items():
                environment.setenv(name, value)
            environment.setenv("AWS_ENDPOINT_URL", url)
            environment.setenv("AWS_ALLOW_HTTP", "true")
            environment.setenv("AWS_REGION", "us-east-1")
            yield "s3://logs"
        server.terminate()


@dataclass
class Place:
    """A kind of place. Each test has one of its own."""

    shelf: Shelf
    other: Callable[[str], Shelf]
    """The shelf whose name ends so."""
    states: Callable[[], StateStore]
    """The store, opened once more."""


@pytest.fixture(params=["files", "objects"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    if request.param == "files":
        root = tmp_path / "log"
        return Place(
            Folder(root),
            lambda ending: Folder(root.with_name(root.name + ending)),
            lambda: SqliteStates(tmp_path / "seal.db"),
        )
    base = f"{request.getfixturevalue('bucket')}/{uuid.uuid4().hex}"
    return Place(
        ObjectShelf(f"{base}/log"),
        lambda ending: ObjectShelf(f"{base}/log{ending}"),
        lambda: ObjectStates(f"{base}/state"),
    )


def test_a_state_is_made_once_and_replaced_from_the_one_that_is_known(place: Place) -> None:
    states = place.states()
    assert states.load("a.example/x") is None
    states.create("a.example/x", FIRST)
    with pytest.raises(StateMoved):
        place.states().create("a.example/x", SECOND)
    states.swap("a.example/x", FIRST, SECOND)
    assert place.states().load("a.example/x") == SECOND
    with pytest.raises(StateMoved):
        states.swap("a.example/x", FIRST, replace(SECOND, size=9))
    assert states.load("a.example/x") == SECOND
    with pytest.raises(StateMoved):  # the very same swap, by another sealer
        place.states().swap("a.example/x", FIRST, SECOND)
    with pytest.raises(StateMoved):
        place.states().create("a.example/x", SECOND)
    assert states.load("a.example") is None
    with pytest.raises(StateMoved):
        states.swap("never.made", FIRST, SECOND)


def test_of_many_who_swap_from_one_state_one_wins(place: Place) -> None:
    place.states().create("o", FIRST)
    old = FIRST
    for number in range(1, 6):
        won: list[State] = []
        start = threading.Barrier(6)

        def swap(
            own: State, from_: State, gate: threading.Barrier = start, won: list[State] = won
        ) -> None:
            states = place.states()
            gate.wait()
            try:
                states.swap("o", from_, own)
            except StateMoved:
                return
            won.append(own)

        mine = [State(number, bytes([each]) * 32, b"n\n") for each in range(6)]
        threads = [threading.Thread(target=swap, args=(each, old)) for each in mine]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(won) == 1
        assert place.states().load("o") == won[0]
        old = won[0]


def test_what_is_written_never_changes_but_the_checkpoint(place: Place) -> None:
    shelf = place.shelf
    assert shelf.read("tile/0/000") is None
    shelf.write("tile/0/000.p/3", b"abc")
    shelf.write("tile/0/000.p/3", b"abc")
    with pytest.raises(Overwritten, match=r"tile/0/000\.p/3"):
        shelf.write("tile/0/000.p/3", b"abd")
    assert shelf.read("tile/0/000.p/3") == b"abc"
    shelf.replace(CHECKPOINT, b"1")
    shelf.replace(CHECKPOINT, b"22")
    assert shelf.read(CHECKPOINT) == b"22"
    shelf.write("tile/0/000", b"full")
    shelf.drop("tile/0/000.p")
    shelf.drop("tile/0/000.p")
    assert shelf.read("tile/0/000.p/3") is None
    assert shelf.read("tile/0/000") == b"full"
    shelf.drop("tile/0/000")
    assert shelf.read("tile/0/000") is None


def test_a_partial_tile_outlives_the_full_one_for_who_is_reading_it(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    faded, now = shelves.Faded(place.shelf), 0.0
    monkeypatch.setattr(clock, "monotonic", lambda: now)
    partial = ["tile/0/000.p/200", "tile/entries/000.p/200"]
    still = ["tile/0/001.p/44", "tile/1/000.p/1"]
    for path in (*partial, *still):
        place.shelf.write(path, b"t")
    faded.clear(200, 300)
    faded.clear(300, 301)
    assert [place.shelf.read(path) for path in (*partial, *still)] == [b"t"] * 4
    now = shelves.FADED_SECONDS + 1.0
    faded.clear(301, 302)
    assert [place.shelf.read(path) for path in partial] == [None] * 2
    assert [place.shelf.read(path) for path in still] == [b"t"] * 2


def test_a_shelf_is_set_aside_whole(place: Place) -> None:
    files = {CHECKPOINT: b"c", "tile/0/000": b"t", "tile/entries/000": b"e"}
    for path, content in files.items():
        place.shelf.replace(path, content)
    place.shelf.set_aside(".closed-3")
    aside = place.other(".closed-3")
    assert {path: aside.read(path) for path in files} == files
    assert [place.shelf.read(path) for path in files] == [None] * 3


@dataclass
class Breaking:
    """A shelf or a store of which every change passes a fuse."""

    inner: Shelf
    fuse: Fuse

    def read(self, path: str) -> bytes | None:
        return self.inner.read(path)

    def write(self, path: str, content: bytes) -> None:
        self.fuse.around(lambda: self.inner.write(path, content))

    def replace(self, path: str, content: bytes) -> None:
        self.fuse.around(lambda: self.inner.replace(path, content))

    def drop(self, folder: str) -> None:
        self.inner.drop(folder)

    def set_aside(self, ending: str) -> None:
        self.inner.set_aside(ending)


@dataclass
class BreakingStates:
    inner: StateStore
    fuse: Fuse

    def load(self, origin: str) -> State | None:
        return self.inner.load(origin)

    def create(self, origin: str, state: State) -> None:
        self.inner.create(origin, state)

    def swap(self, origin: str, old: State, new: State) -> None:
        self.fuse.around(lambda: self.inner.swap(origin, old, new))


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
async def test_a_kill_at_any_write_tells_one_story(
    ledger: Ledger, tmp_path: Path, place: Place, *, after: bool
) -> None:
    workshop, appender = Workshop(ledger.url, tmp_path), ledger.appender()
    workshop.shelf = cast("Folder", place.shelf)  # for it to read the story from
    sealer.begin(place.states(), place.shelf, workshop.keys)
    for left in range(9):
        await appender.append_all([submission(f"release:{n % 3}") for n in range(150)])
        for fuse in (Fuse(left, after), Fuse()):
            source = Source(ledger.url, "main", workshop.keys.naming)
            places = Places(
                source, BreakingStates(place.states(), fuse), Breaking(place.shelf, fuse),
                workshop.keys, unwitnessed, workshop._announced,
            )  # fmt: skip
            try:
                await seal_all(Sealer("main", places, 0.01))
            except Killed:
                assert fuse.burnt
            finally:
                await source.aclose()
    workshop.tell_one_story()
    head, _ = open_note(place.shelf.read(CHECKPOINT) or b"", [workshop.keys.signer.verifier])
    assert head.size == 9 * 150
    naming = workshop.keys.naming.checker.pem()
    report = await verify_on_a_thread(Job(head, place.shelf, "main", ledger.url, naming))
    assert report == 9 * 150


async def test_two_sealers_of_one_state_tell_one_story(
    ledger: Ledger, tmp_path: Path, place: Place
) -> None:
    """Both run at once, over and over; whoever comes second is refused and begins again."""
    workshop, appender = Workshop(ledger.url, tmp_path), ledger.appender()
    workshop.shelf = cast("Folder", place.shelf)
    sealer.begin(place.states(), place.shelf, workshop.keys)

    async def seal() -> int:
        refused = 0
        for _ in range(100):
            source = Source(ledger.url, "main", workshop.keys.naming)
            places = Places(
                source, place.states(), place.shelf, workshop.keys, unwitnessed,
                workshop._announced,
            )  # fmt: skip
            try:
                await seal_all(Sealer("main", places, 0.01))
            except (StateMoved, Overwritten, SealerRefuses):
                refused += 1
            else:
                head, _ = open_note(
                    place.shelf.read(CHECKPOINT) or b"", [workshop.keys.signer.verifier]
                )
                if head.size == 12 * 60:
                    break
            finally:
                await source.aclose()
        return refused

    async def append() -> None:
        for _ in range(12):
            await appender.append_all([submission(f"release:{n % 3}") for n in range(60)])

    one, other, _ = await asyncio.gather(seal(), seal(), append())
    workshop.tell_one_story()
    assert max(one, other) < 100
    naming = workshop.keys.naming.checker.pem()
    head, _ = open_note(place.shelf.read(CHECKPOINT) or b"", [workshop.keys.signer.verifier])
    assert await verify_on_a_thread(Job(head, place.shelf, "main", ledger.url, naming)) == 12 * 60


async def test_the_command_reads_an_object_store(
    ledger: Ledger, tmp_path: Path, bucket: str
) -> None:
    workshop, base = Workshop(ledger.url, tmp_path), f"{bucket}/{uuid.uuid4().hex}"
    workshop.shelf = cast("Folder", ObjectShelf(f"{base}/main"))
    sealer.begin(ObjectStates(f"{base}/state"), workshop.shelf, workshop.keys)
    await ledger.appender().append_all([submission("release:a") for _ in range(40)])
    source = Source(ledger.url, "main", workshop.keys.naming)
    places = Places(
        source, ObjectStates(f"{base}/state"), workshop.shelf, workshop.keys, unwitnessed,
        workshop._announced,
    )  # fmt: skip
    await seal_all(Sealer("main", places, 0.01))
    await source.aclose()
    keys = tmp_path / "keys" / "main"
    keys.mkdir(parents=True)
    (keys / "sealer.vkey").write_text(workshop.keys.signer.verifier.vkey + "\n")
    (keys / "naming.pub.pem").write_bytes(workshop.keys.naming.checker.pem())
    code, said = await command(workshop, ledger, shelf=base)
    assert (code, "40 events" in said) == (0, True), said
    workshop.shelf.replace("tile/0/000.p/40", bytes(40 * 32))
    code, said = await command(workshop, ledger, "--tree", "--shelf", f"{base}/main")
    assert (code, "REFUSED" in said) == (9, True), said
    code, said = await command(workshop, ledger, shelf="s3://logs-not-there")
    assert (code, "s3://logs-not-there" in said, "Traceback" in said) == (1, True, False), said


def test_a_store_that_is_away_is_a_fault_and_not_an_absence(
    bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = ObjectShelf(f"{bucket}/{uuid.uuid4().hex}")
    assert here.read(CHECKPOINT) is None
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setattr(objects, "RETRIES", 0)
    away = ObjectShelf(f"s3://logs/{uuid.uuid4().hex}")
    for ask in (
        lambda: away.read(CHECKPOINT), lambda: away.write("tile/0/000", b"t"),
        lambda: away.replace(CHECKPOINT, b"c"), lambda: away.drop("tile"),
        lambda: away.set_aside(".x"), lambda: ObjectStates(away.url).load("o"),
    ):  # fmt: skip
        with pytest.raises(OSError, match="s3://logs"):
            ask()


async def test_a_ledger_whose_shelf_is_away_says_so_and_the_others_go_on(
    bucket: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    del bucket
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    away, near = ObjectShelf(f"s3://logs/{uuid.uuid4().hex}"), Folder(tmp_path)
    key = Ed25519Signer.generate("a.example/near")
    near.replace(
        CHECKPOINT, checkpoint.sign(Checkpoint("a.example/near", 3, bytes(32)), key).content
    )
    published = Published({"away": away, "near": near})
    looking = asyncio.create_task(published.run())
    async with asyncio.timeout(20):
        await published.covering("near", 3, 20)
        while published.behind("away", 0) is None:  # noqa: ASYNC110 - nobody is told of it
            await asyncio.sleep(0.05)
    looking.cancel()
    assert "s3://logs" in (published.behind("away", 0) or "")
    assert published.behind("near", 3) is None


def test_without_the_extra_an_operator_is_told_which_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "obstore", None)
    with pytest.raises(SettingsError, match=r"release-ledger\[objects\]"):
        shelf_at("s3://logs/never-opened")


async def verify_on_a_thread(job: Job) -> int:
    report = await asyncio.to_thread(verify, job, 1, lambda _: None)
    return report.portion.events
