"""What /readyz asks the databases: whether they answer, and whether they have our tables."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from services.kit import database
from services.ledger.fence import moved_on

if TYPE_CHECKING:
    from services.kit.service import Check
    from services.ledger.certify import Standbys
    from services.ledger.databases import Database
    from services.ledger.fence import Fence
    from services.ledger.placement import Placement
    from services.ledger.preflight import Preflight


def checks(
    placement: Placement, preflights: Mapping[Database, Preflight]
) -> tuple[dict[str, Check], dict[str, Check]]:
    """Return what the service cannot do without, and what it can.

    With several databases one that is away takes only its own ledgers along: the process stays
    ready for the others, and names it. It is not ready when it can serve none.
    """
    if len(preflights) == 1:
        ((base, preflight),) = preflights.items()
        return {"database": database.reachable(base.engine), "preflight": preflight.check}, {}
    each: dict[str, Check] = {
        f"database of {base.name}": functools.partial(_complaint, base, placement, preflight)
        for base, preflight in preflights.items()
    }
    return {"databases": functools.partial(_none_works, list(each.values()))}, each


def safety(
    placement: Placement, standbys: Mapping[Database, Standbys], fence: Fence
) -> dict[str, Check]:
    """Return what fails on a primary that was replaced, or without standbys that confirm."""
    found: dict[str, Check] = {}
    for base in placement.databases:
        which = "" if len(placement.databases) == 1 else f" of {base.name}"
        found[f"epoch{which}"] = functools.partial(_moved_on, base, placement, fence)
        if base in standbys:
            found[f"standby{which}"] = standbys[base].check
    return found


async def _moved_on(base: Database, placement: Placement, fence: Fence) -> str | None:
    rows = placement.inside(base)
    refused = next(filter(None, map(fence.refusal, rows)), None)
    return refused or await moved_on(base.url, rows)


async def _complaint(base: Database, placement: Placement, preflight: Preflight) -> str | None:
    try:
        wrong = await preflight.check()
    except (TimeoutError, *database.DatabaseError):
        return f"the database of {base.name} does not answer"
    return wrong or placement.complaint(base)


async def _none_works(each: Sequence[Check]) -> str | None:
    complaints = await asyncio.gather(*(check() for check in each))
    said = [complaint for complaint in complaints if complaint]
    return "; ".join(said) if len(said) == len(each) else None
