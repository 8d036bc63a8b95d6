"""I-JSON (RFC 7493): the one JSON that we read and write.

A value that two honest parsers could read differently must never enter an append-only log:
duplicate keys, NaN and infinities, lone surrogates, NUL (PostgreSQL text cannot hold it) and
integers beyond ±(2^53-1) are refused, each with the JSON pointer (RFC 6901) of the culprit.
"""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any, NoReturn, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterable

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"

MAX_DEPTH = 32
MAX_SAFE_INTEGER = 2**53 - 1


class NotIJson(ValueError):
    """The bytes are not I-JSON. `pointer` says where ("" is the whole document)."""

    def __init__(self, detail: str, pointer: str = "") -> None:
        super().__init__(detail)
        self.detail = detail
        self.pointer = pointer


def loads(raw: bytes | str) -> Json:
    """Read one I-JSON document, or raise `NotIJson`."""
    try:
        text = raw if isinstance(raw, str) else raw.decode("utf-8")
        value = json.loads(text, object_pairs_hook=_unique, parse_constant=_refuse_constant)
    except UnicodeDecodeError as error:
        raise NotIJson(f"not UTF-8 at byte {error.start}") from None
    except json.JSONDecodeError as error:
        raise NotIJson(f"{error.msg} at line {error.lineno}, column {error.colno}") from None
    except RecursionError:
        raise NotIJson(f"nested deeper than {MAX_DEPTH} levels") from None
    except NotIJson:
        raise
    except ValueError:  # the interpreter's limit on digits
        raise NotIJson("a number has too many digits") from None
    return check(value)


def dumps(value: Json) -> bytes:
    """Write canonically: sorted keys, no white space, UTF-8: one value, one sequence of bytes."""
    return json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    ).encode()


def check(value: Any, pointer: str = "", depth: int = 0) -> Json:
    """Return `value` unchanged when all of it is I-JSON; raise `NotIJson` at the first fault."""
    if depth > MAX_DEPTH:
        raise NotIJson(f"nested deeper than {MAX_DEPTH} levels", pointer)
    if isinstance(value, str):
        _check_text(value, pointer)
    elif isinstance(value, dict):
        for key, item in value.items():
            _check_text(key, pointer)
            check(item, f"{pointer}/{escape(key)}", depth + 1)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            check(item, f"{pointer}/{index}", depth + 1)
    else:
        _check_number(value, pointer)
    return value  # type: ignore[no-any-return]  # narrowed member by member above


def escape(token: str) -> str:
    """Escape one reference token of a JSON pointer (RFC 6901 §3)."""
    return token.replace("~", "~0").replace("/", "~1")


def pointer(path: Iterable[str | int]) -> str:
    """Join a path of keys and indexes to a JSON pointer."""
    return "".join(f"/{escape(str(part))}" for part in path)


def _check_text(text: str, where: str) -> None:
    if "\x00" in text:
        raise NotIJson("a string holds the NUL character", where)
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            raise NotIJson("a string holds a lone surrogate", where) from None


def _check_number(value: object, where: str) -> None:
    if value is None or isinstance(value, bool):
        return
    if isinstance(value, int):
        if abs(value) > MAX_SAFE_INTEGER:
            raise NotIJson("an integer is beyond ±(2^53-1); send it as a string", where)
    elif isinstance(value, float):
        if not math.isfinite(value):
            raise NotIJson("a number is beyond the range of a double", where)
    else:
        raise NotIJson(f"{type(value).__name__} is not a JSON type", where)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise NotIJson(f"the key {key!r} stands twice in one object")
            seen.add(key)
    return result


def _refuse_constant(name: str) -> NoReturn:
    raise NotIJson(f"{name} is not a JSON number")
