"""Governing: a text is proposed, backtested, approved and activated; a policy is retired.

Each step is an event in its person's own name. Drafts are run by `trying` alone. A text comes to
judge by an append that expects every history which says that it may: the proposals, the role, whose
accounts those people have.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime

from contracts import ijson, subject
from contracts.event import HistoryPage, Receipt, format_time
from contracts.payloads.model import Payload
from contracts.payloads.policies import (
    PolicyActivated,
    PolicyApprovalWithdrawn,
    PolicyApproved,
    PolicyBacktested,
    PolicyProposed,
    PolicyRetired,
)
from contracts.problem import Conflict, Forbidden, Invalid, NotFound, PreconditionFailed
from services.gatekeeper import active, points
from services.gatekeeper.deciding import TRIES, Decider, envelope, stamp
from services.gatekeeper.folding import fold
from services.gatekeeper.people import is_person, not_a_person
from services.gatekeeper.policy_shapes import Table
from services.gatekeeper.proposals import Governance, Proposal, fault, missing, proposed
from services.gatekeeper.proposing import check_known, check_version, propose
from services.gatekeeper.rules import words
from services.gatekeeper.trying import Checked, Trials, refuse
from services.kit import clock
from services.kit.identity import Principal

_HOPS = 4
"""How far links from account to account are followed."""


@dataclass(frozen=True, slots=True)
class _Read:
    """What is known of a policy and its proposals, and what all of it rests on."""

    proposals: list[Proposal]
    by: Governance
    policy: HistoryPage
    read_set: dict[str, int]

    def of(self, digest: str) -> Proposal:
        """Return the proposal of a text, or raise `NotFound`."""
        for one in self.proposals:
            if one.digest == digest:
                return one
        raise NotFound(f"nobody has proposed a text with the digest {digest}")


class Governing:
    """The life of the policies that one decider judges by."""

    def __init__(self, decider: Decider, trials: Trials, role: str, people: int) -> None:
        """Let holders of `role` approve; `people` different ones stand behind each text."""
        self._decider, self.trials = decider, trials
        self._role, self._people = role, people

    async def propose(
        self, who: Principal, text: str, reason: str, *, shadow: bool
    ) -> tuple[Checked, Receipt]:
        """Propose a text. Raises `Invalid` with its faults, `NotFound` for a name that does not
        judge here, `Conflict` for a text or a version that is there already.
        """
        _check_person(who)
        wanted = await self.trials.check(text)
        refuse(wanted.faults)
        more = {"shadow": True} if shadow else {}
        said = PolicyProposed(
            policy_id=wanted.name, version=wanted.version, content=text, author=who.id,
            content_sha256=_bare(wanted.digest), reason=reason, **more,
        )  # fmt: skip
        return wanted, await propose(self._decider, said, who)

    async def backtest(self, text: str, first: str | None, last: str | None) -> Table:
        """Try a text on the decisions of a range, and record nothing. Raises `Invalid` with its
        faults.
        """
        ledger, name = self._decider.ledger, self._decider.name
        return await self.trials.backtest(text, lambda: points.between(ledger, name, first, last))

    async def attach(
        self, who: Principal, name: str, digest: str, first: int | None, last: int | None
    ) -> tuple[Table, Receipt]:
        """Backtest a proposed text and record what came of it."""
        _check_person(who)
        text = (await self.read(name)).of(digest).content
        found = await self.backtest(text, *(None if n is None else str(n) for n in (first, last)))
        said = ijson.dumps(found.model_dump(mode="json"))
        payload = PolicyBacktested(
            policy_id=name, content_sha256=_bare(digest), first=found.first, last=found.last,
            table_sha256=hashlib.sha256(said).hexdigest(), decisions=found.decisions,
            covered=found.covered, changed=found.changed, failed=len(found.failed),
            blocked=len(found.blocked),
        )  # fmt: skip
        return found, await self._tell(name, payload, who)

    async def approve(self, who: Principal, name: str, digest: str, comment: str | None) -> Receipt:
        """Approve of a proposed text. Raises `Forbidden` for its author and without the role,
        `PreconditionFailed` before there is a backtest to look at.
        """
        _check_person(who)
        found = await self.read(name, who.id)
        one = found.of(digest)
        if (why := fault(one, who.id, found.by)) is not None:
            raise Forbidden(why, roles=[self._role])
        if not one.backtests:
            detail = "nobody has backtested it yet on decisions that it covers, or on all there are"
            raise PreconditionFailed(detail)
        said = {} if comment is None else {"comment": comment}
        payload = PolicyApproved(policy_id=name, content_sha256=_bare(digest), principal=who.id,
                                 **said)  # fmt: skip
        return await self._tell(name, payload, who)

    async def withdraw(self, who: Principal, name: str, digest: str, reason: str) -> Receipt:
        """Take back one's approval. Raises `NotFound` for who has none, `Conflict` when the text
        judges already, or is about to.
        """
        _check_person(who)
        found = await self.read(name)
        one = found.of(digest)
        if who.id not in one.approvals:
            raise NotFound(f"{who.id} has no approval of it to take back")
        if one.activated is not None:
            raise Conflict(f"it was activated at position {one.activated}", actual={})
        payload = PolicyApprovalWithdrawn(policy_id=name, content_sha256=_bare(digest),
                                          principal=who.id, reason=reason)  # fmt: skip
        return await self._tell(name, payload, who, found.read_set)

    async def activate(
        self, who: Principal, name: str, digest: str, effective_from: datetime | None
    ) -> Receipt:
        """Let a proposed text judge, from an instant on or at once. Raises `PreconditionFailed`
        naming what it lacks, `Conflict` when a text of its version or a higher one was activated.
        """
        _check_person(who)
        if effective_from is not None and effective_from <= clock.now():
            detail = "effective_from is over; leave it out to let the text judge at once"
            raise Invalid(detail, errors=[{"pointer": "/effective_from", "detail": detail}])
        for _ in range(TRIES):
            found = await self.read(name, who.id)
            one = found.of(digest)
            self._check_role(who, found.by)
            if lacks := missing(one, found.by):
                raise PreconditionFailed(f"it lacks {words.both(lacks)}", missing=lacks)
            check_version(one.version, found.policy)
            when = {} if effective_from is None else {"effective_from": format_time(effective_from)}
            payload = PolicyActivated(policy_id=name, version=one.version, author=one.author,
                                      content_sha256=_bare(digest), content=one.content,
                                      **when)  # fmt: skip
            try:
                event = envelope(payload, active.POLICIES, stamp())
                return await self._decider.append(event, found.read_set, who)
            except Conflict:
                continue
        raise Conflict(f"what is said of {name} moved {TRIES} times; ask again")

    async def retire(self, who: Principal, name: str, reason: str) -> Receipt:
        """End a policy: no text of it judges any more, until another one is activated."""
        _check_person(who)
        found = await self.read(name, who.id)
        self._check_role(who, found.by)
        if active.newest(found.policy) is None:
            raise NotFound(f"no text of {name} has ever been activated")
        payload = PolicyRetired(policy_id=name, reason=reason, retired_by=who.id)
        event = envelope(payload, active.POLICIES, stamp())
        return await self._decider.append(event, found.read_set, who)

    async def shadow(self, name: str, first: str | None, last: str | None) -> tuple[int, Table]:
        """Judge by the newest text that was proposed with `shadow` what was decided since; return
        its position too. Raises `NotFound` where there is none.
        """
        ours = [one for one in (await self.read(name)).proposals if one.shadow]
        if not ours:
            raise NotFound(f"no text of {name} is proposed with shadow")
        newest = ours[-1]
        found = await self.backtest(newest.content, first or str(newest.position), last)
        return newest.position, found

    async def read(self, name: str, *more: str) -> _Read:
        """Read what is known of a policy; `more` are people whose accounts matter too."""
        reader = self._decider.reader
        about = [f"policy:{name}", f"proposal:{name}", f"role:{self._role}"]
        listed, *pages = await reader.histories([active.POLICIES, *about])
        check_known(self._decider, name, listed)
        found = proposed(pages[1], pages[0])
        accounts = {who for one in found for who in (one.author, *one.approvals)} | set(more)
        for _ in range(_HOPS):
            draft = fold("", "", pages)
            accounts |= set(draft.people.links.values()) | set(draft.people.links)
            known = {page.subject for page in pages}
            keys = [f"identity:{who}" for who in sorted(accounts)]
            keys = [key for key in keys if key not in known and subject.is_key(key)]
            if not keys:
                break
            pages += await reader.histories(keys)
        facts = fold("", "", pages)
        holders = sorted(facts.holders([self._role], clock.now()))
        by = Governance(self._role, self._people, holders, facts.people)
        return _Read(found, by, pages[0], facts.read_set)

    async def _tell(
        self, name: str, said: Payload, who: Principal, expect: dict[str, int] | None = None
    ) -> Receipt:
        event = envelope(said, f"proposal:{name}", stamp())
        return await self._decider.append(event, expect, who)

    def _check_role(self, who: Principal, by: Governance) -> None:
        if not by.holds(who.id):
            raise Forbidden(f"{who.id} does not hold {self._role}", roles=[self._role])


def _check_person(who: Principal) -> None:
    if not is_person(who.id, who.via):
        raise Forbidden(not_a_person(who.id))


def _bare(digest: str) -> str:
    return digest.removeprefix("sha256:")
