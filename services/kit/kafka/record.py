"""How long Kafka may take, and the one way in which a broker fails."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

from aiokafka.errors import KafkaError

from contracts.problem import Unavailable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Coroutine

EVENTS_PARTITION = 0
"""One partition of the events topic holds every ledger for now; none may spread over two."""
REQUEST_MS = 10_000
"""How long one request to a broker may take."""
ANSWER_SECONDS = 15.0
"""How long a call may take with all its requests and repetitions."""
STOP_SECONDS = 5.0
"""How long a client may take to say good-bye before its connections are cut."""


@contextlib.asynccontextmanager
async def answering(bootstrap: str, seconds: float = ANSWER_SECONDS) -> AsyncIterator[None]:
    """Raise `Unavailable` when the broker fails the block, or does not let it end in time.

    The limit is needed: a commit to a broker that hangs is tried by aiokafka for ever.
    """
    try:
        async with asyncio.timeout(seconds):
            yield
    except (KafkaError, TimeoutError) as error:
        detail = f"Kafka at {bootstrap} does not answer: {str(error) or type(error).__name__}"
        raise Unavailable(detail) from error


async def to_the_end(work: Coroutine[Any, Any, None]) -> None:
    """Do `work` also when we are cancelled meanwhile, for `STOP_SECONDS` at most.

    A client that is cut off while it connects leaves a connection that nobody can close.
    """
    task = asyncio.create_task(work)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait({task}, timeout=STOP_SECONDS)
        task.cancel()
        raise


async def ends_well(work: Coroutine[Any, Any, Any], seconds: float = STOP_SECONDS) -> bool:
    """Run `work` in a task of its own, cancel it after `seconds`, and say whether it succeeded.

    For good-byes: whatever aiokafka raises on its way out, a `CancelledError` of its own tasks
    among it, must not look like a cancellation of ours.
    """
    task = asyncio.create_task(work)
    try:
        await asyncio.wait({task}, timeout=seconds)
        if not task.done():
            task.cancel()
            await asyncio.wait({task}, timeout=1)
    finally:
        task.cancel()
    return task.done() and not task.cancelled() and task.exception() is None
