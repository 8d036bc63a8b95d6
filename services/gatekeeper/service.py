"""The gatekeeper put together."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from contracts.problem import Unavailable
from services.gatekeeper import active
from services.gatekeeper.activating import activate, read_folder
from services.gatekeeper.acts import Acts
from services.gatekeeper.acts_api import ActsApi
from services.gatekeeper.api import Api
from services.gatekeeper.board_api import BoardApi
from services.gatekeeper.boards import Boards
from services.gatekeeper.deciding import Decider
from services.gatekeeper.governing import Governing
from services.gatekeeper.policies_api import PoliciesApi
from services.gatekeeper.policy import PolicyFaultsError
from services.gatekeeper.store import Store
from services.gatekeeper.timers import Timers
from services.gatekeeper.trying import Trials
from services.gatekeeper.watching import Watcher
from services.kit import asking, database, witnessing
from services.kit.service import Check, Service, add_health, background, new_app
from services.kit.settings import SettingsError

if TYPE_CHECKING:
    from services.gatekeeper.settings import GatekeeperSettings
    from services.kit.identity import Keyring
    from services.kit.ports import Feed, Ledger
    from services.kit.settings import Shared

NAME = "gatekeeper"
_PAUSE_SECONDS = 0.5
_PEOPLE = 2
"""Behind a policy, at least: four eyes."""


def build(
    shared: Shared,
    settings: GatekeeperSettings,
    keyring: Keyring,
    ledger: Ledger,
    feed: Feed | None = None,
) -> Service:
    """Return the service. Without a `feed` it answers whoever asks and judges nothing by itself.

    Raises `SettingsError` when a policy document of the folder is faulty, or one person could let
    a policy judge.
    """
    if settings.policy_people < _PEOPLE and not shared.dev:
        raise SettingsError(f"GATEKEEPER_POLICY_PEOPLE is below {_PEOPLE}: that is for development")
    try:
        texts = read_folder(settings.policies)
    except PolicyFaultsError as error:
        raise SettingsError(f"the policies are not valid:\n{error}") from None
    decider = Decider(ledger, settings.ledger, list(texts))
    watch = None if feed is None else _Watch(shared, settings, decider, feed)
    app = new_app(NAME, "Judges release policies and records each decision.")
    # Before the others: a release's id may hold slashes, and would take in what follows it.
    ask = [asking.known(keyring)]
    app.include_router(ActsApi(Acts(decider), keyring).router(), dependencies=ask)
    app.include_router(BoardApi(Boards(decider), keyring).router(), dependencies=ask)
    app.include_router(Api(decider, keyring).router(), dependencies=ask)
    trials = Trials(ledger, settings.ledger)
    governing = Governing(decider, trials, settings.policy_role, settings.policy_people)
    app.include_router(PoliciesApi(decider, governing, keyring).router(), dependencies=ask)
    app.include_router(witnessing.served(NAME, settings.witness, shared))
    checks: dict[str, Check] = {"ledger": _reachable(decider), "policy": _active(decider)}
    soft: dict[str, Check] = {}
    if watch is not None:
        checks["database"] = database.reachable(watch.engine)
        soft["timers"] = watch.timers.overdue
    add_health(app, checks, soft)

    async def keep_active() -> None:
        await _until_it_answers(decider, texts, at_once=shared.dev)
        await asyncio.Event().wait()

    @contextlib.asynccontextmanager
    async def run() -> AsyncIterator[None]:
        async with contextlib.AsyncExitStack() as stack:
            tasks = {"activate": keep_active}
            if watch is not None:
                stack.push_async_callback(watch.engine.dispose)
                tasks |= {"watch": watch.watcher.run, "timers": watch.timers.run}
            await stack.enter_async_context(background(NAME, **tasks))
            yield

    return Service(NAME, app, run, checks, soft)


class _Watch:
    """What a gatekeeper needs to judge by itself."""

    def __init__(
        self, shared: Shared, settings: GatekeeperSettings, decider: Decider, feed: Feed
    ) -> None:
        if shared.database_url is None:
            raise SettingsError("DATABASE_URL is not set; the gatekeeper needs a PostgreSQL")
        url = shared.database_url.get_secret_value()
        self.engine = database.engine(url, NAME, settings.pool_size, role="rlg_gatekeeper")
        store = Store(self.engine, settings.ledger)
        self.watcher, self.timers = Watcher(store, feed), Timers(store, decider)


async def _until_it_answers(decider: Decider, texts: dict[str, str], *, at_once: bool) -> None:
    while True:
        try:
            return await activate(decider, texts, at_once=at_once)
        except Unavailable:
            await asyncio.sleep(_PAUSE_SECONDS)


def _reachable(decider: Decider) -> Check:
    async def check() -> str | None:
        await decider.ledger.page(decider.name, 0, limit=1)
        return None

    return check


def _active(decider: Decider) -> Check:
    async def check() -> str | None:
        pages = await decider.reader.policies()
        if not any(map(active.is_known, pages)):
            return f"not active: {', '.join(decider.policies)}"
        broken = [one.name for page in pages if (one := active.newest(page)) and not one.policy]
        return f"not valid: {', '.join(broken)}" if broken else None

    return check
