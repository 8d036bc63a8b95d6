"""message-db: event store functions in PostgreSQL, from the npm package @eventide/message-db.

Its installer is a shell script around psql; here the same files are run in the same order, but for
the role, its privileges, the views and the extension pgcrypto: PostgreSQL has gen_random_uuid of
its own by now. `write_message` locks the *category* of the stream through the commit. With one
category that is one total order, as a ledger has; with 14 there are 14.
Promises: a stream's positions are gapless and checked against an expected version; an id is unique
(an error, no first answer). It does not: one event in several streams, gapless global positions.
"""

from __future__ import annotations

import asyncio
import shutil
import subprocess
from contextlib import AsyncExitStack
from pathlib import Path
from zlib import crc32

from bench.cells import Bench, Figures, Measure, MissingPeer
from bench.driving import tidy
from bench.peers.load import Fact, Sender, count_is, in_tasks, senders
from deploy.embedded import default_cache_dir
from services.kit import database
from services.kit.settings import environment

PACKAGE, VERSION = "@eventide/message-db", "1.3.1"
CATEGORIES = 14
_FUNCTIONS = (
    "message-store-version", "hash-64", "acquire-lock", "category", "is-category", "id",
    "cardinal-id", "stream-version", "write-message",
)  # fmt: skip
_FILES = (
    "schema/message-store",
    "tables/messages",
    "types/message",
    *(f"functions/{name}" for name in _FUNCTIONS),
    *(f"indexes/messages-{name}" for name in ("id", "stream", "category")),
)
_PATH = {"search_path": "message_store, public"}
_WRITE = "SELECT write_message($1::varchar, $2::varchar, $3::varchar, $4::jsonb, NULL, $5::bigint)"


def on(categories: int) -> Measure:
    """Return the cell with so many categories; 32 connections, a caller each."""

    async def measure(bench: Bench, seconds: float) -> Figures:
        statements = await asyncio.to_thread(_statements)
        some = senders(bench)
        tidy()
        async with (
            bench.servers.copy(_PATH, template="template0") as url,
            bench.counters(url) as sources,
            AsyncExitStack() as stack,
        ):
            free = {id(one): await database.connection(url, "bench message-db") for one in some}
            for connection in free.values():
                stack.callback(connection.terminate)
            for statement in statements:
                await next(iter(free.values())).execute(statement)

            async def send(sender: Sender, fact: Fact, expecting: bool) -> int:  # noqa: FBT001
                number = crc32(fact.release.encode()) % categories
                stream = f"release{number}-{fact.release.removeprefix('release:')}"
                expected = sender.places[fact.release] if expecting else None
                place = await free[id(sender)].fetchval(
                    _WRITE, str(fact.id), stream, fact.type, fact.body.decode(), expected
                )
                return int(place)

            figures = await in_tasks(send, some, seconds, sources)
            await count_is(url, "messages", sum(one.sent for one in some))
        return figures

    return measure


def _statements() -> list[str]:
    """Return the package's own SQL; it is fetched once and kept in the cache."""
    home = default_cache_dir(environment()) / "peers"
    base = home / "node_modules" / PACKAGE / "database"
    if not base.is_dir():
        _fetch(home)
    return [(base / f"{name}.sql").read_text(encoding="utf-8") for name in _FILES]


def _fetch(home: Path) -> None:
    npm = shutil.which("npm")
    if npm is None:
        raise MissingPeer("npm is not there to fetch message-db")
    home.mkdir(parents=True, exist_ok=True)
    quiet = ["--no-audit", "--no-fund", "--ignore-scripts", "--no-save"]
    command = [npm, "install", *quiet, "--prefix", str(home), f"{PACKAGE}@{VERSION}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - our own words
    if done.returncode:
        raise MissingPeer(f"npm could not fetch {PACKAGE}: {done.stderr.strip()[-300:]}")


CELLS: dict[str, Measure] = {"message_db_32": on(1), "message_db_14_32": on(CATEGORIES)}
