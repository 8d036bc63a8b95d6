"""The daily anchor: a time-stamp (RFC 3161) of the published checkpoint, by an authority outside.

Witnesses say when they saw a checkpoint; a time-stamp says so in a form that courts and auditors
know, and openssl checks it. On the shelf, one folder a day:

    anchor/index                        one line a day: date, size of the tree
    anchor/2026-03-01/checkpoint        the signed note, byte for byte what was stamped
    anchor/2026-03-01/response.tsr      the authority's response

An authority that is away or answers nonsense holds up nothing: it is asked again, later and later.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cryptography.x509 import Certificate, load_pem_x509_certificates

from contracts.problem import Problem
from services.kit import clock, logs, metrics
from services.kit.remote import Client
from services.kit.settings import SettingsError
from services.kit.tlog.checkpoint import Checkpoint
from services.kit.tlog.note import Note
from services.ledger.sealing.shelf import CHECKPOINT, Readable, Shelf

if TYPE_CHECKING:
    from services.ledger.settings import LedgerSettings

INDEX = "anchor/index"
PATH = re.compile(r"index|\d{4}-\d\d-\d\d/(checkpoint|response\.tsr)", re.ASCII)
"""What there is below `anchor/`."""
LOOK_SECONDS = 600.0
"""How often it is looked whether the day has its anchor; also the longest pause after a failure."""
_FIRST_PAUSE = 5.0
_REQUEST = "application/timestamp-query"
_OK = 200
_log = logs.get(__name__)


class NotStamped(Exception):
    """A response is no time-stamp of this checkpoint by an authority that is trusted."""


@dataclass(frozen=True, slots=True)
class Authority:
    """Who stamps: where it is, and under which certificates its own has to be."""

    url: str
    roots: tuple[Certificate, ...]


@dataclass(frozen=True, slots=True)
class Anchor:
    """One day's anchor."""

    date: str
    checkpoint: bytes
    response: bytes


def request(checkpoint: bytes) -> tuple[bytes, int]:
    """Return a request (DER) for a checkpoint, and its nonce. Asks for the certificates too."""
    import rfc3161_client as tsp  # noqa: PLC0415 - an extra: only where there is an authority

    made = (
        tsp.TimestampRequestBuilder()
        .data(checkpoint)
        .hash_algorithm(tsp.HashAlgorithm.SHA256)
        .nonce(nonce=True)
        .cert_request(cert_request=True)
        .build()
    )
    nonce = made.nonce
    if nonce is None:
        raise NotStamped("the request has no nonce")
    return made.as_bytes(), nonce


def stamped(
    response: bytes, checkpoint: bytes, roots: Sequence[Certificate], nonce: int | None = None
) -> datetime:
    """Return when an authority below `roots` saw a checkpoint. Raises `NotStamped`.

    `nonce`: the request's, which an answer to another one does not have.
    """
    import rfc3161_client as tsp  # noqa: PLC0415 - an extra: only where there is an authority

    try:
        found = tsp.decode_timestamp_response(response)
        builder = tsp.VerifierBuilder(roots=list(roots), nonce=nonce)
        builder.build().verify_message(found, checkpoint)
    except (tsp.VerificationError, ValueError) as error:
        raise NotStamped(str(error)) from error
    moment: datetime = found.tst_info.gen_time
    return moment


def read_roots(file: Path) -> list[Certificate]:
    """Read the certificates (PEM) under which an authority has to be. Raises `SettingsError`."""
    try:
        return load_pem_x509_certificates(file.read_bytes())
    except (OSError, ValueError) as error:
        raise SettingsError(f"{file}: {error}") from None


def anchors(shelf: Readable) -> list[Anchor]:
    """Return the anchors on a shelf, the oldest first. Raises `NotStamped` for one that is torn."""
    found = []
    for date, _ in _index(shelf):
        note = shelf.read(f"anchor/{date}/{CHECKPOINT}")
        response = shelf.read(f"anchor/{date}/response.tsr")
        if note is None or response is None:
            raise NotStamped(f"the anchor of {date} is in the index and its files are not there")
        found.append(Anchor(date, note, response))
    return found


class Anchorer:
    """Anchors one log each day."""

    def __init__(
        self, ledger: str, shelf: Shelf, client: Client, authority: Authority,
        now: Callable[[], datetime] = clock.now,
    ) -> None:  # fmt: skip
        """`client` sends to the authority."""
        self._ledger = ledger
        self._shelf = shelf
        self._client = client
        self._authority = authority
        self._now = now
        self._failures = 0
        self._seen: list[tuple[str, int]] = []
        """The index as it was; days are only ever added to it."""

    async def run(self) -> None:
        """Anchor for ever."""
        while True:
            pause = await self.step()
            await asyncio.sleep(pause)

    async def step(self) -> float:
        """Anchor if the day has no anchor yet; return in how many seconds to look again."""
        date = self._now().strftime("%Y-%m-%d")
        try:
            index = await asyncio.to_thread(_index, self._shelf)
            self._grown(index)
            if index:
                metrics.gauge("rlg_anchored_size", index[-1][1], ledger=self._ledger)
            if any(known == date for known, _ in index):
                return LOOK_SECONDS
            await self._anchor(date, index)
        except (NotStamped, Problem, OSError) as error:
            self._failures += 1
            metrics.count("rlg_anchor_failures_total", ledger=self._ledger)
            _log.warning("anchor.failed", ledger=self._ledger, reason=str(error))
            return min(LOOK_SECONDS, _FIRST_PAUSE * 2.0 ** min(self._failures - 1, 10))
        self._failures = 0
        return LOOK_SECONDS

    def _grown(self, index: list[tuple[str, int]]) -> None:
        if index[: len(self._seen)] != self._seen:
            raise NotStamped(f"{INDEX} has lost or changed a day that it had")
        self._seen = index

    async def _anchor(self, date: str, index: list[tuple[str, int]]) -> None:
        """Ask, check, keep. A day that was begun goes on with the checkpoint that it began with."""
        begun = f"anchor/{date}/{CHECKPOINT}"
        note = await asyncio.to_thread(self._shelf.read, begun)
        note = note or await asyncio.to_thread(self._shelf.read, CHECKPOINT)
        size = Checkpoint.parse(Note.parse(note).text).size if note else 0
        if note is None or not size:
            return  # nothing was recorded yet
        asked, nonce = request(note)
        status, response = await self._client.send(self._authority.url, asked, _REQUEST)
        if status != _OK:
            raise NotStamped(f"the authority answers with status {status}")
        moment = stamped(response, note, self._authority.roots, nonce)
        files = {begun: note, f"anchor/{date}/response.tsr": response}
        for path, content in files.items():
            await asyncio.to_thread(self._shelf.replace, path, content)
        grown = [*index, (date, size)]
        text = "".join(f"{day} {n}\n" for day, n in grown)
        await asyncio.to_thread(self._shelf.replace, INDEX, text.encode())
        self._seen = grown
        metrics.gauge("rlg_anchored_size", size, ledger=self._ledger)
        _log.info("anchor.made", ledger=self._ledger, size=size, moment=moment.isoformat())


def authority(settings: LedgerSettings) -> Authority | None:
    """Return who stamps; None for nobody. Raises `SettingsError`."""
    if settings.tsa is None:
        return None
    if settings.tsa_roots is None:
        raise SettingsError("LEDGER_TSA_ROOTS (certificates in PEM) has to go with LEDGER_TSA")
    need_extra()
    return Authority(settings.tsa, tuple(read_roots(settings.tsa_roots)))


def need_extra() -> None:
    """Raise `SettingsError` where the library is missing."""
    try:
        import rfc3161_client  # noqa: PLC0415, F401 - an extra
    except ImportError:
        raise SettingsError(
            "time-stamps need the extra `anchor`: pip install 'release-ledger[anchor]'"
        ) from None


def _index(shelf: Readable) -> list[tuple[str, int]]:
    text = (shelf.read(INDEX) or b"").decode()
    pairs: list[Any] = [line.split() for line in text.splitlines()]
    try:
        return [(str(date), int(size)) for date, size in pairs]
    except ValueError as error:
        raise NotStamped(f"{INDEX} is damaged: {error}") from None
