"""The slow way to read and write an event, step by step and everything twice: what the quick way
must agree with, to the byte and to the pointer.
"""

from __future__ import annotations

import json
import math
from typing import Any

from contracts import catalogue, subject
from contracts.event import OURS, Event
from contracts.ijson import MAX_DEPTH, MAX_SAFE_INTEGER, NotIJson, escape


def loads(raw: bytes) -> Any:
    try:
        value = json.loads(raw.decode(), object_pairs_hook=_unique, parse_constant=_constant)
    except UnicodeDecodeError as error:
        raise NotIJson(f"not UTF-8 at byte {error.start}") from None
    except json.JSONDecodeError as error:
        raise NotIJson(f"{error.msg} at line {error.lineno}, column {error.colno}") from None
    except RecursionError:
        raise NotIJson(f"nested deeper than {MAX_DEPTH} levels") from None
    except NotIJson:
        raise
    except ValueError:
        raise NotIJson("a number has too many digits") from None
    check(value)
    return value


def check(value: Any, pointer: str = "", depth: int = 0) -> None:
    if depth > MAX_DEPTH:
        raise NotIJson(f"nested deeper than {MAX_DEPTH} levels", pointer)
    if isinstance(value, str):
        _text(value, pointer)
    elif isinstance(value, dict):
        for key, item in value.items():
            _text(key, pointer)
            check(item, f"{pointer}/{escape(key)}", depth + 1)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            check(item, f"{pointer}/{index}", depth + 1)
    elif value is not None and not isinstance(value, bool):
        _number(value, pointer)


def prepare(attributes: Any) -> tuple[list[str], bytes]:
    """Return an event's subjects and its canonical bytes; raises what is wrong with it."""
    event = Event.model_validate(attributes)
    named = [] if event.subject is None else [event.subject]
    if event.type.startswith(OURS):
        named += catalogue.CATALOGUE[event.type].model_validate(event.data).subjects()
    else:
        named += subject.split_extension(str(event.extensions.get("subjects", "")))
    sent = event.model_dump(exclude_unset=True)
    check(sent)
    written = json.dumps(
        sent, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )
    return list(dict.fromkeys(named)), written.encode()


def _text(text: str, where: str) -> None:
    if "\x00" in text:
        raise NotIJson("a string holds the NUL character", where)
    try:
        text.encode()
    except UnicodeEncodeError:
        raise NotIJson("a string holds a lone surrogate", where) from None


def _number(value: object, where: str) -> None:
    if isinstance(value, int):
        if abs(value) > MAX_SAFE_INTEGER:
            raise NotIJson("an integer is beyond ±(2^53-1); send it as a string", where)
    elif isinstance(value, float):
        if not math.isfinite(value):
            raise NotIJson("a number is beyond the range of a double", where)
    else:
        raise NotIJson(f"{type(value).__name__} is not a JSON type", where)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    seen: set[str] = set()
    for key, _ in pairs:
        if key in seen:
            raise NotIJson(f"the key {key!r} stands twice in one object")
        seen.add(key)
    return dict(pairs)


def _constant(name: str) -> None:
    raise NotIJson(f"{name} is not a JSON number")
