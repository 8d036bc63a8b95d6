"""The services reached over HTTP. In one process the same client gets another wire, so there is no
second code path.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar
from urllib.parse import quote, urlencode

from pydantic import BaseModel
from pydantic_core import from_json

from contracts import ijson, problem
from contracts.append import Histories
from contracts.event import Event, HistoryPage, Page, Receipt, RecordedEvent
from services.kit.identity import HEADER_ACTS_FOR, HEADER_ASSURANCE
from services.kit.wire import Answer, InProcess, Network, Wire

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from starlette.types import ASGIApp

    from services.kit.identity import Principal

LONG_POLL_SECONDS = 20
HISTORY_PAGE = 1000
HISTORIES = 32
"""Histories in one request: their names fit a URL."""
_NO_HEADERS: Mapping[str, str] = {}
_Value: TypeAlias = str | float
Model = TypeVar("Model", bound=BaseModel)


class Client:
    """One service's base URL, key and wire; turns problem details back into `Problem`s.

    The key is empty where none is asked for.
    """

    def __init__(self, base_url: str, key: str, app: ASGIApp | None = None) -> None:
        self._wire: Wire = (
            Network(base_url, LONG_POLL_SECONDS + 30) if app is None else InProcess(base_url, app)
        )
        self._headers = {"authorization": f"Bearer {key}"} if key else {}

    async def get(self, path: str, **params: _Value | Sequence[str] | None) -> Any:
        """GET a JSON document."""
        return from_json(await self._answer("GET", _asking(path, params)))

    async def read(
        self, model: type[Model], path: str, **params: _Value | Sequence[str] | None
    ) -> Model:
        """GET a JSON document of a model."""
        return model.model_validate_json(await self._answer("GET", _asking(path, params)))

    async def post(self, path: str, body: ijson.Json, acting_for: Principal | None = None) -> Any:
        """POST a JSON document and return the JSON answer."""
        headers = {"content-type": "application/json"}
        if acting_for is not None:
            headers |= {HEADER_ACTS_FOR: acting_for.id, HEADER_ASSURANCE: acting_for.assurance}
        return from_json(await self._answer("POST", path, ijson.dumps(body), headers))

    async def send(
        self, path: str, body: bytes, media_type: str = "application/octet-stream"
    ) -> Answer:
        """POST bytes; return status and body as they came. Raises `Unavailable`."""
        headers = self._headers | {"content-type": media_type}
        return await self._wire.exchange("POST", path, headers, body)

    async def close(self) -> None:
        """Close the connections."""
        await self._wire.close()

    async def text(self, path: str, **params: _Value) -> str:
        """GET a text."""
        return (await self._answer("GET", _asking(path, params))).decode()

    async def _answer(
        self, method: str, path: str, body: bytes | None = None,
        headers: Mapping[str, str] = _NO_HEADERS,
    ) -> bytes:  # fmt: skip
        answer = await self._wire.exchange(method, path, {**self._headers, **headers}, body)
        if answer.is_success:
            return answer.body
        raise _problem(answer)


def _asking(path: str, params: Mapping[str, object]) -> str:
    given = {name: value for name, value in params.items() if value is not None}
    return f"{path}?{urlencode(given, doseq=True)}" if given else path


def _problem(answer: Answer) -> problem.Problem:
    try:
        body = from_json(answer.body)
    except ValueError:
        body = {}
    return problem.from_json(body if isinstance(body, dict) else {}, answer.status)


class HttpLedger:
    """`ports.Ledger` over HTTP."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def append(
        self,
        ledger: str,
        events: Sequence[Event],
        expect: Mapping[str, int] | None = None,
        acting_for: Principal | None = None,
    ) -> list[Receipt]:
        """See `ports.Ledger.append`."""
        body: ijson.Json = {
            "events": [event.as_json() for event in events],
            "expect": dict(expect or {}),
        }
        answer = await self._client.post(f"/v1/ledgers/{ledger}/appends", body, acting_for)
        return [Receipt.model_validate(result["receipt"]) for result in answer["results"]]

    async def page(
        self,
        ledger: str,
        after: int,
        *,
        limit: int = 500,
        wait: float = 0,
        type_: str | None = None,
        subject: str | None = None,
    ) -> Page:
        """See `ports.Ledger.page`."""
        params = {"after": after, "limit": limit, "wait": wait, "type": type_, "subject": subject}
        return await self._client.read(Page, f"/v1/ledgers/{ledger}/events", **params)

    async def history(
        self, ledger: str, subject: str, *, after_version: int = 0, as_of: str | None = None
    ) -> HistoryPage:
        """See `ports.Ledger.history`. Reads page by page; all pages as of the first one's head.

        A page may be short because its events are large: only the version says that all are here.
        """
        path = f"/v1/ledgers/{ledger}/subjects/{quote(subject, safe='')}/history"
        events: list[RecordedEvent] = []
        while True:
            start = after_version + len(events)
            page = await self._client.read(
                HistoryPage, path, after_version=start, as_of=as_of, limit=HISTORY_PAGE
            )
            as_of = as_of or str(page.head)
            events += page.events
            if after_version + len(events) >= page.version:
                return page.model_copy(update={"events": events})
            if not page.events:
                raise problem.Unavailable(f"the history of {subject} ends before its version")

    async def histories(
        self, ledger: str, subjects: Sequence[str], *, as_of: str | None = None
    ) -> list[HistoryPage]:
        """See `ports.Ledger.histories`. Long ones are read to their end one by one."""
        found: list[HistoryPage] = []
        for start in range(0, len(subjects), HISTORIES):
            asked = subjects[start : start + HISTORIES]
            path = f"/v1/ledgers/{ledger}/histories"
            answer = await self._client.read(Histories, path, subject=asked, as_of=as_of)
            pages = answer.histories
            as_of = as_of or str(pages[0].head)
            found += [await self._whole(ledger, page, as_of) for page in pages]
        return found

    async def _whole(self, ledger: str, page: HistoryPage, as_of: str) -> HistoryPage:
        if len(page.events) >= page.version:
            return page
        rest = await self.history(ledger, page.subject, after_version=len(page.events), as_of=as_of)
        return page.model_copy(update={"events": [*page.events, *rest.events]})

    async def quarantined(self, ledger: str) -> int:
        """Return how many deliveries stand in quarantine."""
        answer = await self._client.get(f"/v1/ledgers/{ledger}/quarantine", limit=1)
        return int(answer["open"])

    async def epoch(self, ledger: str) -> int:
        """Return the epoch that the ledger is in."""
        return int((await self._client.get(f"/v1/ledgers/{ledger}/head"))["epoch"])

    async def event(self, ledger: str, position: int) -> RecordedEvent:
        """See `ports.Ledger.event`."""
        return await self._client.read(RecordedEvent, f"/v1/ledgers/{ledger}/events/{position}")

    async def sealed(self, ledger: str, position: int, wait: float) -> bool:
        """See `ports.Ledger.sealed`. A ledger that cannot say counts as one that has not."""
        try:
            await self._client.text(f"/v1/ledgers/{ledger}/events/{position}/proof", wait=wait)
        except problem.Unavailable:
            return False
        return True


class HttpFeed:
    """`ports.Feed` by long poll: where there is no broker, and for refilling gaps."""

    def __init__(self, ledger: HttpLedger, limit: int = 500) -> None:
        self._ledger = ledger
        self._limit = limit

    async def follow(self, ledger: str, after: int) -> AsyncIterator[list[RecordedEvent]]:
        """See `ports.Feed.follow`."""
        while True:
            page = await self._ledger.page(ledger, after, limit=self._limit, wait=LONG_POLL_SECONDS)
            yield page.events
            after += len(page.events)
