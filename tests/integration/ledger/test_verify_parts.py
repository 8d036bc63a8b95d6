"""The verifier on a stretch of the log, on one subject's history, and over HTTP."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote

import pytest
from pydantic import SecretStr

from services.kit import clock, files
from services.kit.settings import SettingsError, Shared
from services.kit.tlog.checkpoint import Checkpoint, sign
from services.kit.tlog.cosignature import Cosigner
from services.kit.tlog.note import Note
from services.ledger.sealing import keys
from services.ledger.sealing.shelf import CHECKPOINT
from services.ledger.settings import LedgerSettings
from services.ledger.verify import command, online, work
from services.ledger.verify.given import Wanted
from services.ledger.verify.work import Job
from tests.integration.ledger.conftest import Ledger, submission
from tests.integration.ledger.sealing import ORIGIN, Workshop, behind_the_back, sealed
from tests.integration.ledger.test_pack import pack

pytestmark = pytest.mark.postgres
EDIT = "UPDATE ledger.event SET principal = 'person:eve' WHERE position = {}"


@dataclass
class Auditor:
    """Runs the command with the keys that it was given, and reads what it says."""

    ledger: Ledger
    workshop: Workshop
    capsys: pytest.CaptureFixture[str]

    async def says(self, **options: object) -> tuple[int, str]:
        shared = Shared(DATABASE_URL=SecretStr(self.ledger.url), data=self.workshop.root)
        settings = LedgerSettings(keys=self.workshop.root / "keys")
        wanted = replace(
            Wanted("main", shelf=str(self.workshop.shelf.root), workers=1),
            **options,  # type: ignore[arg-type]
        )
        code = await asyncio.to_thread(command.run, shared, settings, wanted)
        return code, self.capsys.readouterr().out


@pytest.fixture
async def workshop(ledger: Ledger, tmp_path: Path) -> AsyncIterator[Workshop]:
    made = Workshop(ledger.url, tmp_path)
    made.begin()
    keys = tmp_path / "keys" / "main"
    keys.mkdir(parents=True)
    (keys / "sealer.vkey").write_text(made.keys.signer.verifier.vkey + "\n")
    (keys / "naming.pub.pem").write_bytes(made.keys.naming.checker.pem())
    await sealed(ledger, made, 900)
    yield made
    await made.close()


@pytest.fixture
def auditor(ledger: Ledger, workshop: Workshop, capsys: pytest.CaptureFixture[str]) -> Auditor:
    return Auditor(ledger, workshop, capsys)


async def test_a_stretch_is_checked_by_whole_bundles(ledger: Ledger, auditor: Auditor) -> None:
    code, said = await auditor.says(stretch="300-400")
    assert (code, "256 events, 8 histories without a gap there" in said) == (0, True), said
    assert "388 events" in (await auditor.says(stretch="600-"))[1]
    await behind_the_back(ledger, EDIT.format(700))
    assert (await auditor.says(stretch="300-400"))[0] == 0
    code, said = await auditor.says(stretch="500-700")
    assert (code, "REFUSED  position 700: principal" in said) == (9, True), said


@pytest.mark.parametrize("stretch", ["0-5", "5-1", "901-", "7", "a-b", "-"])
async def test_a_stretch_that_is_none(auditor: Auditor, stretch: str) -> None:
    with pytest.raises(SettingsError, match="--range"):
        await auditor.says(stretch=stretch)


async def test_a_history_is_checked_event_by_event(ledger: Ledger, auditor: Auditor) -> None:
    await ledger.appender().append_all([submission("release:3")])
    code, said = await auditor.says(subject="release:3")
    assert (code, "129 events, all that the tree has of it" in said) == (0, True), said
    assert "0 redacted, 1 not sealed yet" in said
    await behind_the_back(ledger, EDIT.format(5))  # release:4
    assert (await auditor.says(subject="release:3"))[0] == 0
    code, said = await auditor.says(subject="release:4")
    assert (code, "REFUSED  position 5: principal" in said) == (9, True), said
    with pytest.raises(SettingsError, match="no subject release:none"):
        await auditor.says(subject="release:none")
    with pytest.raises(SettingsError, match="--range does not go with --subject"):
        await auditor.says(subject="release:3", stretch="1-5")
    known, head = auditor.workshop.root / "known", auditor.workshop.published()
    larger = sign(replace(head, size=head.size + 9), auditor.workshop.keys.signer)
    known.write_bytes(larger.content)
    code, said = await auditor.says(subject="release:3", known=(known,))
    assert (code, "a tree of 909 was seen before" in said) == (9, True), said


WITHHELD = {
    "left out": ("DELETE FROM ledger.history WHERE position = 299", "is another one in the log"),
    "the last one left out": (
        "DELETE FROM ledger.history WHERE position = 894",
        "position 894: only the tree has it in the history of release:4",
    ),
    "invented": (
        (
            "INSERT INTO ledger.history SELECT ledger_id, subject_id, 999, 300 FROM ledger.subject"
            " WHERE key = 'release:4'"
        ),
        "position 300: only the log has it in the history of release:4",
    ),
    "another version": (
        (
            "UPDATE ledger.history SET version = 999 WHERE position = 299 AND subject_id ="
            " (SELECT subject_id FROM ledger.subject WHERE key = 'release:4')"
        ),
        "version 43 of release:4 is another one in the log",
    ),
    "its body": ("DELETE FROM ledger.event_body WHERE position = 299", "no redaction is recorded"),
    "the event": ("DELETE FROM ledger.event WHERE position = 299", "does not have it"),
    "its name": (
        ("UPDATE ledger.subject_name SET signature = (SELECT signature FROM ledger.subject_name"
        " ORDER BY subject_id DESC LIMIT 1)"),
        "the signature is not the one that names",
    ),
}  # fmt: skip


@pytest.mark.parametrize("attack", WITHHELD)
async def test_what_is_withheld_from_a_history_is_named(
    ledger: Ledger, auditor: Auditor, attack: str
) -> None:
    """Position 299 is of release:4."""
    statements, told = WITHHELD[attack]
    await behind_the_back(ledger, statements)
    code, said = await auditor.says(subject="release:4")
    assert (code, told in said) == (9, True), said


async def test_a_view_that_is_held_back_is_refused(auditor: Auditor) -> None:
    """The tree is right and the keys are: only the witnesses' clocks tell that it is an old one."""
    workshop, policy = auditor.workshop, auditor.workshop.root / "keys" / "main" / "policy"
    witnesses = [Cosigner.generate(f"witness.example/{name}") for name in "abc"]
    lines = [f"witness {name} {w.witness.vkey}" for name, w in zip("abc", witnesses, strict=True)]
    log = f"log {workshop.keys.signer.verifier.vkey}"
    policy.write_text("\n".join([log, *lines, "group two 2 a b c", "quorum two", ""]))
    note = Note.parse(workshop.shelf.read(CHECKPOINT) or b"")
    now = int(clock.now().timestamp())

    def seen(*ages: int) -> None:
        given = zip(witnesses, ages, strict=False)
        signed = [cosigner.cosign(note.text, now - age) for cosigner, age in given]
        workshop.shelf.replace(CHECKPOINT, Note(note.text, (*note.signatures, *signed)).content)

    seen(5, 100, 9000)
    assert (await auditor.says(fresh=600))[0] == 0
    seen(5, 1000, 9000)  # one witness alone can be bribed to look away, or to say "just now"
    code, said = await auditor.says(fresh=600)
    assert (code, "REFUSED  the witnesses saw this checkpoint 100" in said) == (9, True), said
    assert (await auditor.says())[0] == 0
    seen(5)
    code, said = await auditor.says(fresh=600)
    assert (code, "the quorum two is not met" in said) == (9, True), said
    policy.write_text(f"{log}\nquorum none\n")
    with pytest.raises(SettingsError, match="--fresh needs a policy with witnesses"):
        await auditor.says(fresh=600)


@dataclass
class Elsewhere:
    """A server with a log's files, and what it does to them. `slow`: seconds before each byte."""

    folder: Path
    changed: dict[str, bytes] = field(default_factory=dict)
    status: int = 200
    slow: float = 0
    dripping: bool = False
    asked: list[str] = field(default_factory=list)
    url: str = ""

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        path = unquote(request.path).lstrip("/")
        self.asked.append(path)
        file = self.folder / path
        content = self.changed.get(path) or (file.read_bytes() if file.is_file() else None)
        if self.dripping:  # headers that never end
            while not self.stopped.wait(0.05):
                request.wfile.write(b"x")
            return
        request.send_response(404 if content is None else self.status)
        request.send_header("content-length", str(len(content or b"")))
        request.end_headers()
        for byte in content or b"":
            if self.slow and self.stopped.wait(self.slow):
                return
            request.wfile.write(bytes([byte]))

    def __post_init__(self) -> None:
        self.stopped = threading.Event()


@pytest.fixture
def elsewhere(workshop: Workshop) -> Iterator[Elsewhere]:
    made = Elsewhere(workshop.shelf.root)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            made.answer(self)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        made.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield made
        made.stopped.set()
        server.shutdown()
        thread.join()


async def test_a_tree_somewhere_else(auditor: Auditor, elsewhere: Elsewhere) -> None:
    known = auditor.workshop.root / "known"
    known.write_bytes(auditor.workshop.shelf.read(CHECKPOINT) or b"")
    await sealed(auditor.ledger, auditor.workshop, 10)
    code, said = await auditor.says(url=elsewhere.url, known=(known,))
    assert (code, "910 events, 8 complete histories: the tree alone" in said) == (0, True), said
    assert elsewhere.asked.count("tile/1/000.p/3") == 1  # one that never changes is read once


async def test_a_server_that_lies_is_refused(auditor: Auditor, elsewhere: Elsewhere) -> None:
    for path in ("tile/0/001", "tile/entries/001", CHECKPOINT):
        content = bytearray(auditor.workshop.shelf.read(path) or b"")
        content[len(content) // 3] ^= 1
        elsewhere.changed = {path: bytes(content)}
        online._tile.cache_clear()
        assert (await auditor.says(url=elsewhere.url))[0] == 9, path
        assert path in elsewhere.asked
        elsewhere.asked.clear()
    elsewhere.changed = {"tile/entries/002": b"\x00"}
    online._tile.cache_clear()
    assert (await auditor.says(url=elsewhere.url))[0] == 9
    elsewhere.changed.clear()
    online._tile.cache_clear()
    assert (await auditor.says(url=elsewhere.url))[0] == 0


async def test_no_answer_is_no_pass(
    auditor: Auditor, elsewhere: Elsewhere, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "FILE_SECONDS", 0.3)
    elsewhere.status = 503
    with pytest.raises(SettingsError, match="HTTP status 503"):
        await auditor.says(url=elsewhere.url)
    assert len(elsewhere.asked) == 3
    elsewhere.status, elsewhere.slow = 200, 0.02
    with pytest.raises(SettingsError, match=r"takes longer than 0\.3 s"):
        await auditor.says(url=elsewhere.url)
    with pytest.raises(SettingsError, match="there is no checkpoint at"):
        await auditor.says(url=f"{elsewhere.url}/nowhere")
    with pytest.raises(SettingsError, match="does not answer"):
        await auditor.says(url="http://127.0.0.1:9")


async def test_headers_that_never_end_are_no_pass(
    auditor: Auditor, elsewhere: Elsewhere, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "FILE_SECONDS", 0.3)
    elsewhere.dripping = True
    began = clock.monotonic()
    with pytest.raises(SettingsError, match=r"takes longer than 0\.3 s"):
        await auditor.says(url=f"{elsewhere.url}/")
    assert clock.monotonic() - began < 10


async def test_a_pack_from_afar_is_held_against_what_was_asked(
    ledger: Ledger, auditor: Auditor, elsewhere: Elsewhere
) -> None:
    workshop, asked = auditor.workshop, {"url": elsewhere.url, "subject": "release:4"}
    keys.make(workshop.root / "own", ORIGIN)
    log = workshop.keys.signer.verifier.vkey
    (workshop.root / "keys" / "main" / "policy").write_text(f"log {log}\nquorum none\n")
    place = "subjects/release:4/pack"

    async def served(subject: str, *, tree: bool = True) -> tuple[int, str]:
        made = await pack(ledger, workshop, subject, tree=tree, folder="own")
        elsewhere.changed = {place: made.content}
        return await auditor.says(**asked)

    code, said = await served("release:4")
    assert (code, "VERIFIED  release:4" in said) == (0, True), said
    code, said = await served("release:5")
    assert (code, "got the pack of release:5" in said) == (9, True), said
    code, said = await served("release:4", tree=False)
    assert (code, "that nothing was left out is not shown" in said) == (9, True), said
    await served("release:4")
    old = dict(elsewhere.changed)
    await sealed(ledger, workshop, 20)
    elsewhere.changed = old
    code, said = await auditor.says(**asked)
    assert (code, "a tree of 920 was seen before and this one has 900" in said) == (9, True), said
    elsewhere.changed = {place: old[place][:-500]}
    assert (await auditor.says(**asked))[0] == 9


class Stuck:
    """A place that never answers."""

    def read(self, _path: str) -> bytes | None:
        threading.Event().wait(60)
        return None


async def test_a_worker_that_hangs_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(work, "PORTION_SECONDS", 3)
    job = Job(Checkpoint("stuck.example", 20_000, bytes(32)), Stuck(), "main")
    began = clock.monotonic()
    with pytest.raises(TimeoutError):
        await asyncio.to_thread(lambda: list(work.portions(job, range(78), 2)))
    assert clock.monotonic() - began < 30
