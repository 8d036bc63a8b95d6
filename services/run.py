"""Runs an app until it is told to stop; for `make run` also the servers that it needs.

Order of life: the port is taken first, then PostgreSQL and Kafka start side by side, the schema
is brought up to date, the services start. Ctrl-C or SIGTERM ends everything in reverse order.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import signal
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import uvicorn
from pydantic import SecretStr

from services import assembly
from services.kit import clock, database, listening
from services.kit.settings import SettingsError, environment

if TYPE_CHECKING:
    from fastapi import FastAPI

    from deploy.embedded import EmbeddedKafka
    from services.kit.settings import Shared

GC_THRESHOLDS = (100_000, 50, 1_000)
"""Fewer, larger collections: requests make much and keep little."""
GRACE_SECONDS = 3
"""How long open requests (long polls above all) may go on after the signal to stop."""
DATABASE = "release_ledger"


class Stopped(Exception):
    """We were asked to stop before the services were up."""


def say(text: str) -> None:
    """Tell the person at the terminal."""
    print(text, flush=True)  # noqa: T201 - this is what a terminal is for


def take_port(shared: Shared) -> socket.socket:
    """Bind the port before anything else starts, or raise `SettingsError`."""
    family = socket.AF_INET6 if ":" in shared.host else socket.AF_INET
    taken = socket.socket(family, socket.SOCK_STREAM)
    taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        taken.bind((shared.host, shared.port))
    except OSError as error:
        taken.close()
        raise SettingsError(
            f"cannot listen on {shared.host}:{shared.port}: {error.strerror}; "
            "choose another port with RLG_PORT"
        ) from None
    return taken


async def serve(
    app: FastAPI, port: socket.socket, started: Callable[[str], Awaitable[None]]
) -> None:
    """Serve `app` until SIGINT or SIGTERM; `started` runs beside it once it answers."""
    server = listening.server(app, GRACE_SECONDS)
    # A refusal is told in one sentence at the end; uvicorn would print its traceback before.
    told = logging.getLogger("uvicorn.error")
    told.addFilter(lambda _: getattr(app.state, "refusal", None) is None)
    loop = asyncio.get_running_loop()
    for name in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(name, lambda: setattr(server, "should_exit", True))
    serving = asyncio.create_task(_serving(server, port))
    beside = asyncio.create_task(_once_started(server, port, started))
    try:
        await serving
    finally:
        beside.cancel()
        await asyncio.gather(beside, return_exceptions=True)
    if not server.started:
        reason = getattr(app.state, "refusal", "the services could not start; see the lines above")
        raise SettingsError(str(reason))


def collect_less() -> None:
    """Let the collector never look again at what was made up to here, for that lives as long
    as we do, and at the rest less often: a batch of events is no reason.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)


async def _serving(server: uvicorn.Server, port: socket.socket) -> None:
    with contextlib.suppress(SystemExit):  # how uvicorn ends when the start fails; we say why
        await server.serve(sockets=[port])


async def _once_started(
    server: uvicorn.Server, port: socket.socket, started: Callable[[str], Awaitable[None]]
) -> None:
    while not server.started:  # noqa: ASYNC110 - uvicorn has a flag and no event
        await asyncio.sleep(0.02)
    collect_less()
    host, number = port.getsockname()[:2]
    address = f"[{host}]" if ":" in host else host
    await started(f"http://{address}:{number}")


async def run_all(settings: assembly.Settings) -> None:
    """Run everything in this process, with embedded servers where none are given."""
    begun = clock.monotonic()
    loop, main = asyncio.get_running_loop(), asyncio.current_task()
    for name in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(name, lambda: main and main.cancel())
    port = take_port(settings.shared)
    try:
        async with AsyncExitStack() as stack:
            shared = await stack.enter_async_context(_with_servers(settings.shared))
            settings = replace(settings, shared=shared)
            for complaint in await asyncio.to_thread(migrate, settings):
                say(f"  {complaint}: going on without it")
            app = assembly.all_in_one(settings)

            async def started(url: str) -> None:
                say(_banner(url, shared, clock.monotonic() - begun))
                await _load_demo(url, shared)

            await serve(app, port, started)
            say("stopping")
    except asyncio.CancelledError:
        raise Stopped from None
    finally:
        port.close()


def migrate(settings: assembly.Settings) -> list[str]:
    """Bring every database to the newest schema; blocks. Returns a sentence for each that is away.

    Databases of LEDGER_DATABASES get the schema `ledger` alone. DATABASE_URL may not be away.
    """
    from migrations.run import upgrade  # noqa: PLC0415 - Alembic is slow to import

    main = str(settings.shared.database_url and settings.shared.database_url.get_secret_value())
    try:
        upgrade(main)
    except database.DatabaseError as error:
        reason = str(getattr(error, "orig", None) or error)
        raise SettingsError(f"the database at DATABASE_URL cannot be migrated: {reason}") from error
    elsewhere = {url: name for name, url in settings.ledger.elsewhere.items() if url != main}
    complaints = []
    for url, name in elsewhere.items():
        try:
            upgrade(url, "ledger")
        except database.DatabaseError as error:
            reason = str(getattr(error, "orig", None) or error)
            complaints.append(f"the database of {name} was not migrated: {reason}")
    return complaints


@asynccontextmanager
async def _with_servers(shared: Shared) -> AsyncIterator[Shared]:
    """Start what the settings do not name; yield settings that name everything."""
    async with AsyncExitStack() as stack:
        postgres = asyncio.create_task(_database(shared, stack))
        broker = asyncio.create_task(_broker(shared, stack))
        try:
            url = await postgres
            bootstrap = await broker
        finally:
            await asyncio.gather(_end(postgres), _end(broker), return_exceptions=True)
        yield shared.model_copy(
            update={
                "database_url": SecretStr(url),
                "kafka_bootstrap_servers": bootstrap,
                "feed": shared.feed if bootstrap else "http",
            }
        )


async def _end(task: asyncio.Task[str] | asyncio.Task[str | None]) -> None:
    """Stop a start that goes on while the other one has failed; what it opened is on the stack."""
    if not task.done():
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _database(shared: Shared, stack: AsyncExitStack) -> str:
    if shared.database_url is not None:
        return shared.database_url.get_secret_value()
    from deploy.embedded import embedded_postgres  # noqa: PLC0415 - absent in production images

    begun = clock.monotonic()
    server = await stack.enter_async_context(embedded_postgres(shared.data / "postgres"))
    await server.ensure_database(DATABASE)
    say(f"  PostgreSQL is up ({clock.monotonic() - begun:.1f} s)")
    return server.dsn(DATABASE)


async def _broker(shared: Shared, stack: AsyncExitStack) -> str | None:
    if shared.feed == "http" or shared.kafka_bootstrap_servers is not None:
        return shared.kafka_bootstrap_servers
    from deploy.embedded import EmbeddedUnavailable, embedded_kafka  # noqa: PLC0415 - as above
    from deploy.embedded import default_cache_dir as cache_dir  # noqa: PLC0415

    begun = clock.monotonic()
    try:
        server: EmbeddedKafka = await stack.enter_async_context(
            embedded_kafka(shared.data / "kafka", cache_dir(environment()), lambda t: say(f"  {t}"))
        )
    except EmbeddedUnavailable as reason:
        say(f"  no Kafka: {reason}\n  going on without it, on the ledger's HTTP feed")
        return None
    say(f"  Kafka is up ({clock.monotonic() - begun:.1f} s)")
    return server.bootstrap_servers


def _banner(url: str, shared: Shared, seconds: float) -> str:
    feed = "Kafka" if shared.feed == "kafka" else "HTTP (no Kafka)"
    lines = [
        "",
        f"  release-ledger is up after {seconds:.1f} s, fed by {feed}",
        "",
        f"    console    {url}/",
        f"    API docs   {url}/ledger/docs   {url}/gatekeeper/docs   {url}/projector/docs",
        f"    data       {shared.data.resolve()}",
        "    stop       Ctrl-C",
        "",
    ]
    return "\n".join(lines)


async def _load_demo(url: str, shared: Shared) -> None:
    if not (shared.dev and shared.demo):
        return
    from demo.load import load_if_wanted  # noqa: PLC0415 - absent in production images

    try:
        await load_if_wanted(url, say)
    except Exception as error:  # noqa: BLE001 - the services go on without the demo
        say(f"  the demo could not be loaded: {error}")
