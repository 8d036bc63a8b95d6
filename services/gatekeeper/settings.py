"""Settings of the gatekeeper. Variables: `GATEKEEPER_…`."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from services.kit.settings import Settings


class GatekeeperSettings(Settings):
    """What only the gatekeeper needs to know."""

    model_config = SettingsConfigDict(env_prefix="GATEKEEPER_")

    policies: Path = Path("deploy/policies")
    """Folder of policy documents (`*.yaml`): activated at start while the ledger has no policy.
    Later a new name or a higher version is proposed; in development mode it is activated."""
    policy_role: str = Field(default="release-governance", pattern=r"^[^\s,]{1,100}$")
    """Whose holders approve, activate and retire policies."""
    policy_people: int = Field(default=2, ge=1, le=20)
    """Different people who must stand behind a policy: its author and those who approve; 1 is for
    development mode alone."""
    ledger: str = Field(default="main", pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")
    """The ledger whose releases are judged."""
    pool_size: int = Field(default=5, ge=2, le=100)
    """Database connections; one of them holds the right to follow the ledger."""
    witness: Path | None = None
    """Folder of the witness's key, logs and record; without a key there is none."""
