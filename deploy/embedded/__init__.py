"""A real PostgreSQL and a real Apache Kafka from Python packages alone.

For `make run`, tests and benchmarks; nothing here is for production. Both servers can be started
side by side with asyncio.gather. A server never outlives the run that started it, also if that run
is killed; its data does. Whatever keeps a server from running is raised as `EmbeddedUnavailable`,
with one sentence for a person.
"""

import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from os import getuid
from pathlib import Path

from deploy.embedded.errors import EmbeddedUnavailable
from deploy.embedded.jars import Progress
from deploy.embedded.kafka import EmbeddedKafka, available
from deploy.embedded.postgres import EmbeddedPostgres
from deploy.embedded.standby import EmbeddedStandby, wait_for_standbys

__all__ = [
    "EmbeddedKafka",
    "EmbeddedPostgres",
    "EmbeddedStandby",
    "EmbeddedUnavailable",
    "Progress",
    "default_cache_dir",
    "embedded_kafka",
    "embedded_postgres",
    "kafka_unavailable",
    "wait_for_standbys",
]

kafka_unavailable = available


def default_cache_dir(environ: Mapping[str, str]) -> Path:
    """Return where Kafka's jars are kept for all checkouts of a person.

    Works with an empty environment, too.
    """
    for name, below in (("XDG_CACHE_HOME", ""), ("HOME", ".cache")):
        base = Path(environ.get(name, ""))
        if base.is_absolute():
            return base / below / "release-ledger"
    return Path(tempfile.gettempdir()) / f"release-ledger-{getuid()}"


@asynccontextmanager
async def embedded_postgres(
    data_dir: Path, settings: Mapping[str, str] | None = None
) -> AsyncIterator[EmbeddedPostgres]:
    """Run a PostgreSQL on `data_dir` for the time of the block; `settings` go over the defaults."""
    server = EmbeddedPostgres(data_dir, settings)
    await server.start()
    try:
        yield server
    finally:
        await server.stop()


@asynccontextmanager
async def embedded_kafka(
    data_dir: Path,
    cache_dir: Path | None = None,
    progress: Progress | None = None,
    port: int | None = None,
    repository: str | None = None,
) -> AsyncIterator[EmbeddedKafka]:
    """Run a Kafka node on `data_dir` for the time of the block; arguments as of `EmbeddedKafka`."""
    server = EmbeddedKafka(data_dir, cache_dir, progress, port, repository)
    await server.start()
    try:
        yield server
    finally:
        await server.stop()
