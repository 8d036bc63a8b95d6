"""Reading: which histories a question rests on, and what they say.

What is read is expected not to move until the decision is recorded. So only histories are read
that somebody changes on purpose: those of the release, of what it is made of, and those that a rule
of the gate asks for. None is read that every deployment of a service or an environment moves.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from contracts import subject, upcasting
from contracts.event import HistoryPage
from contracts.problem import NotFound, Unavailable
from services.gatekeeper import active, policy
from services.gatekeeper.drafting import Draft, Pages
from services.gatekeeper.facts import Facts
from services.gatekeeper.folding import fold
from services.gatekeeper.rules.schema import Board, Soak
from services.gatekeeper.rules.waivers import covers
from services.gatekeeper.schema import Gate

_OF_DEPLOYMENTS = frozenset({"verification", "analysis"})
"""Kinds of evidence that need not name the release: they stand in a deployment's history."""
_DEPLOYED = ("deployments", "evidence")
"""Variables of expressions that these histories tell about."""
_WORKED = frozenset({"author", "committer", "co_author", "reviewer"})
"""Ties that stand in the histories of a branch's commits, not in that of the merge."""
_HOPS = 4
"""How far links from account to account are followed."""
_REMEMBERED = 4_096
"""Questions of which it is remembered what their last answer rested on."""
_AROUND = ("artifact:", "change:")
"""What a policy is chosen by, besides the release itself."""


@dataclass(frozen=True, slots=True)
class Read:
    """What there is to judge."""

    facts: Facts
    applied: policy.Applied | policy.NoPolicy
    redacted_texts: tuple[int, ...] = ()
    """Positions in the histories of policies whose content is gone; told by `read_again` only."""


class Histories(Protocol):
    """The part of `ports.Ledger` that is read."""

    async def history(
        self, ledger: str, subject: str, *, after_version: int = 0, as_of: str | None = None
    ) -> HistoryPage:
        """See `ports.Ledger.history`."""

    async def histories(
        self, ledger: str, subjects: Sequence[str], *, as_of: str | None = None
    ) -> list[HistoryPage]:
        """See `ports.Ledger.histories`."""


class Reader:
    """Reads histories of one ledger, in one snapshot a question."""

    def __init__(self, ledger: Histories, name: str, policies: Sequence[str]) -> None:
        """Judge by `policies` and by all others that the ledger has activated."""
        self._ledger, self._name = ledger, name
        self._policies = [f"policy:{each}" for each in policies]
        self._rested: dict[tuple[str, str], tuple[str, ...]] = {}
        """Release and gate → what the last answer rested on: read at once when asked again."""

    async def read(self, release: str, gate: str, as_of: datetime) -> Read:
        """Read what a question rests on, by the texts that judge at `as_of`. Raises `NotFound` for
        a release that nobody has named.
        """
        rested = self._rested.get((release, gate), ())
        wanted = dict.fromkeys((f"release:{release}", active.POLICIES, *self._policies, *rested))
        known = {page.subject: page for page in await self._pages(wanted, None)}
        first = _told(known[f"release:{release}"])
        if not first.version:
            raise NotFound(f"nobody has recorded anything about the release {release}")

        async def pages(subjects: Iterable[str]) -> list[HistoryPage]:
            keys = list(dict.fromkeys(subjects))
            missing = [key for key in keys if key not in known]
            known.update({p.subject: p for p in await self._pages(missing, str(first.head))})
            return [_told(known[key]) for key in keys]

        draft = await _drafted(release, gate, first, pages)
        (listed,) = await pages([active.POLICIES])
        texts = await pages([*self._policies, *active.named(listed)])
        applied = active.select(texts, draft.facts, as_of)
        draft.take([listed, *texts])
        await _ask(draft, applied)
        self._remember((release, gate), tuple(draft.facts.read_set))
        return Read(draft.facts, applied)

    def _remember(self, question: tuple[str, str], rested: tuple[str, ...]) -> None:
        self._rested[question] = rested
        if len(self._rested) > _REMEMBERED:
            del self._rested[next(iter(self._rested))]

    async def read_for(
        self, release: str, gate: str, candidate: policy.Policy, position: int
    ) -> Read:
        """Read what a question would have rested on at a position, had `candidate` judged alone."""
        first = await self.history(f"release:{release}", str(position))

        async def pages(subjects: Iterable[str]) -> list[HistoryPage]:
            return await self.histories(subjects, str(position))

        draft = await _drafted(release, gate, first, pages)
        applied = policy.select([candidate], draft.facts)
        await _ask(draft, applied)
        return Read(draft.facts, applied)

    async def read_again(
        self, release: str, gate: str, read_set: Mapping[str, int], as_of: datetime
    ) -> Read:
        """Read what a decision has rested on, as it was then."""
        pages = [_cut(page, read_set[page.subject]) for page in await self.histories(read_set)]
        texts = [page for page in pages if page.subject.startswith("policy:")]
        known = {f"release:{release}"}
        around = [p for p in pages if p.subject in known or p.subject.startswith(_AROUND)]
        applied = active.select(texts, fold(release, gate, around), as_of)
        gone = tuple(e.position for page in texts for e in page.events if e.redacted)
        return Read(fold(release, gate, pages), applied, gone)

    async def holders(self, roles: Sequence[str], as_of: datetime) -> dict[str, list[str]]:
        """Return who holds each role, in whatever scope."""
        held = fold("", "", await self.histories(f"role:{role}" for role in roles)).holdings
        kept = [h for h in held if h.ended is None and (h.until is None or h.until > as_of)]
        return {role: sorted({h.principal for h in kept if h.role == role}) for role in roles}

    async def policies(self) -> list[HistoryPage]:
        """Return the history of each policy, of those that the ledger has activated too."""
        listed = await self.history(active.POLICIES)
        return await self.histories([*self._policies, *active.named(listed)])

    async def histories(
        self, subjects: Iterable[str], as_of: str | None = None
    ) -> list[HistoryPage]:
        """Return several histories, each once, as the newest majors tell them."""
        return [_told(page) for page in await self._pages(dict.fromkeys(subjects), as_of)]

    async def _pages(self, keys: Iterable[str], as_of: str | None) -> list[HistoryPage]:
        """Return several histories as they are recorded."""
        asked = list(keys)
        return await self._ledger.histories(self._name, asked, as_of=as_of) if asked else []

    async def history(self, key: str, as_of: str | None = None) -> HistoryPage:
        """Return a history as the newest majors tell it, or raise `Unavailable`."""
        return _told(await self._ledger.history(self._name, key, as_of=as_of))


async def _drafted(release: str, gate: str, first: HistoryPage, pages: Pages) -> Draft:
    """Read what the candidate names, and the changes that its artifacts were built from."""
    draft = Draft(release, gate, pages)
    draft.take([first])
    if (candidate := draft.facts.candidate) is not None:
        named = [f"artifact:{digest}" for digest in dict.fromkeys(draft.facts.artifacts())]
        await draft.add([*named, *(f"change:{change}" for change in candidate.changes)])
        await draft.add(f"change:{change}" for change in draft.facts.changes())
    return draft


async def _ask(draft: Draft, applied: policy.Applied | policy.NoPolicy) -> None:
    """Read what the rules of the gate ask for besides."""
    if isinstance(applied, policy.Applied):
        await draft.add(_asked(applied.gate, draft.facts))
        await draft.add(_ended(applied.gate, draft.facts))
        for _ in range(_HOPS):
            if not await draft.add(_people(draft.facts)):
                break


def _told(page: HistoryPage) -> HistoryPage:
    try:
        return upcasting.history(page)
    except upcasting.CannotRead as error:  # nothing is decided on a guess
        raise Unavailable(f"{page.subject} cannot be judged: {error}") from None


def _asked(gate: Gate, draft: Facts) -> list[str]:
    """Return the histories that are worth reading only because a rule of the gate asks."""
    names = [f"role:{role}" for role in gate.roles()]
    names += [f"calendar:{name}" for name in gate.calendars()]
    names += [f"control:{rule}" for rule in gate.waivable()]
    names.append(f"breakglass:{gate.id}")  # no later policy takes a review away
    told = gate.of(Soak) or gate.kinds() & _OF_DEPLOYMENTS or gate.looks_at(*_DEPLOYED)
    names += [f"deployment:{id_}" for id_, _ in draft.deployments if told]
    names += [f"release:{name}" for name in draft.depends_on if gate.asks_others()]
    if gate.excludes() & _WORKED:
        names += [f"change:{commit}" for commit in draft.branches()]
    return [name for name in names if subject.is_key(name)]


def _people(draft: Facts) -> list[str]:
    """Return the histories of everybody who has done or said something, and where they lead."""
    spoken = [vote for vote in draft.approvals if vote.fault is None or vote.abstained]
    who = {tie.who for tie in draft.ties} | {vote.principal for vote in spoken}
    who |= {one.principal for one in draft.invocations} | {one.reviewer for one in draft.reviews}
    who |= {waiver.approver for waiver in draft.waivers.values()}
    who |= {vote.behalf for vote in spoken if vote.behalf}
    who |= {vote.principal for vote in draft.board_votes if vote.fault is None}
    who |= {who for session in draft.sessions.values() for _, who, _ in session.presence}
    who |= {who for session in draft.sessions.values() for _, who in session.recused}
    who |= set(draft.people.links.values()) | set(draft.people.links)
    return [key for one in sorted(who) if subject.is_key(key := f"identity:{one}")]


def _ended(gate: Gate, draft: Facts) -> list[str]:
    """Return the histories that tell whether what was found has been taken back since."""
    waivers = [w for w in draft.waivers.values() if w.control in gate.waivable()]
    return [
        *(f"freeze:{freeze}" for freeze in draft.freezes),
        *(f"exception:{waiver.id}" for waiver in waivers if covers(waiver, draft)),
        *(f"board:{session}" for session in draft.sessions if gate.of(Board)),
        *(f"deployment:{d}" for other in draft.others.values() for d, _ in other.deployments),
    ]


def _cut(page: HistoryPage, version: int) -> HistoryPage:
    """Return a history as it was when it had so many events."""
    return page.model_copy(update={"version": version, "events": page.events[:version]})
