"""What a sealer that was cut short has left, and what is made good before anybody goes on."""

from __future__ import annotations

from services.kit.tlog.keys import NotANote
from services.kit.tlog.note import Ed25519Verifier, Unsigned
from services.ledger.sealing import shelf as shelves
from services.ledger.sealing.rotation import Former, open_log
from services.ledger.sealing.shelf import CHECKPOINT, Shelf
from services.ledger.sealing.state import State


class SealerRefuses(Exception):
    """State, shelf and log contradict each other; a person has to find out why."""


def staged(state: State) -> str:
    """Where the files of a state are staged: each of two sealers at once has a place of its own."""
    return f"staged-{state.size}.{state.root.hex()}.tar"


def pick_up(
    shelf: Shelf, state: State, present: list[Ed25519Verifier], retired: list[Former]
) -> int:
    """Write the files of the newest state; return the size of what is published, -1 for nothing.

    Raises `SealerRefuses` where more, or something else, is published than the state knows.
    """
    public = _public(shelf.read(CHECKPOINT), state, present, retired)
    if public < state.size:
        shelves.unstage(shelf, staged(state))
    return public


def _public(
    content: bytes | None, state: State, present: list[Ed25519Verifier], retired: list[Former]
) -> int:
    if content is None:
        return -1
    try:
        head, _ = open_log(content, present, retired)
    except (NotANote, Unsigned) as error:
        raise SealerRefuses(f"the published checkpoint is not ours: {error}") from None
    if head.size > state.size or (head.size == state.size and head.root != state.root):
        raise SealerRefuses(
            f"a tree of {head.size} is published and the state knows one of {state.size}: "
            "the state was set back or replaced"
        )
    return head.size
