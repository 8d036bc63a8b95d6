"""Deciding: read the histories, judge, and record the decision while nothing that was read moves.

A decision is appended with an expectation on every history that it rests on, also on those that
nobody has named yet. If anything moved, it is read and judged again; so no decision rests on stale
history, and no approval, veto or rebuilt artifact slips in between.
"""

from __future__ import annotations

import asyncio
import uuid
import weakref
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from contracts import upcasting
from contracts.catalogue import type_of
from contracts.decision import Decision
from contracts.event import Event, HistoryPage, Receipt, RecordedEvent, format_time
from contracts.payloads.control import PolicyActivated
from contracts.payloads.model import Payload
from contracts.payloads.plan import ReleaseCandidateCreated
from contracts.payloads.readiness import DecisionRecorded
from contracts.problem import Conflict, NotFound, Unavailable
from services.gatekeeper import policy
from services.gatekeeper.facts import Facts
from services.gatekeeper.folding import DECISION, fold
from services.gatekeeper.judge import judge
from services.gatekeeper.rules import words
from services.kit import clock, metrics
from services.kit.identity import Principal
from services.kit.ports import Ledger

SOURCE = "/gatekeeper"
TRIES = 5
_CANDIDATE, _ACTIVATED = type_of(ReleaseCandidateCreated), type_of(PolicyActivated)
_OF_DEPLOYMENTS = frozenset({"verification", "analysis"})
"""Kinds of evidence that need not name the release: they stand in a deployment's history."""


@dataclass(frozen=True, slots=True)
class Judged:
    """A decision that is not recorded, and what it rests on."""

    decision: Decision
    facts: Facts
    applied: policy.Applied | policy.NoPolicy


@dataclass(frozen=True, slots=True)
class Recorded:
    """A decision with its place in the ledger."""

    decision_id: str
    position: int
    recorded_at: str
    decision: Decision


@dataclass(frozen=True, slots=True)
class Active:
    """A policy as the ledger has it: the text that was activated last under its name."""

    name: str
    position: int
    activated_at: str
    content: str
    policy: policy.Policy | None
    """None when the text does not validate or does not match its digest."""


class Decider:
    """Judges releases of one ledger by the policies of the given names."""

    def __init__(self, ledger: Ledger, name: str, policies: Sequence[str]) -> None:
        """Read and write the ledger `name`; judge by the newest text of each of `policies`."""
        self.ledger, self.name, self.policies = ledger, name, tuple(policies)
        self._locks: weakref.WeakValueDictionary[str, asyncio.Lock] = weakref.WeakValueDictionary()

    async def dry_run(self, release: str, gate: str) -> Judged:
        """Judge and record nothing. Raises `NotFound` for a release that nobody has named."""
        first = await self.history(f"release:{release}")
        if not first.version:
            raise NotFound(f"nobody has recorded anything about the release {release}")
        as_of = str(first.head)
        texts, around = await asyncio.gather(
            self._all([f"policy:{name}" for name in self.policies], as_of),
            self._around(first, as_of),
        )
        draft = fold(release, gate, [first, *around])
        applied = _select(texts, gate, draft.release_type)
        asked = await self._all(_asked_for(applied, draft), as_of)
        facts = fold(release, gate, [first, *around, *texts, *asked])
        moment = max(clock.now(), facts.newest or clock.now())
        return Judged(judge(facts, applied, moment), facts, applied)

    async def decide(self, release: str, gate: str) -> Recorded:
        """Judge and record. Raises `Conflict` with what moved when it moved too often."""
        started = clock.monotonic()
        async with self._locks.setdefault(release, asyncio.Lock()):
            recorded, known = await self._decide(release, gate)
        label = gate if known else "unknown"
        metrics.count("rlg_decisions_total", gate=label, verdict=recorded.decision.decision)
        metrics.observe("rlg_decision_seconds", clock.monotonic() - started, gate=label)
        return recorded

    async def decisions(self, release: str) -> list[Recorded]:
        """Return the recorded decisions of a release, newest first, or raise `NotFound`."""
        page = await self.history(f"release:{release}")
        if not page.version:
            raise NotFound(f"nobody has recorded anything about the release {release}")
        return [_recorded(event) for event in reversed(page.events) if event.type == DECISION]

    async def decision(self, decision_id: str) -> Recorded:
        """Return one recorded decision, or raise `NotFound`."""
        page = await self.history(f"decision:{decision_id}")
        for event in page.events:
            if event.type == DECISION and event.data["decision_id"] == decision_id:
                return _recorded(event)
        raise NotFound(f"there is no decision {decision_id}")

    async def active(self) -> list[Active]:
        """Return the policies that judge now."""
        pages = await self._all([f"policy:{name}" for name in self.policies], None)
        return [found for page in pages if (found := newest(page)) is not None]

    async def append(
        self, event: Event, expect: dict[str, int] | None, person: Principal | None = None
    ) -> Receipt:
        """Append one event; an unknown outcome is made known by sending the same id again."""
        for pause in (0.05, 0.2):
            try:
                return (await self.ledger.append(self.name, [event], expect, person))[0]
            except Unavailable:
                await asyncio.sleep(pause)
        return (await self.ledger.append(self.name, [event], expect, person))[0]

    async def _decide(self, release: str, gate: str) -> tuple[Recorded, bool]:
        moved = Conflict()
        for _ in range(TRIES):
            judged = await self.dry_run(release, gate)
            id_, decision = str(uuid.uuid4()), judged.decision
            payload = DecisionRecorded(decision_id=id_, release_id=release, decision=decision)
            event = envelope(payload, f"release:{release}", decision.as_of, id_)
            try:
                receipt = await self.append(event, decision.read_set)
            except Conflict as conflict:
                moved = conflict
                continue
            known = isinstance(judged.applied, policy.Applied)
            return Recorded(id_, receipt.position, receipt.recorded_at, decision), known
        detail = f"what {release} rests on moved {TRIES} times while {gate} was judged; ask again"
        raise Conflict(detail, actual=moved.members.get("actual", {}))

    async def _around(self, release: HistoryPage, as_of: str) -> list[HistoryPage]:
        """Read what the candidate names, and the changes that its artifacts were built from."""
        candidate = next((e.data for e in reversed(release.events) if e.type == _CANDIDATE), None)
        if candidate is None:
            return []
        digests = dict.fromkeys([*candidate["artifacts"], candidate["manifest_digest"]])
        named = [f"change:{change}" for change in candidate.get("change_ids") or ()]
        pages = await self._all([*(f"artifact:{d}" for d in digests), *named], as_of)
        built = fold(release.subject.removeprefix("release:"), "", [release, *pages]).changes()
        more = [key for change in built if (key := f"change:{change}") not in named]
        return [*pages, *await self._all(more, as_of)]

    async def _all(self, subjects: Iterable[str], as_of: str | None) -> list[HistoryPage]:
        keys = dict.fromkeys(subjects)
        return list(await asyncio.gather(*(self.history(key, as_of) for key in keys)))

    async def history(self, subject: str, as_of: str | None = None) -> HistoryPage:
        """Return a history as the newest majors tell it, or raise `Unavailable`."""
        page = await self.ledger.history(self.name, subject, as_of=as_of)
        try:
            return upcasting.history(page)
        except upcasting.CannotRead as error:  # nothing is decided on a guess
            raise Unavailable(f"{subject} cannot be judged: {error}") from None


def envelope(payload: Payload, subject: str, time: str | None = None, id_: str = "") -> Event:
    """Return the CloudEvent of a payload; without `time` it happened when it is recorded."""
    said = payload.model_dump(mode="json")
    attributes = {
        "specversion": "1.0",
        "id": id_ or str(uuid.uuid4()),
        "source": SOURCE,
        "type": type_of(type(payload)),
        "subject": subject,
        "datacontenttype": "application/json",
        "data": {name: said[name] for name in said if name in payload.model_fields_set},
    }
    return Event.model_validate(attributes | ({} if time is None else {"time": time}))


def newest(page: HistoryPage) -> Active | None:
    """Return what was activated last in the history of a policy."""
    texts = [event for event in page.events if event.type == _ACTIVATED]
    if not texts:
        return None
    event, name = texts[-1], page.subject.removeprefix("policy:")
    data = event.data
    try:
        found = policy.load(data["content"], name)
    except policy.PolicyFaultsError:
        found = None
    if found is not None and not _is_genuine(found, name, data):
        found = None
    return Active(name, event.position, event.recorded_at, data["content"], found)


def _is_genuine(found: policy.Policy, name: str, data: dict[str, object]) -> bool:
    said = (data["policy_id"], data["version"], f"sha256:{data['content_sha256']}")
    return said == (name, found.ref.version, found.ref.digest) and found.ref.name == name


def _select(
    pages: Sequence[HistoryPage], gate: str, release_type: str | None
) -> policy.Applied | policy.NoPolicy:
    """Choose the policy. One that is not there yet is no reason to deny: wait for it. One that
    cannot be read denies everything, because nobody knows which gates it guards.
    """
    active = [found for page in pages if (found := newest(page)) is not None]
    if not active or len(active) < len(pages):
        raise Unavailable("the policies are not active yet", retry_after_seconds=2)
    if broken := sorted(found.name for found in active if found.policy is None):
        names = words.both(broken)
        return policy.NoPolicy(f"the text that is active as {names} is not a valid policy")
    valid = [found.policy for found in active if found.policy is not None]
    return policy.select(valid, gate, release_type)


def _asked_for(applied: policy.Applied | policy.NoPolicy, draft: Facts) -> list[str]:
    """Return the histories that are worth reading only because a rule of the gate asks."""
    if not isinstance(applied, policy.Applied):
        return []
    gate = applied.gate
    seen = draft.deployments if gate.kinds() & _OF_DEPLOYMENTS else ()
    return [*(f"role:{role}" for role in gate.roles()), *(f"deployment:{one}" for one in seen)]


def _recorded(event: RecordedEvent) -> Recorded:
    decision = Decision.model_validate(event.data["decision"], extra="ignore")
    return Recorded(event.data["decision_id"], event.position, event.recorded_at, decision)


def stamp() -> str:
    """Return the present as it stands in events."""
    return format_time(clock.now())
