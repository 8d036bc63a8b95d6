"""What /readyz asks the databases: whether they answer, and whether they have our tables."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from services.kit import database

if TYPE_CHECKING:
    from services.kit.service import Check
    from services.ledger.databases import Database
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
