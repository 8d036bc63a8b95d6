"""Records: the single things that histories say, each with the position where it stands. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal

TRUSTED_LEAD = timedelta(minutes=5)
"""A sender's clock may be this far ahead of ours; beyond it, its stamps prove nothing."""


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


TieKind = Literal[
    "requester", "author", "committer", "co_author", "reviewer", "approver", "deployer",
    "policy_author",
]  # fmt: skip


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
    behalf: str | None = None
    """In whose place they speak; None: their own."""
    abstained: bool = False
    """Neither yes nor no; `fault` says so too."""


@dataclass(slots=True)
class Evidence:
    """Something that was checked. `about`: digest, change, deployment, or "" (the release).

    Not frozen, because there are many, and a frozen one takes three times as long to make.
    """

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
    ended: int | None = None
    """Position of the event that took it away, or gave it anew."""

    def at(self, stamp: Stamp) -> bool:
        """Say whether it was held when something else was recorded."""
        begun = self.stamp.position < stamp.position
        kept = self.ended is None or self.ended > stamp.position
        return begun and kept and (self.until is None or self.until > stamp.recorded_at)


@dataclass(frozen=True, slots=True)
class Delegation:
    """A holder of a role lets somebody speak in their place, at one gate."""

    stamp: Stamp
    id: str
    role: str
    gate: str
    delegator: str
    delegate: str
    until: datetime
    fault: str | None
    ended: int | None = None
    """Position of the event that revoked it, or took its place."""

    def at(self, stamp: Stamp) -> bool:
        """Say whether it was in force when something else was recorded."""
        begun = self.stamp.position < stamp.position
        kept = self.ended is None or self.ended > stamp.position
        return begun and kept and self.until > stamp.recorded_at


@dataclass(frozen=True, slots=True)
class BoardVote:
    """What a person said about this release in a board's session. `vote`: as in the catalogue."""

    stamp: Stamp
    session: str
    gate: str
    principal: str
    vote: str
    digest: str
    reason: str
    fault: str | None


@dataclass(slots=True)
class Session:
    """A board sits. Filled while histories are folded."""

    stamp: Stamp
    id: str
    board: str
    chair: str
    agenda: frozenset[tuple[str, str]]
    """Release and gate."""
    presence: list[tuple[int, str, bool]] = field(default_factory=list)
    """Position, person, and whether they came or left."""
    recused: list[tuple[str, str]] = field(default_factory=list)
    """Gate and person, for this release."""
    closed: Stamp | None = None

    def there(self, position: int) -> list[str]:
        """Return who had come and not left before a position."""
        last = {who: came for at, who, came in self.presence if at < position}
        return [who for who, came in last.items() if came]


@dataclass(frozen=True, slots=True)
class Tie:
    """What ties a person to the release so that four eyes need somebody else."""

    kind: TieKind
    who: str
    what: str
    """A verb phrase: `is the owner of this release`, `wrote change acme/pay@9fceb02`."""
    position: int
    gate: str | None = None
    """Only for this gate; None: for all."""
    refs: tuple[str, ...] = ()
    """The changes that an author's tie comes from."""
    sha: str | None = None


@dataclass(frozen=True, slots=True)
class Deployment:
    """What is known of a deployment. `state`: started, or the outcome that it came to."""

    stamp: Stamp
    id: str
    service: str
    environment: str
    digest: str | None
    """None when nobody said."""
    state: str
    kind: str = "normal"


@dataclass(frozen=True, slots=True)
class Veto:
    """Somebody stands in the way. `lifts`: who said that it is over, and where."""

    stamp: Stamp
    id: str
    gate: str | None
    principal: str
    reason: str
    lifts: tuple[tuple[str, Stamp], ...] = ()


@dataclass(frozen=True, slots=True)
class Waiver:
    """An exception that somebody granted. None of the limits: it covers all of that kind."""

    stamp: Stamp
    id: str
    control: str
    approver: str
    reason: str
    expires_at: datetime
    gate: str | None
    release: str | None
    service: str | None
    version: str | None
    digest: str | None
    fault: str | None


@dataclass(frozen=True, slots=True)
class Invocation:
    """A person asked to pass a gate without its rules."""

    stamp: Stamp
    release: str
    principal: str
    incident: str
    reason: str
    digest: str
    fault: str | None


@dataclass(frozen=True, slots=True)
class Review:
    """What came of a release that passed without rules was looked at."""

    stamp: Stamp
    release: str
    reviewer: str


@dataclass(frozen=True, slots=True)
class ScopeChange:
    """Something came into the release or left it."""

    stamp: Stamp
    reason: str
