"""Testing: the tests in a policy document, each judged by the document alone. Pure.

The events of a test are recorded as a ledger would, in memory, and judged by the one evaluator.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

from contracts import catalogue, ijson, upcasting
from contracts.decision import Decision
from contracts.event import OURS, Event, HistoryPage, RecordedEvent, format_time, parse_time
from contracts.problem import Invalid
from services.gatekeeper import document, policy
from services.gatekeeper.folding import fold
from services.gatekeeper.judge import judge
from services.gatekeeper.samples import GATED, RELEASE, SAMPLES, SPEAKER
from services.gatekeeper.schema import Given, Test

_STEP = timedelta(minutes=1)
_BEYOND = "leads beyond the year 9999"
_TYPES = {
    name.removeprefix(OURS).rpartition(".v")[0]: name
    for name in sorted(catalogue.CATALOGUE, key=lambda name: int(name.rpartition(".v")[2]))
}
"""Name of a type without its major → the type, of the newest major."""


def check(text: str, file: str = "policy.yaml") -> policy.Policy:
    """Load a policy and run its tests. Raises `PolicyFaultsError` with every fault of both."""
    found = policy.load(text, file)
    if not found.document.tests:
        return found
    source = document.read(text, file)
    faults = [
        source.fault(("tests", at, *loc), words)
        for at, test in enumerate(found.document.tests)
        for loc, words in _failures(found, test)
    ]
    if faults:
        raise policy.PolicyFaultsError(sorted(faults, key=document.by_place))
    return found


def _failures(found: policy.Policy, test: Test) -> Iterator[tuple[tuple[str | int, ...], str]]:
    try:
        recorded = _Story(test).events
    except _NoEventError as error:
        yield error.loc, error.words
        return
    ends = parse_time(recorded[-1].recorded_at) if recorded else parse_time(test.begins)
    try:
        made = _judged(found, test, recorded, ends + (test.after or timedelta(0)))
    except OverflowError:  # a rule may look further ahead than the test itself
        yield ("after",), _BEYOND
        return
    verdict = made.decision if made.policy else "not_covered"
    if verdict != test.expect.verdict:
        said = f"{test.name}: expected {test.expect.verdict}, and it is {verdict}: {made.summary}"
        yield ("expect", "verdict"), said
    statuses = {rule.rule: rule for rule in made.rules}
    for id_, wanted in test.expect.rules.items():
        rule = statuses.get(id_)
        if rule is None:
            yield ("expect", "rules", id_), f"{test.name}: {test.gate} has no rule of this id"
        elif rule.status != wanted:
            said = f"{test.name}: expected {wanted}, and it is {rule.status}: {rule.reason}"
            yield ("expect", "rules", id_), said


def _judged(
    found: policy.Policy, test: Test, recorded: list[RecordedEvent], as_of: datetime
) -> Decision:
    subjects = dict.fromkeys(subject for event in recorded for subject in event.versions)
    pages = [
        upcasting.history(_page(subject, [e for e in recorded if subject in e.versions]))
        for subject in subjects
    ]
    facts = fold(RELEASE, test.gate, pages)
    return judge(facts, policy.select([found], facts), as_of)


def _page(subject: str, events: list[RecordedEvent]) -> HistoryPage:
    head = events[-1].position
    return HistoryPage(subject=subject, version=len(events), events=events, head=head)


class _NoEventError(ValueError):
    def __init__(self, loc: tuple[str | int, ...], words: str) -> None:
        super().__init__(words)
        self.loc, self.words = loc, words


class _Story:
    """The events of a test, as a ledger would give them out."""

    def __init__(self, test: Test) -> None:
        self._test, self._clock = test, parse_time(test.begins)
        self._versions: dict[str, int] = {}
        self.events: list[RecordedEvent] = []
        for at, given in enumerate(test.given):
            self._record(at, given)

    def _record(self, at: int, given: Given) -> None:
        if given.event not in _TYPES:
            raise _NoEventError(("given", at, "event"), "is no type of the catalogue")
        if self.events:
            try:
                self._clock += given.after or _STEP
            except OverflowError:
                raise _NoEventError(("given", at, "after"), _BEYOND) from None
        position = len(self.events) + 1
        event = self._event(at, given, position)
        keys = catalogue.subjects_of(event)
        self._versions |= {key: self._versions.get(key, 0) + 1 for key in keys}
        who = given.by or str(event.as_json()["data"].get(SPEAKER.get(given.event, ""), ""))  # type: ignore[union-attr]
        self.events.append(RecordedEvent(
            position=position,
            versions={key: self._versions[key] for key in keys},
            recorded_at=format_time(self._clock),
            principal=who or "key:test",
            assurance="A3" if who else "A2",
            via="service:test" if who else None,
            commitment=hashlib.sha256(ijson.dumps(event.as_json())).hexdigest(),
            event=event.as_json(),
        ))  # fmt: skip

    def _event(self, at: int, given: Given, position: int) -> Event:
        try:
            return catalogue.parse({
                "specversion": "1.0",
                "id": f"test-{position}",
                "source": "/policy-tests",
                "type": _TYPES[given.event],
                "time": format_time(self._clock),
                "data": self._data(given),
            })  # fmt: skip
        except Invalid as problem:
            error: Mapping[str, Any] = problem.members["errors"][0]
            path = [int(p) if p.isdigit() else p for p in str(error["pointer"]).split("/")[2:]]
            raise _NoEventError(("given", at, "data", *path), str(error["detail"])) from None

    def _data(self, given: Given) -> dict[str, Any]:
        gate = {"gate": self._test.gate} if given.event in GATED else {}
        gate |= {"target": self._test.gate} if given.event == "approval.requested" else {}
        data = {**SAMPLES.get(given.event, {}), **gate}
        for name, said in given.data.items():
            known = data.get(name)
            if isinstance(said, dict) and isinstance(known, dict):
                data[name] = known | said
            else:
                data[name] = said
        return data
