"""What a witness agrees to, with the statuses of C2SP tlog-witness."""

from __future__ import annotations

import pytest

from services.kit.tlog import checkpoint, merkle, witness
from services.kit.tlog.checkpoint import Checkpoint
from services.kit.tlog.keys import NotANote
from services.kit.tlog.note import Ed25519Signer
from services.kit.tlog.tiles import Edge, TileReader
from services.kit.tlog.witness import NOTHING, Refused, Request, Seen

LOG = Ed25519Signer.generate("example.com/log")
LOGS = [LOG.verifier]


def entries(size: int, first: bytes = b"first") -> list[bytes]:
    return [first, *(b"%d" % n for n in range(1, size))][:size]


def head(size: int, first: bytes = b"first") -> Checkpoint:
    return Checkpoint("example.com/log", size, Edge().grow(entries(size, first))[0].root)


def request(old: int, new: int, first: bytes = b"first") -> Request:
    edge, files = Edge().grow(entries(new, first))
    read = TileReader(new, edge.root, files.get).read
    proof = tuple(merkle.consistency_proof(old, new, read))
    return Request(old, proof, checkpoint.sign(head(new, first), LOG).content)


def seen(size: int) -> Seen:
    return Seen(size, head(size).root)


def test_the_first_and_each_next_checkpoint_are_cosigned() -> None:
    assert witness.judge(request(0, 5), NOTHING, LOGS) == head(5)
    assert witness.judge(request(5, 9), seen(5), LOGS) == head(9)
    assert witness.judge(request(9, 9), seen(9), LOGS) == head(9)


def test_a_request_is_written_and_read_back() -> None:
    asked = request(5, 9)
    assert Request.parse(asked.encode()) == asked
    assert witness.origin_of(asked) == "example.com/log"


@pytest.mark.parametrize(
    ("asked", "known", "status", "size"),
    [
        (request(0, 5), seen(3), 409, 3),
        (request(3, 5), NOTHING, 409, 0),
        (request(5, 5, b"rewritten"), seen(5), 409, 5),
        (request(5, 9, b"rewritten"), seen(5), 422, None),
        (Request(5, (), request(5, 9).checkpoint), seen(5), 422, None),
        (Request(9, (), request(0, 5).checkpoint), seen(9), 400, None),
        (Request(5, (), b"nonsense"), seen(5), 400, None),
    ],
)
def test_what_does_not_continue_is_refused(
    asked: Request, known: Seen, status: int, size: int | None
) -> None:
    with pytest.raises(Refused) as refused:
        witness.judge(asked, known, LOGS)
    assert (refused.value.status, refused.value.size) == (status, size)


def test_an_unknown_log_and_a_strange_signature_are_refused() -> None:
    with pytest.raises(Refused) as refused:
        witness.judge(request(0, 5), NOTHING, [])
    assert refused.value.status == 404
    stranger = Ed25519Signer.generate("example.com/log")
    with pytest.raises(Refused) as refused:
        witness.judge(request(0, 5), NOTHING, [stranger.verifier])
    assert refused.value.status == 403


@pytest.mark.parametrize(
    "body",
    [
        b"", b"old 1", b"old 01\n\nx", b"new 1\n\nx", b"old 1\nAAAA\n\nx", b"old \xff\n\nx",
        b"old 1\n" + b"A" * 43 + b"=\n" * 1 + (b"A" * 43 + b"=\n") * 63 + b"\nx",
    ],
)  # fmt: skip
def test_what_is_no_request_is_refused(body: bytes) -> None:
    with pytest.raises(NotANote):
        Request.parse(body)
