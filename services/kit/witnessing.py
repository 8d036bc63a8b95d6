"""A witness of logs (C2SP tlog-witness): cosigns a checkpoint when it continues what it saw before.

Every service may be one, with a key and a record of its own. Promise: for each log, what it has
cosigned is one story; the record is on disk, compared and set in one step, before the answer. A
witness needs no password from whoever asks: the checkpoint's signature says whose it is.

One folder holds everything: `cosigner.skey` (0600), `cosigner.vkey` for others, `logs` (verifier
keys of the logs that it watches, one a line), `seen.db` (what it saw).
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TypeAlias

from fastapi import APIRouter, Request
from starlette.responses import Response

from contracts.problem import NotFound, TooLarge
from services.kit import clock
from services.kit.settings import SettingsError, Shared
from services.kit.tlog import witness
from services.kit.tlog.checkpoint import Checkpoint
from services.kit.tlog.cosignature import Cosigner
from services.kit.tlog.keys import NotANote
from services.kit.tlog.note import Ed25519Verifier
from services.kit.tlog.witness import NOTHING, Refused, Seen

PATH = "/v1/witness"
"""The submission prefix."""
KEY, VKEY, LOGS, RECORD = "cosigner.skey", "cosigner.vkey", "logs", "seen.db"
Logs: TypeAlias = Callable[[], list[Ed25519Verifier]]
_TEXT = "text/plain; charset=utf-8"
_TABLE = """
CREATE TABLE IF NOT EXISTS seen (
    origin TEXT PRIMARY KEY, size INTEGER NOT NULL, root BLOB NOT NULL, checkpoint BLOB NOT NULL
) STRICT
"""
_KEEP = """
INSERT INTO seen VALUES (?, ?, ?, ?) ON CONFLICT (origin) DO UPDATE
   SET size = excluded.size, root = excluded.root, checkpoint = excluded.checkpoint
 WHERE excluded.size >= seen.size
"""


class Record:
    """What a witness has seen, in a SQLite file."""

    def __init__(self, file: Path) -> None:
        self._file = file

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Lend a connection; nobody else reads or writes until the block ends, and then it is on
        disk.
        """
        opened = sqlite3.connect(self._file, timeout=5, isolation_level=None)
        with closing(opened) as database:
            database.execute("PRAGMA synchronous = FULL")
            database.execute("BEGIN IMMEDIATE")
            try:
                database.execute(_TABLE)
                yield database
            except BaseException:
                database.execute("ROLLBACK")
                raise
            database.execute("COMMIT")


class Witness:
    """One witness. `logs` is asked each time, so that a log can be added while it runs."""

    def __init__(self, cosigner: Cosigner, logs: Logs, record: Record) -> None:
        self._cosigner = cosigner
        self._logs = logs
        self._record = record

    @property
    def vkey(self) -> str:
        """The public key."""
        return self._cosigner.witness.vkey

    def cosign(self, body: bytes, moment: int) -> bytes:
        """Return a cosignature line for a request's checkpoint, or raise `Refused`; blocks."""
        try:
            request = witness.Request.parse(body)
        except NotANote as error:
            raise Refused(400, str(error)) from None
        origin = witness.origin_of(request)
        logs = [log for log in self._logs() if log.name == origin]
        with self._record.transaction() as database:
            head = witness.judge(request, _seen(database, origin), logs)
            _keep(database, head, request.checkpoint)
        return self._cosigner.cosign(head.text, moment).line


def _seen(database: sqlite3.Connection, origin: str) -> Seen:
    found = database.execute("SELECT size, root FROM seen WHERE origin = ?", (origin,)).fetchone()
    return NOTHING if found is None else Seen(*found)


def _keep(database: sqlite3.Connection, head: Checkpoint, content: bytes) -> None:
    database.execute(_KEEP, (head.origin, head.size, head.root, content))


def router(opened: Callable[[], Witness | None]) -> APIRouter:
    """Return the routes of a witness; 404 while there is none here."""
    routes = APIRouter(prefix=PATH, tags=["witness"])

    def present() -> Witness:
        found = opened()
        if found is None:
            raise NotFound("this service is not a witness: it has no key")
        return found

    @routes.post("/add-checkpoint", response_class=Response)
    async def add_checkpoint(request: Request) -> Response:
        """Cosign a checkpoint that continues the last one (C2SP tlog-witness)."""
        here, body = present(), await _body(request)
        try:
            line = await asyncio.to_thread(here.cosign, body, int(clock.now().timestamp()))
        except Refused as refused:
            return _refusal(refused)
        return Response(line, media_type=_TEXT)

    @routes.get("/vkey", response_class=Response)
    async def vkey() -> Response:
        """Give the witness's public key, to compare with what you were given by its keeper."""
        return Response(f"{present().vkey}\n", media_type=_TEXT)

    return routes


async def _body(request: Request) -> bytes:
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > witness.MAX_REQUEST_BYTES:
            raise TooLarge("the request is too large", limit=witness.MAX_REQUEST_BYTES)
    return body


def _refusal(refused: Refused) -> Response:
    if refused.size is None:
        return Response(f"{refused}\n", refused.status, media_type=_TEXT)
    return Response(
        f"{refused.size}\n", refused.status, headers={"content-type": witness.SIZE_TYPE}
    )


def make(folder: Path, name: str) -> None:
    """Make a witness's key in a folder that has none."""
    if (folder / KEY).exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    cosigner = Cosigner.generate(name)
    handle = os.open(folder / KEY, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as out:
        out.write(cosigner.skey)
    (folder / VKEY).write_text(f"{cosigner.witness.vkey}\n", encoding="utf-8")


def read(folder: Path, logs: Logs | None = None) -> Witness | None:
    """Open a witness; None where its folder has no key. Raises `SettingsError`."""
    if not (folder / KEY).exists():
        return None
    if (folder / KEY).stat().st_mode & 0o077:
        raise SettingsError(f"others can read the key {folder / KEY}: chmod 600")
    try:
        cosigner = Cosigner.parse((folder / KEY).read_text(encoding="utf-8"))
    except (NotANote, UnicodeDecodeError) as error:
        raise SettingsError(f"{folder / KEY}: {error}") from None
    return Witness(cosigner, logs or _listed(folder / LOGS), Record(folder / RECORD))


def _listed(file: Path) -> Logs:
    def logs() -> list[Ed25519Verifier]:
        lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
        return [Ed25519Verifier.parse(line) for line in lines if line.strip()]

    return logs


def served(name: str, folder: Path | None, shared: Shared) -> APIRouter:
    """Return the routes of a service that is a witness where its folder has a key.

    The folder is looked into at the first request: in development mode the key is made meanwhile,
    and the logs are those that this installation seals.
    """
    where = folder or shared.data / "keys" / name
    logs = _sealed_here(shared.data / "keys") if shared.dev and folder is None else None
    found: list[Witness] = []

    def opened() -> Witness | None:
        if not found and (there := read(where, logs)) is not None:
            found.append(there)
        return found[0] if found else None

    return router(opened)


def _sealed_here(keys: Path) -> Logs:
    def logs() -> list[Ed25519Verifier]:
        files = sorted(keys.glob("*/sealer.vkey"))
        return [Ed25519Verifier.parse(file.read_text(encoding="utf-8")) for file in files]

    return logs
