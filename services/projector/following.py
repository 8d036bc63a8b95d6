"""Follows whichever generation of a ledger's read models is live."""

from __future__ import annotations

from collections.abc import Callable

from services.kit import logs
from services.projector.generations import Generation, Generations
from services.projector.runner import Runner
from services.projector.writing import Superseded

_log = logs.get(__name__)


class Follower:
    """Runs a runner for the live generation; after a flip, one for the new one."""

    def __init__(
        self, generations: Generations, runner_of: Callable[[Generation], Runner],
        give_up: Callable[[str], None] | None = None,
    ) -> None:  # fmt: skip
        """`give_up` ends the process; without it we try for ever. See `Runner.given_up`."""
        self._generations = generations
        self._runner_of = runner_of
        self._give_up = give_up
        self._runner: Runner | None = None
        self._of: Generation | None = None

    async def run(self) -> None:
        """Follow for ever. Raises; the caller starts it again."""
        while True:
            live = await self._generations.live()
            if self._runner is None or live != self._of:
                self._runner, self._of = self._runner_of(live), live
            try:
                await self._runner.run()
            except ExceptionGroup as errors:
                given_up = self._runner.given_up()
                if given_up is not None and self._give_up is not None:
                    self._give_up(f"{self._generations.ledger}: {given_up}")
                if not errors.subgroup(Superseded) or await self._generations.live() == live:
                    raise
                _log.info("projector.flipped", ledger=self._generations.ledger, was=live.number)

    async def stalled(self) -> str | None:
        """Readiness check: see `Runner.stalled`."""
        return None if self._runner is None else await self._runner.stalled()
