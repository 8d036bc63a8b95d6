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
from services.ledger.sources import Sources

VERSION = "2"
"""Stored with what an adapter made or refused. Raise it when a mapping changes its meaning."""

_NAMESPACE = uuid.UUID("6f1d9f0e-6a43-5d0c-9a55-0c4b8f7f2a31")
_NOT_IN_IDENTIFIERS = re.compile(r"[\s,\x00-\x1f\x7f]+")
_BETWEEN_PARTS = re.compile(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])|[\W\d_]+")
_SURELY = re.compile(r"\b(?:production|prod)\b")
_PRODUCTION = re.compile(r"\b(?:production|prod|prd|live)\b")
_NOT_PRODUCTION = re.compile(r"\b(pre|non|not|no) ?(?:production|prod|prd|live)\b")
_TIER_BY_PART: tuple[tuple[str, Tier], ...] = (
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
    sources: Sources = field(default_factory=Sources)
    """Who may write by Kafka."""
    commit_people: bool = False
    """Whether the people whom git names in commits are recorded."""

    def service(self, *names: str) -> str:
        """Return the service that the first known of `names` stands for, else the last name."""
        mapped = (self.service_map[name] for name in names if name in self.service_map)
        return next(mapped, identifier(names[-1]))

    def environment(self, name: str, *, production: bool | None = None) -> dict[str, Json]:
        """Return `{id, tier}`. `production`: what the sender says of it; None, it does not say.

        1. The connection's map of tiers wins over everything.
        2. `production=True` is production: no sender says so without meaning it.
        3. A name is cut into parts at whatever is no letter and at changes of case. With a part
           `production`, `prod`, `prd` or `live` it is production, unless the part right before says
           `pre`, `non`, `not` or `no` (`preprod` in one word counts too): then it is what rule 4
           says, else staging for `pre` and other for the rest.
        4. Otherwise, by how a part begins: `stag`, `qa`, `test`, `tst`, `dev`; else other.

        `production=False` beats `prd` and `live`, but neither `production` nor `prod`: GitHub fills
        in false for each environment that is not named exactly `production`, and a widely used
        action sends false even for that one, so false is as often a default as a statement.
        """
        guessed: Tier = "production" if production is True else _tier(name, production=production)
        return {"id": identifier(name), "tier": self.tiers.get(name) or guessed}


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
    principal: str | None = None
    """Who says it, where that is not the connection."""


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
    """Guess by the parts of a name: rules 3 and 4 of `Scope.environment`."""
    parts = " ".join(_BETWEEN_PARTS.split(name)).lower()
    denied = _NOT_PRODUCTION.search(parts)
    meant = _SURELY if production is False else _PRODUCTION
    if not denied and meant.search(parts):
        return "production"
    for prefix, tier in _TIER_BY_PART:
        if any(part.startswith(prefix) for part in parts.split()):
            return tier
    return "staging" if denied and denied[1] == "pre" else "other"
