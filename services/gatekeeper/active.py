"""Active policies: the texts that judge, as the ledger has them. Pure.

Which text of a name judges is a function of its history and an instant: of those activated since it
was last retired, the last one whose time has come.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from contracts.catalogue import type_of
from contracts.event import HistoryPage, RecordedEvent, parse_time
from contracts.payloads.policies import PolicyActivated, PolicyRetired
from contracts.problem import Unavailable
from services.gatekeeper import policy
from services.gatekeeper.facts import Facts
from services.gatekeeper.rules import words

POLICIES = "control:policies"
"""Subject of every activation and retirement, besides their policy: tells which names there are."""
_ACTIVATED, _RETIRED = type_of(PolicyActivated), type_of(PolicyRetired)


@dataclass(frozen=True, slots=True)
class Active:
    """A text as the ledger has it."""

    name: str
    position: int
    activated_at: str
    activated_by: str
    effective_from: str | None
    content: str
    policy: policy.Policy | None
    """None when the text does not validate or does not match its digest."""


def named(listed: HistoryPage) -> list[str]:
    """Return the subject of each policy that was ever activated, from the history of `POLICIES`."""
    texts = [event for event in listed.events if event.type == _ACTIVATED]
    return sorted({k for event in texts for k in event.versions if k.startswith("policy:")})


def newest(page: HistoryPage) -> Active | None:
    """Return what was activated last in the history of a policy, retired or not, due or not."""
    texts = [event for event in page.events if event.type == _ACTIVATED]
    return _active(page, texts[-1]) if texts else None


def at(page: HistoryPage, as_of: datetime) -> Active | None:
    """Return the text of a policy that judges at an instant; None: none does."""
    due = [event for event in _standing(page) if _is_due(event, as_of)]
    return _active(page, due[-1]) if due else None


def turn(pages: Sequence[HistoryPage], as_of: datetime) -> datetime | None:
    """Return the first instant after `as_of` at which another text takes its turn by itself."""
    found: list[datetime] = []
    for page in pages:
        texts = _standing(page)
        due = [n for n, event in enumerate(texts) if _is_due(event, as_of)]
        later = texts[due[-1] + 1 :] if due else texts  # those before it have been overtaken
        found += [begin for event in later if (begin := _begin(event)) is not None]
    return min(found, default=None)


def select(
    pages: Sequence[HistoryPage], facts: Facts, as_of: datetime
) -> policy.Applied | policy.NoPolicy:
    """Choose the policy. While none was ever activated there is no reason to deny: wait for them.
    One that cannot be read denies everything, because nobody knows which gates it guards.
    """
    if not any(map(is_known, pages)):
        raise Unavailable("the policies are not active yet", retry_after_seconds=2)
    active = [found for page in pages if (found := at(page, as_of)) is not None]
    until = turn(pages, as_of)
    if broken := sorted(found.name for found in active if found.policy is None):
        names = words.both(broken)
        return policy.NoPolicy(f"the text that is active as {names} is not a valid policy", until)
    valid = [found.policy for found in active if found.policy is not None]
    return replace(policy.select(valid, facts), until=until)


def is_known(page: HistoryPage) -> bool:
    """Say whether a text of a policy was ever activated."""
    return any(event.type == _ACTIVATED for event in page.events)


def _standing(page: HistoryPage) -> list[RecordedEvent]:
    """Return what was activated since the policy was last retired."""
    found: list[RecordedEvent] = []
    for event in page.events:
        if event.type == _RETIRED:
            found.clear()
        elif event.type == _ACTIVATED:
            found.append(event)
    return found


def _begin(event: RecordedEvent) -> datetime | None:
    said = event.data.get("effective_from")
    return parse_time(said) if said else None


def _is_due(event: RecordedEvent, as_of: datetime) -> bool:
    begin = _begin(event)
    return begin is None or begin <= as_of


def _active(page: HistoryPage, event: RecordedEvent) -> Active:
    name, data = page.subject.removeprefix("policy:"), event.data
    content = data.get("content", "")  # a text that was redacted is no policy any more
    try:
        found = policy.load(content, name)
    except policy.PolicyFaultsError:
        found = None
    if found is not None and not _is_genuine(found, name, data):
        found = None
    return Active(name, event.position, event.recorded_at, event.principal,
                  data.get("effective_from"), content, found)  # fmt: skip


def _is_genuine(found: policy.Policy, name: str, data: dict[str, object]) -> bool:
    said = (data["policy_id"], data["version"], f"sha256:{data['content_sha256']}")
    return said == (name, found.ref.version, found.ref.digest) and found.ref.name == name
