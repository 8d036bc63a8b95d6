"""`litewitness` (filippo.io/torchwood), a witness that we did not write, watches our log.

It cosigns what continues, and says no in the words of C2SP tlog-witness to what does not.
"""

from __future__ import annotations

import base64
import hashlib
import os
import socket
import sqlite3
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx2
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from services.kit.tlog import checkpoint as checkpoints
from services.kit.tlog import merkle
from services.kit.tlog.checkpoint import Checkpoint
from services.kit.tlog.cosignature import Ed25519Witness, time_of
from services.kit.tlog.note import Ed25519Signer, Note, read_signatures
from services.kit.tlog.policy import Policy
from services.kit.tlog.tiles import Edge, Files, TileReader
from services.kit.tlog.witness import SIZE_TYPE, Request
from services.ledger.sealing.shelf import Folder
from services.ledger.sealing.where import dial_out
from services.ledger.sealing.witnesses import Witnesses
from tests.foreign.conftest import Install, program

TORCHWOOD = "filippo.io/torchwood/cmd/{}@v0.10.0"
ORIGIN = "ledger.example/witnessed"
NAME = "witness.example/outside"
SECONDS = 20


@dataclass
class Log:
    """A log that grows, and can be asked to misbehave."""

    signer: Ed25519Signer = field(default_factory=lambda: Ed25519Signer.generate(ORIGIN))
    edge: Edge = field(default_factory=Edge)
    files: Files = field(default_factory=dict)

    def grow(self, count: int, kind: str = "entry") -> None:
        names = range(self.edge.size, self.edge.size + count)
        self.edge, files = self.edge.grow([f"{kind} {number}".encode() for number in names])
        self.files.update(files)

    def request(self, old: int, signer: Ed25519Signer | None = None) -> Request:
        """Ask for a cosignature of the newest tree, with the proof from the tree of `old`."""
        reader = TileReader(self.edge.size, self.edge.root, self.files.get)
        proof = merkle.consistency_proof(min(old, self.edge.size), self.edge.size, reader.read)
        head = Checkpoint(ORIGIN, self.edge.size, self.edge.root)
        return Request(old, tuple(proof), checkpoints.sign(head, signer or self.signer).content)


@dataclass(frozen=True)
class Outside:
    """The running witness."""

    url: str
    witness: Ed25519Witness

    def ask(self, request: Request) -> httpx2.Response:
        return httpx2.post(f"{self.url}/add-checkpoint", content=request.encode(), timeout=SECONDS)


@contextmanager
def _running(*command: str | Path) -> Iterator[subprocess.Popen[bytes]]:
    started = subprocess.Popen([*map(str, command)], stderr=subprocess.DEVNULL)
    try:
        yield started
    finally:
        started.terminate()
        started.wait(SECONDS)


def _until_it_listens(process: subprocess.Popen[bytes], address: int | Path) -> None:
    """Wait for a port of the loopback, or a socket's path, to answer."""
    for _ in range(SECONDS * 20):
        assert process.poll() is None, "it ended"
        family = socket.AF_UNIX if isinstance(address, Path) else socket.AF_INET
        with socket.socket(family) as trial:
            where = str(address) if isinstance(address, Path) else ("127.0.0.1", address)
            if trial.connect_ex(where) == 0:
                return
        time.sleep(0.05)
    pytest.fail(f"nothing listens at {address}")


def _free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
        return port


@pytest.fixture
def our_log() -> Log:
    log = Log()
    log.grow(300)
    return log


def _introduce(database: Path, vkey: str) -> None:
    """Tell the witness of our log as `witnessctl add-log` and `add-key` do, in its own tables."""
    empty = base64.b64encode(Edge().root).decode()
    with closing(sqlite3.connect(database, timeout=SECONDS)) as known, known:
        known.execute("INSERT INTO log VALUES (?, 0, ?)", (ORIGIN, empty))
        known.execute("INSERT INTO key VALUES (?, ?)", (ORIGIN, vkey))


@pytest.fixture
def outside(go_install: Install, our_log: Log) -> Iterator[Outside]:
    """Run the witness, with a key in an ssh-agent of its own, told of our log's origin and key."""
    agent, adder = program("ssh-agent", "litewitness"), program("ssh-add", "litewitness")
    witness = go_install(TORCHWOOD.format("litewitness"))
    key = Ed25519PrivateKey.generate()
    public = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
    printed = hashlib.sha256(base64.b64decode(public.split()[1])).digest()
    with ExitStack() as stack:
        # A socket's path is short, which pytest's folders are not.
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="rlg-")))
        database, door, secret = folder / "witness.db", folder / "agent", folder / "key"
        secret.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()))
        secret.chmod(0o600)
        _until_it_listens(stack.enter_context(_running(agent, "-D", "-a", door)), door)
        environment = {**os.environ, "SSH_AUTH_SOCK": str(door)}
        subprocess.run([adder, "-q", secret], env=environment, check=True, timeout=SECONDS)
        port = _free_port()
        command = (
            witness, "-db", database, "-name", NAME, "-ssh-agent", door,
            "-key", "SHA256:" + base64.b64encode(printed).decode().rstrip("="),
            "-listen", f"127.0.0.1:{port}",
        )  # fmt: skip
        _until_it_listens(stack.enter_context(_running(*command)), port)
        _introduce(database, our_log.signer.verifier.vkey)
        raw = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        yield Outside(f"http://127.0.0.1:{port}", Ed25519Witness(NAME, raw))


def test_an_outside_witness_cosigns_our_log_as_it_grows(outside: Outside, our_log: Log) -> None:
    for old, more in ((0, 0), (300, 700), (1000, 0)):
        our_log.grow(more)
        request = our_log.request(old)
        answer = outside.ask(request)
        assert answer.status_code == 200, answer.text
        note = Note.parse(request.checkpoint)
        lines = read_signatures(answer.content)
        cosigned = Note(note.text, (*note.signatures, *lines))
        assert cosigned.signed_by([outside.witness]) == [outside.witness]
        moment = time_of(lines[0].value)
        assert moment is not None
        assert abs(moment - time.time()) < 60


def test_it_answers_a_rollback_with_a_conflict(outside: Outside, our_log: Log) -> None:
    earlier = our_log.request(0)
    assert outside.ask(earlier).status_code == 200
    our_log.grow(100)
    assert outside.ask(our_log.request(300)).status_code == 200
    refused = outside.ask(earlier)
    assert (refused.status_code, refused.headers["content-type"]) == (409, SIZE_TYPE)
    assert refused.text == "400\n"


def test_it_does_not_cosign_another_tree_of_the_same_size(outside: Outside, our_log: Log) -> None:
    assert outside.ask(our_log.request(0)).status_code == 200
    other = Log(our_log.signer)
    other.grow(300, "lie")
    # C2SP tlog-witness says 409 here, as our own witnesses do; litewitness 0.10.0 says 422.
    assert outside.ask(other.request(300)).status_code == 422


def test_it_does_not_process_a_proof_that_proves_nothing(outside: Outside, our_log: Log) -> None:
    assert outside.ask(our_log.request(0)).status_code == 200
    our_log.grow(100)
    good = our_log.request(300)
    bad = Request(good.old, (bytes(32), *good.proof[1:]), good.checkpoint)
    assert outside.ask(bad).status_code == 422
    rewritten = Log(our_log.signer)
    rewritten.grow(400, "lie")
    assert outside.ask(rewritten.request(300)).status_code == 422
    assert outside.ask(good).status_code == 200


def test_it_forbids_a_checkpoint_of_another_key(outside: Outside, our_log: Log) -> None:
    stranger = Ed25519Signer.generate(ORIGIN)
    assert outside.ask(our_log.request(0, stranger)).status_code == 403


async def test_the_sealer_gets_its_cosignature_also_after_a_restart(
    outside: Outside, our_log: Log, tmp_path: Path
) -> None:
    lines = (
        f"log {our_log.signer.verifier.vkey}",
        f"witness outside {outside.witness.vkey} {outside.url}",
        "quorum outside",
    )
    policy, shelf = Policy.parse("\n".join(lines)), Folder(tmp_path)
    for more in (0, 500, 1):  # each with a sealer that remembers nothing of what was cosigned
        our_log.grow(more)
        for path, content in our_log.files.items():
            shelf.write(path, content)
        head = Checkpoint(ORIGIN, our_log.edge.size, our_log.edge.root)
        witnesses = Witnesses("main", policy, shelf, dial_out, required=True)
        cosigned = await witnesses.cosign(checkpoints.sign(head, our_log.signer), head)
        assert policy.check(cosigned.content) == head
        await witnesses.close()
