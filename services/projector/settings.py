"""Settings of the projector. Variables: `PROJECTOR_…`."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from services.kit.settings import Settings


class ProjectorSettings(Settings):
    """What only the projector needs to know."""

    model_config = SettingsConfigDict(env_prefix="PROJECTOR_")

    ledger: str = Field(default="main", pattern=r"^[a-z][a-z0-9-]{0,62}$")
    """The ledger that is projected and shown."""
    pool_size: int = Field(default=5, ge=2, le=100)
    """Database connections; one of them holds the right to follow the ledger."""
    stall_seconds: float = Field(default=60, ge=5)
    """Events wait and nothing moves: at half of it the feed is opened anew, then we end."""
    witness: Path | None = None
    """Folder of the witness's key, logs and record; without a key there is none."""
