"""Params: values that a policy names once and uses in its rules. Pure.

`$name` as a whole value stands for the default of the param `name`. It is put in when the text is
read, so the same text is the same rules; within expressions nothing is put in.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from services.gatekeeper.document import Loc, Source

_USE = re.compile(r"\$([a-z0-9][a-z0-9-]{0,62})")
_ELSEWHERE = frozenset({"params", "tests"})
"""Parts of a document in which `$name` means nothing."""


def resolve(source: Source) -> tuple[Any, list[str]]:
    """Return the value of a document with its params put in, and the faults in their use."""
    if not isinstance(source.value, dict):
        return source.value, []
    said = source.value.get("params")
    declared = said if isinstance(said, dict) else {}
    known = {
        name: one["default"]
        for name, one in declared.items()
        if isinstance(one, dict) and "default" in one
    }
    uses = list(_uses(source.value))
    faults = [source.fault(loc, f"there is no param {n}") for loc, n in uses if n not in declared]
    unused = known.keys() - {name for _, name in uses}
    faults += [source.fault(("params", name), "is used by no rule") for name in unused]
    return _filled(source.value, known), faults


def _uses(document: dict[str, Any]) -> Iterator[tuple[Loc, str]]:
    stack: list[tuple[tuple[str | int, ...], Any]] = [((), _rules(document))]
    while stack:
        loc, value = stack.pop()
        if isinstance(value, dict):
            stack += [((*loc, key), inner) for key, inner in value.items()]
        elif isinstance(value, list):
            stack += [((*loc, at), inner) for at, inner in enumerate(value)]
        elif isinstance(value, str) and (match := _USE.fullmatch(value)):
            yield loc, match[1]


def _rules(document: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in document.items() if key not in _ELSEWHERE}


def _filled(document: dict[str, Any], known: dict[str, Any]) -> dict[str, Any]:
    def put(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: put(inner) for key, inner in value.items()}
        if isinstance(value, list):
            return [put(inner) for inner in value]
        match = _USE.fullmatch(value) if isinstance(value, str) else None
        return known.get(match[1], value) if match else value

    rest = {key: value for key, value in document.items() if key in _ELSEWHERE}
    return {**put(_rules(document)), **rest}
