"""Asks witnesses to cosign a checkpoint, and says whether the policy's quorum is met.

Fail open by default: without the quorum a checkpoint is published all the same, with an alarm
(`rlg_witness_failures_total`, /readyz), because a log that stops proves less than one that goes on.
`LEDGER_WITNESS_REQUIRED=1` fails closed: nothing is published, nothing counts as sealed, until the
quorum cosigns.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable

from contracts.problem import Problem
from services.kit import logs, metrics
from services.kit.remote import Client
from services.kit.tlog import merkle
from services.kit.tlog.checkpoint import Checkpoint
from services.kit.tlog.keys import NotANote
from services.kit.tlog.merkle import ProofError
from services.kit.tlog.note import Note, Signature, read_signatures
from services.kit.tlog.policy import Member, Policy
from services.kit.tlog.tiles import TileReader
from services.kit.tlog.witness import Request
from services.ledger.sealing.shelf import Shelf

SECONDS = 2.0
"""How long one witness may take. It is asked again for the next checkpoint."""
_OK, _CONFLICT = 200, 409
_SIZE = re.compile(rb"(0|[1-9][0-9]{0,18})\n?")
_log = logs.get(__name__)


class NotWitnessed(Exception):
    """The quorum is required and was not met; what was sealed is not published yet."""


class Witnesses:
    """The witnesses of one log. `dial` opens a client for a submission prefix."""

    def __init__(
        self, ledger: str, policy: Policy, shelf: Shelf, dial: Callable[[str], Client], *,
        required: bool,
    ) -> None:  # fmt: skip
        self._ledger = ledger
        self._policy = policy
        self._shelf = shelf
        self._dial = dial
        self._required = required
        self._asked = [member for member in policy.witnesses if member.url]
        self._clients: dict[str, Client] = {}
        self._sizes: dict[str, int] = {}
        self._silent: set[str] = set()
        self.trouble: str | None = None
        """Who has not cosigned the newest checkpoint, when the quorum is not met."""

    async def cosign(self, note: Note, head: Checkpoint) -> Note:
        """Return the note with the cosignatures that came. Raises `NotWitnessed` if required."""
        came = await asyncio.gather(*(self._ask(member, note, head) for member in self._asked))
        lines = tuple(line for line in came if line is not None)
        signed = {m.name for m, line in zip(self._asked, came, strict=True) if line is not None}
        self.trouble = self._missing(signed)
        if self.trouble and self._required:
            raise NotWitnessed(self.trouble)
        return Note(note.text, (*note.signatures, *lines))

    async def close(self) -> None:
        """Close the connections."""
        for client in self._clients.values():
            await client.close()
        self._clients.clear()

    def _missing(self, signed: set[str]) -> str | None:
        if self._policy.satisfied(signed):
            return None
        missing = sorted(member.name for member in self._policy.witnesses)
        said = ", ".join(name for name in missing if name not in signed)
        return f"the quorum of witnesses is not met: {said} did not cosign"

    async def _ask(self, member: Member, note: Note, head: Checkpoint) -> Signature | None:
        try:
            async with asyncio.timeout(SECONDS):
                return await self._submit(member, note, head)
        except (Problem, TimeoutError, NotANote, ProofError) as error:
            why = str(error) or type(error).__name__
            if member.name not in self._silent:  # said once, counted each time
                _log.warning("witness.failed", ledger=self._ledger, witness=member.name, reason=why)
            self._silent.add(member.name)
            metrics.count("rlg_witness_failures_total", ledger=self._ledger, witness=member.name)
            return None

    async def _submit(self, member: Member, note: Note, head: Checkpoint) -> Signature:
        """Submit; a witness that has seen another size says so, and gets the proof from there."""
        for _ in range(2):
            old = self._sizes.get(member.name, 0)
            proof = await asyncio.to_thread(self._proof, old, head)
            body = Request(old, proof, note.content).encode()
            status, answer = await self._client(member).send("/add-checkpoint", body)
            said = _SIZE.fullmatch(answer)
            if status != _CONFLICT or said is None or int(said[1]) in {old, *_beyond(head, said)}:
                break
            self._sizes[member.name] = int(said[1])
        if status != _OK:
            raise NotANote(f"{status} {answer[:200].decode(errors='replace').strip()}")
        self._sizes[member.name] = head.size
        self._silent.discard(member.name)
        return _own(member, note, answer)

    def _proof(self, old: int, head: Checkpoint) -> tuple[bytes, ...]:
        read = TileReader(head.size, head.root, self._shelf.read).read
        return tuple(merkle.consistency_proof(old, head.size, read))

    def _client(self, member: Member) -> Client:
        if member.name not in self._clients:
            self._clients[member.name] = self._dial(str(member.url))
        return self._clients[member.name]


def _beyond(head: Checkpoint, said: re.Match[bytes]) -> set[int]:
    """Return the size said when the tree is smaller: it cannot continue what was seen."""
    return {int(said[1])} if int(said[1]) > head.size else set()


def _own(member: Member, note: Note, answer: bytes) -> Signature:
    """Return the line of the witness's own key that is right; others are passed over."""
    for line in read_signatures(answer):
        if (line.name, line.key_id) == (member.witness.name, member.witness.key_id):
            if not member.witness.verifies(note.text, line.value):
                raise NotANote("its cosignature is wrong")
            return line
    raise NotANote("it answered without a cosignature of its own")
