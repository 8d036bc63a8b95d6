"""Folding: histories in, facts out, by the handlers of `folds`.

Pure. Only types under our prefix are facts: the ledger has checked their payloads and who may
write them. Whatever else stands in a history may look as it likes and means nothing here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from functools import lru_cache
from typing import TypeAlias

from contracts import ijson
from contracts.event import OURS, HistoryPage, RecordedEvent, parse_time
from services.gatekeeper.facts import Facts
from services.gatekeeper.folds import HANDLERS
from services.gatekeeper.folds.handler import Handler
from services.gatekeeper.records import Stamp, Tie

DECISION = OURS + "decision.recorded.v1"
_MADE = frozenset({DECISION, OURS + "permit.issued.v1"})
"""What we make of facts is none."""
_NEVER_NO = frozenset({OURS + "policy.activated.v1"})
"""Nothing is lost that might have spoken against a release: a text that is gone is no policy."""
_OF_ALL = frozenset({
    "testsuiterun.finished.v1", "artifact.scanned.v2",  # bound to an artifact
    "gate.evaluated.v1", "attestation.recorded.v1",
    "breakglass.invoked.v1", "breakglass.reviewed.v1",  # of the gate
})  # fmt: skip
"""They speak to this release whichever one they name."""


_KNOWN = {OURS + name: (handler, name in _OF_ALL) for name, handler in HANDLERS.items()}
"""By type: its handler, and whether it speaks to every release."""


Events: TypeAlias = dict[int, RecordedEvent]
"""By position."""


def fold(release: str, gate: str, pages: Iterable[HistoryPage]) -> Facts:
    """Fold histories into facts, by position; an event in several histories counts once.

    The history of another release becomes facts of its own, in `Facts.others`, with those of the
    deployments that it names.
    """
    facts, read = Facts(release, gate), dict[int, RecordedEvent]()
    mine: Events = {}
    theirs: dict[str, Events] = {}
    shipped: dict[str, Events] = {}
    for page in pages:
        facts.read_set[page.subject] = page.version
        events = {event.position: event for event in page.events}
        read |= events
        kind, _, name = page.subject.partition(":")
        if kind == "release" and name != release:
            theirs[name] = events
        elif kind == "deployment":
            shipped[page.subject] = events
        else:
            mine |= events
    if shipped:
        _hand_out(shipped, mine, theirs)
    facts.digest = _digest(read)
    last = max((event.recorded_at for event in read.values()), default=None)  # one format: as text
    facts.newest = parse_time(last) if last else None
    _take_all(facts, mine)
    for name, events in theirs.items():
        facts.others[name] = _take_all(Facts(name, gate), events)
        facts.removed += facts.others[name].removed
    facts.removed.sort()  # whatever the order in which it was read
    return facts


def _hand_out(shipped: dict[str, Events], mine: Events, theirs: dict[str, Events]) -> None:
    """Give the histories of deployments to the releases that name them; the rest is ours."""
    own, others = _deployments(mine), set[str]()
    for events in theirs.values():
        named = _deployments(events) & shipped.keys()
        others |= named
        for key in named:
            events.update(shipped[key])
    for key in shipped.keys() - (others - own):
        mine.update(shipped[key])


def _deployments(events: Events) -> set[str]:
    """Return the deployments that events name."""
    return {k for e in events.values() for k in e.versions if k.startswith("deployment:")}


def _digest(events: dict[int, RecordedEvent]) -> str:
    entries: list[ijson.Json] = [
        [position, event.commitment]
        for position, event in sorted(events.items())
        if event.event["type"] not in _MADE
    ]
    return "sha256:" + hashlib.sha256(ijson.dumps(entries)).hexdigest()


def _take_all(facts: Facts, events: dict[int, RecordedEvent]) -> Facts:
    for _, event in sorted(events.items()):
        if (known := _KNOWN.get(event.event["type"])) is not None:
            _take(facts, event, *known)
    facts.ties = [tie for tie in facts.ties if not _pressed(tie, facts)]
    return facts


def _pressed(tie: Tie, facts: Facts) -> bool:
    """Say whether somebody only pressed the button. A commit that came together with what it merges
    was written by nobody; one that was squashed or rebased has its author still.
    """
    head = facts.merges.get(tie.sha or "")
    if head is None or tie.kind == "co_author":
        return False
    apart = head != tie.sha
    return apart and (tie.kind == "committer" or head in facts.pushes.get(tie.sha or "", ()))


def _take(facts: Facts, event: RecordedEvent, handler: Handler, of_all: bool) -> None:  # noqa: FBT001
    if event.redacted and event.event["type"] in _NEVER_NO:
        return
    if event.redacted:
        # It may have been a no: what names several releases is taken to have been about this one.
        names = _names(event)
        if of_all or not names or facts.release in names:
            facts.removed.append(event.position)
    elif of_all or event.data.get("release_id") in {None, facts.release}:
        handler(facts, event, _stamp(event.position, event.event.get("time"), event.recorded_at))


@lru_cache(maxsize=16_384)
def _stamp(position: int, said: str | None, recorded_at: str) -> Stamp:
    """Return where and when. Kept, because a question folds the same events again and again."""
    recorded = parse_time(recorded_at)
    return Stamp(position, parse_time(said) if said else recorded, recorded)


def _names(event: RecordedEvent) -> set[str]:
    """Return the releases that an event names: all that is left of a redacted one."""
    return {key.removeprefix("release:") for key in event.versions if key.startswith("release:")}
