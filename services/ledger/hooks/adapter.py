"""What an adapter is: a pure function from one stored delivery to facts. Knows no database."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from contracts.ijson import Json
from contracts.payloads.model import Tier

VERSION = "1"
"""Stored with what an adapter made or refused. Raise it when a mapping changes its meaning."""

_NAMESPACE = uuid.UUID("6f1d9f0e-6a43-5d0c-9a55-0c4b8f7f2a31")
_NOT_IN_IDENTIFIERS = re.compile(r"[\s,\x00-\x1f\x7f]+")
_TIER_BY_NAME: tuple[tuple[str, Tier], ...] = (
    ("prod", "production"),
    ("stag", "staging"),
    ("qa", "testing"),
    ("test", "testing"),
    ("tst", "testing"),
    ("dev", "development"),
)


class CannotMap(ValueError):
    """A delivery that its adapter should understand and does not; the message says why."""


@dataclass(frozen=True, slots=True)
class Scope:
    """What an adapter may know of its connection. Never a secret."""

    connection: str
    service_map: Mapping[str, str] = field(default_factory=dict)
    """Their name of a service or repository → our service id."""
    tiers: Mapping[str, Tier] = field(default_factory=dict)
    """Their name of an environment → its tier."""
    incident_severities: frozenset[str] = frozenset({"critical", "page"})

    def service(self, *names: str) -> str:
        """Return the service that the first known of `names` stands for, else the last name."""
        mapped = (self.service_map[name] for name in names if name in self.service_map)
        return next(mapped, identifier(names[-1]))

    def environment(self, name: str, *, production: bool | None = None) -> dict[str, Json]:
        """Return `{id, tier}`: the tier from the connection's map, else guessed by name or flag."""
        return {
            "id": identifier(name),
            "tier": self.tiers.get(name) or _tier(name, production=production),
        }


@dataclass(frozen=True, slots=True)
class Fact:
    """One CloudEvent to append, whose id is derived from its natural key.

    `agree` says what a second delivery of the same natural key must have in common with the first
    to count as a duplicate: None, the whole event; else these members of `data` (none of them:
    the first delivery always wins). What disagrees is a conflict, and is quarantined.
    """

    event: dict[str, Json]
    agree: frozenset[str] | None = None


@dataclass(frozen=True, slots=True)
class Mapped:
    """What one delivery says. Nothing at all: a kind of event that we do not record."""

    facts: tuple[Fact, ...] = ()
    unread: tuple[str, ...] = ()
    """Why parts of it could not be mapped, one sentence each."""
    loss: str | None = None
    """What the sender itself says it left out; shown in the quarantine beside the facts."""


Adapter: TypeAlias = Callable[[Mapping[str, str], bytes, Scope], Mapped]
"""(kept headers in lower case, raw body, scope) → facts. Raises `CannotMap` and nothing else."""


def natural_id(connection: str, *key: str | int | None) -> str:
    """Return the event id of a natural key: the same key on the same connection, the same id."""
    return str(uuid.uuid5(_NAMESPACE, json.dumps([connection, *key], separators=(",", ":"))))


def identifier(name: str) -> str:
    """Return `name` as an identifier: white space, commas and control characters become `-`."""
    return _NOT_IN_IDENTIFIERS.sub("-", name.strip())[:400]


def present(**members: Json) -> dict[str, Json]:
    """Return the members that have a value; a payload's optional fields are left out, not null."""
    return {name: value for name, value in members.items() if value is not None}


def _tier(name: str, *, production: bool | None) -> Tier:
    """Guess by the parts of a name (`eu-prod` is production), then by the sender's flag."""
    parts = re.split(r"[^a-z]+", name.lower())
    for prefix, tier in _TIER_BY_NAME:
        if any(part.startswith(prefix) for part in parts):
            return tier
    return "production" if production else "other"
