"""Settings: one frozen class per service, read once from the environment by `__main__`.

A misspelt variable must not be ignored in silence: any variable with one of our prefixes that no
settings class knows stops the start with a sentence that names it.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

T = TypeVar("T", bound="Settings")
LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
PREFIXES = ("RLG_", "LEDGER_", "PROJECTOR_", "GATEKEEPER_")


class SettingsError(Exception):
    """The environment is wrong; the message is one sentence for the person who starts us."""


class Settings(BaseSettings):
    """Base of the settings classes: frozen, from the environment, no dotenv file."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", env_ignore_empty=True)


class Shared(Settings):
    """What all services share: `RLG_…`, `DATABASE_URL`, `KAFKA_BOOTSTRAP_SERVERS`."""

    model_config = SettingsConfigDict(env_prefix="RLG_")

    host: str = "127.0.0.1"
    port: int = Field(default=8080, ge=0, le=65535)
    dev: bool = False
    """Development mode: demo people and sample secrets. Refused unless bound to loopback."""
    feed: str = Field(default="kafka", pattern="^(kafka|http)$")
    """How projections are fed."""
    data: Path = Path(".data")
    keys_file: Path | None = None
    """API keys; see `python -m services key`."""
    service_key: SecretStr | None = None
    """The key with which this process calls the other services, when they run apart."""
    ledger_url: str | None = None
    """Where the ledger answers, when it runs apart, for example http://ledger:8080."""
    gatekeeper_url: str | None = None
    log: str = Field(default="text", pattern="^(text|json)$")
    demo: bool = True
    """Load the demo into an empty development ledger."""
    database_url: SecretStr | None = Field(default=None, validation_alias="DATABASE_URL")
    kafka_bootstrap_servers: str | None = Field(
        default=None, validation_alias="KAFKA_BOOTSTRAP_SERVERS"
    )


def environment() -> Mapping[str, str]:
    """Return the environment, for those who hand it on."""
    return os.environ


def read(kind: type[T]) -> T:
    """Read one settings class from the environment, or raise `SettingsError`."""
    try:
        return kind()
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        prefix = str(kind.model_config.get("env_prefix") or "")
        name = "_".join(str(part) for part in first["loc"]).upper().removeprefix(prefix)
        raise SettingsError(f"the setting {prefix}{name} is not valid: {first['msg']}") from None


OF_COMMANDS = frozenset({"RLG_API_KEY"})
"""What options of commands are read from too: no settings of a service."""


def refuse_unknown(
    classes: Iterable[type[Settings]], environ: Mapping[str, str] = os.environ
) -> None:
    """Raise `SettingsError` when a variable has one of our prefixes and no class knows it."""
    known = {name for cls in classes for name in variables(cls)} | OF_COMMANDS
    unknown = sorted(n for n in environ if n.startswith(PREFIXES) and n not in known)
    if unknown:
        raise SettingsError(
            f"unknown setting {', '.join(unknown)}; known are {', '.join(sorted(known))}"
        )


def variables(cls: type[Settings]) -> list[str]:
    """Return the environment variables that a settings class reads."""
    prefix = str(cls.model_config.get("env_prefix") or "")
    return [
        str(field.validation_alias or f"{prefix}{name}".upper())
        for name, field in cls.model_fields.items()
    ]


def refuse_unsafe(shared: Shared) -> None:
    """Development mode accepts anybody, so it may listen on loopback only."""
    if shared.dev and shared.host not in LOOPBACK:
        raise SettingsError(
            f"RLG_DEV=1 lets anybody act as anybody: it is refused on {shared.host}; "
            "bind to 127.0.0.1 or leave development mode"
        )
