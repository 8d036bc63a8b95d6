"""Who asks, and how sure we are: API keys, principals, scopes, acting for somebody else.

A key is shown once and stored as its SHA-256 (256 random bits need no slow hash); it has scopes
and a day on which it ends. A service that holds the scope `act-as` may name the person for whom it
acts; the ledger then records that person as the principal and the service as `via`.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from pydantic import TypeAdapter, ValidationError

from contracts.event import Assurance, format_time, parse_time
from contracts.problem import Forbidden, Unauthenticated
from services.kit import clock

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

HEADER_ACTS_FOR = "rlg-acts-for"
"""Request header: the principal for whom a service acts."""
HEADER_ASSURANCE = "rlg-assurance"
"""Request header: the assurance with which the service knows that principal."""

SCOPES = {
    "read": "read events, decisions and projections",
    "event:write": "append events",
    "decision:make": "approve and reject, as a person",
    "act-as": "act for a person (our own services)",
    "role:write": "assign roles, link accounts, declare freezes: say who may approve, and when",
    "redact": "ask for and agree to the removal of an event's content",
    "admin": "replay quarantined deliveries, manage",
}
DEMO_KEY = "demo-key"
"""The marked sample key. It works in development mode on loopback and nowhere else."""
LONGEST_DAYS = 90
_ASSURANCE: TypeAdapter[Assurance] = TypeAdapter(Assurance)


@dataclass(frozen=True, slots=True)
class Principal:
    """Who asks. `id` is pseudonymous: `<issuer>:<subject>`."""

    id: str
    assurance: Assurance
    scopes: frozenset[str] = field(default_factory=frozenset)
    via: str | None = None

    def require(self, scope: str) -> None:
        """Raise `Forbidden` unless the principal holds `scope`."""
        if scope not in self.scopes:
            raise Forbidden(f"this needs the scope {scope}", scope=scope)


@dataclass(frozen=True, slots=True)
class Key:
    """One API key as stored: never the key itself."""

    id: str
    principal: str
    sha256: str
    scopes: frozenset[str]
    expires_at: datetime
    assurance: Assurance = "A2"


def digest(secret: str) -> str:
    """Return what is stored of a key."""
    return hashlib.sha256(secret.encode()).hexdigest()


def make_key(key_id: str, scopes: Iterable[str], days: int, now: datetime) -> tuple[str, Key]:
    """Make a key: (the secret, shown once; what is stored)."""
    unknown = set(scopes) - set(SCOPES)
    if unknown:
        raise ValueError(f"unknown scopes: {', '.join(sorted(unknown))}")
    if not 1 <= days <= LONGEST_DAYS:
        raise ValueError(f"a key lives 1 to {LONGEST_DAYS} days")
    secret = f"rlg_{secrets.token_urlsafe(32)}"
    stored = Key(key_id, f"key:{key_id}", digest(secret), frozenset(scopes), now + timedelta(days))
    return secret, stored


class Keyring:
    """All keys that one process accepts."""

    def __init__(self, keys: Iterable[Key] = ()) -> None:
        self._by_digest = {key.sha256: key for key in keys}

    def add(self, key: Key) -> None:
        """Accept one more key."""
        self._by_digest[key.sha256] = key

    def find(self, secret: str) -> Key | None:
        """Return the live key for `secret`, or None."""
        key = self._by_digest.get(digest(secret))
        return key if key is not None and key.expires_at > clock.now() else None

    @classmethod
    def read(cls, path: Path) -> Keyring:
        """Read a keys file (see `write_key`)."""
        rows = json.loads(path.read_text()) if path.exists() else []
        return cls(_key(row) for row in rows)


def write_key(path: Path, key: Key) -> None:
    """Append a key to the keys file: a JSON list, readable by its owner only."""
    rows = json.loads(path.read_text()) if path.exists() else []
    rows.append(
        {
            "id": key.id,
            "principal": key.principal,
            "sha256": key.sha256,
            "scopes": sorted(key.scopes),
            "expires_at": format_time(key.expires_at),
            "assurance": key.assurance,
        }
    )
    path.touch(mode=0o600, exist_ok=True)
    path.write_text(json.dumps(rows, indent=2) + "\n")


def _key(row: dict[str, object]) -> Key:
    scopes = row["scopes"]
    if not isinstance(scopes, list):
        raise TypeError(f"the keys file has a malformed entry: {row.get('id')}")
    return Key(
        id=str(row["id"]),
        principal=str(row["principal"]),
        sha256=str(row["sha256"]),
        scopes=frozenset(map(str, scopes)),
        expires_at=parse_time(str(row["expires_at"])),
        assurance=_ASSURANCE.validate_python(row.get("assurance", "A2")),
    )


def demo_key() -> Key:
    """Return the sample key; the caller has made sure that this is development on loopback."""
    scopes = frozenset({"read", "event:write", "decision:make", "role:write", "admin", "act-as"})
    ends = clock.now() + timedelta(days=LONGEST_DAYS)
    return Key("demo", "dev:demo", digest(DEMO_KEY), scopes, ends, assurance="A0")


def authenticate(keyring: Keyring, headers: Mapping[str, str]) -> Principal:
    """Return who asks, by the `Authorization: Bearer …` header, or raise `Unauthenticated`."""
    scheme, _, secret = headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not secret:
        raise Unauthenticated("send an API key as `Authorization: Bearer …`")
    key = keyring.find(secret.strip())
    if key is None:
        raise Unauthenticated("the API key is not known here or has expired")
    return _acting_for(Principal(key.principal, key.assurance, key.scopes), headers)


def _acting_for(service: Principal, headers: Mapping[str, str]) -> Principal:
    person = headers.get(HEADER_ACTS_FOR)
    if person is None:
        return service
    service.require("act-as")
    if not person.isprintable() or not person:
        raise Forbidden(f"the header {HEADER_ACTS_FOR} is malformed")
    return replace(service, id=person, assurance=_vouched(service, headers), via=service.id)


def _vouched(service: Principal, headers: Mapping[str, str]) -> Assurance:
    """Let a service vouch for a session at most (A3), and an A0 one for nothing."""
    try:
        claimed = _ASSURANCE.validate_python(headers.get(HEADER_ASSURANCE, "A0"))
    except ValidationError:
        raise Forbidden(f"the header {HEADER_ASSURANCE} is A0 to A4") from None
    return "A0" if service.assurance == "A0" else min(claimed, "A3")


def same(left: str | bytes, right: str | bytes) -> bool:
    """Compare two secrets in constant time."""
    as_bytes = [v.encode() if isinstance(v, str) else v for v in (left, right)]
    return hmac.compare_digest(*as_bytes)
