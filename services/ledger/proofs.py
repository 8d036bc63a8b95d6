"""The proof over HTTP: checkpoint and tiles as C2SP tlog-tiles has them, for anyone; and proofs.

Checkpoint and tiles need no key: leaves hold hashes, numbers and uids that name nobody.
"""

from __future__ import annotations

import asyncio
import re
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Request
from starlette.responses import Response, StreamingResponse

from contracts.problem import NotFound, Unavailable
from services.kit.tlog.checkpoint import Checkpoint
from services.kit.tlog.note import Note
from services.kit.tlog.tiles import NotATile, Tile
from services.ledger import hot
from services.ledger.evidence.collect import collect
from services.ledger.evidence.pack import Contents, write
from services.ledger.hot import Desk
from services.ledger.sealing import succession
from services.ledger.sealing.anchor import PATH
from services.ledger.sealing.shelf import CHECKPOINT

router = APIRouter(prefix=hot.PREFIX, tags=["proof"])
_TEXT = "text/plain; charset=utf-8"
_FOREVER = {"cache-control": "public, max-age=31536000, immutable"}
_NOW = {"cache-control": "no-cache"}


async def _desk(request: Request) -> Desk:
    desk: Desk = request.app.state.desk
    return desk


AtDesk = Annotated[Desk, Depends(_desk)]


@router.get(f"/{CHECKPOINT}", response_class=Response)
async def checkpoint(ledger: str, desk: AtDesk) -> Response:
    """Give the newest checkpoint: a signed note with the tree's size and root."""
    desk.reader.ledger(ledger)
    content = await asyncio.to_thread(desk.published.file, ledger, CHECKPOINT)
    return Response(content, media_type=_TEXT, headers=_NOW)


@router.get("/tile/{path:path}", response_class=Response)
async def tile(ledger: str, path: str, desk: AtDesk) -> Response:
    """Give a tile, or a bundle of entries (`entries/…`). Once there it never changes."""
    desk.reader.ledger(ledger)
    try:
        wanted = Tile.parse(f"tile/{path}")
    except NotATile as error:
        raise NotFound(str(error)) from None
    content = await asyncio.to_thread(desk.published.file, ledger, wanted.path)
    return Response(content, media_type="application/octet-stream", headers=_FOREVER)


@router.get(f"/{succession.FOLDER}/{{key}}", response_class=Response)
async def rotated(ledger: str, key: str, desk: AtDesk) -> Response:
    """Give what shows a replaced key's successor: the event, with its proof under the old key.

    `key`: the first 32 hex digits of the SHA-256 of the old key (vkey). 404: it is not replaced.
    """
    desk.reader.ledger(ledger)
    if not re.fullmatch(r"[0-9a-f]{32}", key, re.ASCII):
        raise NotFound(f"there is no {succession.FOLDER}/{key[:40]}")
    path = f"{succession.FOLDER}/{key}"
    content = await asyncio.to_thread(desk.published.file, ledger, path)
    return Response(content, media_type="application/json", headers=_NOW)


@router.get("/anchor/{path:path}", response_class=Response)
async def anchor(ledger: str, path: str, desk: AtDesk) -> Response:
    """Give the list of daily time-stamps (`index`), or a file of one: see `sealing.anchor`."""
    desk.reader.ledger(ledger)
    if not PATH.fullmatch(path):
        raise NotFound(f"there is no anchor/{path[:40]}")
    content = await asyncio.to_thread(desk.published.file, ledger, f"anchor/{path}")
    kind = "application/timestamp-reply" if path.endswith(".tsr") else _TEXT
    return Response(content, media_type=kind, headers=_NOW)


@router.get("/events/{position}/proof", response_class=Response)
async def proof(
    ledger: str,
    position: Annotated[int, Path(ge=1, lt=2**63)],
    request: Request,
    desk: AtDesk,
    *,
    wait: Annotated[float, Query(ge=0, le=hot.MAX_WAIT)] = 0,
) -> Response:
    """Give the proof (C2SP tlog-proof) that the tree holds an event's leaf; 404 for no such event.

    `wait`: an event that is not sealed yet may become so within so many seconds; else 503.
    """
    desk.require(request.headers, "read")
    await desk.reader.at(ledger, position)
    sealed = await desk.published.covering(ledger, position, wait)
    made = await asyncio.to_thread(desk.published.proof, ledger, position, sealed)
    return Response(made.encode(), media_type=_TEXT, headers=_NOW)


@router.get("/trust/{name}", response_class=Response)
async def trust(ledger: str, name: str, desk: AtDesk) -> Response:
    """Give a public key or the policy, to compare with what you got from somebody you trust."""
    desk.reader.ledger(ledger)
    content = desk.published.trust(ledger).get(name)
    if content is None:
        raise NotFound(f"there is no {name}")
    return Response(content, media_type=_TEXT, headers=_NOW)


@router.get("/subjects/{subject:path}/pack", response_class=Response)
async def pack(
    ledger: str, subject: str, request: Request, desk: AtDesk, *, tree: bool = True
) -> Response:
    """Give the evidence pack (zip) of a release: its events with their proofs, to be checked
    offline. `tree=false` leaves out the entries that prove that nothing is missing.
    """
    desk.require(request.headers, "read")
    row, sealed = desk.reader.ledger(ledger), desk.published.newest(ledger)
    signer = desk.published.signer(ledger)
    if sealed is None or signer is None:
        raise Unavailable(f"{ledger} is not sealed, or there is no key for evidence here")
    head = Checkpoint.parse(Note.parse(sealed.note).text)
    base = desk.reader.placement.home(ledger)
    contents = Contents(
        subject=subject,
        head=head,
        sealed=sealed,
        collected=await collect(base, row.id, subject, sealed.size),
        trust=desk.published.trust(ledger),
        shelf=desk.published.shelf(ledger),
        signer=signer,
        tree=tree,
    )
    name = re.sub(r"[^a-zA-Z0-9.-]+", "-", subject)
    headers = {"content-disposition": f'attachment; filename="{name}-evidence.zip"', **_NOW}
    return StreamingResponse(write(contents), media_type="application/zip", headers=headers)
