"""Redaction: the content of an event is removed; that it was there, and what the tree says, stays.

Two people: one asks and says why, another agrees. Both acts are events. The body goes after the
second one is committed, in a function of the database that refuses anything not so recorded; a
crash in between costs nothing, because `sweep` removes whatever is recorded and still there.
What remains: position, versions, times, type, source, principal, commitment – and every proof.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from contracts.event import OURS, Origin
from contracts.problem import Conflict, Forbidden, IdConflict, Invalid, NotFound, Unavailable
from services.kit import database, logs
from services.kit.identity import Principal
from services.ledger import hot, own
from services.ledger.admission import LEDGERS_OWN, OURS_ALONE
from services.ledger.databases import Database
from services.ledger.hot import Desk
from services.ledger.store import Reader

ASKED, DONE = f"{OURS}event.redaction_requested.v1", f"{OURS}event.redacted.v1"
LISTED = 50
KEPT = LEDGERS_OWN | OURS_ALONE | {f"{OURS}role.assigned.v1", f"{OURS}role.revoked.v1"}
"""Types whose events stay: they name people by pseudonyms, and every later decision reads them."""
SWEEP_SECONDS = 60.0
_ERASE = "SELECT ledger.erase_v1($1, $2)"
_LEFT = "SELECT ledger.unerased_v1($1)"
router = APIRouter(prefix=f"{hot.PREFIX}/redactions", tags=["redaction"])
_log = logs.get(__name__)


class RedactionRequest(BaseModel):
    """Which event's content is to be removed, and why."""

    model_config = ConfigDict(extra="forbid")

    position: int = Field(ge=1, lt=2**63)
    reason: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=2000)]


class Redaction(BaseModel):
    """How far a redaction has come."""

    position: int
    state: str
    """`requested` or `redacted`."""
    reason: str
    requested_by: str
    approved_by: str | None = None


class Redactions(BaseModel):
    """Redactions, in the order asked for; the next ones are after `scanned_to`, up to `head`."""

    redactions: list[Redaction]
    scanned_to: int
    head: int


async def _desk(request: Request) -> Desk:
    desk: Desk = request.app.state.desk
    return desk


AtDesk = Annotated[Desk, Depends(_desk)]
Position = Annotated[int, Path(ge=1, lt=2**63)]


@router.post("", status_code=202)
async def ask(
    ledger: str, asked: RedactionRequest, request: Request, response: Response, desk: AtDesk
) -> Redaction:
    """Ask for a redaction. Needs the scope `redact`; nothing is removed before another agrees.

    What was asked for before stands as it was, with its own reason: the answer says which.
    """
    who = _in_person(desk, request)
    found = await desk.reader.at(ledger, asked.position)
    if (type_ := found.as_model().type) in KEPT:
        raise Invalid(f"{type_} is not redacted: who may do what, and what was done, rests on it")
    newest = desk.published.newest(ledger)
    if newest is None or newest.size < asked.position:
        raise Conflict(f"position {asked.position} is not sealed yet: ask again in a second")
    data = {"position": asked.position, "reason": asked.reason, "requested_by": who.id}
    with contextlib.suppress(IdConflict):  # asked for before, by another or for another reason
        await _append(desk, ledger, who, ASKED, data, {})
    response.headers["location"] = f"{request.url.path}/{asked.position}"
    return await _state(desk, ledger, asked.position)


@router.post("/{position}/approval")
async def approve(ledger: str, position: Position, request: Request, desk: AtDesk) -> Redaction:
    """Agree to a redaction that somebody else asked for: the content is removed."""
    who = _in_person(desk, request)
    state = await _state(desk, ledger, position)
    if state.state == "requested":
        if who.id == state.requested_by:
            raise Forbidden("whoever asks for a redaction cannot agree to it: it takes two")
        at = (await desk.reader.at(ledger, position)).commitment.hex()
        data = {
            "position": position, "commitment": at, "reason": state.reason,
            "requested_by": state.requested_by, "approved_by": who.id,
        }  # fmt: skip
        # Nobody else writes into this history: the request is its one event.
        await _append(desk, ledger, who, DONE, data, {f"event:{position}": 1})
    await _erase(desk.reader, ledger, position)
    return await _state(desk, ledger, position)


@router.get("")
async def redactions(
    ledger: str, request: Request, desk: AtDesk, after: Annotated[int, Query(ge=0, lt=2**63)] = 0
) -> Redactions:
    """List redactions: who asked, who agreed, why, and what still waits for a second person."""
    desk.require(request.headers, "read")
    window = await desk.reader.page(ledger, after, LISTED, type_=ASKED)
    asked = [event.as_model().data["position"] for event in window.events]
    found = [await _state(desk, ledger, position) for position in asked]
    return Redactions(redactions=found, scanned_to=window.scanned_to, head=window.head)


@router.get("/{position}")
async def state(ledger: str, position: Position, request: Request, desk: AtDesk) -> Redaction:
    """Say how far the redaction of an event has come; 404 when nobody asked for one."""
    desk.require(request.headers, "read")
    return await _state(desk, ledger, position)


def _in_person(desk: Desk, request: Request) -> Principal:
    """Return who asks by a key of their own: one service's key could play both people."""
    who = desk.require(request.headers, "redact")
    if who.via is not None:
        raise Forbidden("redaction is asked for and agreed to in person, not by a service for one")
    return who


async def sweep(reader: Reader) -> None:
    """Remove, for ever, what is recorded as redacted and still there: a crash came between."""
    while True:
        for row in reader.ledgers:
            try:
                await _sweep(reader, row.name)
            except (database.RoleRefused, TimeoutError, *database.DatabaseError) as error:
                _log.warning("redactions.not_swept", ledger=row.name, reason=str(error))
        await asyncio.sleep(SWEEP_SECONDS)


async def _sweep(reader: Reader, ledger: str) -> None:
    row, base = reader.ledger(ledger), reader.placement.home(ledger)
    async with _eraser(base) as connection:
        for (position,) in await connection.fetch(_LEFT, row.id):
            await connection.execute(_ERASE, row.id, position)
            _log.warning("redactions.completed", ledger=ledger, position=position)


async def _erase(reader: Reader, ledger: str, position: int) -> None:
    row, base = reader.ledger(ledger), reader.placement.home(ledger)
    try:
        async with _eraser(base) as connection:
            await connection.execute(_ERASE, row.id, position)
    except (database.RoleRefused, TimeoutError, OSError, *database.DatabaseError) as error:
        raise Unavailable("it is recorded and not removed yet: the next sweep does it") from error


@contextlib.asynccontextmanager
async def _eraser(base: Database) -> Any:
    connection = await database.connection(base.url, "ledger eraser", role="rlg_eraser")
    try:
        yield connection
    finally:
        await connection.close()


async def _append(
    desk: Desk, ledger: str, who: Principal, type_: str, data: dict[str, Any],
    expect: dict[str, int],
) -> None:  # fmt: skip
    name = type_.removeprefix(OURS).partition(".v")[0]
    event = {"id": f"{name}-{data['position']}", "type": type_, "data": data}
    origin = Origin(principal=who.id, assurance=who.assurance)
    await own.record(desk.appender_for(ledger), "redactions", event, origin, expect)


async def _state(desk: Desk, ledger: str, position: int) -> Redaction:
    window = await desk.reader.history(ledger, f"event:{position}", limit=hot.MAX_LIMIT)
    found = {each.type: each.data for each in (event.as_model() for event in window.events)}
    data = found.get(DONE) or found.get(ASKED)
    if data is None:
        raise NotFound(f"nobody asked for a redaction of position {position}")
    said = "redacted" if DONE in found else "requested"
    return Redaction(state=said, **{k: v for k, v in data.items() if k != "commitment"})
