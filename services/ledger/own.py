"""What the ledger records about itself: past admission, which takes such events from nobody."""

from __future__ import annotations

import asyncio
import contextlib
import os
import pwd
from collections.abc import AsyncIterator, Mapping
from typing import Any

from contracts import catalogue
from contracts.event import Origin
from contracts.problem import Problem
from services.kit import database
from services.ledger.admission import OWN_SOURCE
from services.ledger.appender import Appender
from services.ledger.model import Submission
from services.ledger.store import Reader
from services.ledger.writer import Writer


async def record(
    appender: Appender,
    section: str,
    attributes: Mapping[str, Any],
    origin: Origin,
    expect: Mapping[str, int] | None = None,
) -> int:
    """Append one event of the ledger's own and return its position; the same id again is the same.

    `section` ends its source; `attributes`: id, type, data. Raises the `Problem` in its way.
    """
    source = {"specversion": "1.0", "source": f"{OWN_SOURCE}{section}"}
    event = catalogue.parse(source | dict(attributes))
    (outcome,) = await appender.append_group([Submission(event, origin)], expect or {})
    if outcome.problem is not None or outcome.receipt is None:
        raise outcome.problem or Problem()
    return outcome.receipt.position


@contextlib.asynccontextmanager
async def operating(url: str, ledger: str) -> AsyncIterator[Appender]:
    """Lend an appender to a command of the operator, beside whatever processes are running."""
    engine = database.engine(url, "ledger operator", 1, role="rlg_courier")
    reader = Reader(engine)
    await reader.open([ledger])
    appender = Appender(Writer(url, reader.ledger(ledger)))
    work = asyncio.create_task(appender.run())
    try:
        yield appender
    finally:
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)
        await reader.close()


def operator() -> Origin:
    """Return who gives a command on this machine: its login, known by nothing stronger (A1)."""
    return Origin(principal=f"operator:{person()}", assurance="A1")


def person() -> str:
    """Return the login that gives a command."""
    uid = os.geteuid()
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:  # a container's made-up user
        return f"uid {uid}"
