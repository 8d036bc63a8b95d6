"""A filled ledger to seal, and keys and places to seal it with; they go with the benchmark."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import asyncpg

from bench import workload
from bench.ours import prepare
from bench.preload import preload
from bench.servers import Databases
from services.kit.tlog.checkpoint import Checkpoint, open_note
from services.kit.tlog.note import Note
from services.ledger.sealing import keys, sealer
from services.ledger.sealing.sealer import Places, Sealer, unwitnessed
from services.ledger.sealing.shelf import CHECKPOINT, Folder
from services.ledger.sealing.source import Source
from services.ledger.sealing.state import SqliteStates
from services.ledger.settings import LedgerSettings

CALLERS = 128
_FORGET = "SET session_replication_role = replica; TRUNCATE ledger.subject_name"


@dataclass
class Log:
    """One log of a ledger: `step` seals a batch and returns how many events that were."""

    folder: Path
    keys: keys.SealerKeys
    source: Source

    def __post_init__(self) -> None:
        self.shelf = Folder(self.folder / "log")
        self.states = SqliteStates(self.folder / "state.db")
        sealer.begin(self.states, self.shelf, self.keys)
        self._at = Places(self.source, self.states, self.shelf, self.keys, unwitnessed, _nobody)
        self._sealer = Sealer("main", self._at, 0)

    async def run(self) -> None:
        """Seal for ever, as the product does."""
        await Sealer("main", self._at, LedgerSettings.model_fields["seal_seconds"].default).run()

    async def step(self) -> int:
        """Seal what is there, up to a batch."""
        return await self._sealer.step()

    def head(self) -> Checkpoint:
        """Return what is published."""
        content = self.shelf.read(CHECKPOINT) or b""
        return open_note(content, [self.keys.signer.verifier])[0]


async def _nobody(_note: Note, _size: int) -> None:
    """Nobody waits for a checkpoint here."""


@contextmanager
def made_keys() -> Iterator[Path]:
    """Make a ledger's keys in a folder that goes away."""
    with tempfile.TemporaryDirectory(prefix="bench-keys-") as name:
        folder = Path(name) / "main"
        keys.make(folder, "bench.example/main")
        yield folder


@asynccontextmanager
async def log_of(url: str, folder: Path, *, anew: bool = False) -> AsyncIterator[Log]:
    """Begin a log. `anew`: no subject has a uid, as if nothing had ever been sealed."""
    if anew:
        owner = await asyncpg.connect(url)
        await owner.execute(_FORGET)
        await owner.close()
    own = keys.sealer(folder)
    source = Source(url, "main", own.naming)
    with tempfile.TemporaryDirectory(prefix="bench-log-") as name:
        try:
            yield Log(Path(name), own, source)
        finally:
            await source.aclose()


@asynccontextmanager
async def filled(servers: Databases, events: int) -> AsyncIterator[tuple[str, int]]:
    """Yield the URL of a ledger with so many events, about 1.2 kB and four subjects each."""
    known = await prepare(servers.template, workload.templates(CALLERS))
    async with servers.copy() as url:
        head = known.head
        if events > head:
            head = await preload(url, known.ledger_id, known.head, events)
        yield url, head
