"""The kinds of connections: how each proves its sender, what is kept, how it is mapped. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from contracts.event import Assurance
from services.ledger.hooks import alertmanager, cloudevents, github, kafka_records, signature
from services.ledger.hooks.adapter import Adapter
from services.ledger.hooks.signature import Proof
from services.ledger.sources import ASSURANCE

_LONGEST_KEY = 300


@dataclass(frozen=True, slots=True)
class Kind:
    """What is fixed by a connection's `adapter`."""

    proves: Proof
    assurance: Assurance
    """A2 when the body is signed, A1 when the channel shows a shared secret."""
    keeps: tuple[str, ...]
    """Headers stored with the bytes; one that ends in `-` is a prefix. Never a secret."""
    key: tuple[str, ...]
    """Headers that together are the sender's delivery key; none: the digest of the bytes."""
    adapter: Adapter

    def kept(self, headers: Mapping[str, str]) -> dict[str, str]:
        """Return the headers to store."""
        prefixes = tuple(name for name in self.keeps if name.endswith("-"))
        return {k: v for k, v in headers.items() if k in self.keeps or k.startswith(prefixes)}

    def delivery_key(self, headers: Mapping[str, str], raw_sha256: str) -> str:
        """Return the key under which a repeated delivery is recognised."""
        parts = [headers.get(name, "") for name in self.key]
        key = " ".join(parts)
        usable = self.key and all(parts) and len(key) <= _LONGEST_KEY and "\x00" not in key
        return key if usable else f"sha256:{raw_sha256}"


KINDS: Mapping[str, Kind] = MappingProxyType(
    {
        "github": Kind(
            proves=signature.github,
            assurance="A2",
            keeps=("content-type", "user-agent", "x-github-", "x-hub-signature-256"),
            key=("x-github-delivery",),
            adapter=github.map_delivery,
        ),
        "alertmanager": Kind(
            proves=signature.bearer_or_basic,
            assurance="A1",
            keeps=("content-type", "user-agent"),
            key=(),
            adapter=alertmanager.map_delivery,
        ),
        # In structured and batch mode the ids stand in the body, which is not parsed before it is
        # stored; there the digest recognises a repetition, and the ledger one of a single event.
        "cloudevents": Kind(
            proves=signature.bearer,
            assurance="A1",
            keeps=("content-type", "user-agent", "ce-"),
            key=("ce-source", "ce-id"),
            adapter=cloudevents.map_delivery,
        ),
        # Nobody can send to it: the ingest keeps here what it could not take in.
        "kafka": Kind(
            proves=lambda *_: False,
            assurance=ASSURANCE,
            keeps=(),
            key=(),
            adapter=kafka_records.map_delivery,
        ),
    }
)


def digest(raw: bytes) -> str:
    """Return the SHA-256 of the bytes received, in hex."""
    return hashlib.sha256(raw).hexdigest()
