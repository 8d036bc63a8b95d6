"""Evidence packs: what the README in a pack tells a stranger to do is done here, with a shell.

Good packs are accepted and each tampered twin is refused, by openssl and coreutils alone.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import re
import shutil
import subprocess
import zipfile
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from securesystemslib.dsse import Envelope
from securesystemslib.signer import SSlibKey

from contracts import leaf
from contracts.problem import NotFound
from services.kit.tlog.note import Ed25519Signer
from services.kit.tlog.policy import Policy
from services.ledger.evidence.collect import collect
from services.ledger.evidence.pack import Contents, write
from services.ledger.receipt import Seal
from services.ledger.sealing import keys
from services.ledger.sealing.naming import NameChecker, NamingKey
from services.ledger.sealing.published import Published
from services.ledger.verify.pack import read_zip, verify_pack, verify_receipt
from services.ledger.verify.whole import Refused
from tests.integration.ledger.conftest import Ledger, submission
from tests.integration.ledger.sealing import Workshop, seal_all

RELEASE = "release:pay-1.42"
DECIDED = {
    "type": "org.releaseledger.decision.recorded.v1",
    "subjects": None,
    "data": {
        "decision_id": "dec-1",
        "release_id": "pay-1.42",
        "decision": {
            "decision": "deny",
            "release": "pay-1.42",
            "gate": "deploy:production",
            "environment": "production",
            "artefact": "sha256:" + "ab" * 32,
            "as_of": "2026-03-02T09:40:00Z",
            "policy": {"name": "standard", "version": 1, "digest": "sha256:" + "cd" * 32},
            "summary": "Not yet.",
            "rules": [],
            "read_set": {RELEASE: 3},
            "facts_digest": "sha256:" + "ef" * 32,
            "engine": "1",
        },
    },
}


@dataclass
class Packed:
    """A pack in a folder, and its zip."""

    folder: Path
    content: bytes

    def recipe(self, change: Callable[[Path], None] | None = None) -> tuple[int, str]:
        """Do what the pack's README says, in a copy; return the first exit code that is not 0."""
        twin = self.folder.with_name("pack")
        shutil.rmtree(twin, ignore_errors=True)
        shutil.copytree(self.folder, twin)
        if change is not None:
            change(twin)
        said = ""
        for line in self.commands():
            done = subprocess.run(
                line.split(), cwd=twin.parent, capture_output=True, text=True, check=False
            )
            said += done.stdout + done.stderr
            if done.returncode:
                return done.returncode, said
        return 0, said

    def commands(self) -> list[str]:
        readme = (self.folder / "README.md").read_text()
        (block,) = re.findall(r"```sh\n(.*?)```", readme, re.DOTALL)
        return str(block).splitlines()


@pytest.fixture
async def workshop(ledger: Ledger, tmp_path: Path) -> AsyncIterator[Workshop]:
    keys.make(tmp_path / "keys", "ledger.example/main")
    made = Workshop(ledger.url, tmp_path, keys.sealer(tmp_path / "keys"))
    made.begin()
    yield made
    await made.close()


async def pack(
    ledger: Ledger, workshop: Workshop, subject: str = RELEASE, *, tree: bool = True,
    folder: str = "keys",
) -> Packed:  # fmt: skip
    published = Published({"main": workshop.shelf}, {"main": workshop.root / folder})
    published.look("main")
    sealed, signer = published.newest("main"), published.signer("main")
    assert sealed is not None
    assert signer is not None
    base, row = ledger.reader.placement.home("main"), ledger.reader.ledger("main")
    contents = Contents(
        subject, workshop.published(), sealed, await collect(base, row.id, subject, sealed.size),
        published.trust("main"), workshop.shelf, signer, tree,
    )  # fmt: skip
    content = b"".join(write(contents))
    unpacked = workshop.root / "unpacked"
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert archive.testzip() is None
        archive.extractall(unpacked)
    return Packed(unpacked, content)


@pytest.fixture
async def packed(ledger: Ledger, workshop: Workshop) -> Packed:
    appender = ledger.appender()
    for n in range(300):  # others' events, among which the release's own stand
        await appender.append_all([submission(f"release:other-{n % 5}", "service:pay")])
        if n % 40 == 0:
            await appender.append_all([submission(RELEASE, "service:pay", f"change:{n}")])
    attributes: dict[str, Any] = {k: v for k, v in DECIDED.items() if v is not None}
    await appender.append_all([submission(RELEASE, **attributes)])
    await appender.append_all([submission("change:40")])
    await seal_all(workshop.sealer())
    return await pack(ledger, workshop)


async def test_a_stranger_with_openssl_accepts_a_good_pack(packed: Packed) -> None:
    code, said = packed.recipe()
    assert code == 0, said
    assert "signed its tree of 310 entries" in said
    assert f"{RELEASE} has the versions 1 to 9, each once, in order, and no other" in said
    about = json.loads((packed.folder / "about.json").read_bytes())
    histories = {each["subject"]: each["versions"] for each in about["histories"]}
    assert histories[RELEASE] == 9
    assert histories["change:40"] == 2
    assert "service:pay" not in histories


def _flip(name: str) -> Callable[[Path], None]:
    def change(twin: Path) -> None:
        file = next(iter(sorted(twin.glob(name))))
        content = bytearray(file.read_bytes())
        content[len(content) // 2] ^= 1
        file.write_bytes(content)

    return change


def _drop_event(twin: Path) -> None:
    """Leave one of the release's events out, with all that belongs to it."""
    for file in twin.glob("events/43.*"):
        file.unlink()


def _salt_swap(twin: Path) -> None:
    first, second = sorted(twin.glob("events/*.salt"))[:2]
    first.write_bytes(second.read_bytes())


def _shorten(twin: Path) -> None:
    """Show the tree without the last event of the release, under the same checkpoint."""
    bundle = next(iter(twin.glob("tile/entries/001.p/*")))
    content = bundle.read_bytes()
    length = int.from_bytes(content[:2], "big")
    bundle.write_bytes(content[2 + length :])


def _other_name(twin: Path) -> None:
    key = next(file for file in twin.glob("subjects/*.key") if file.read_text() == RELEASE)
    key.write_text("release:pay-1.43")


TWINS: dict[str, Callable[[Path], None]] = {
    "body": _flip("events/2.json"),
    "salt": _flip("events/2.salt"),
    "salt swapped": _salt_swap,
    "leaf": _flip("events/2.leaf"),
    "proof": _flip("events/2.tlog-proof"),
    "checkpoint": _flip("checkpoint"),
    "key of the log": _flip("trust/log.vkey"),
    "entries": _flip("tile/entries/000"),
    "history shortened": _shorten,
    "event dropped": _drop_event,
    "subject's signature": _flip("subjects/*.sig"),
    "subject's name": _other_name,
}


@pytest.mark.parametrize("twin", TWINS)
async def test_a_tampered_twin_is_refused(packed: Packed, twin: str) -> None:
    code, said = packed.recipe(TWINS[twin])
    assert code == 9, said
    assert "REFUSED" in said


async def test_the_manifest_covers_every_file_and_is_signed(packed: Packed) -> None:
    pem = (packed.folder / "trust" / "attester.pub.pem").read_bytes()
    key = SSlibKey.from_crypto(load_pem_public_key(pem))
    signed = Envelope.from_dict(json.loads((packed.folder / "manifest.dsse.json").read_bytes()))
    assert signed.verify([key], 1)
    statement = json.loads(signed.payload)
    digests = {each["name"]: each["digest"]["sha256"] for each in statement["subject"]}
    files = {
        str(file.relative_to(packed.folder)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in packed.folder.rglob("*")
        if file.is_file() and file.name != "manifest.dsse.json"
    }
    assert digests == files


async def test_a_denial_is_attested_like_an_allow(packed: Packed) -> None:
    (file,) = (packed.folder / "decisions").glob("*.vsa.json")
    statement = json.loads(Envelope.from_dict(json.loads(file.read_bytes())).payload)
    assert statement["predicateType"] == "https://slsa.dev/verification_summary/v1"
    assert statement["subject"] == [{"name": RELEASE, "digest": {"sha256": "ab" * 32}}]
    assert statement["predicate"]["verificationResult"] == "FAILED"
    assert statement["predicate"]["policy"]["digest"] == {"sha256": "cd" * 32}


async def test_the_same_evidence_is_the_same_zip(
    ledger: Ledger, workshop: Workshop, packed: Packed
) -> None:
    assert (await pack(ledger, workshop)).content == packed.content
    small = await pack(ledger, workshop, tree=False)
    assert len(small.content) < len(packed.content)


async def test_nothing_sealed_is_no_evidence(
    ledger: Ledger, workshop: Workshop, packed: Packed
) -> None:
    await ledger.appender().append_all([submission("release:late")])
    with pytest.raises(NotFound, match="release:late"):
        await pack(ledger, workshop, "release:late")
    assert packed.content


def trusted(workshop: Workshop) -> tuple[Policy, NameChecker]:
    """What an auditor brings along."""
    vkey = workshop.keys.signer.verifier.vkey
    return Policy.parse(f"log {vkey}\nquorum none\n"), workshop.keys.naming.checker


def _files(folder: Path) -> dict[str, bytes]:
    return {str(f.relative_to(folder)): f.read_bytes() for f in folder.rglob("*") if f.is_file()}


async def test_our_own_verifier_accepts_it_too(packed: Packed, workshop: Workshop) -> None:
    file = workshop.root / "pack.zip"
    file.write_bytes(packed.content)
    report = verify_pack(read_zip(file), *trusted(workshop))
    listed = json.loads((packed.folder / "about.json").read_bytes())["histories"]
    assert (report.subject, report.events, report.histories) == (RELEASE, 10, len(listed))


@pytest.mark.parametrize("twin", [name for name in TWINS if name != "key of the log"])
async def test_our_own_verifier_refuses_it_too(
    packed: Packed, workshop: Workshop, twin: str
) -> None:
    changed = workshop.root / "changed"
    shutil.copytree(packed.folder, changed)
    TWINS[twin](changed)
    with pytest.raises(Refused):
        verify_pack(_files(changed), *trusted(workshop))


async def test_a_damaged_zip_is_refused_wherever_it_is_damaged(packed: Packed) -> None:
    """Also where the bytes of a member cannot be unpacked any more."""
    good = read_zip(io.BytesIO(packed.content))
    for at in range(0, len(packed.content), len(packed.content) // 150):
        damaged = bytearray(packed.content)
        damaged[at] ^= 0xFF
        with contextlib.suppress(Refused):
            assert read_zip(io.BytesIO(bytes(damaged))) != {} or not good
    with zipfile.ZipFile(io.BytesIO(packed.content)) as archive:
        member = max(archive.infolist(), key=lambda each: each.compress_size)
    start = member.header_offset + 30 + len(member.filename)
    damaged = bytearray(packed.content)
    damaged[start : start + 8] = b"\xff" * 8
    with pytest.raises(Refused, match="not a pack"):
        read_zip(io.BytesIO(bytes(damaged)))


async def test_a_pack_of_another_log_is_refused(packed: Packed, workshop: Workshop) -> None:
    policy, naming = trusted(workshop)
    origin = workshop.keys.origin
    other = Policy.parse(f"log {Ed25519Signer.generate(origin).verifier.vkey}\nquorum none\n")
    with pytest.raises(Refused, match="no key of"):
        verify_pack(_files(packed.folder), other, naming)
    with pytest.raises(Refused, match="not the one that names"):
        verify_pack(_files(packed.folder), policy, NamingKey.generate().checker)


async def test_a_forged_receipt_is_refused(ledger: Ledger, workshop: Workshop) -> None:
    signer = keys.receipts(workshop.root / "keys")
    assert signer is not None
    [outcome] = await ledger.appender().append_each([submission(RELEASE, "service:pay")])
    receipt = outcome.receipt
    assert receipt is not None
    await seal_all(workshop.sealer())
    [entry] = workshop.entries()

    def written(key: Ed25519Signer) -> bytes:
        return receipt.as_json(Seal(1, lambda text: key.sign(text).line.decode().rstrip("\n")))

    good = written(signer)
    assert verify_receipt(good, [signer.verifier], entry) == 1
    with pytest.raises(Refused, match="wrong"):
        verify_receipt(good.replace(b'"position":1', b'"position":2'), [signer.verifier], entry)
    with pytest.raises(Refused, match="not signed by this ledger"):
        verify_receipt(written(Ed25519Signer.generate("eve")), [signer.verifier], entry)
    other = replace(leaf.decode(entry), commitment=b"c" * 32).encode()
    with pytest.raises(Refused, match="promised another event than the tree"):
        verify_receipt(good, [signer.verifier], other)
