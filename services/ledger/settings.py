"""The ledger's settings. Variables: `LEDGER_…`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    SecretStr,
    ValidationInfo,
    field_validator,
)
from pydantic_settings import SettingsConfigDict

from services.kit.settings import Settings

_NAME = re.compile(r"[a-z][a-z0-9-]{0,62}")
_EPOCH = re.compile(r"[1-9][0-9]{0,8}")
_SCHEMES = ("postgresql://", "postgres://")


def _ledger_names(text: str) -> str:
    for name in text.split(","):
        if not _NAME.fullmatch(name.strip()):
            raise ValueError(f"{name!r} is not a ledger's name: a-z, 0-9 and -, a letter first")
    return text


def _epochs(text: str) -> str:
    for part in filter(None, text.split(",")):
        name, _, number = part.partition("=")
        if not (_NAME.fullmatch(name.strip()) and _EPOCH.fullmatch(number.strip())):
            raise ValueError(f"{part!r} is not of the form ledger=epoch, such as main=2")
    return text


def _databases(text: str) -> dict[str, str]:
    """Read `<ledger>=<URL>` pairs. A complaint names the ledger, never the URL: it has a password.

    White space is between the pairs because it cannot be in a URL; a comma and `=` can.
    """
    found: dict[str, str] = {}
    for number, pair in enumerate(text.split(), 1):
        name, equals, url = pair.partition("=")
        if not equals or not _NAME.fullmatch(name):
            raise ValueError(f"pair {number} is not of the form <ledger>=postgresql://…")
        if not url.startswith(_SCHEMES):
            raise ValueError(f"what stands for {name} does not begin with postgresql://")
        if name in found:
            raise ValueError(f"{name} stands there twice")
        found[name] = url
    return found


class LedgerSettings(Settings):
    """What the ledger can be told."""

    model_config = SettingsConfigDict(env_prefix="LEDGER_")

    names: Annotated[str, AfterValidator(_ledger_names)] = "main"
    """The ledgers that this process serves, comma-separated. A missing one is created."""
    databases: SecretStr | None = None
    """Ledgers that do not live in DATABASE_URL: `<ledger>=<URL>`, white space between the pairs."""
    queue_events: int = Field(default=4096, ge=1)
    """Events that may wait for a batch, per ledger; beyond it an append answers 503."""
    pool_size: int = Field(default=5, ge=1, le=100)
    """Connections for reading, for each database."""

    certified: bool = False
    """Acknowledge only what a synchronous standby has flushed."""
    min_epoch: Annotated[str, AfterValidator(_epochs)] | None = None
    """The lowest epoch of a ledger that is accepted, as `main=2,other=3`."""
    sealer: Literal["here", "apart"] | None = None
    """Who seals: this process, or `python -m services sealer`. In development mode: here."""
    seal_seconds: float = Field(default=0.5, ge=0.05, le=60)
    """Seconds between two checkpoints while events come."""
    keys: Path | None = None
    """Folder of the ledgers' own keys, `<ledger>/…`. Default: `keys` in RLG_DATA."""
    seal_state: Annotated[str, BeforeValidator(str)] | None = None
    """The sealer's own memory, away from the database: a SQLite file or `s3://bucket/prefix`."""
    shelf: Annotated[str, BeforeValidator(str)] | None = None
    """Published tiles and checkpoints, `<ledger>/…`: a folder or `s3://bucket/prefix`."""
    witness_required: bool = False
    """Publish a checkpoint only when the quorum of `<ledger>/policy` has cosigned it."""
    tsa: str | None = Field(default=None, pattern=r"^https?://")
    """URL of a time-stamping authority (RFC 3161) that stamps a checkpoint each day."""
    tsa_roots: Path | None = None
    """Certificates (PEM) under which the authority's has to be."""
    connections_file: Path | None = None
    """Who may send webhooks: a JSON list, see services/ledger/hooks/connections.py."""
    sources_file: Path | None = None
    """Who may write by Kafka: a JSON list, see services/ledger/sources.py."""

    @field_validator("databases")
    @classmethod
    def _placed(cls, value: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        served = {name.strip() for name in str(info.data.get("names", "")).split(",")}
        placed = _databases(value.get_secret_value()) if value else {}
        if info.data and (strangers := [name for name in placed if name not in served]):
            raise ValueError(f"it names {', '.join(strangers)}, and LEDGER_NAMES does not")
        return value

    @property
    def elsewhere(self) -> dict[str, str]:
        """Return the URLs of the ledgers that do not live in DATABASE_URL."""
        return _databases(self.databases.get_secret_value()) if self.databases else {}

    @property
    def ledgers(self) -> list[str]:
        """Return the ledgers' names, each once."""
        return list(dict.fromkeys(name.strip() for name in self.names.split(",")))

    @property
    def min_epochs(self) -> dict[str, int]:
        """Return the lowest epochs by ledger."""
        parts = (part.split("=") for part in (self.min_epoch or "").split(",") if part)
        return {name.strip(): int(number) for name, number in parts}
