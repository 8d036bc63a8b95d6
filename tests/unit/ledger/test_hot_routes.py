"""The hot routes in front of the app: what they take, and that nobody can tell the difference."""

from __future__ import annotations

from typing import Any

import httpx2
import pytest
import structlog

from contracts.problem import Conflict, IdConflict, Invalid, TooLarge, Unavailable
from services.kit import hot, metrics
from services.kit.service import App, Service, compose, new_app
from services.kit.settings import LOOPBACK
from services.ledger.model import Outcome
from tests.integration.running.served import EVENTS, HeldAppender, app_on, event

KEY = {"authorization": "Bearer demo-key", "content-type": "application/cloudevents+json"}
LINES = {"accept": "application/json, application/x-ndjson"}
HISTORY = "/v1/ledgers/main/subjects/change:acme/pay@1/history"


@pytest.fixture
def appender() -> HeldAppender:
    made = HeldAppender()
    made.gate.set()
    return made


def taken(app: App, method: str, path: str, headers: dict[str, str] | None = None) -> str | None:
    """Return the template of the route that a front takes a request for."""
    where, _, query = path.partition("?")
    raw = [(name.encode(), value.encode()) for name, value in (headers or {}).items()]
    scope = {"method": method, "path": where, "query_string": query.encode(), "headers": raw}
    found = [front.take(scope) for front in app.fronts]
    return next((one[0] for one in found if one is not None), None)


@pytest.mark.parametrize(
    ("method", "path", "template"),
    [
        ("POST", EVENTS, "events"),
        ("POST", "/v1/ledgers/any/appends", "appends"),
        ("GET", EVENTS, "events"),
        ("GET", f"{EVENTS}?after=3&limit=1000&type=a.b&subject=c%3A1&wait=2.5", "events"),
        ("GET", HISTORY, "subjects/{subject:path}/history"),
        ("GET", f"{HISTORY}?after_version=0&as_of=7&limit=1", "subjects/{subject:path}/history"),
    ],
)
def test_the_hot_routes_are_taken(
    appender: HeldAppender, method: str, path: str, template: str
) -> None:
    app = app_on(appender)
    assert taken(app, method, path) == f"/v1/ledgers/{{ledger}}/{template}"
    documented = f"/v1/ledgers/{{ledger}}/{template.replace(':path', '')}"
    assert method.lower() in app.openapi()["paths"][documented]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/ledgers/main/appends"),
        ("HEAD", EVENTS),
        ("DELETE", EVENTS),
        ("GET", f"{EVENTS}/1"),
        ("GET", f"{EVENTS}/"),
        ("GET", "/v1/ledgers//events"),
        ("GET", "/docs"),
        ("GET", f"{EVENTS}?after=-1"),
        ("GET", f"{EVENTS}?after={2**63}"),
        ("GET", f"{EVENTS}?after=1_0"),
        ("GET", f"{EVENTS}?after=%D9%A3"),
        ("GET", f"{EVENTS}?limit=0"),
        ("GET", f"{EVENTS}?limit=1001"),
        ("GET", f"{EVENTS}?wait=31"),
        ("GET", f"{EVENTS}?wait=nan"),
        ("GET", f"{EVENTS}?after=1&after=2"),
        ("GET", f"{EVENTS}?other=1"),
        ("GET", f"{EVENTS}?type="),
        ("GET", f"{HISTORY}?after_version={2**31}"),
    ],
)
def test_all_else_is_the_apps(appender: HeldAppender, method: str, path: str) -> None:
    assert taken(app_on(appender), method, path) is None


def test_a_page_as_lines_is_the_apps(appender: HeldAppender) -> None:
    assert taken(app_on(appender), "GET", EVENTS, LINES) is None


@pytest.mark.parametrize("prefix", ["", "/ledger"])
@pytest.mark.parametrize(
    ("method", "path", "how", "status"),
    [
        ("POST", EVENTS, ({}, event("1")), 201),
        ("POST", EVENTS, ({}, b"[]"), 422),
        ("POST", EVENTS, ({}, b"{"), 400),
        ("POST", EVENTS, ({}, event("1", subject="nokey")), 422),
        ("POST", EVENTS, ({}, event("1", data="x" * 9_000_000)), 413),
        ("POST", EVENTS, ({"content-type": "text/plain"}, b"x"), 415),
        ("POST", EVENTS, ({"content-type": "application/x-ndjson"}, event("1") + b"\n{\n"), 200),
        ("POST", EVENTS, ({"authorization": "Bearer no"}, event("1")), 401),
        ("POST", EVENTS, ({"authorization": ""}, event("1")), 401),
        ("POST", EVENTS, ({"rlg-acts-for": ""}, event("1")), 403),
        ("POST", "/v1/ledgers/other/events", ({}, event("1")), 404),
        ("POST", f"{EVENTS}?a=%00", ({}, event("1")), 422),
        ("POST", "/v1/ledgers/main/appends", ({}, b'{"events":[]}'), 422),
        ("POST", "/v1/ledgers/main/appends", ({}, b'{"events":[%s]}' % event("1")), 201),
        ("PUT", EVENTS, ({}, b""), 405),
        ("GET", f"{EVENTS}?limit=0", ({}, b""), 422),
        ("GET", "/v1/ledgers/main/subjects/nokey/history", ({}, b""), 422),
    ],
)
async def test_both_ways_in_give_the_same_answer(  # the raw one, and FastAPI alone
    appender: HeldAppender, prefix: str, method: str, path: str,
    how: tuple[dict[str, str], bytes], status: int,
) -> None:  # fmt: skip
    plain_app = shape(appender, prefix)
    plain_app.fronts = ()
    for route in plain_app.routes:
        if isinstance(mounted := getattr(route, "app", None), App):
            mounted.fronts = ()
    with structlog.testing.capture_logs() as logged:
        raw = await ask(shape(appender, prefix), method, prefix + path, *how)
        plain = await ask(plain_app, method, prefix + path, *how)
    assert not [line for line in logged if line["log_level"] == "error"]
    assert raw.status_code == plain.status_code == status
    assert dict(raw.headers) == dict(plain.headers)
    assert without_instance(raw) == without_instance(plain)


@pytest.mark.parametrize(
    ("outcome", "status", "slug"),
    [
        (Outcome("id_conflict", problem=IdConflict("taken", position=3)), 409, "id-conflict"),
        (Outcome("conflict", problem=Conflict("moved", actual={"a:1": 4})), 409, "conflict"),
        (Outcome("invalid", problem=TooLarge("big", limit=1)), 413, "too-large"),
        (Outcome("refused", problem=Unavailable("past its deadline", 2)), 503, "unavailable"),
        (Outcome("refused", problem=Invalid("the database refuses it")), 422, "invalid"),
    ],
)
async def test_an_outcome_that_is_a_problem_is_the_answer_for_one_and_a_result_among_many(
    appender: HeldAppender,
    monkeypatch: pytest.MonkeyPatch,
    outcome: Outcome,
    status: int,
    slug: str,
) -> None:
    async def append_each(items: list[Any], **_: Any) -> list[Outcome]:
        return [outcome] * len(items)

    monkeypatch.setattr(appender, "append_each", append_each)
    one = await ask(app_on(appender), "POST", EVENTS, {}, event("1"))
    assert one.status_code == status
    assert one.json()["type"].endswith(f"/{slug}")
    assert (one.headers.get("retry-after") == "2") == (status == 503)
    batch = {"content-type": "application/cloudevents-batch+json"}
    many = await ask(app_on(appender), "POST", EVENTS, batch, b"[%s]" % event("1"))
    (result,) = many.json()["results"]
    assert many.status_code == 200
    assert result["outcome"] == {"id_conflict": "conflict"}.get(outcome.kind, outcome.kind)
    assert result["problem"]["status"] == status


async def test_a_page_of_another_site_does_not_reach_a_hot_route(appender: HeldAppender) -> None:
    app = app_on(appender)
    app.keep_to(LOOPBACK)
    refused = await ask(app, "POST", EVENTS, {"host": "evil.example"}, event("1"))
    assert refused.status_code == 403
    assert (await ask(app, "POST", EVENTS, {"host": "localhost:8080"}, event("1"))).is_success
    assert appender.asked == ["1"]


async def test_a_hot_route_is_measured_by_its_template(appender: HeldAppender) -> None:
    labels = 'method="POST",route="/v1/ledgers/{ledger}/events",service="ledger",status="201"'
    before = _count(labels)
    await ask(shape(appender, "/ledger"), "POST", f"/ledger{EVENTS}", {}, event("1"))
    assert _count(labels) == before + 1


async def test_the_client_in_the_same_process_takes_the_same_way(
    appender: HeldAppender, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []
    answer = hot.Front.answer

    async def watched(self: hot.Front, found: Any, *rest: Any) -> None:
        seen.append(found[0])
        await answer(self, found, *rest)

    monkeypatch.setattr(hot.Front, "answer", watched)
    await ask(app_on(appender), "POST", EVENTS, {}, event("1"))
    assert seen == ["/v1/ledgers/{ledger}/events"]


def shape(appender: HeldAppender, prefix: str) -> App:
    """Return the ledger alone, or mounted in a root app."""
    ledger = app_on(appender)
    if not prefix:
        return ledger
    root = new_app("all-in-one", "A root.")
    service = Service("ledger", ledger, lambda: None)  # type: ignore[arg-type, return-value]
    return compose([service], root, {prefix: ledger})


async def ask(
    app: App, method: str, path: str, headers: dict[str, str], body: bytes
) -> httpx2.Response:
    transport = httpx2.ASGITransport(app=app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://ledger") as client:
        return await client.request(method, path, content=body, headers=KEY | headers)


def without_instance(answer: httpx2.Response) -> Any:
    body = answer.json()
    if answer.status_code >= 400:
        assert body.pop("instance").startswith("urn:request:")
    return body


def _count(labels: str) -> float:
    name = f"rlg_http_request_seconds_count{{{labels}}} "
    for line in metrics.render().decode().splitlines():
        if line.startswith(name):
            return float(line.removeprefix(name))
    return 0
