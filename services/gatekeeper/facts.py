"""Facts: what the histories say about one release, each fact with the position where it stands.

Pure. Decisions are no facts, so that recording one does not change what the next rests on. Nothing
is left out because it does not count: rules need it to say why it does not.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from datetime import datetime

from services.gatekeeper.people import People
from services.gatekeeper.records import (
    Approval,
    BoardVote,
    Candidate,
    Delegation,
    Deployment,
    Evidence,
    Holding,
    Invocation,
    Review,
    ScopeChange,
    Session,
    Stamp,
    Tie,
    Veto,
    Waiver,
)
from services.gatekeeper.windows import Freeze


@dataclass(slots=True)
class Facts:
    """Everything that the rules may look at. Filled by `folding.fold`, read-only afterwards."""

    release: str
    gate: str
    release_type: str | None = None
    services: tuple[str, ...] = ()
    ever: set[str] = field(default_factory=set)
    """Every service that was planned at some time."""
    labels: tuple[str, ...] = ()
    incident: str | None = None
    """What a hotfix repairs."""
    depends_on: tuple[str, ...] = ()
    risk: str | None = None
    candidate: Candidate | None = None
    contents: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = field(default_factory=dict)
    """Manifest → the artifacts and changes that it was announced with first."""
    doubts: dict[int, str] = field(default_factory=dict)
    """Position → what there contradicts something before it."""
    windows: dict[str, tuple[datetime, datetime]] = field(default_factory=dict)
    """Environment → when it shall go out there; "" for all that are not named."""
    closed: tuple[int, str] | None = None
    """Position and word, once the release is completed or cancelled."""
    ties: list[Tie] = field(default_factory=list)
    merges: dict[str, str] = field(default_factory=dict)
    """Commit at which a change was merged, whose author is known → the commit that was reviewed."""
    pushes: dict[str, frozenset[str]] = field(default_factory=dict)
    """Last commit of a push → all that came with it."""
    branch: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """Merged change → the commits of its branch, as changes: those who wrote it stand there."""
    approvals: list[Approval] = field(default_factory=list)
    delegations: list[Delegation] = field(default_factory=list)
    """Those that ended too."""
    sessions: dict[str, Session] = field(default_factory=dict)
    board_votes: list[BoardVote] = field(default_factory=list)
    requests: dict[str, str] = field(default_factory=dict)
    """Gate → id of the newest request for approval."""
    vetoes: dict[str, Veto] = field(default_factory=dict)
    evidence: list[Evidence] = field(default_factory=list)
    deployments: dict[tuple[str, str], Deployment] = field(default_factory=dict)
    """By id and service: one that ships several services ends for each on its own."""
    undone: set[tuple[str, str]] = field(default_factory=set)
    """Deployments that were rolled back, by id and service ("": all): nothing makes them good."""
    sources: dict[str, list[str]] = field(default_factory=dict)
    """Artifact → the change that it was built from."""
    holdings: list[Holding] = field(default_factory=list)
    """Those that ended too."""
    people: People = field(default_factory=People)
    freezes: dict[str, Freeze] = field(default_factory=dict)
    calendars: dict[str, str] = field(default_factory=dict)
    """Freeze → the calendar that it stands in."""
    waivers: dict[str, Waiver] = field(default_factory=dict)
    scope_changes: list[ScopeChange] = field(default_factory=list)
    scope: Stamp | None = None
    """When the present scope was told; None: it is the first one."""
    planned: tuple[object, ...] = ()
    """What the newest plan says of the scope."""
    invocations: list[Invocation] = field(default_factory=list)
    """Of the gate, whichever the release."""
    reviews: list[Review] = field(default_factory=list)
    others: dict[str, Facts] = field(default_factory=dict)
    """The releases that this one depends on."""
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
        return tuple(dict.fromkeys((*named, *self.built_from())))

    def built_from(self) -> list[str]:
        """Return the changes that the candidate's artifacts were built from, as far as is said."""
        return [change for a in self.artifacts() for change in self.sources.get(a, ())]

    def branches(self) -> tuple[str, ...]:
        """Return the changes that the candidate's were merged from, commit by commit."""
        merged = (each for change in self.changes() for each in self.branch.get(change, ()))
        return tuple(dict.fromkeys(merged))

    def window(self, place: str) -> tuple[datetime, datetime] | None:
        """Return when the release shall go out to an environment; None: nobody has said."""
        return self.windows.get(place, self.windows.get(""))

    def shipped_by(self, deployment: str) -> list[Deployment]:
        """Return what a deployment was for each of its services."""
        return [one for (id_, _), one in self.deployments.items() if id_ == deployment]

    def authors(self) -> dict[str, list[Tie]]:
        """Return, by change, the ties of those who wrote it."""
        found: dict[str, list[Tie]] = {}
        for tie in self.ties:
            for ref in tie.refs if tie.kind == "author" else ():
                found.setdefault(ref, []).append(tie)
        return found

    def holders(self, roles: Iterable[str], as_of: datetime) -> dict[str, datetime | None]:
        """Return who holds one of `roles` for every service of the release, and until when."""
        return self._holders(roles, [h for h in self.holdings if h.ended is None], as_of)

    def held(self, roles: Iterable[str], stamp: Stamp) -> set[str]:
        """Return who held one of `roles` for every service when something was recorded."""
        wanted = set(roles)
        then = [h for h in self.holdings if h.role in wanted and h.at(stamp)]
        return set(self._holders(wanted, then, stamp.recorded_at))

    def did_hold(self, who: str, roles: Collection[str], stamp: Stamp) -> bool:
        """Say whether somebody held one of `roles` for every service when it was recorded."""
        then = [h for h in self._of(who, roles) if h.at(stamp)]
        return bool(then and self._holders(roles, then, stamp.recorded_at))

    def could_object(self, who: str, roles: Collection[str], stamp: Stamp) -> bool:
        """Say whether they held one for any service that was ever planned: enough for a no."""
        scopes = {"*", *self.ever}
        mine = (h for h in self.holdings if h.role in roles and self.people.same(h.principal, who))
        then = (h for h in mine if h.at(stamp))
        return any(h.scope in scopes or not self.ever for h in then)

    def _of(self, who: str, roles: Collection[str]) -> list[Holding]:
        return [h for h in self.holdings if h.principal == who and h.role in roles]

    def _holders(
        self, roles: Iterable[str], holdings: list[Holding], as_of: datetime
    ) -> dict[str, datetime | None]:
        wanted, held = set(roles), dict[tuple[str, str], dict[str, datetime | None]]()
        for one in holdings:
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
