"""The ledger over HTTP, as a client meets it: with the hot routes in front, and without them."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any
from urllib.parse import quote

import httpx2
import pytest

from contracts.event import Event, HistoryPage, Page, RecordedEvent
from contracts.problem import Conflict
from services.kit import clock
from services.kit.identity import (
    HEADER_ACTS_FOR,
    HEADER_ASSURANCE,
    Keyring,
    demo_key,
    digest,
    make_key,
)
from services.kit.remote import Client, HttpLedger
from services.kit.service import Service
from services.kit.settings import Shared
from services.ledger import store
from services.ledger.service import build
from services.ledger.settings import LedgerSettings

pytestmark = pytest.mark.postgres
MAIN = "/v1/ledgers/main"


def event(id_: object, **attributes: Any) -> dict[str, Any]:
    return {"specversion": "1.0", "id": str(id_), "source": "/s", "type": "x.y",
            "subject": "change:acme/pay@1", "data": {"n": 1}} | attributes  # fmt: skip


@pytest.fixture(params=["raw edge in front", "FastAPI alone"])
async def service(database_url: str, request: pytest.FixtureRequest) -> AsyncIterator[Service]:
    keys = Keyring([demo_key()])
    for name, scope in [("reader", "read"), ("writer", "event:write")]:
        _, key = make_key(name, [scope], 1, clock.now())
        keys.add(replace(key, sha256=digest(name)))
    built = build(Shared(DATABASE_URL=database_url), LedgerSettings(), keys)
    if request.param == "FastAPI alone":
        built.app.fronts = ()
    async with built.run():
        yield built


@pytest.fixture
async def http(service: Service) -> AsyncIterator[httpx2.AsyncClient]:
    async with httpx2.AsyncClient(
        transport=httpx2.ASGITransport(app=service.app),
        base_url="http://ledger",
        headers={"authorization": "Bearer demo-key"},
    ) as client:
        yield client


def results(answer: httpx2.Response) -> list[str]:
    assert answer.status_code == 200, answer.text
    return [result["outcome"] for result in answer.json()["results"]]


async def test_one_event(http: httpx2.AsyncClient) -> None:
    first = await http.post(f"{MAIN}/events", json=event(1))
    assert first.status_code == 201
    assert first.headers["location"] == f"{MAIN}/events/1"
    again = await http.post(f"{MAIN}/events", json=event(1))
    assert again.status_code == 200
    assert again.json() == {"outcome": "duplicate", "receipt": first.json()["receipt"]}
    other = await http.post(f"{MAIN}/events", json=event(1, data=2))
    assert other.status_code == 409
    assert other.headers["content-type"] == "application/problem+json"
    assert other.json()["position"] == 1
    wrong = await http.post(f"{MAIN}/events", json=event(2, specversion="0.3"))
    assert wrong.status_code == 422
    assert [error["pointer"] for error in wrong.json()["errors"]] == ["/specversion"]
    big = await http.post(f"{MAIN}/events", json=event(3, data="x" * 300_000))
    assert big.status_code == 413
    stored = await http.get(first.headers["location"])
    assert RecordedEvent.model_validate(stored.json()).event == event(1)


async def test_many_events(http: httpx2.AsyncClient) -> None:
    batch = [event(1), event(2, type="org.releaseledger.no.such.v1"), event(1), event(1, data=2)]
    kind = {"content-type": "application/cloudevents-batch+json"}
    answer = await http.post(f"{MAIN}/events", content=json.dumps(batch), headers=kind)
    assert results(answer) == ["appended", "invalid", "duplicate", "conflict"]
    problem = answer.json()["results"][1]["problem"]
    assert (problem["status"], problem["errors"][0]["pointer"]) == (422, "/type")
    lines = "\n".join(map(json.dumps, [event(1), event(5)])) + "\nnot json\n"
    kind = {"content-type": "application/x-ndjson"}
    answer = await http.post(f"{MAIN}/events", content=lines, headers=kind)
    assert results(answer) == ["duplicate", "appended", "invalid"]
    assert results(await http.post(f"{MAIN}/events", json=[])) == []


async def test_binary_mode(http: httpx2.AsyncClient) -> None:
    headers = {"ce-specversion": "1.0", "ce-id": "%C3%A9", "ce-source": "/b", "ce-type": "x.y",
               "ce-subjects": "a:1,b:2", "content-type": "text/xml"}  # fmt: skip
    answer = await http.post(f"{MAIN}/events", content=b"<x/>", headers=headers)
    assert answer.json()["receipt"]["versions"] == {"a:1": 1, "b:2": 1}
    found = await http.get(f"{MAIN}/events/by-id", params={"source": "/b", "id": "é"})
    assert found.json()["event"]["data_base64"] == "PHgvPg=="


async def test_a_group_with_expectations(http: httpx2.AsyncClient) -> None:
    subject = "change:acme/pay@1"
    body = {"events": [event(1), event(2)], "expect": {subject: 0}}
    first = await http.post(f"{MAIN}/appends", json=body)
    assert first.status_code == 201
    again = await http.post(f"{MAIN}/appends", json=body)
    assert again.status_code == 200
    assert [r["receipt"] for r in again.json()["results"]] == [
        r["receipt"] for r in first.json()["results"]
    ]
    stale = await http.post(f"{MAIN}/appends", json={"events": [event(3)], "expect": {subject: 1}})
    assert (stale.status_code, stale.json()["actual"]) == (409, {subject: 2})


@pytest.mark.parametrize(
    ("body", "status", "pointer"),
    [
        ({"events": [event(1), event(2, id="")]}, 422, "/events/1/id"),
        ({"events": []}, 422, "/events"),
        ({"events": [event(1)], "expect": {"a:1": -1}}, 422, "/expect/a:1"),
        ({"events": [event(1)], "expekt": {}}, 422, "/expekt"),
        ([], 422, ""),
    ],
)
async def test_a_group_that_is_not_valid(
    http: httpx2.AsyncClient, body: object, status: int, pointer: str
) -> None:
    answer = await http.post(f"{MAIN}/appends", json=body)
    assert answer.status_code == status
    assert pointer in [error["pointer"] for error in answer.json()["errors"]]
    assert (await http.get(f"{MAIN}/head")).json()["position"] == 0


async def test_pages_histories_and_lines(http: httpx2.AsyncClient) -> None:
    await http.post(f"{MAIN}/events", json=[event(n) for n in range(1, 8)])
    page = Page.model_validate((await http.get(f"{MAIN}/events?after=2&limit=3")).json())
    assert [e.position for e in page.events] == [3, 4, 5]
    assert (page.head, page.scanned_to) == (7, 5)
    path = f"{MAIN}/subjects/{quote('change:acme/pay@1', safe='')}/history"
    answer = await http.get(path, params={"as_of": 5, "after_version": 3})
    history = HistoryPage.model_validate(answer.json())
    assert (history.subject, history.version, history.head) == ("change:acme/pay@1", 5, 7)
    assert [e.versions for e in history.events] == [{"change:acme/pay@1": v} for v in (4, 5)]
    at = history.events[0].recorded_at
    assert (await http.get(path, params={"as_of": at})).json()["version"] == 7  # one batch
    lines = await http.get(f"{MAIN}/events", headers={"accept": "application/x-ndjson"})
    assert lines.headers["content-type"] == "application/x-ndjson"
    assert [json.loads(line)["position"] for line in lines.text.splitlines()] == list(range(1, 8))
    some = await http.get(
        f"{MAIN}/events?limit=2&after=1", headers={"accept": "application/x-ndjson"}
    )
    assert len(some.text.splitlines()) == 2


async def test_lines_come_page_by_page(
    http: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.ledger.api.EXPORT_PAGE", 3)
    await http.post(f"{MAIN}/events", json=[event(n) for n in range(1, 9)])
    lines = await http.get(f"{MAIN}/events", headers={"accept": "application/x-ndjson"})
    assert [json.loads(line)["position"] for line in lines.text.splitlines()] == list(range(1, 9))


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/v1/ledgers/nope/events", 404),
        ("/v1/ledgers/nope/head", 404),
        (f"{MAIN}/events/1", 404),
        (f"{MAIN}/events/0", 422),
        (f"{MAIN}/events/{2**63}", 422),
        (f"{MAIN}/events/by-id?source=/s&id=x", 404),
        (f"{MAIN}/events?limit=1001", 422),
        (f"{MAIN}/events?wait=31", 422),
        (f"{MAIN}/events?after=-1", 422),
        (f"{MAIN}/subjects/nokey/history", 422),
        (f"{MAIN}/subjects/a:1/history?as_of=yesterday", 422),
        (f"{MAIN}/nothing", 404),
    ],
)
async def test_questions_that_have_no_answer(
    http: httpx2.AsyncClient, path: str, status: int
) -> None:
    answer = await http.get(path)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    ("key", "method", "path", "status"),
    [
        ("", "GET", "/head", 401),
        ("wrong", "POST", "/events", 401),
        ("writer", "GET", "/head", 403),
        ("writer", "GET", "/events", 403),
        ("reader", "GET", "/events", 200),
        ("reader", "POST", "/events", 403),
        ("reader", "POST", "/appends", 403),
    ],
)
async def test_keys_and_scopes(
    http: httpx2.AsyncClient, key: str, method: str, path: str, status: int
) -> None:
    headers = {"authorization": f"Bearer {key}"}
    answer = await http.request(method, MAIN + path, headers=headers)
    assert answer.status_code == status


async def test_our_own_verdicts_are_written_by_our_services_alone(
    http: httpx2.AsyncClient,
) -> None:
    headers = {"authorization": "Bearer writer"}
    policy = {"policy_id": "p", "version": 1, "content_sha256": "0" * 64, "content": "x: 1",
              "author": "idp:ada"}  # fmt: skip
    activated = event(
        1, type="org.releaseledger.policy.activated.v1", subject="policy:p", data=policy
    )
    answer = await http.post(f"{MAIN}/events", json=activated, headers=headers)
    assert answer.status_code == 403
    batch = await http.post(f"{MAIN}/events", json=[activated, event(2)], headers=headers)
    assert results(batch) == ["refused", "appended"]
    group = await http.post(f"{MAIN}/appends", json={"events": [activated]}, headers=headers)
    assert group.status_code == 403
    assert (await http.post(f"{MAIN}/events", json=activated)).status_code == 201


async def test_who_may_append_may_not_therefore_hand_out_roles(http: httpx2.AsyncClient) -> None:
    role = {"scope": "*", "role": "cab", "principal": "idp:me"}
    assigned = event(1, type="org.releaseledger.role.assigned.v1", subject="role:cab", data=role)
    answer = await http.post(
        f"{MAIN}/events", json=assigned, headers={"authorization": "Bearer writer"}
    )
    assert answer.status_code == 403
    assert answer.json()["scope"] == "role:write"
    assert (await http.post(f"{MAIN}/events", json=assigned)).status_code == 201


async def test_the_person_behind_a_service_is_recorded(http: httpx2.AsyncClient) -> None:
    headers = {HEADER_ACTS_FOR: "idp:ada", HEADER_ASSURANCE: "A3"}
    await http.post(f"{MAIN}/events", json=event(1), headers=headers)
    stored = (await http.get(f"{MAIN}/events/1")).json()
    assert (stored["principal"], stored["via"]) == ("idp:ada", "dev:demo")
    assert stored["assurance"] == "A0"


async def test_the_client_of_the_other_services(service: Service) -> None:
    client = Client("http://ledger", "demo-key", service.app)
    ledger = HttpLedger(client)
    events = [Event.model_validate(event(n)) for n in range(3)]
    receipts = await ledger.append("main", events, {"change:acme/pay@1": 0})
    assert [receipt.position for receipt in receipts] == [1, 2, 3]
    with pytest.raises(Conflict) as caught:
        await ledger.append("main", [Event.model_validate(event(9))], {"change:acme/pay@1": 1})
    assert caught.value.members["actual"] == {"change:acme/pay@1": 3}
    history = await ledger.history("main", "change:acme/pay@1", as_of="2")
    assert (history.version, len(history.events)) == (2, 2)
    assert (await ledger.page("main", 1)).head == 3
    assert (await ledger.event("main", 2)).event == event(1)
    await client.close()


async def test_the_client_reads_a_history_to_its_end_however_short_the_pages_are(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "PAGE_BYTES", 3_000)
    client = Client("http://ledger", "demo-key", service.app)
    ledger = HttpLedger(client)
    large = [Event.model_validate(event(n, data="x" * 700)) for n in range(12)]
    await ledger.append("main", large)
    last = Event.model_validate(event("the-no", data={"decision": "rejected"}))
    await ledger.append("main", [last])
    history = await ledger.history("main", "change:acme/pay@1")
    assert [e.versions["change:acme/pay@1"] for e in history.events] == list(range(1, 14))
    assert history.events[-1].event["id"] == "the-no"
    rest = await ledger.history("main", "change:acme/pay@1", after_version=10, as_of="12")
    assert [e.position for e in rest.events] == [11, 12]
    await client.close()


async def test_nul_in_a_query_is_no_failure_of_ours(http: httpx2.AsyncClient) -> None:
    for query in ("type=%00", "subject=%00"):
        assert (await http.get(f"{MAIN}/events?{query}")).status_code == 422
    assert (await http.get(f"{MAIN}/events/by-id?source=%00&id=1")).status_code == 422


async def test_the_service_is_ready_and_describes_itself(http: httpx2.AsyncClient) -> None:
    assert (await http.get("/readyz")).json() == {"status": "ready", "missing": {}, "degraded": {}}
    paths = (await http.get("/openapi.json")).json()["paths"]
    assert {"post", "get"} <= set(paths["/v1/ledgers/{ledger}/events"])
