"""Folds: one handler per type of the catalogue that any rule looks at; pure.

A handler takes what an event says into the facts. Fields that are not known are tolerated; one that
the catalogue requires and that is not there raises, so that nothing is decided on a guess.
"""

from __future__ import annotations

from services.gatekeeper.folds import boards, checks, control, release, voices
from services.gatekeeper.folds.handler import Handler

HANDLERS: dict[str, Handler] = {
    **release.HANDLERS,
    **voices.HANDLERS,
    **boards.HANDLERS,
    **checks.HANDLERS,
    **control.HANDLERS,
}
"""By type without our prefix."""
