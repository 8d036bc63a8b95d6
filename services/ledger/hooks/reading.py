"""Reading foreign JSON: fields by path, with a sentence when one is missing, and times as sent."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from typing import Any

from contracts.event import format_time, parse_time
from services.ledger.hooks.adapter import CannotMap

_NOT_TEXT = re.compile(r"[\x00\ud800-\udfff]")
_EPOCH_MILLISECONDS = 1e11
_SPACED = re.compile(r"(\d{4}-\d\d-\d\d) (\d\d:\d\d:\d\d(?:\.\d+)?)")
_SHORT_OFFSET = re.compile(r"([+-]\d\d)(\d\d)$")


def json_object(raw: bytes) -> dict[str, Any]:
    """Read a vendor's body: more lenient than I-JSON, because only single fields are taken."""
    try:
        document = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise CannotMap(f"the body is not JSON: {error}") from None
    if not isinstance(document, dict):
        raise CannotMap("the body is not a JSON object")
    return document


def find(document: Any, *path: str) -> Any:
    """Return what stands at `path`, or None where a step is missing."""
    for name in path:
        document = document.get(name) if isinstance(document, dict) else None
    return document


def need(document: Any, *path: str) -> str:
    """Return the text (or the number, as text) at `path`, or raise `CannotMap`."""
    value = find(document, *path)
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, str) or not value:
        raise CannotMap(f"/{'/'.join(path)} is missing")
    return value


def each(document: Any, *path: str) -> list[Any]:
    """Return the array at `path`; a missing one is empty, anything else raises `CannotMap`."""
    value = find(document, *path)
    if value is not None and not isinstance(value, list):
        raise CannotMap(f"/{'/'.join(path)} is not an array")
    return value or []


def prose(value: Any, longest: int = 2000) -> str | None:
    """Return foreign text cut to `longest` and free of what JSON cannot carry; None when empty."""
    return (_NOT_TEXT.sub("�", value)[:longest] or None) if isinstance(value, str) else None


def moment(value: Any) -> str | None:
    """Return a time in RFC 3339 UTC, or None where the sender gave none.

    Accepts RFC 3339, `2016-08-12 15:23:28 UTC`, `… +0200`, and epoch seconds or milliseconds.
    Go's zero time (year 1) means none. Raises `CannotMap` for anything else.
    """
    if value is None or value == "":
        return None
    try:
        read = _epoch(value) if isinstance(value, int | float) else _written(str(value))
    except (ValueError, OverflowError, OSError):
        raise CannotMap(f"{str(value)[:40]!r} is not a time") from None
    return None if read.year == 1 else format_time(read)


def _epoch(value: float) -> datetime:
    return datetime.fromtimestamp(value / 1000 if value > _EPOCH_MILLISECONDS else value, UTC)


def _written(text: str) -> datetime:
    joined = _SPACED.sub(r"\1T\2", text.strip()).replace(" UTC", "Z").replace(" ", "")
    return parse_time(_SHORT_OFFSET.sub(r"\1:\2", joined))
