"""The loader: sends the story through the public endpoints, and nothing else.

Promise: it can be cut off at any moment and started again. The moment that the story ends at
stands in the ledger (`demo.started`), deliveries and facts keep their ids, and a vote that is
recorded is not cast again; so a second run completes the first and never doubles it.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING

from contracts import problem
from contracts.event import OURS, parse_time
from demo import story
from demo.courier import ANCHOR, FINISHED, LEDGER, Courier, LoadError
from demo.telling import Progress, Summary, Telling
from services.kit import clock

if TYPE_CHECKING:
    from starlette.types import ASGIApp

SEED = 7
"""The story that the documentation shows."""


async def load(
    ledger_url: str,
    gatekeeper_url: str,
    *,
    seed: int,
    now: datetime,
    app: ASGIApp | None = None,
    progress: Progress = lambda _done, _all: None,
) -> Summary:
    """Load the demo, or what is missing of it; raises `LoadError`.

    `now` and `seed` count only for a ledger without a demo: one that was begun is continued as it
    was begun. `app` serves both URLs in this process, without a socket.
    """
    courier = Courier(ledger_url, gatekeeper_url, app)
    try:
        return await _load(courier, seed, now, progress)
    except problem.Problem as error:
        raise LoadError(f"the demo could not be loaded: {error.detail or error.title}") from error
    finally:
        await courier.close()


async def load_if_wanted(url: str, say: Callable[[str], None]) -> Summary | None:
    """Load the demo from `url` into a ledger that wants it, telling how it goes; for the start."""
    if not await wanted(f"{url}/ledger"):
        return None
    say("  the demo is being loaded: three services, ninety days")
    now = clock.now()
    summary = await load(f"{url}/ledger", f"{url}/gatekeeper", seed=SEED, now=now)
    for line in summary.lines():
        say(f"  {line}")
    return summary


async def wanted(ledger_url: str, app: ASGIApp | None = None) -> bool:
    """Say whether a ledger has no release yet, or a demo that was cut off."""
    courier = Courier(ledger_url, ledger_url, app)
    try:
        told = (await courier.ledger.history(LEDGER, ANCHOR)).events
        if told:
            return told[-1].type != FINISHED
        page = await courier.ledger.page(LEDGER, 0, limit=1, type_=f"{OURS}release.planned.v1")
        return not page.events
    finally:
        await courier.close()


async def _load(courier: Courier, seed: int, now: datetime, progress: Progress) -> Summary:
    begun = clock.monotonic()
    told = await courier.anchored(seed, now.replace(second=0, microsecond=0))
    said = told[0].data
    tale = story.build(int(said["seed"]), parse_time(str(said["now"])))
    summary = Summary(len(tale.releases), tale.waiting, tale.gate, str(said["now"]))
    if told[-1].type == FINISHED:
        summary.already = True
        return summary
    await courier.ready(tale.gate)
    await Telling(courier, summary, progress).tell(tale)
    await courier.finish(tale)
    summary.seconds = round(clock.monotonic() - begun, 1)
    return summary
