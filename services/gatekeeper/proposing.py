"""Proposing: a checked text is recorded as a proposal, by a person or from a file."""

from __future__ import annotations

from contracts.catalogue import type_of
from contracts.event import HistoryPage, Receipt
from contracts.payloads.policies import PolicyActivated, PolicyProposed
from contracts.problem import Conflict, NotFound
from services.gatekeeper import active
from services.gatekeeper.deciding import Decider, envelope, stamp
from services.gatekeeper.proposals import proposed
from services.kit.identity import Principal

_ACTIVATED = type_of(PolicyActivated)


class ProposedAlready(Conflict):
    """This very text is proposed."""


async def propose(decider: Decider, said: PolicyProposed, who: Principal | None) -> Receipt:
    """Record a proposal of a checked text. Raises `NotFound` for a name that does not judge here,
    `Conflict` for a text or a version that is there already.
    """
    name = said.policy_id
    asked = [active.POLICIES, f"policy:{name}", f"proposal:{name}"]
    listed, *pages = await decider.reader.histories(asked)
    check_known(decider, name, listed)
    digest = f"sha256:{said.content_sha256}"
    if any(one.digest == digest for one in proposed(pages[1], pages[0])):
        raise ProposedAlready("this very text is proposed already", actual={})
    check_version(said.version, pages[0])
    expect = {page.subject: page.version for page in pages}
    return await decider.append(envelope(said, f"proposal:{name}", stamp()), expect, who)


def check_known(decider: Decider, name: str, listed: HistoryPage) -> None:
    """Raise `NotFound` for a name that does not judge here."""
    if name not in decider.policies and f"policy:{name}" not in active.named(listed):
        raise NotFound(f"there is no policy {name} here; its first text comes by a file")


def check_version(version: int, page: HistoryPage) -> None:
    """Raise `Conflict` unless a text's version is higher than all that have judged."""
    texts = [event for event in page.events if event.type == _ACTIVATED]
    highest = max((event.data.get("version", 0) for event in texts), default=0)
    if version <= highest:
        said = f"version {highest} was activated already: a new text has a higher one"
        raise Conflict(said, actual={})
