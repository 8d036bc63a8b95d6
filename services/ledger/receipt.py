"""What an append gives its caller: a receipt that is written when somebody reads it. Pure.

`as_json` is the one place where a receipt becomes bytes. Its signature is a line of a signed note
whose text is the receipt itself, as written, up to and with `recorded_at`:

    {"ledger":…,"recorded_at":"…"}
    <empty line>
    — <origin>/receipts <base64>

Whoever holds it holds the ledger to it: a tree that says otherwise is evidence against the ledger.
"""

from __future__ import annotations

import functools
from json.encoder import encode_basestring as quoted
from typing import TYPE_CHECKING, NamedTuple

from contracts.event import Receipt, format_time

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from services.ledger.model import Stored

_written = functools.lru_cache(maxsize=64)(format_time)
"""All events of a batch have the same instant."""


class Seal(NamedTuple):
    """What is known of the tree when a receipt is written.

    `sign` returns a signature line (C2SP signed-note) for a text; None: there is no key here.
    """

    size: int
    sign: Callable[[bytes], str] | None

    def covers(self, position: int) -> bool:
        """Say whether a published checkpoint covers a position."""
        return position <= self.size


class Acknowledgement(NamedTuple):
    """A receipt (`contracts.event.Receipt`) nobody has written yet; equal ones say the same."""

    ledger: str
    event_id: str
    source: str
    stored: Stored
    """The event, whose batch has landed."""

    @property
    def position(self) -> int:
        """The position of the event."""
        return self.stored.position

    @property
    def versions(self) -> Mapping[str, int]:
        """The version of each subject that the event names. Not to be changed."""
        return self.stored.versions

    @property
    def commitment(self) -> str:
        """SHA-256(salt ‖ body), hex."""
        return self.stored.commitment.hex()

    @property
    def recorded_at(self) -> str:
        """RFC 3339, in UTC with microseconds."""
        moment = self.stored.recorded_at
        assert moment is not None  # noqa: S101 - answers are given for what has landed
        return _written(moment)

    def as_json(self, seal: Seal | None = None) -> bytes:
        """Return the receipt as JSON, the members in the order of `contracts.event.Receipt`."""
        sealed, signature = False, "null"
        said = self._said()
        if seal is not None:
            sealed = seal.covers(self.position)
            signature = quoted(seal.sign(f"{said}}}\n".encode())) if seal.sign else "null"
        told = "true" if sealed else "false"
        return f'{said},"sealed":{told},"signature":{signature}}}'.encode()

    def _said(self) -> str:
        versions = ",".join([f"{quoted(key)}:{version}" for key, version in self.versions.items()])
        return (
            f'{{"ledger":{quoted(self.ledger)},"position":{self.position}'
            f',"versions":{{{versions}}},"event_id":{quoted(self.event_id)}'
            f',"source":{quoted(self.source)},"commitment":"{self.commitment}"'
            f',"recorded_at":"{self.recorded_at}"'
        )

    def as_model(self) -> Receipt:
        """Return the same as a model."""
        return Receipt.model_validate_json(self.as_json())
