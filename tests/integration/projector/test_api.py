"""The JSON API: who may read, what comes back, and reading what one has written."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from contracts.problem import Forbidden, Invalid, NotFound, Problem, Unauthenticated, Unavailable
from services.kit import clock
from services.kit.identity import Keyring, make_key
from services.kit.remote import Client
from services.kit.service import new_app
from services.projector import api
from tests.integration.projector.memory import project
from tests.unit.projector.recorded import Log, moment, story

pytestmark = pytest.mark.postgres
Ask = Callable[..., Awaitable[Any]]


@pytest.fixture
async def ask(engine: AsyncEngine) -> AsyncIterator[Callable[[str], Ask]]:
    """Return, for a scope, a way to GET with a key that has it."""
    log = Log()
    story(log)
    keyring, clients = Keyring(), list[Client]()
    app = new_app("projector", "test")
    api.add_routes(app, await project(engine, log), keyring)

    def asking(scope: str) -> Ask:
        secret, key = make_key("test", [scope], 1, clock.now())
        keyring.add(key)
        clients.append(Client("http://projector", secret, app))
        return clients[-1].get

    yield asking
    for client in clients:
        await client.close()


async def test_every_resource_answers(ask: Callable[[str], Ask]) -> None:
    get = ask("read")
    page = await get("/v1/releases", state="deployed")
    assert [row["release_id"] for row in page["releases"]] == ["pay-1"]
    assert (await get("/v1/releases/pay-1"))["row"]["state"] == "deployed"
    often = await get("/v1/kpis/deployment-frequency", days=7, end=moment(24))
    assert (often["n"], often["end"]) == (1, moment(24))
    places = await get("/v1/environments")
    assert (places["services"], places["environments"]) == (["pay"], ["production"])
    assert (await get("/v1/freshness"))["position"] == 16
    projection = await get("/v1/projection")
    assert (projection["projection"], projection["parked"]) == ("readmodels", [])
    assert projection["freshness"]["head"] == 16


@pytest.mark.parametrize(
    ("path", "asked", "problem"),
    [
        ("/v1/releases/none", {}, NotFound),
        ("/v1/kpis/none", {}, NotFound),
        ("/v1/kpis/change-lead-time", {"end": "yesterday"}, Invalid),
        ("/v1/kpis/change-lead-time", {"days": 0}, Invalid),
        ("/v1/releases", {"limit": 1000}, Invalid),
        ("/v1/freshness", {"min_position": -1}, Invalid),
    ],
)
async def test_what_cannot_be_answered_is_a_problem(
    ask: Callable[[str], Ask], path: str, asked: dict[str, Any], problem: type[Problem]
) -> None:
    with pytest.raises(problem):
        await ask("read")(path, **asked)


async def test_only_readers_may_read(ask: Callable[[str], Ask]) -> None:
    with pytest.raises(Forbidden):
        await ask("event:write")("/v1/releases")


async def test_nobody_reads_without_a_key(engine: AsyncEngine) -> None:
    app = new_app("projector", "test")
    api.add_routes(app, await project(engine, Log()), Keyring())
    client = Client("http://projector", "wrong", app)
    for path in ("/v1/releases", "/v1/kpis/x", "/v1/environments", "/v1/projection"):
        with pytest.raises(Unauthenticated):
            await client.get(path)
    await client.close()


async def test_one_reads_what_one_has_written_or_is_told_to_wait(
    ask: Callable[[str], Ask], monkeypatch: pytest.MonkeyPatch
) -> None:
    get = ask("read")
    assert (await get("/v1/releases", min_position=16))["total"] == 1
    monkeypatch.setattr(api, "WAIT_SECONDS", 0.1)
    with pytest.raises(Unavailable, match="17"):
        await get("/v1/releases", min_position=17)
