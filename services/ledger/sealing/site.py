"""Where one ledger and its proof lie, for the commands of its operator."""

from __future__ import annotations

import asyncio
import hashlib
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path

from contracts.problem import IdConflict
from services.kit.settings import SettingsError
from services.kit.tlog.note import Note
from services.ledger import own
from services.ledger.sealing import keys, resume, rotation
from services.ledger.sealing.shelf import CHECKPOINT, Shelf
from services.ledger.sealing.source import Source
from services.ledger.sealing.state import State, StateStore


@dataclass(frozen=True, slots=True)
class Site:
    """Where the ledger lies."""

    ledger: str
    url: str
    keys: Path
    shelf: Shelf
    states: StateStore


@dataclass(frozen=True, slots=True)
class Rotated:
    """A key that is recorded to be replaced, from a position on, by another: its public half."""

    position: int
    introduced: str


def prepare(site: Site, which: str) -> tuple[str, str]:
    """Make a key's successor, if it is not there yet; return the public halves of both.

    Raises `SettingsError`.
    """
    _no_gap(site)
    return rotation.prepare(site.keys, which)


async def rotate(site: Site, which: str, reason: str) -> Rotated:
    """Record that a key is replaced, and by which. Again, before it is, records nothing more.

    The sealer goes on with its new key by itself, the others when their process starts again.
    Raises `SettingsError`.
    """
    _no_gap(site)
    await _whole(site)
    old, new = rotation.prepare(site.keys, which)
    event = {
        "type": rotation.TYPE, "id": f"{which}-{hashlib.sha256(new.encode()).hexdigest()[:16]}",
        "data": {
            "ledger": site.ledger, "key": which, "retired": old, "introduced": new,
            "reason": reason, "operator": own.person(),
        },
    }  # fmt: skip
    async with own.operating(site.url, site.ledger) as appender:
        try:
            position = await own.record(appender, "keys", event, own.operator())
        except IdConflict as recorded:  # said before, with another reason
            position = int(recorded.members["position"])
    if which != "sealer":
        rotation.turn(site.keys, which, position)
    return Rotated(position, new.strip())


def settled(site: Site) -> State:
    """Do what a sealer that was cut short has left to do; return the newest state.

    No sealer may be running. Raises `SettingsError` without a state, `SealerRefuses`.
    """
    present = keys.sealer(site.keys).signer.verifier
    state = site.states.load(present.name)
    if state is None:
        raise SettingsError(f"nothing is known of the log {present.name}: its state is lost too")
    file = keys.coming(site.keys, keys.SEALER)
    coming = [keys.signer(file).verifier] if file.exists() else []
    both = bool(Note.parse(state.checkpoint).signed_by(coming))
    known = [present, *(coming if both else [])]
    if resume.pick_up(site.shelf, state, known, rotation.former(site.keys)) < state.size:
        site.shelf.replace(CHECKPOINT, state.checkpoint)
    if both:  # the event may be lost: what the old key signed before this tree holds
        rotation.turn(site.keys, "sealer", state.size)
    return state


def _no_gap(site: Site) -> None:
    if (site.keys / keys.GAP).exists():
        raise SettingsError("a gap is being declared: give `seal gap` again, it ends that first")


async def _whole(site: Site) -> None:
    """Raise `SettingsError` for a log that is shorter than its tree: nothing is appended to it."""
    own_keys = keys.sealer(site.keys)
    state = await asyncio.to_thread(site.states.load, own_keys.origin)
    async with aclosing(Source(site.url, site.ledger, own_keys.naming)) as source:
        head = await source.head()
    if state is not None and state.size > head:
        raise too_short(site.ledger, head, state.size)


def too_short(ledger: str, head: int, sealed: int) -> SettingsError:
    """Return what is said of a log that has fewer events than were sealed."""
    return SettingsError(
        f"the ledger {ledger} has {head} events and {sealed} are sealed: it is an old copy; see "
        "docs/operations.md, A ledger that is shorter than its tree"
    )
