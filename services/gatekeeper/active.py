"""Active policies: the texts that judge, as the ledger has them. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from contracts.catalogue import type_of
from contracts.event import HistoryPage
from contracts.payloads.control import PolicyActivated
from contracts.problem import Unavailable
from services.gatekeeper import policy
from services.gatekeeper.facts import Facts
from services.gatekeeper.rules import words

_ACTIVATED = type_of(PolicyActivated)


@dataclass(frozen=True, slots=True)
class Active:
    """A policy as the ledger has it: the text that was activated last under its name."""

    name: str
    position: int
    activated_at: str
    content: str
    policy: policy.Policy | None
    """None when the text does not validate or does not match its digest."""


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


def select(pages: Sequence[HistoryPage], facts: Facts) -> policy.Applied | policy.NoPolicy:
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
    return policy.select(valid, facts)


def _is_genuine(found: policy.Policy, name: str, data: dict[str, object]) -> bool:
    said = (data["policy_id"], data["version"], f"sha256:{data['content_sha256']}")
    return said == (name, found.ref.version, found.ref.digest) and found.ref.name == name
