"""The ledger over HTTP. Routes read the request and call; their promises are in their docs."""

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Request, Security
from starlette.responses import Response, StreamingResponse

from contracts.append import GroupAppend, HeadOfLedger, Histories, Result, Results
from contracts.event import HistoryPage, Page, RecordedEvent
from services.kit.asking import BEARER
from services.kit.hot import Ask, Front
from services.kit.identity import Principal
from services.kit.service import App
from services.ledger import answers, bindings, hot
from services.ledger.hot import MAX_LIMIT, MAX_WAIT, Desk, HistoryQuery, PageQuery
from services.ledger.store import Reader, Window
from services.ledger.wake import page_or_wait

__all__ = ["Desk", "add_routes"]

EXPORT_PAGE = 500
EVENT_EXAMPLE = {"specversion": "1.0", "id": "1", "source": "/ci", "type": "com.example.built",
                 "subject": "release:pay-1.42"}  # fmt: skip


router = APIRouter(prefix=hot.PREFIX)


def add_routes(app: App, desk: Desk) -> None:
    """Add the ledger's routes to its app, the hot ones in front of it too."""
    app.state.desk = desk
    app.fronts = (Front("ledger", hot.Routes(desk).find),)
    app.include_router(router)


async def _desk(request: Request) -> Desk:
    desk: Desk = request.app.state.desk
    return desk


AtDesk = Annotated[Desk, Depends(_desk)]


async def _reading(request: Request, desk: AtDesk) -> Principal:
    return desk.require(request.headers, "read")


async def _writing(request: Request, desk: AtDesk) -> Principal:
    return desk.require(request.headers, "event:write")


def _ask(request: Request) -> Ask:
    return Ask(request.headers, request.url.path, request.receive)


def _wait(sealed: bool) -> float:  # noqa: FBT001 - a query parameter
    return hot.SEALED_SECONDS if sealed else 0.0


_may_read = [Depends(_reading), Security(BEARER)]
_may_write = [Security(BEARER)]
Writing = Annotated[Principal, Depends(_writing)]
Sealed = Annotated[bool, Query()]
Limit = Annotated[int, Query(ge=1, le=MAX_LIMIT)]


@router.post(
    "/events",
    tags=["append"],
    status_code=201,
    dependencies=_may_write,
    responses={201: {"model": Result}, 200: {"model": Result | Results}},
    openapi_extra={
        "requestBody": {
            "required": True,
            "description": "One event (structured; binary with ce- headers), a batch, or NDJSON.",
            "content": {
                bindings.STRUCTURED: {"example": EVENT_EXAMPLE},
                bindings.BATCH: {"example": [EVENT_EXAMPLE]},
                bindings.NDJSON: {},
                "application/json": {"example": EVENT_EXAMPLE},
            },
        }
    },
)
async def append_events(
    ledger: str, request: Request, desk: AtDesk, who: Writing, *, sealed: Sealed = False
) -> Response:
    """Append one event (201; 200 if it is there already) or many (200, one result each).

    `sealed=true`: answer when a published checkpoint covers them, or after 10 s; receipts say so.
    """
    return await hot.append_events(desk, ledger, who, _ask(request), _wait(sealed))


@router.post(
    "/appends",
    tags=["append"],
    status_code=201,
    dependencies=_may_write,
    responses={201: {"model": Results}, 200: {"model": Results}},
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": GroupAppend.model_json_schema()}},
        }
    },
)
async def append_group(
    ledger: str, request: Request, desk: AtDesk, who: Writing, *, sealed: Sealed = False
) -> Response:
    """Append all events or none, if the expected versions hold (409 with the `actual` ones)."""
    return await hot.append_group(desk, ledger, who, _ask(request), _wait(sealed))


@router.get(
    "/events", tags=["read"], dependencies=_may_read, responses={200: {"model": Page}},
    response_class=Response,
)  # fmt: skip
async def events(  # noqa: PLR0913 - one parameter for each query parameter
    ledger: str,
    request: Request,
    desk: AtDesk,
    *,
    after: Annotated[int, Query(ge=0, lt=2**63)] = 0,
    limit: Annotated[int | None, Query(ge=1, le=MAX_LIMIT)] = None,
    type: str | None = None,  # noqa: A002 - the query parameter's name
    subject: str | None = None,
    wait: Annotated[float, Query(ge=0, le=MAX_WAIT)] = 0,
) -> Response:
    """Give events after a position, in order, without a gap (but for the filters).

    `wait`: with nothing to give, answer as soon as there is something, or after so many seconds.
    `scanned_to` is the next `after`. With `Accept: application/x-ndjson`: all events up to the
    present head, or `limit` of them, one a line.
    """
    query = PageQuery(after, limit, type, subject, wait)
    if bindings.NDJSON not in request.headers.get("accept", ""):
        return await hot.page(desk, ledger, query, _ask(request))
    window = await page_or_wait(
        desk.reader, desk.wake, ledger, after, limit or EXPORT_PAGE,
        type_=type, subject=subject, wait=wait,
    )  # fmt: skip
    rest = _lines(desk.reader, ledger, window, type, subject, endless=limit is None)
    return StreamingResponse(rest, media_type=bindings.NDJSON)


@router.get(
    "/events/by-id", tags=["read"], dependencies=_may_read,
    responses={200: {"model": RecordedEvent}}, response_class=Response,
)  # fmt: skip
async def event_by_id(ledger: str, desk: AtDesk, source: str, id: str) -> Response:  # noqa: A002
    """Give the event that has this CloudEvents source and id."""
    return answers.event(await desk.reader.by_id(ledger, source, id))


@router.get(
    "/events/{position}", tags=["read"], dependencies=_may_read,
    responses={200: {"model": RecordedEvent}}, response_class=Response,
)  # fmt: skip
async def event_at(
    ledger: str, desk: AtDesk, position: Annotated[int, Path(ge=1, lt=2**63)]
) -> Response:
    """Give the event at a position."""
    return answers.event(await desk.reader.at(ledger, position))


@router.get(
    "/subjects/{subject:path}/history", tags=["read"], dependencies=_may_read,
    responses={200: {"model": HistoryPage}}, response_class=Response,
)  # fmt: skip
async def history(
    ledger: str,
    subject: str,
    desk: AtDesk,
    *,
    after_version: Annotated[int, Query(ge=0, lt=2**31)] = 0,
    as_of: str | None = None,
    limit: Limit = 100,
) -> Response:
    """Give a subject's events in order of version, as of a position or an RFC 3339 time."""
    return await hot.history(desk, ledger, subject, HistoryQuery(after_version, as_of, limit))


@router.get(
    "/histories", tags=["read"], dependencies=_may_read,
    responses={200: {"model": Histories}}, response_class=Response,
)  # fmt: skip
async def histories(
    ledger: str,
    desk: AtDesk,
    subject: Annotated[list[str], Query(min_length=1, max_length=64)],
    as_of: Annotated[int | None, Query(ge=0, lt=2**63)] = None,
) -> Response:
    """Give the beginnings of up to 64 histories in one snapshot: as of a position, else of now."""
    return await hot.histories(desk, ledger, subject, as_of)


@router.get("/head", tags=["read"], dependencies=_may_read)
async def head(ledger: str, desk: AtDesk) -> HeadOfLedger:
    """Give the last position and its commitment."""
    position, commitment = await desk.reader.head(ledger)
    epoch = desk.reader.ledger(ledger).epoch
    return HeadOfLedger(ledger=ledger, epoch=epoch, position=position, commitment=commitment)


async def _lines(
    reader: Reader, ledger: str, window: Window, type_: str | None, subject: str | None, *,
    endless: bool,
) -> AsyncIterator[bytes]:  # fmt: skip
    """Yield NDJSON page by page, each in a query of its own, up to the head of the first page."""
    until = window.head
    while True:
        yield answers.lines(event for event in window.events if event.position <= until)
        if not endless or window.scanned_to >= until:
            return
        window = await reader.page(
            ledger, window.scanned_to, EXPORT_PAGE, type_=type_, subject_=subject
        )
