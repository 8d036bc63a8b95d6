"""A sealer on a test's ledger, with places of its own that can break at a chosen moment."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from services.kit.tlog import merkle
from services.kit.tlog.checkpoint import Checkpoint, open_note
from services.kit.tlog.merkle import verify_consistency
from services.kit.tlog.note import Ed25519Signer, Note
from services.kit.tlog.tiles import TileReader
from services.ledger.sealing import sealer
from services.ledger.sealing.keys import SealerKeys
from services.ledger.sealing.naming import NamingKey
from services.ledger.sealing.sealer import Places, Sealer, unwitnessed
from services.ledger.sealing.shelf import CHECKPOINT, Folder
from services.ledger.sealing.source import Source
from services.ledger.sealing.state import SqliteStates, State
from tests.integration.ledger.conftest import Ledger, submission

ORIGIN = "ledger.example/main"


class Killed(BaseException):
    """The process ends here."""


@dataclass
class Fuse:
    """Lets so many writes pass and ends the process at the next one, before or after it."""

    left: int = 10**9
    after: bool = False
    burnt: bool = False

    def around(self, work: Callable[[], None]) -> None:
        if self.burnt:
            raise Killed
        self.left -= 1
        self.burnt = self.left < 0
        if not self.burnt or self.after:
            work()
        if self.burnt:
            raise Killed


class BreakingFolder(Folder):
    def __init__(self, root: Path, fuse: Fuse) -> None:
        super().__init__(root)
        self.fuse = fuse

    def replace(self, path: str, content: bytes) -> None:
        self.fuse.around(lambda: super(BreakingFolder, self).replace(path, content))


class BreakingStates(SqliteStates):
    def __init__(self, file: Path, fuse: Fuse) -> None:
        super().__init__(file)
        self.fuse = fuse

    def swap(self, origin: str, old: State, new: State) -> None:
        self.fuse.around(lambda: super(BreakingStates, self).swap(origin, old, new))


@dataclass
class Workshop:
    """Keys and places of one log; `sealer` starts one more process."""

    url: str
    root: Path
    keys: SealerKeys = field(
        default_factory=lambda: SealerKeys(Ed25519Signer.generate(ORIGIN), NamingKey.generate())
    )
    seen: list[Checkpoint] = field(default_factory=list)
    """Every checkpoint that anybody could have read."""

    def __post_init__(self) -> None:
        self.shelf = Folder(self.root / "log")
        self.states = SqliteStates(self.root / "seal.db")
        self._sources: list[Source] = []

    async def close(self) -> None:
        for source in self._sources:
            await source.aclose()

    def begin(self) -> None:
        sealer.begin(self.states, self.shelf, self.keys)

    def sealer(self, fuse: Fuse | None = None) -> Sealer:
        fuse = fuse or Fuse()
        self._sources.append(Source(self.url, "main", self.keys.naming))
        places = Places(
            source=self._sources[-1],
            states=BreakingStates(self.root / "seal.db", fuse),
            shelf=BreakingFolder(self.root / "log", fuse),
            keys=self.keys,
            cosign=unwitnessed,
            announce=self._announced,
        )
        return Sealer("main", places, 0.01)

    async def _announced(self, note: Note, size: int) -> None:
        assert self.published().size == size
        self.seen.append(Checkpoint.parse(note.text))

    def published(self) -> Checkpoint:
        content = self.shelf.read(CHECKPOINT)
        assert content is not None
        return open_note(content, [self.keys.signer.verifier])[0]

    def entries(self) -> list[bytes]:
        """Every leaf under the published checkpoint, each checked against it."""
        head = self.published()
        read = TileReader(head.size, head.root, self.shelf.read)
        bundles = range(-(-head.size // 256))
        return [entry for index in bundles for entry in read.entries(index)]

    def tell_one_story(self) -> None:
        """Whatever was ever published is continued by what is published now."""
        head = self.published()
        read = TileReader(head.size, head.root, self.shelf.read).read
        for old in self.seen:
            proof = merkle.consistency_proof(old.size, head.size, read)
            verify_consistency(old.size, head.size, old.root, head.root, proof)


async def seal_all(sealer_: Sealer) -> int:
    """Seal until nothing is waiting; return how many events that were."""
    total = 0
    while sealed := await sealer_.step():
        total += sealed
    return total


async def sealed(ledger: Ledger, workshop: Workshop, count: int = 600) -> None:
    appender = ledger.appender()
    for start in range(0, count, 500):
        items = [
            submission(f"release:{n % 7}", "service:pay")
            for n in range(start, min(start + 500, count))
        ]
        await appender.append_all(items)
    await seal_all(workshop.sealer())


async def behind_the_back(ledger: Ledger, statements: str) -> None:
    await ledger.sql.execute(f"SET session_replication_role = replica; {statements}")
    await ledger.sql.execute("RESET session_replication_role")


async def command(
    workshop: Workshop, ledger: Ledger, *more: str, shelf: str | None = None
) -> tuple[int, str]:
    """Run `verify` as its user does; return its exit code and what it said."""
    told = {
        "LEDGER_KEYS": str(workshop.root / "keys"),
        "LEDGER_SHELF": shelf or str(workshop.root / "log-of"),
    }
    return await services(ledger.url, told, "verify", *more)


async def services(url: str, settings: dict[str, str], *words: str) -> tuple[int, str]:
    """Run `python -m services …` as its user does; return its exit code and what it said."""
    environ = {
        **{name: each for name, each in os.environ.items() if not name.startswith("RLG_TEST_")},
        "DATABASE_URL": url,
        **settings,
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "services", *words,
        env=environ, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    out, _ = await asyncio.wait_for(process.communicate(), 60)
    return process.returncode or 0, out.decode()
