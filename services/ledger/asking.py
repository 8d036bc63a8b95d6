"""How the words of a request are read: parameters of an address, and `Prefer`."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import datetime

from contracts.event import parse_time
from contracts.problem import Invalid
from services.kit import clock

MAX_PREFERRED_SECONDS = 30
_DIGITS = re.compile(r"[0-9]{1,19}")
_SECONDS = re.compile(r"[0-9]{1,4}(\.[0-9]{1,9})?")
_WAIT = re.compile(r'(?:^|,)\s*wait\s*=\s*"?([0-9]{1,9})"?\s*(?:[,;]|$)', re.IGNORECASE)


def deadline(headers: Mapping[str, str]) -> float | None:
    """Return the instant (`clock.monotonic`) until which the client of an append will wait.

    `Prefer: wait=<seconds>` (RFC 7240 §4.3), 30 s at most: an event that is not on its way to the
    database by then is refused. None without it: the ledger's own patience holds.
    """
    preferred = headers.get("prefer")
    found = None if preferred is None else _WAIT.search(preferred)
    if found is None:
        return None
    return clock.monotonic() + min(int(found[1]), MAX_PREFERRED_SECONDS)


def as_of(text: str | None) -> int | datetime | None:
    """Read a position or an RFC 3339 time, or raise `Invalid`."""
    if text is None:
        return None
    if text.isascii() and text.isdigit() and len(text) < 19:  # noqa: PLR2004 - fits a bigint
        return int(text)
    try:
        return parse_time(text)
    except ValueError as error:
        raise Invalid(f"as_of is neither a position nor a time: it {error}") from None


def whole(least: int, most: int) -> Callable[[str], int]:
    """Return a reader of plain decimal numbers in a range; it raises `ValueError` for the rest."""

    def read(text: str) -> int:
        if not _DIGITS.fullmatch(text) or not least <= (value := int(text)) <= most:
            raise ValueError(text)
        return value

    return read


def seconds(most: float) -> Callable[[str], float]:
    """Return a reader of plain decimal fractions from 0; it raises `ValueError` for the rest."""

    def read(text: str) -> float:
        if not _SECONDS.fullmatch(text) or (value := float(text)) > most:
            raise ValueError(text)
        return value

    return read


def text(value: str) -> str:
    """Return a text that is not empty; raises `ValueError` for an empty one."""
    if not value:
        raise ValueError(value)
    return value
