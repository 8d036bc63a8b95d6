"""Events in words: a tone, a title and a detail for each type of the catalogue."""

from __future__ import annotations

from services.projector.readmodels.words import boards, building, planning, readiness, running
from services.projector.readmodels.words.phrases import Words

__all__ = ["WORDS", "Words"]

WORDS = planning.WORDS | building.WORDS | readiness.WORDS | boards.WORDS | running.WORDS
"""By noun and verb. A test holds this table to the catalogue."""
