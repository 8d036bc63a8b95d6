"""What /readyz asks the databases: whether they answer, and whether they have our tables."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING

from contracts.problem import Unavailable
from services.kit import database

if TYPE_CHECKING:
    from services.kit.service import Check
    from services.ledger.databases import Database
    from services.ledger.placement import Placement


def checks(placement: Placement, revision: str) -> tuple[dict[str, Check], dict[str, Check]]:
    """Return what the service cannot do without, and what it can.

    With several databases one that is away takes only its own ledgers along: the process stays
    ready for the others, and names it. It is not ready when it can serve none.
    """
    bases = placement.databases
    if len(bases) == 1:
        reachable = database.reachable(bases[0].engine)
        return {"database": reachable, "schema": functools.partial(_behind, bases[0], revision)}, {}
    each: dict[str, Check] = {
        f"database of {base.name}": functools.partial(_complaint, base, placement, revision)
        for base in bases
    }
    return {"databases": functools.partial(_none_works, list(each.values()))}, each


async def _behind(base: Database, revision: str) -> str | None:
    """Return None when the database has the tables that this code needs."""
    found = await base.revision()
    if found is None or found < revision:
        return f"migration {revision} is needed, the database has {found or 'none'}"
    return None


async def _complaint(base: Database, placement: Placement, revision: str) -> str | None:
    try:
        behind = await _behind(base, revision)
    except Unavailable as problem:
        return problem.detail
    return behind or placement.complaint(base)


async def _none_works(each: Sequence[Check]) -> str | None:
    complaints = await asyncio.gather(*(check() for check in each))
    said = [complaint for complaint in complaints if complaint]
    return "; ".join(said) if len(said) == len(each) else None
