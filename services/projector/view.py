"""The base of all answers."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class View(BaseModel):
    """Base of the answers."""

    model_config = ConfigDict(frozen=True)
