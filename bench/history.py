"""A ledger's history with decisions in it: many releases side by side, not all of them well.

Everything is drawn from a generator of random numbers, valid by the catalogue, and told in memory.
Decisions are those of the product, by the same reader and judge.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from datetime import timedelta
from itertools import islice

from bench.story import GATE, POLICY, SHARED, SIZES, START, VOTERS, Record, Said, digest, told
from contracts.event import OURS, RecordedEvent
from contracts.payloads.readiness import DecisionRecorded
from services.gatekeeper.backtesting import Remembered
from services.gatekeeper.folding import DECISION
from services.gatekeeper.judge import judge
from services.gatekeeper.policy import load
from services.gatekeeper.reading import Reader

NAME = "twelve"
"""Of the policy."""
ASKED = 8
"""Decisions a release."""
_AT_ONCE = 16
_LOST = 0.03
"""Share of what is said that is never said."""
_ODD = 0.04
"""Share of what is said after which something else happens."""


async def generated(chance: random.Random, decisions: int) -> Remembered:
    """Return a history with at least so many decisions."""
    record, remembered = Record(), Remembered()
    reader, moment = Reader(remembered, "main", [NAME]), START

    def take(said: Said) -> None:
        remembered.extend([record.take(said, moment)])

    for first in [_policy(), *(s for s in told("pay-0", *SIZES[40]) if s[0] in SHARED)]:
        take(first)
    lives = (_life(chance, f"pay-{number}") for number in range(-(-decisions // ASKED)))
    living = list(islice(lives, _AT_ONCE))
    while living:
        life = chance.choice(living)
        moment += timedelta(seconds=chance.randrange(1, 2_000))
        said = next(life, None)
        if said is None:
            living.remove(life)
            living += islice(lives, 1)
        elif isinstance(said, str):
            read = await reader.read(said, GATE, moment)
            decision = judge(read.facts, read.applied, moment)
            payload = DecisionRecorded(
                decision_id=f"d{record.head}", release_id=said, decision=decision
            )
            take((DECISION.removeprefix(OURS), payload.model_dump(mode="json"), "key:gatekeeper"))
        else:
            take(said)
    return remembered


def decided(history: Remembered) -> list[RecordedEvent]:
    """Return the decisions of a history."""
    return [event for event in history.events if event.type == DECISION]


def _life(chance: random.Random, release: str) -> Iterator[Said | str]:
    """Yield what is said of a release; its name where somebody asks for a decision."""
    plan, *rest = (said for said in told(release, *SIZES[40]) if said[0] not in SHARED)
    asked = sorted(chance.choices(range(len(rest)), k=ASKED - 1))
    yield plan
    for number, said in enumerate(rest):
        for _ in range(asked.count(number)):
            yield release
        if chance.random() >= _LOST:
            yield said
        if chance.random() < _ODD:
            yield from chance.choice(_ODDITIES)(chance, release)
    yield release


def _policy() -> Said:
    sha = hashlib.sha256(POLICY.encode()).hexdigest()
    said = {"policy_id": NAME, "version": load(POLICY).ref.version, "content_sha256": sha,
            "content": POLICY, "author": "bench"}  # fmt: skip
    return "policy.activated.v1", said, "key:gatekeeper"


def _vetoed(chance: random.Random, release: str) -> Iterator[Said]:
    named = {"release_id": release, "veto_id": f"{release}-{chance.random()}", "reason": "odd"}
    yield "veto.raised.v1", named | {"principal": "acme:sam"}, "acme:sam"
    if chance.random() < 0.5:  # noqa: PLR2004 - heads or tails
        yield "veto.lifted.v1", named | {"principal": "acme:sue"}, "acme:sue"


def _rejected(chance: random.Random, release: str) -> Iterator[Said]:
    who = f"acme:{chance.choice(VOTERS)}"
    named = {"release_id": release, "approval_id": "a1", "gate": GATE, "principal": who}
    yield "approval.decided.v1", named | {"roles": [], "decision": "rejected",
        "target_digest": digest(release, "manifest")}, who  # fmt: skip
    if chance.random() < 0.5:  # noqa: PLR2004 - heads or tails
        yield "approval.withdrawn.v1", named | {"reason": "a slip"}, who


def _failed(chance: random.Random, release: str) -> Iterator[Said]:
    yield "testsuiterun.finished.v1", {"suite": f"unit-{chance.randrange(4)}", "run_id": "again",
        "outcome": "failure", "counts": {"passed": 411, "failed": 1}, "coverage": 81.4,
        "release_id": release, "artifact_digest": digest(release, "image")}, "key:ci"  # fmt: skip


def _changed(_: random.Random, release: str) -> Iterator[Said]:
    yield "release.scope_changed.v1", {"release_id": release, "added": [],
        "removed": [], "reason": "one more"}, "acme:hal"  # fmt: skip


def _built_anew(chance: random.Random, release: str) -> Iterator[Said]:
    yield "release.candidate_created.v1", {"release_id": release, "version": "2.0.1",
        "manifest_digest": digest(release, chance.random()), "change_ids": [],
        "artifacts": [digest(release, "image")]}, "key:ci"  # fmt: skip


_ODDITIES = (_vetoed, _rejected, _failed, _changed, _built_anew)
