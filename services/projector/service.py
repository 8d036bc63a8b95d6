"""The projector put together: one runner, the store, the API."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass

from services.kit import database, remote, service, witnessing
from services.kit.identity import Keyring
from services.kit.ports import Feed, Shelf
from services.kit.settings import SettingsError, Shared
from services.projector import api
from services.projector.following import Follower
from services.projector.generations import Generation, Generations
from services.projector.runner import Runner
from services.projector.settings import ProjectorSettings
from services.projector.store import Store
from services.projector.web.console import add_console
from services.projector.web.people import Person
from services.projector.writing import Projection

NAME = "projector"


@dataclass(frozen=True)
class Neighbours:
    """Whom the projector listens to and speaks with. The console acts through `gatekeeper`."""

    feed: Feed
    ledger: Shelf
    gatekeeper: remote.Client


def build(
    shared: Shared,
    settings: ProjectorSettings,
    keyring: Keyring,
    neighbours: Neighbours,
    people: Sequence[Person] = (),
    give_up: Callable[[str], None] | None = None,
) -> service.Service:
    """Return the service; nothing is opened before its `run`.

    `people` are those as whom the console may act in development mode. `give_up`: see `Follower`.
    """
    if shared.database_url is None:
        raise SettingsError("DATABASE_URL is not set; the projector needs a PostgreSQL")
    url = shared.database_url.get_secret_value()
    engine = database.engine(url, NAME, settings.pool_size, role="rlg_projector")
    store = Store(engine, settings.ledger)

    def runner_of(generation: Generation) -> Runner:
        projection = Projection(engine, settings.ledger, generation)
        return Runner(projection, neighbours.feed, neighbours.ledger, settings.stall_seconds)

    follower = Follower(Generations(engine, settings.ledger), runner_of, give_up)
    app = service.new_app(NAME, "Read models of the ledger: releases, environments, KPIs.")
    api.add_routes(app, store, keyring)
    app.include_router(witnessing.served(NAME, settings.witness, shared))
    checks = {"database": database.reachable(engine), "projection": follower.stalled}
    service.add_health(app, checks)
    add_console(
        app, store, neighbours.gatekeeper, neighbours.ledger, shared, people,
        None if shared.dev else keyring,
    )  # fmt: skip

    @contextlib.asynccontextmanager
    async def run() -> AsyncIterator[None]:
        async with contextlib.AsyncExitStack() as stack:
            stack.push_async_callback(engine.dispose)
            await stack.enter_async_context(service.background(NAME, follow=follower.run))
            yield

    return service.Service(NAME, app, run, checks)
