"""The load: test reports of about 1.2 kB that name four subjects, as a CI sends them.

Each caller has releases, runs and artifacts of its own and shares the environments with all others.
Everything is drawn from a seed, but the ids: they are random UUIDs.
"""

from __future__ import annotations

import hashlib
import random
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from contracts import catalogue
from contracts.event import OURS, Event, Origin
from contracts.ijson import Json
from services.ledger.model import Submission

SUBJECTS = 4
AGAIN = 0.01
"""Share of calls that send an id again."""
EXPECTING = 0.3
"""Share of calls with an expectation on one subject."""
_ENVIRONMENTS = ("dev", "test", "qa", "staging", "preprod", "production")
_PER_CALLER = 16
_FASTEST, _FASTEST_ALONE = 8_000, 4_000
"""Events a second that are read beforehand, for all callers and for one."""
ORIGIN = Origin(principal="key:bench", assurance="A2")


def report(release: str, run: str, environment: str) -> dict[str, Json]:
    """Return one event: a test suite has finished. Names a run, an environment, an artifact and
    a release; about 1.2 kB when stored.
    """
    digest = hashlib.sha256(run.encode()).hexdigest()
    place = "/".join(hashlib.sha256(f"{run}{n}".encode()).hexdigest() for n in range(9))
    data: dict[str, Json] = {
        "suite": "integration",
        "run_id": run,
        "outcome": "success",
        "counts": {"passed": 1840, "failed": 0, "skipped": 12},
        "coverage": 83.25,
        "environment": {"id": environment, "tier": "testing"},
        "artifact_digest": f"sha256:{digest}",
        "release_id": release,
        "report_uri": f"https://ci.acme.example/reports/{place}",
    }
    return {
        "specversion": "1.0",
        "id": str(uuid.uuid4()),
        "source": "/ci/acme/pay",
        "type": f"{OURS}testsuiterun.finished.v1",
        "time": "2026-03-01T12:00:00Z",
        "datacontenttype": "application/json",
        "data": data,
    }


@dataclass(frozen=True, slots=True)
class Call:
    """What a caller asks for: one event, with or without an expectation."""

    submission: Submission
    expect: Mapping[str, int]
    again: bool
    """The id was acknowledged before."""


@dataclass
class Caller:
    """One closed-loop caller: it asks, waits for the answer, learns the versions, asks again."""

    events: list[Event]
    chance: random.Random
    again: float = AGAIN
    versions: dict[str, int] = field(default_factory=dict)
    """Versions of its own releases, as its last receipts said."""
    appended: int = 0
    stock: list[Event] = field(default_factory=list)
    """Events read before the clock starts; when they run out, each is read when it is wanted."""
    _last: Submission | None = None

    def stock_up(self, count: int) -> None:
        """Read so many events now, as an edge has read what it hands to the appender."""
        self.stock = [self._read() for _ in range(count)]

    def _read(self) -> Event:
        template = self.chance.choice(self.events)
        return catalogue.parse(template.as_json() | {"id": str(uuid.uuid4())}, vouched=True)

    def request(self, size: int) -> list[Call]:
        """Return the next request: one call, or several, which have no expectations."""
        if size == 1:
            return [self.next()]
        return [replace(self.next(), expect={}) for _ in range(size)]

    def next(self) -> Call:
        """Return the next call."""
        if self._last is not None and self.chance.random() < self.again:
            return Call(self._last, {}, again=True)
        event = self.stock.pop() if self.stock else self._read()
        release = f"release:{event.data['release_id']}"
        expecting = self.chance.random() < EXPECTING
        expect = {release: self.versions[release]} if expecting else {}
        return Call(Submission(event, ORIGIN), expect, again=False)

    def learn(self, call: Call, versions: Mapping[str, int]) -> None:
        """Take down what an answer said."""
        if not call.again:
            self._last = call.submission
            self.appended += 1
            self.versions |= {key: versions[key] for key in versions.keys() & self.versions.keys()}


def stock_up(callers: Sequence[Caller], seconds: float) -> None:
    """Give all callers together what a fast design takes in so many seconds."""
    for caller in callers:
        caller.stock_up(int(min(_FASTEST / len(callers), _FASTEST_ALONE) * seconds))


def templates(callers: int) -> list[list[Event]]:
    """Return each caller's events."""
    return [list(templates_of(number)) for number in range(callers)]


def templates_of(number: int) -> Iterator[Event]:
    """Yield the events of one caller."""
    for n in range(_PER_CALLER):
        environment = _ENVIRONMENTS[(number + n) % len(_ENVIRONMENTS)]
        yield catalogue.parse(report(f"pay-{number}.{n % 4}", f"run-{number}.{n}", environment))


def first_submissions(events: list[list[Event]]) -> list[Submission]:
    """Return every template once: after these all subjects are known."""
    return [Submission(event, ORIGIN) for own in events for event in own]


def callers(
    events: list[list[Event]], versions: Mapping[str, int], seed: int, again: float = AGAIN
) -> list[Caller]:
    """Return one caller for each list of events; `versions` are those of the prepared ledger."""
    return [
        Caller(
            own,
            random.Random(f"{seed}/{number}"),
            again,
            {key: versions[key] for key in _releases(own)},
        )
        for number, own in enumerate(events)
    ]


def _releases(events: list[Event]) -> set[str]:
    return {f"release:{event.data['release_id']}" for event in events}
