"""Words: how results speak of counts, spans of time, artefacts and people. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import timedelta

_FEW = 5
_UNITS = (("day", 86_400), ("hour", 3_600), ("minute", 60))


def span(length: timedelta) -> str:
    """Return a length in its largest whole unit: `3 days`, `1 hour`, `under a minute`."""
    seconds = int(length.total_seconds())
    for name, size in _UNITS:
        if seconds >= size:
            return count(seconds // size, name)
    return "under a minute"


def count(number: int, noun: str) -> str:
    """Return `1 approval`, `2 approvals`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def either(names: Sequence[str]) -> str:
    """Return `a`, `a or b`, `a, b or c`."""
    return _listed(names, "or")


def both(names: Sequence[str]) -> str:
    """Return `a`, `a and b`, `a, b and c`."""
    return _listed(names, "and")


def brief(reference: str) -> str:
    """Return a digest or change with its hash cut to what people can compare."""
    if reference.startswith("sha256:"):
        return reference[:19] + "…"
    repo, at, sha = reference.rpartition("@")
    return f"{repo}@{sha[:7]}" if at else reference


def repo(change: str) -> str:
    """Return the repository of a change, `acme/pay` of `acme/pay@9fceb02…`."""
    return change.rpartition("@")[0]


def quoted(text: str, limit: int = 200) -> str:
    """Return somebody's own words, cut to `limit` characters and to one line, for mid-sentence."""
    line = " ".join(text.split()).removesuffix(".")
    return f"“{line if len(line) <= limit else line[: limit - 1] + '…'}”"


def number(value: float) -> str:
    """Return `70`, `81.4`."""
    return f"{value:.15g}"


def unique(texts: Iterable[str]) -> list[str]:
    """Return each text once, in order."""
    return list(dict.fromkeys(texts))


def not_counted(reasons: Iterable[str]) -> str:
    """Return the end of a sentence that says what did not count: the first few reasons."""
    said = unique(reasons)
    more = [f"and {len(said) - _FEW} more"] if len(said) > _FEW else []
    return "; not counted: " + "; ".join(said[:_FEW] + more)


def _listed(names: Sequence[str], last: str) -> str:
    if len(names) < 2:  # noqa: PLR2004 - one name needs no conjunction
        return "".join(names)
    return f"{', '.join(names[:-1])} {last} {names[-1]}"
