"""Who may write by which Kafka topic: registered sources. Pure.

`LEDGER_SOURCES_FILE` is a JSON list of `Source`. An event is taken from the first source of its
topic that fits, under that source's name; what fits none is refused, and waits in the quarantine.
A pattern is a text in which `*` stands for any characters. Without a file the ingest topic takes
everything in development mode, and nothing elsewhere.

A broker does not say who has written a record, so no event that comes this way is above A1.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Sequence
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from contracts import catalogue, topics
from contracts.event import Assurance, Event
from contracts.problem import Forbidden

ASSURANCE: Assurance = "A1"
"""The channel vouches for a record, and nobody else does."""
Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,62}$")]
Topic = Annotated[str, Field(pattern=r"^[a-zA-Z0-9._-]{1,249}$")]
Patterns = Annotated[
    tuple[Annotated[str, Field(min_length=1, max_length=512)], ...], Field(min_length=1)
]


class Source(BaseModel):
    """Somebody who writes into a topic, and what is taken from there."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Name
    topic: Topic = topics.INGEST
    ledgers: tuple[Name, ...] = Field(default=("main",), min_length=1)
    sources: Patterns
    """Patterns of the attribute `source`."""
    types: Patterns
    subjects: Patterns
    """Patterns of subjects, such as `release:pay-*`: each one of an event has to fit."""


class Sources:
    """The registered sources."""

    def __init__(self, known: Iterable[Source] = (), *, open_: bool = False) -> None:
        """`open_`: the ingest topic takes everything, from nobody in particular."""
        self._known = tuple(known)
        self._open = open_

    @property
    def topics(self) -> list[str]:
        """Return the topics to read: the ingest topic always, to say what is refused."""
        return list(dict.fromkeys([topics.INGEST, *(each.topic for each in self._known)]))

    def admit(self, topic: str, ledger: str, event: Event) -> str:
        """Return the principal whose an event of a topic is, or raise `Forbidden` with what fits
        no source.
        """
        if self._open and topic == topics.INGEST:
            return f"kafka:{topics.INGEST}"
        left = [each for each in self._known if each.topic == topic and ledger in each.ledgers]
        if not left:
            raise Forbidden(f"no source is registered for {topic} and the ledger {ledger}")
        left = _fitting(left, "sources", [event.source], topic)
        left = _fitting(left, "types", [event.type], topic)
        left = _fitting(left, "subjects", list(catalogue.subjects_of(event)), topic)
        return f"kafka:{left[0].name}"


def _fitting(left: list[Source], what: str, values: Sequence[str], topic: str) -> list[Source]:
    """Return the sources that take all values, or raise `Forbidden` naming one that none takes."""
    fitting = [each for each in left if _take(getattr(each, what), values)]
    if not fitting:
        bad = [value for value in values if not any(_take(getattr(s, what), [value]) for s in left)]
        said = f"the {what.removesuffix('s')} {bad[0]}" if bad else f"these {what} together"
        raise Forbidden(f"no source that is registered for {topic} may write {said}")
    return fitting


def _take(patterns: tuple[str, ...], values: Sequence[str]) -> bool:
    return all(_pattern(patterns).fullmatch(value) for value in values)


@functools.lru_cache(maxsize=1024)
def _pattern(patterns: tuple[str, ...]) -> re.Pattern[str]:
    each = (".*".join(map(re.escape, pattern.split("*"))) for pattern in patterns)
    return re.compile("|".join(each), re.DOTALL)


OPEN = Sources(open_=True)
"""The ingest topic takes everything."""
