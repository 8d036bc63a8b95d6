"""Seals a ledger: follows its log, extends the Merkle tree, signs, publishes.

Order of one pass, so that a kill at any moment costs nothing and tells no second story:
1. read what is new, make each leaf again and compare (`leaves`), grow the tree in memory;
2. stage the new files on the shelf;
3. swap the state, signed, from exactly the one that this sealer knew (`state`);
4. write the files; 5. let witnesses cosign; 6. publish the checkpoint.
After a crash between 3 and 6 the staged files are written and the kept checkpoint is published:
what was signed once is what the world sees. It never shrinks, rewrites or seeds a state by itself.

Durability: only what is committed is sealed; a ledger that is shorter than its tree, or other than
it, stops the sealer with `Tampered`. Nothing is sealed from then on, and /readyz says why.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import NoReturn

from services.kit import clock, metrics
from services.kit.tlog import checkpoint, merkle
from services.kit.tlog.checkpoint import Checkpoint
from services.kit.tlog.note import Ed25519Signer, Note
from services.kit.tlog.tiles import Edge, Files, TileReader
from services.ledger.sealing import resume, succession
from services.ledger.sealing import shelf as shelves
from services.ledger.sealing.keys import SealerKeys
from services.ledger.sealing.leaves import Row, Tampered, leaf_of, leaves_of
from services.ledger.sealing.resume import SealerRefuses
from services.ledger.sealing.rotation import Rotation, Turning
from services.ledger.sealing.shelf import CHECKPOINT, Faded, Shelf
from services.ledger.sealing.source import Source
from services.ledger.sealing.state import State, StateMoved, StateStore

BATCH = 2048
"""Events sealed by one pass at most; while more are waiting, pass follows pass without a pause."""
REFRESH_SECONDS = 60
"""How old a published checkpoint becomes before witnesses are asked again."""


class Turned(Exception):
    """The sealer's key was replaced by the one in its folder; begin again with it."""


@dataclass(frozen=True)
class Places:
    """What a sealer works with. `cosign` adds witnesses' lines; `announce` tells who waits."""

    source: Source
    states: StateStore
    shelf: Shelf
    keys: SealerKeys
    cosign: Callable[[Note, Checkpoint], Awaitable[Note]]
    announce: Callable[[Note, int], Awaitable[None]]
    rotation: Rotation = field(default_factory=Rotation)


async def unwitnessed(note: Note, _head: Checkpoint) -> Note:
    """Return the note as it is: there are no witnesses."""
    return note


def begin(states: StateStore, shelf: Shelf, keys: SealerKeys) -> None:
    """Begin a log: a state and a checkpoint of the empty tree. A person decides on it.

    Raises `SealerRefuses` where a log was published, `StateMoved` where there is a state.
    """
    if shelf.read(CHECKPOINT) is not None:
        raise SealerRefuses("a log was published here: its state is lost, not new")
    note = checkpoint.sign(Checkpoint(keys.origin, 0, Edge().root), keys.signer)
    states.create(keys.origin, State(0, Edge().root, note.content))
    shelf.replace(CHECKPOINT, note.content)


class Sealer:
    """The sealer of one ledger."""

    def __init__(self, ledger: str, places: Places, pause: float) -> None:
        """`pause`: seconds from one pass to the next when nothing is waiting."""
        self._ledger = ledger
        self._at = places
        self._pause = pause
        self._now: _Known | None = None
        self._told = clock.monotonic()
        self._faded = Faded(places.shelf)
        self.trouble: str | None = None
        """Why nothing is sealed, in words; None while all is well."""

    async def run(self) -> None:
        """Seal for ever. Raises what stopped it; whoever calls again begins from the state.

        `Turned` is no trouble: a new sealer goes on with the new key.
        """
        self._now = None
        try:
            while True:
                begun = clock.monotonic()
                sealed = await self.step()
                self.trouble = None
                if sealed < BATCH:
                    await asyncio.sleep(max(0.0, self._pause - (clock.monotonic() - begun)))
        except Exception as error:
            self.trouble = None if isinstance(error, Turned) else str(error) or type(error).__name__
            raise
        finally:
            await self._at.source.aclose()

    async def check(self) -> str | None:
        """Return what keeps the sealer from sealing, for /readyz."""
        return self.trouble

    async def step(self) -> int:
        """Seal once, up to `BATCH` events; return how many."""
        if self._now is None:
            self._now = await self._resume()
        rows, entries = await self._fresh(self._now)
        if entries:
            await self._seal(self._now, entries, self._turning(rows))
        elif clock.monotonic() - self._told > REFRESH_SECONDS:
            # Witnesses say when: else a view that is held back looks like a quiet log.
            await self._publish(Note.parse(self._now.state.checkpoint), self._now.state)
        return len(entries)

    async def _fresh(self, now: _Known) -> tuple[list[Row], list[bytes]]:
        """Return rows and leaves behind the sealed ones, of which the last is looked at again."""
        size = now.state.size
        rows = await self._at.source.rows(max(size - 1, 0), BATCH + min(size, 1))
        names = await self._at.source.names(rows)
        if size:
            if not rows or rows[0].position != size:
                raise Tampered(size, "it was sealed and the log does not have it any more")
            if merkle.leaf_hash(leaf_of(rows[0], names)) != now.last:
                raise Tampered(size, "it was sealed and the log has another event there")
        fresh = rows[min(size, 1) :]
        return fresh, await asyncio.to_thread(leaves_of, fresh, names, size)

    def _turning(self, rows: Sequence[Row]) -> Turning | None:
        try:
            return self._at.rotation.turning(rows, self._signer.verifier.vkey)
        except LookupError as error:
            raise SealerRefuses(str(error)) from None

    async def _seal(self, now: _Known, entries: list[bytes], turning: Turning | None) -> None:
        started = clock.monotonic()
        edge, files = await asyncio.to_thread(now.edge.grow, entries)
        head = Checkpoint(self._at.keys.origin, edge.size, edge.root)
        note = checkpoint.sign(head, self._signer, *([turning.coming] if turning else []))
        state = State(edge.size, edge.root, note.content)
        self._now = None  # until it is kept, nobody knows which state is the newest
        await asyncio.to_thread(self._keep, now.state, state, files)
        if turning:
            await self._resume()  # as after a crash here; it ends with `Turned`
        self._now = _Known(state, edge, merkle.leaf_hash(entries[-1]))
        await self._publish(note, state)
        await asyncio.to_thread(self._faded.clear, now.edge.size, edge.size)
        metrics.observe("rlg_seal_seconds", clock.monotonic() - started, ledger=self._ledger)

    def _keep(self, old: State, new: State, files: Files) -> None:
        staged = resume.staged(new)
        shelves.stage(self._at.shelf, staged, files)
        try:
            self._at.states.swap(self._at.keys.origin, old, new)
        except StateMoved:
            if self._at.states.load(self._at.keys.origin) != new:  # else the winner needs it
                self._at.shelf.drop(staged)
            raise
        for path, content in files.items():
            self._at.shelf.write(path, content)
        self._at.shelf.drop(staged)

    async def _publish(self, note: Note, state: State) -> None:
        head = Checkpoint(self._at.keys.origin, state.size, state.root)
        cosigned = await self._at.cosign(note, head)
        await asyncio.to_thread(self._at.shelf.replace, CHECKPOINT, cosigned.content)
        self._told = clock.monotonic()
        metrics.gauge("rlg_sealed_size", state.size, ledger=self._ledger)
        await self._at.announce(cosigned, state.size)

    async def _resume(self) -> _Known:
        """Go on from the state; write and publish what a crash has left undone."""
        origin = self._at.keys.origin
        state = await asyncio.to_thread(self._at.states.load, origin)
        if state is None:
            raise SealerRefuses(f"there is no state of {origin}: `python -m services seal begin`")
        history = [row for row in await self._at.source.log_history() if row.position <= state.size]
        turning = self._turning(history)
        public, known = await asyncio.to_thread(self._pick_up, state, turning)
        if public < state.size:
            await self._publish(Note.parse(state.checkpoint), state)
        if turning:
            await self._hand_over(turning, state)
        return known

    def _pick_up(self, state: State, turning: Turning | None) -> tuple[int, _Known]:
        """Return the size of what is published, and the tree; its files are written then."""
        shelf, rotation = self._at.shelf, self._at.rotation
        present = [self._signer.verifier, *([turning.coming.verifier] if turning else [])]
        public = resume.pick_up(shelf, state, present, rotation.retired)
        read = TileReader(state.size, state.root, shelf.read)
        last = read.read(0, state.size - 1) if state.size else b""
        return public, _Known(state, read.edge(), last)

    async def _hand_over(self, turning: Turning, state: State) -> NoReturn:
        """Leave the rest to the key that comes, when it is shown to be the successor."""
        own = self._signer.verifier
        if Note.parse(state.checkpoint).signed_by([own]):
            rows = await self._at.source.at([turning.position])
            entry = leaf_of(rows[0], await self._at.source.names(rows))
            shown = await asyncio.to_thread(succession.made, rows[0], entry, state, self._at.shelf)
            await asyncio.to_thread(self._at.shelf.write, succession.path(own.vkey), shown)
        await asyncio.to_thread(self._at.rotation.turn, turning)
        raise Turned

    @property
    def _signer(self) -> Ed25519Signer:
        return self._at.keys.signer


@dataclass(frozen=True, slots=True)
class _Known:
    """The tree as it was sealed last. `last`: hash of its last leaf."""

    state: State
    edge: Edge
    last: bytes
