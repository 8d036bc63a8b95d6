"""Notes, cosignatures, proofs and policies: good ones are read, hostile ones refused."""

from __future__ import annotations

import base64

import pytest
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey

from services.kit.tlog import checkpoint, cosignature, merkle
from services.kit.tlog.checkpoint import Checkpoint
from services.kit.tlog.cosignature import Cosigner
from services.kit.tlog.keys import NotANote, key_id, write_key
from services.kit.tlog.merkle import ProofError, leaf_hash
from services.kit.tlog.note import Ed25519Signer, Ed25519Verifier, Note, Signature, Unsigned
from services.kit.tlog.policy import NotAPolicy, Policy
from services.kit.tlog.proof import Proof
from services.kit.tlog.tiles import Edge, TileReader

# The example of C2SP tlog-cosignature.
BEHIND = """example.com/behind-the-sofa
20852163
CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=

— example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=
— witness.example.com/w1 jWbPPwAAAABkGFDLEZMHwSRaJNiIDoe9DYn/zXcrtPHeolMI5OWXEhZCB9dlrDJsX3b2oyin1nPZqhf5nNo0xUe+mbIUBkBIfZ+qnA==
""".encode()  # noqa: E501 - as published

LOG = Ed25519Signer.generate("example.com/log")
W1, W2, W3 = (Cosigner.generate(f"witness.example/{n}") for n in (1, 2, 3))
NOW = 1_790_000_000


def cosigned(head: Checkpoint, *witnesses: Cosigner) -> bytes:
    note = checkpoint.sign(head, LOG)
    lines = tuple(witness.cosign(head.text, NOW) for witness in witnesses)
    return Note(note.text, note.signatures + lines).content


HEAD = Checkpoint("example.com/log", 7, b"\x07" * 32)


def test_the_published_example_is_read() -> None:
    note = Note.parse(BEHIND)
    assert note.content == BEHIND
    head = Checkpoint.parse(note.text)
    assert (head.origin, head.size) == ("example.com/behind-the-sofa", 20852163)
    assert cosignature.time_of(note.signatures[1].value) == 1679315147


def test_a_signed_checkpoint_is_opened_and_strange_signatures_are_passed_over() -> None:
    head, note = checkpoint.open_note(cosigned(HEAD, W1), [LOG.verifier])
    assert head == HEAD
    assert note.signed_by([W1.witness, W2.witness]) == [W1.witness]


@pytest.mark.parametrize(
    "bend",
    [
        lambda c: c.replace(b"\n7\n", b"\n8\n"),
        lambda c: c.replace(b"example.com/log\n", b"example.com/lag\n"),
        lambda c: c.replace(LOG.verifier.key_id[:0] + b"Bwc", b"Cwc"),
    ],
)
def test_a_changed_text_is_refused(bend: object) -> None:
    content = cosigned(HEAD)
    bent = bend(content)  # type: ignore[operator]
    assert bent != content
    with pytest.raises((Unsigned, NotANote)):
        checkpoint.open_note(bent, [LOG.verifier])


def test_a_key_signs_for_its_own_log_only() -> None:
    other = Ed25519Signer.generate("example.com/other")
    note = checkpoint.sign(HEAD, other)
    with pytest.raises(Unsigned, match=r"no key of example\.com/log"):
        checkpoint.open_note(note.content, [other.verifier, LOG.verifier])


def test_a_wrong_signature_beside_a_right_one_is_refused() -> None:
    note = checkpoint.sign(HEAD, LOG)
    forged = Signature(LOG.name, LOG.verifier.key_id, b"\x00" * 64)
    with pytest.raises(Unsigned, match="wrong"):
        checkpoint.open_note(Note(note.text, (*note.signatures, forged)).content, [LOG.verifier])


@pytest.mark.parametrize(
    "content",
    [
        b"", b"text", b"text\n\n", b"text\n\n\xe2\x80\x94 a aGVsbG8h", b"text\n\n- a aGVsbG8h\n",
        b"text\n\n\xe2\x80\x94 a aGVsbG8h\n\n", b"te\rxt\n\n\xe2\x80\x94 a aGVsbG8h\n",
        b"\xff\n\n\xe2\x80\x94 a aGVsbG8h\n", b"text\n\n\xe2\x80\x94 a aGVs\n",
        b"text\n\n\xe2\x80\x94 a+b aGVsbG8h\n", b"text\n\n\xe2\x80\x94 a aGVsbG8=x\n",
        b"text\n\n" + b"\xe2\x80\x94 a aGVsbG8h\n" * 101,
    ],
)  # fmt: skip
def test_what_is_no_note_is_refused(content: bytes) -> None:
    with pytest.raises(NotANote):
        Note.parse(content)


@pytest.mark.parametrize(
    "text",
    [
        b"o\n1\n", b"\n1\nAAAA\n", b"o\n01\n" + base64.b64encode(b"r" * 32) + b"\n",
        b"o\n-1\n" + base64.b64encode(b"r" * 32) + b"\n",
        b"o\n9223372036854775808\n" + base64.b64encode(b"r" * 32) + b"\n",
        b"o\n1\n" + base64.b64encode(b"r" * 31) + b"\n", b"o\n1\nnot base64\n",
        "o\n١\n".encode() + base64.b64encode(b"r" * 32) + b"\n",
    ],
)  # fmt: skip
def test_what_is_no_checkpoint_is_refused(text: bytes) -> None:
    with pytest.raises(NotANote):
        Checkpoint.parse(text)


def test_keys_are_written_and_read_back() -> None:
    assert Ed25519Verifier.parse(LOG.verifier.vkey) == LOG.verifier
    assert Ed25519Signer.parse(LOG.skey).verifier == LOG.verifier
    assert cosignature.parse_witness(W1.witness.vkey) == W1.witness
    assert Cosigner.parse(W1.skey).witness == W1.witness
    for bad in ("", "a+b", LOG.verifier.vkey[:-2], LOG.verifier.vkey.replace("+", "+0", 1)):
        with pytest.raises(NotANote):
            Ed25519Verifier.parse(bad)
    with pytest.raises(NotANote):  # a log's key is no witness's
        cosignature.parse_witness(LOG.verifier.vkey)
    with pytest.raises(NotANote):
        Cosigner.parse(LOG.skey)


def test_a_cosignature_says_when_and_is_bound_to_it() -> None:
    signed = W1.cosign(HEAD.text, NOW)
    assert cosignature.time_of(signed.value) == NOW
    assert W1.witness.verifies(HEAD.text, signed.value)
    later = (NOW + 1).to_bytes(8, "big") + signed.value[8:]
    assert not W1.witness.verifies(HEAD.text, later)
    assert not W1.witness.verifies(HEAD.text, b"")


def test_ml_dsa_cosignatures_count_where_they_are_allowed() -> None:
    private, name = MLDSA44PrivateKey.generate(), "witness.example/pq"
    public = private.public_key().public_bytes_raw()
    vkey = write_key(name, cosignature.ML_DSA_44, public)
    with pytest.raises(NotANote, match="not allowed"):
        cosignature.parse_witness(vkey)
    witness = cosignature.parse_witness(vkey, ml_dsa=True)
    value = private.sign(cosignature.subtree_message(name, NOW, HEAD))
    line = Signature(
        name, key_id(name, cosignature.ML_DSA_44, public), NOW.to_bytes(8, "big") + value
    )
    text = f"log {LOG.verifier.vkey}\nwitness pq {vkey}\nquorum pq\n"
    note = checkpoint.sign(HEAD, LOG)
    content = Note(note.text, (*note.signatures, line)).content
    assert Policy.parse(text, ml_dsa=True).check(content) == HEAD
    assert not witness.verifies(HEAD.text.replace(b"7", b"8"), line.value)
    with pytest.raises(NotAPolicy, match="line 2"):
        Policy.parse(text)


POLICY = f"""# two of three inside, and the one outside
log {LOG.verifier.vkey} https://log.example/
witness one {W1.witness.vkey}
\twitness two {W2.witness.vkey} https://w2.example/
group inside any one two

witness out {W3.witness.vkey}
group both all inside out
quorum both
"""


@pytest.mark.parametrize(
    ("witnesses", "enough"), [([W1, W3], True), ([W1, W2], False), ([W3], False), ([], False)]
)
def test_a_quorum_is_met_or_not(witnesses: list[Cosigner], enough: bool) -> None:  # noqa: FBT001
    policy = Policy.parse(POLICY)
    content = cosigned(HEAD, *witnesses)
    if enough:
        assert policy.check(content) == HEAD
        return
    with pytest.raises(Unsigned, match="quorum both"):
        policy.check(content)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no quorum"),
        ("quorum a", "line 1: no witness"),
        ("quorum none\nquorum none", "line 2: there is a quorum"),
        (f"witness none {W1.witness.vkey}", "line 1: the name none"),
        (f"witness a {W1.witness.vkey}\nwitness b {W1.witness.vkey}", "line 2: this witness key"),
        (f"log {LOG.verifier.vkey}\nlog {LOG.verifier.vkey}", "line 2: this log key"),
        (f"witness a {W1.witness.vkey}\ngroup g 2 a", "line 2: '2' is none"),
        (f"witness a {W1.witness.vkey}\ngroup g any a\ngroup h any a", "line 3: a is a member"),
        ("group g any", "line 1: group takes"),
        ("log", "line 1: log takes"),
        ("wittness a b", "line 1: 'wittness'"),
        ("quorum none\r", "line 1: it holds a control"),
    ],
    ids=range(12),  # keys are made anew, and names of tests must not change
)
def test_a_wrong_policy_is_refused_with_its_line(text: str, said: str) -> None:
    with pytest.raises(NotAPolicy, match=said):
        Policy.parse(text)


def _proof(size: int, index: int, *witnesses: Cosigner) -> tuple[bytes, Proof]:
    entries = [b"e%d" % n for n in range(size)]
    edge, files = Edge().grow(entries)
    hashes = merkle.inclusion_proof(index, size, TileReader(size, edge.root, files.get).read)
    content = cosigned(Checkpoint("example.com/log", size, edge.root), *witnesses)
    return entries[index], Proof(index, tuple(hashes), content, b"salt")


def test_a_proof_stands_alone() -> None:
    entry, proof = _proof(300, 77, W1, W3)
    again = Proof.parse(proof.encode())
    assert again == proof
    assert again.verify(entry, Policy.parse(POLICY)).size == 300
    with pytest.raises(ProofError):
        again.verify(entry + b"!", Policy.parse(POLICY))
    with pytest.raises(Unsigned):
        _proof(300, 77, W1)[1].verify(entry, Policy.parse(POLICY))
    assert leaf_hash(entry) not in proof.hashes


@pytest.mark.parametrize(
    "content",
    [
        b"", b"c2sp.org/tlog-proof@v2\nindex 0\n\n", b"c2sp.org/tlog-proof@v1\n\n",
        b"c2sp.org/tlog-proof@v1\nindex 01\n\n", b"c2sp.org/tlog-proof@v1\nindex 0\nAAAA\n\n",
        b"c2sp.org/tlog-proof@v1\nextra !\nindex 0\n\n", b"c2sp.org/tlog-proof@v1\nindex 0",
        b"c2sp.org/tlog-proof@v1\nindex \xff\n\n",
    ],
)  # fmt: skip
def test_what_is_no_proof_is_refused(content: bytes) -> None:
    with pytest.raises(NotANote):
        Proof.parse(content)
