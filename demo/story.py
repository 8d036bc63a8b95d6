"""The story: chapters in which the three services go forward together, about a week at a time.

Pure: the same seed and `now` give the same story, byte for byte. The ledger's order and the times
that are claimed agree to within a week.
"""

from __future__ import annotations

from datetime import datetime
from itertools import zip_longest

from demo import company, life
from demo.acme import services
from demo.derive import Seed
from demo.schedule import releases
from demo.steps import Chapter, Story, Thread


def build(seed: int, now: datetime) -> Story:
    """Return the whole story up to `now`."""
    root = Seed(seed)
    plans = [releases(service, now) for service in services(root)]
    rounds = [[r for r in week if r is not None] for week in zip_longest(*plans)]
    every = [release for week in rounds for release in week]
    lives: list[Chapter] = [tuple(life.of(release, now) for release in week) for week in rounds]
    major = next(release for release in every if release.arc == "major")
    waiting = next(release for release in every if release.arc == "waiting")
    weeks = _with_asides(lives, company.asides(root, now, major))
    # What is coming is known before anybody is asked: else they would have to look twice.
    last = next(n for n, week in enumerate(rounds) if waiting in week)
    weeks.insert(last, company.coming(root, now))
    chapters = (company.opening(root, now), *weeks)
    return Story(chapters, tuple(release.id for release in every), waiting.id)


def _with_asides(lives: list[Chapter], asides: dict[int, Thread]) -> list[Chapter]:
    """Put what concerns everybody beside the lives of the week in which it happened."""
    return [(*week, asides[n]) if n in asides else week for n, week in enumerate(lives)]
