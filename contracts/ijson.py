"""I-JSON (RFC 7493): the one JSON that we read and write.

A value that two honest parsers could read differently must never enter an append-only log:
duplicate keys, NaN and infinities, lone surrogates, NUL (PostgreSQL text cannot hold it) and
integers beyond ±(2^53-1) are refused, each with the JSON pointer (RFC 6901) of the culprit.
"""

from __future__ import annotations

import json
import math
import re
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
        return _quickly(raw if isinstance(raw, str) else raw.decode())
    except (ValueError, RecursionError):  # in doubt: the thorough way accepts it or says why not
        return _thoroughly(raw)


def _quickly(text: str) -> Json:
    """Read what is beyond doubt in one pass; `ValueError` leaves the rest to `_thoroughly`.

    NUL and surrogates can only come from an escape (or from a `str` that is no UTF-8); numbers and
    repeated keys are caught by the scanner's hooks; depth needs as many brackets.
    """
    value = _QUICK.decode(text)
    if "\\u" in text and _BAD_ESCAPE.search(text):
        raise ValueError
    if not text.isascii():
        text.encode()
    if text.count("{") + text.count("[") > MAX_DEPTH and _is_deep(value):
        raise ValueError
    return value  # type: ignore[no-any-return]  # as the checks above say


def _thoroughly(raw: bytes | str) -> Json:
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
    return _CANONICAL.encode(value).encode()


def is_sound(value: Any, room: int = MAX_DEPTH) -> bool:
    """Say whether `value` is I-JSON beyond doubt: quicker than `check`, which knows the reason.

    Exact types only: a subclass of `str` or an integer near the limit is left to `check`.
    """
    kind = type(value)
    if kind is str:
        sound = _is_plain(value)
    elif kind is dict or kind is list:
        sound = room >= 0 and _are_sound(value, kind, room)
    else:
        sound = value is None or kind is bool or _is_plain_number(value, kind)
    return sound and room >= 0


def _are_sound(value: Any, kind: type, room: int) -> bool:
    if kind is dict:
        for key in value:
            if type(key) is not str or not _is_plain(key):
                return False
        value = value.values()
    for item in value:  # noqa: SIM110 - a generator would cost as much again
        if not is_sound(item, room - 1):
            return False
    return True


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


def _is_plain(text: str) -> bool:
    try:
        return "\x00" not in text and (text.isascii() or bool(text.encode()))
    except UnicodeEncodeError:
        return False


def _is_plain_number(value: float, kind: type) -> bool:
    if kind is int:
        return -MAX_SAFE_INTEGER <= value <= MAX_SAFE_INTEGER
    return kind is float and math.isfinite(value)


def _is_deep(value: Any) -> bool:
    """Say whether anything stands deeper than `MAX_DEPTH`, looking at containers alone."""
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [inner for one in level for inner in _items(one) if type(inner) in _CONTAINERS]
        if not level:
            return False
    return any(level)


def _items(value: Any) -> Iterable[Any]:
    return value.values() if type(value) is dict else value if type(value) is list else ()


def _quick_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ValueError
    return result


def _quick_integer(digits: str) -> int:
    if len(digits) > _SAFE_DIGITS:
        raise ValueError
    return int(digits)


def _quick_float(digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value):
        raise ValueError
    return value


_SAFE_DIGITS = 15
"""Every integer of so many characters is within ±(2^53-1)."""
_BAD_ESCAPE = re.compile(r"\\u(?:0000|[dD][89a-fA-F])")
"""An escape that may stand for NUL or one half of a surrogate pair."""
_CONTAINERS = frozenset({dict, list})
_QUICK = json.JSONDecoder(
    object_pairs_hook=_quick_object,
    parse_int=_quick_integer,
    parse_float=_quick_float,
    parse_constant=_refuse_constant,
)
_CANONICAL = json.JSONEncoder(
    sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
)
