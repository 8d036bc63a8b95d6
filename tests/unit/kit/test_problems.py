"""Every failure of every route leaves as a problem document."""

from typing import Annotated

import httpx2
import pytest
from fastapi import FastAPI, Query

from contracts.problem import Conflict
from services.kit.problems import Edge
from services.kit.service import add_health, new_app


@pytest.fixture
def app() -> FastAPI:
    app = new_app("probe", "A probe.")
    add_health(app, {"never": _never})

    @app.get("/things")
    async def things(limit: Annotated[int, Query(le=10)] = 1) -> int:
        return limit

    @app.get("/moved")
    async def moved() -> None:
        raise Conflict("it moved", actual={"release:a": 2})

    @app.get("/broken")
    async def broken() -> None:
        raise RuntimeError("secret of the house")

    @app.post("/things")
    async def put(body: dict[str, int]) -> int:
        return len(body)

    return app


async def _never() -> str | None:
    return "is not there"


async def ask(app: FastAPI, method: str, path: str, **how: object) -> httpx2.Response:
    transport = httpx2.ASGITransport(app=app, raise_app_exceptions=False)
    async with httpx2.AsyncClient(transport=transport, base_url="http://probe") as client:
        return await client.request(method, path, **how)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("method", "path", "status", "slug"),
    [
        ("GET", "/nowhere", 404, "not-found"),
        ("DELETE", "/things", 405, "method-not-allowed"),
        ("GET", "/things?limit=11", 422, "invalid"),
        ("GET", "/moved", 409, "conflict"),
        ("GET", "/broken", 500, "internal"),
    ],
)
async def test_every_failure_is_a_problem(
    app: FastAPI, method: str, path: str, status: int, slug: str
) -> None:
    answer = await ask(app, method, path)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    body = answer.json()
    assert body["type"].endswith(f"/{slug}")
    assert body["status"] == status
    assert "secret" not in answer.text


async def test_a_method_that_is_not_there_is_told_which_are(app: FastAPI) -> None:
    assert (await ask(app, "DELETE", "/things")).headers["allow"] == "GET"


async def test_nul_in_an_address_is_refused_before_any_database_sees_it(app: FastAPI) -> None:
    for address in ("/things?limit=%00", "/things%00"):
        answer = await ask(app, "GET", address)
        assert answer.status_code == 422
        assert answer.json()["type"].endswith("/invalid")


async def test_where_hosts_are_given_no_other_name_is_answered(app: FastAPI) -> None:
    app.add_middleware(Edge, hosts=frozenset({"127.0.0.1", "::1"}))
    for host, status in [("127.0.0.1:8080", 200), ("[::1]:8080", 200), ("evil.example", 403)]:
        assert (await ask(app, "GET", "/things", headers={"host": host})).status_code == status


async def test_a_validation_failure_points_at_the_parameter(app: FastAPI) -> None:
    (error,) = (await ask(app, "GET", "/things?limit=11")).json()["errors"]
    assert (error["in"], error["pointer"]) == ("query", "/limit")


async def test_a_body_beyond_the_limit_is_too_large(app: FastAPI) -> None:
    answer = await ask(app, "POST", "/things", content=b" " * 9_000_000,
                       headers={"content-type": "application/json"})  # fmt: skip
    assert answer.status_code == 413
    assert answer.json()["type"].endswith("/too-large")


async def test_readiness_says_what_is_missing_and_liveness_does_not_care(app: FastAPI) -> None:
    ready = await ask(app, "GET", "/readyz")
    assert ready.status_code == 503
    assert ready.json()["missing"] == {"never": "is not there"}
    soft = new_app("soft", "A probe.")
    add_health(soft, {}, {"kafka": _never})
    degraded = await ask(soft, "GET", "/readyz")
    assert (degraded.status_code, degraded.json()["status"]) == (200, "degraded")
    assert degraded.json()["degraded"] == {"kafka": "is not there"}
    assert (await ask(app, "GET", "/livez")).status_code == 200
    assert "rlg_http_request_seconds" in (await ask(app, "GET", "/metrics")).text
