"""CEL: the one door to the expression engine, with guards where its own are not enough.

Pure. `compile` checks a text against the variables of its scope and names all faults at once;
`evaluate` answers true, false or an error, and raises nothing. The engine bounds nesting (32), loop
steps (10,000 in one evaluation) and regular expressions, but not memory: an expression of 100 bytes
that joins strings can ask for gigabytes. What nobody has approved is run by `trying` instead.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache, lru_cache
from importlib.metadata import version
from typing import Any, Literal, NoReturn, TypeAlias

from cel_expr_python import cel

from services.gatekeeper.cel_facts import (
    POOL,
    CelFacts,
    CelMetrics,
    CelRelease,
    Variables,
    variables,
)
from services.gatekeeper.cel_tree import DeepError, loops_without_order, texts

Scope: TypeAlias = Literal["rule", "timeless", "when", "metrics"]
"""What a text may speak of: the facts and `now`; the facts; the release alone; the metrics `m` of
one evidence.
"""
Seen: TypeAlias = CelFacts | CelRelease | CelMetrics
VERSION = "cel-expr-python/" + version("cel-expr-python")
MAX_TEXT, MAX_FACTS = 4 * 1024, 256 * 1024
"""Bytes: of a text in UTF-8, and of the facts as protobuf."""

_FAULT = re.compile(r"^(?:INVALID_ARGUMENT: )?ERROR: <input>:(-?\d+):(-?\d+): (.*)$", re.MULTILINE)
_STATUS = re.compile(r"^[A-Z_]+: |\s*\[[A-Z_]+\]$")
_LONGEST = 300
_SEEN: dict[Scope, type[Variables]] = {
    "rule": CelFacts,
    "timeless": CelFacts,
    "when": CelRelease,
    "metrics": CelMetrics,
}


@dataclass(frozen=True, order=True, slots=True)
class Fault:
    """Something wrong with a text; line and column count from 1, in characters."""

    line: int
    column: int
    text: str


class CelFaultsError(ValueError):
    """The text is no expression of its scope; `faults` lists every reason, in the text's order."""

    def __init__(self, faults: list[Fault]) -> None:
        super().__init__("\n".join(f"{one.line}:{one.column} {one.text}" for one in faults))
        self.faults = faults


@dataclass(frozen=True, slots=True)
class CelError:
    """No answer, and a sentence why. Neither true nor false: asking is a mistake of ours."""

    text: str

    def __bool__(self) -> NoReturn:
        raise TypeError(f"an error is no answer: {self.text}")


@dataclass(frozen=True, slots=True)
class Program:
    """A checked expression, safe to share between threads. `timed`: its answer depends on `now`."""

    text: str
    scope: Scope
    timed: bool
    texts: frozenset[str] = field(repr=False)
    """Those that it names: if it asks about roles, these are the ones."""
    compiled: Any = field(repr=False, compare=False)


@lru_cache(maxsize=4_096)  # all that the active policies say, or they compile at each question
def compile(text: str, scope: Scope) -> Program:  # noqa: A001 – the word that everybody uses
    """Check a text in milliseconds whatever it says, or raise `CelFaultsError`."""
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        raise CelFaultsError([Fault(1, 1, "is no valid Unicode")]) from None
    if size > MAX_TEXT:
        raise CelFaultsError([Fault(1, 1, f"is longer than {MAX_TEXT} bytes")])
    compiled = _checked(text, scope)
    if faults := sorted(_refused(text, compiled)):
        raise CelFaultsError(faults)
    timed = scope == "rule" and not _checks(text, "timeless")
    return Program(text, scope, timed, texts(compiled.serialize()), compiled)


def evaluate(program: Program, facts: Seen, as_of: datetime) -> bool | CelError:
    """Answer as at `as_of` (with a zone). Only a true or false of the engine is an answer."""
    try:
        return _answer(program, facts, as_of)
    except MemoryError:
        return CelError("ran out of memory")
    except Exception as error:  # noqa: BLE001 – whatever it is, it must never pass for an answer
        return CelError(_readable(str(error)) or type(error).__name__)


def _answer(program: Program, facts: Seen, as_of: datetime) -> bool | CelError:
    if type(facts) is not _SEEN[program.scope]:
        return CelError(f"an expression of scope {program.scope} cannot be asked of these facts")
    if as_of.tzinfo is None:
        return CelError("a time without a zone is no instant")
    if facts.size > MAX_FACTS:
        return CelError(f"the facts take {facts.size} bytes, and {MAX_FACTS} are the most")
    found = program.compiled.eval(data={**facts.values, "now": as_of})
    if found.type() == cel.Type.BOOL:
        return found.value() is True
    return CelError(_readable(str(found)))


def _refused(text: str, compiled: Any) -> Iterator[Fault]:
    """Yield what the engine would run and we do not."""
    if (found := compiled.return_type()) != cel.Type.BOOL:
        yield Fault(1, 1, f"must be true or false (bool), and is of type {found.name().lower()}")
    try:
        loops = loops_without_order(compiled.serialize())
    except DeepError:
        yield Fault(1, 1, "is nested too deeply")
        return
    for offset in loops:
        line, column = text.count("\n", 0, offset) + 1, offset - text.rfind("\n", 0, offset)
        yield Fault(line, column, "a loop must run over a list: the order of a map is chance")


def _checks(text: str, scope: Scope) -> bool:
    try:
        return bool(_checked(text, scope))
    except CelFaultsError:
        return False


def _checked(text: str, scope: Scope) -> Any:
    try:
        return _environment(scope).compile(text)
    except RuntimeError as error:
        raise CelFaultsError(sorted(set(_faults(str(error))))) from None


@cache
def _environment(scope: Scope) -> Any:
    known = variables(_SEEN[scope]) | ({"now": "timestamp"} if scope == "rule" else {})
    types = {name: cel.Type(signature) for name, signature in known.items()}
    return cel.NewEnv(descriptor_pool=POOL, variables=types)


def _faults(report: str) -> Iterator[Fault]:
    found = _FAULT.findall(report)
    for line, column, words in found:
        yield Fault(max(int(line), 1), max(int(column), 1), _readable(words))
    if not found:
        yield Fault(1, 1, _readable(report))


def _readable(words: str) -> str:
    """Return the engine's words without its status codes, and no longer than a sentence."""
    words = _STATUS.sub("", words).replace(" (in container '')", "")
    missing = re.fullmatch(r'Key not found in map : "(.*)"', words, re.DOTALL)
    return (f"no such key: {missing[1]}" if missing else words)[:_LONGEST]
