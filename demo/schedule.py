"""The schedule: which releases a service has, when, and with which changes. Pure."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from contracts.payloads.plan import ReleaseType
from demo.acme import FIRST_VERSION, LIVES
from demo.branches import Branch, written
from demo.work import Arc, Change, Release, Risk, Service

CADENCE = timedelta(days=6, hours=7)
FRIDAY = 4
_FIXED: dict[Arc, tuple[ReleaseType, Risk]] = {
    "major": ("major", "high"),
    "hotfix": ("hotfix", "medium"),
    "relapse": ("minor", "medium"),
    "rejected": ("minor", "high"),
    "canary": ("minor", "medium"),
    "waiting": ("minor", "high"),
}
_SIZES: dict[Arc, int] = {"major": 6, "hotfix": 1, "waiting": 3, "building": 3}


def releases(service: Service, now: datetime) -> list[Release]:
    """Return the releases of one service, oldest first."""
    line = _Line(service, now)
    for ordinal, arc in enumerate(LIVES[service.name], start=1):
        line.add(ordinal, arc)
    return line.releases


@dataclass
class _Line:
    """The releases of a service while they are laid out, with what one hands to the next."""

    service: Service
    now: datetime
    releases: list[Release] = field(default_factory=list)
    live: Release | None = None
    carried: tuple[Change, ...] = ()
    tip: str = ""
    pulls: int = 400

    def __post_init__(self) -> None:
        self.seed = self.service.repo.seed
        self.tip = self.seed.sha("tip", self.service.name)
        self.version = FIRST_VERSION[self.service.name]

    def add(self, ordinal: int, arc: Arc) -> None:
        """Lay out one more release."""
        chance = self.seed.random("release", self.service.name, ordinal)
        type_, risk = _FIXED.get(arc) or _ordinary(chance)
        self.version = _next(self.version, type_)
        at = self._at(ordinal, arc, chance)
        ahead = (
            timedelta(minutes=55) if arc == "hotfix" else timedelta(hours=chance.uniform(20, 28))
        )
        candidate = at - ahead
        release = Release(
            seed=self.seed,
            service=self.service,
            version=".".join(map(str, self.version)),
            type=type_,
            risk=risk,
            arc=arc,
            ordinal=ordinal,
            at=at,
            candidate_at=candidate,
            changes=self._changes(candidate, arc, chance),
            carried=self.carried,
            before=self.live,
            repairs=self.releases[-1] if arc == "hotfix" else None,
        )
        self.releases.append(release)
        self._hand_on(release)

    def _hand_on(self, release: Release) -> None:
        """After a rollback or a refusal production lacks changes that `main` has."""
        if release.arc in {"relapse", "rejected"}:
            self.carried = release.contents
        else:
            self.carried, self.live = (), release

    def _at(self, ordinal: int, arc: Arc, chance: random.Random) -> datetime:
        """Count back from now; nobody deploys from Friday to Sunday unless it burns."""
        if arc == "hotfix":
            return self.releases[-1].at + timedelta(hours=chance.uniform(17, 21))
        if arc == "waiting":
            return self.now + timedelta(hours=2)
        if arc == "building":
            return self.now + timedelta(days=2)
        after = sum(1 for later in LIVES[self.service.name][ordinal:] if later != "hotfix")
        if self.service.name == "search":
            after += 1
        day = self.now - after * CADENCE + timedelta(hours=chance.uniform(-12, 12))
        day -= timedelta(days=max(0, day.weekday() - FRIDAY + 1))
        return day.replace(hour=chance.randint(9, 15), minute=chance.randint(0, 59))

    def _changes(self, candidate: datetime, arc: Arc, chance: random.Random) -> tuple[Change, ...]:
        count = _SIZES.get(arc) or chance.choice((1, 2, 2, 3))
        # What is being built now has to have begun before now, whatever its candidate's day.
        end = min(candidate, self.now + timedelta(hours=1)) - timedelta(minutes=30)
        merges = [end]
        for _ in range(count - 1):
            merges.append(merges[-1] - timedelta(hours=chance.uniform(0.7, 3.5)))
        last = count - 1
        return tuple(
            self._change(Branch(at, arc == "hotfix", arc != "building" or n != last), chance)
            for n, at in enumerate(reversed(merges))
        )

    def _change(self, branch: Branch, chance: random.Random) -> Change:
        self.pulls += chance.randint(1, 3)
        change = written(self.service, branch, self.pulls, self.tip, chance)
        self.tip = change.merge_sha if branch.merged else self.tip
        return change


def _ordinary(chance: random.Random) -> tuple[ReleaseType, Risk]:
    type_: ReleaseType = chance.choice(("minor", "minor", "patch"))
    risks: tuple[Risk, ...] = ("low", "low", "low", "medium", "medium", "high")
    return type_, chance.choice(risks)


def _next(version: tuple[int, int, int], type_: ReleaseType) -> tuple[int, int, int]:
    major, minor, patch = version
    if type_ == "major":
        return major + 1, 0, 0
    return (major, minor + 1, 0) if type_ == "minor" else (major, minor, patch + 1)
