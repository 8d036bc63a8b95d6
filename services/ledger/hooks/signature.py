"""Proof of the sender, over the raw bytes, before anything is parsed. Pure, in constant time.

Several secrets may be active at once, so that one can be changed without losing a delivery; all of
them are always tried.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeAlias

Proof: TypeAlias = Callable[[Mapping[str, str], bytes, Sequence[str]], bool]
"""(headers in lower case, raw body, active secrets) → whether the sender knows one of them."""


def github(headers: Mapping[str, str], raw: bytes, secrets: Sequence[str]) -> bool:
    """Check `X-Hub-Signature-256: sha256=<hex>`, the HMAC-SHA256 of the body."""
    given = headers.get("x-hub-signature-256", "")
    return _any_equal(given, (sign_github(raw, secret) for secret in secrets))


def sign_github(raw: bytes, secret: str) -> str:
    """Return the value of `X-Hub-Signature-256` for a body."""
    return f"sha256={hmac.new(secret.encode(), raw, hashlib.sha256).hexdigest()}"


def bearer(headers: Mapping[str, str], _raw: bytes, secrets: Sequence[str]) -> bool:
    """Check `Authorization: Bearer <secret>`."""
    scheme, _, given = headers.get("authorization", "").partition(" ")
    return _any_equal(given.strip(), secrets) and scheme.lower() == "bearer"


def bearer_or_basic(headers: Mapping[str, str], raw: bytes, secrets: Sequence[str]) -> bool:
    """Check a bearer token, or the password of HTTP basic authentication (any user name)."""
    scheme, _, given = headers.get("authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return bearer(headers, raw, secrets)
    try:
        pair = base64.b64decode(given.strip(), validate=True).decode()
    except (binascii.Error, ValueError):
        return False
    return _any_equal(pair.partition(":")[2], secrets)


def _any_equal(given: str, expected: Iterable[str]) -> bool:
    """Compare with every candidate; how many there are may show, what they are may not."""
    given_bytes = given.encode("utf-8", "surrogateescape")
    found = [hmac.compare_digest(given_bytes, candidate.encode()) for candidate in expected]
    return bool(given) and any(found)
