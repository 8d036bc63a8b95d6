"""One source change: a branch with its commits, and the pull request that is made of it. Pure."""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import datetime, timedelta

from demo.acme import ACTIONS, REPAIRS
from demo.people import Person
from demo.work import Change, Commit, Service

_MESSAGES = ("Cover the edge cases with tests", "Follow the review", "Tidy up")


@dataclass(frozen=True, slots=True)
class Branch:
    """What is known of a change before it is written: when it is merged, and how it was meant."""

    at: datetime
    urgent: bool
    merged: bool


def written(
    service: Service, branch: Branch, number: int, base: str, chance: random.Random
) -> Change:
    """Return the pull request `number`, merged onto `base`."""
    repo, author = service.repo, chance.choice(service.developers)
    title = _title(service, branch, chance)
    opened = branch.at - timedelta(hours=0.6 if branch.urgent else chance.uniform(2, 20))
    return Change(
        repo=repo,
        number=number,
        title=title,
        branch=f"{author.login}/{'-'.join(title.lower().split()[:4])}-{number}",
        ticket=f"{repo.name.upper()}-{number + 217}",
        author=author,
        reviewer=chance.choice([p for p in service.developers if p != author]),
        commits=_commits(service, (number, title, author), (branch, opened), chance),
        base=base,
        merge_sha=repo.seed.sha("merge", repo.name, number),
        opened_at=opened,
        reviewed_at=branch.at - timedelta(minutes=chance.uniform(3, 20)),
        merged_at=branch.at if branch.merged else None,
        squash=service.squash,
    )


def _title(service: Service, branch: Branch, chance: random.Random) -> str:
    action = REPAIRS if branch.urgent else chance.choice(ACTIONS)
    return action.format(chance.choice(service.parts))


def _commits(
    service: Service,
    what: tuple[int, str, Person],
    when: tuple[Branch, datetime],
    chance: random.Random,
) -> tuple[Commit, ...]:
    (number, title, author), (branch, opened) = what, when
    first = opened - timedelta(hours=0.8 if branch.urgent else chance.uniform(1, 60))
    count = 1 if branch.urgent else chance.randint(1, 4)
    seed, name = service.repo.seed, service.name
    return tuple(
        Commit(
            seed.sha("commit", name, number, n),
            (title, *_MESSAGES)[n],
            first + (opened - first) * n / (count + 1),
            author,
        )
        for n in range(count)
    )
