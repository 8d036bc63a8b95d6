"""Facts: what the histories say about one release, each fact with the position where it stands.

Pure. Decisions are no facts, so that recording one does not change what the next rests on. Nothing
is left out because it does not count: rules need it to say why it does not.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal

TRUSTED_LEAD = timedelta(minutes=5)
"""A sender's clock may be this far ahead of ours; beyond it, its stamps prove nothing."""
_MACHINES = ("key:", "service:")


@dataclass(frozen=True, slots=True)
class Stamp:
    """Where and when. `at` is the earlier of the two clocks: nothing is younger than it says."""

    position: int
    occurred_at: datetime
    recorded_at: datetime

    @property
    def at(self) -> datetime:
        """The instant that ages are measured from."""
        return min(self.occurred_at, self.recorded_at)

    @property
    def lead(self) -> timedelta:
        """How far the sender's stamp is ahead of our receipt, when that is too far; else zero."""
        ahead = self.occurred_at - self.recorded_at
        return ahead if ahead > TRUSTED_LEAD else timedelta(0)


@dataclass(frozen=True, slots=True)
class Candidate:
    """What exactly would go out."""

    stamp: Stamp
    version: str
    digest: str
    artifacts: tuple[str, ...]
    changes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Approval:
    """A person's yes or no. `fault` says why it can never count, for people; None: it may."""

    stamp: Stamp
    gate: str
    principal: str
    approved: bool
    digest: str | None
    comment: str
    fault: str | None


@dataclass(frozen=True, slots=True)
class Evidence:
    """Something that was checked. `about`: digest, change, deployment, or "" (the release)."""

    stamp: Stamp
    kind: str
    series: str
    about: str
    outcome: str
    metrics: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Holding:
    """A person holds a role in a scope (`*` or a service), for some until a moment."""

    stamp: Stamp
    role: str
    principal: str
    scope: str
    until: datetime | None


@dataclass(frozen=True, slots=True)
class Tie:
    """What ties a person to the release so that four eyes need somebody else."""

    kind: Literal["requester", "author"]
    who: str
    what: str
    """A verb phrase: `is the owner of this release`, `wrote change acme/pay@9fceb02`."""
    position: int
    gate: str | None = None
    """Only for this gate; None: for all."""
    refs: tuple[str, ...] = ()
    """The changes that an author's tie comes from."""
    sha: str | None = None


@dataclass(slots=True)
class Facts:
    """Everything that the rules may look at. Filled by `folding.fold`, read-only afterwards."""

    release: str
    gate: str
    release_type: str | None = None
    services: tuple[str, ...] = ()
    risk: str | None = None
    candidate: Candidate | None = None
    closed: tuple[int, str] | None = None
    """Position and word, once the release is completed or cancelled."""
    ties: list[Tie] = field(default_factory=list)
    merges: set[str] = field(default_factory=set)
    """Commits that only merge: whoever pressed the button wrote nothing."""
    approvals: list[Approval] = field(default_factory=list)
    requests: dict[str, str] = field(default_factory=dict)
    """Gate → id of the newest request for approval."""
    evidence: list[Evidence] = field(default_factory=list)
    deployments: dict[str, str | None] = field(default_factory=dict)
    """Deployment → digest that it deployed; None when nobody said."""
    sources: dict[str, str] = field(default_factory=dict)
    """Artifact → the change that it was built from."""
    holdings: dict[tuple[str, str, str], Holding] = field(default_factory=dict)
    removed: list[int] = field(default_factory=list)
    """Positions that were redacted and might have said no."""
    read_set: dict[str, int] = field(default_factory=dict)
    digest: str = ""
    """`sha256:` over the canonical list of [position, commitment] of all events but decisions."""
    newest: datetime | None = None
    """The latest `recorded_at` that was read, decisions included."""

    def artifacts(self) -> tuple[str, ...]:
        """Return the digests of the candidate: its artifacts, then its manifest."""
        return (*self.candidate.artifacts, self.candidate.digest) if self.candidate else ()

    def changes(self) -> tuple[str, ...]:
        """Return the changes of the candidate: those it names and those it was built from."""
        named = self.candidate.changes if self.candidate else ()
        built = (self.sources[a] for a in self.artifacts() if a in self.sources)
        return tuple(dict.fromkeys((*named, *built)))

    def authored(self) -> set[str]:
        """Return the changes whose author is recorded."""
        return {ref for tie in self.ties for ref in tie.refs}

    def holders(self, roles: Iterable[str], as_of: datetime) -> dict[str, datetime | None]:
        """Return who holds one of `roles` for every service of the release, and until when."""
        wanted, held = set(roles), dict[tuple[str, str], dict[str, datetime | None]]()
        for one in self.holdings.values():
            if one.role in wanted and (one.until is None or one.until > as_of):
                held.setdefault((one.principal, one.role), {})[one.scope] = one.until
        ends: dict[str, list[datetime | None]] = {}
        for (principal, _), scopes in sorted(held.items()):
            ends.setdefault(principal, []).extend(self._covering(scopes))
        return {person: _latest(until) for person, until in ends.items() if until}

    def _covering(self, scopes: dict[str, datetime | None]) -> list[datetime | None]:
        whole = [scopes["*"]] if "*" in scopes else []
        if not self.services or not set(self.services) <= set(scopes):
            return whole
        limits = [end for s in self.services if (end := scopes[s]) is not None]
        return [*whole, min(limits) if limits else None]


def _latest(ends: list[datetime | None]) -> datetime | None:
    known = [end for end in ends if end is not None]
    return max(known) if len(known) == len(ends) else None


def login(principal: str) -> str:
    """Return the name within its issuer. Two principals with one login are taken for one person:
    until a directory says otherwise, that errs on the side of one more pair of eyes.
    """
    return principal.rpartition(":")[2].casefold()


def short(principal: str) -> str:
    """Return how a sentence names a person."""
    return principal.rpartition(":")[2] or principal


def is_person(principal: str, via: str | None) -> bool:
    """Say whether a recorded principal is somebody who was signed in at one of our services."""
    return via is not None and not principal.startswith(_MACHINES)
