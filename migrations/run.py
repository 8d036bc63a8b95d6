"""Run the migrations from Python: `upgrade(url, "ledger", "projector", "gatekeeper")`."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config

HOME = Path(__file__).parent
SECTIONS = ("ledger", "projector", "gatekeeper")
"""Each is a schema, a section of alembic.ini and a folder here."""


def upgrade(url: str, *names: str) -> None:
    """Bring the named schemas (default: all that have migrations) to their newest version.

    Blocks, and starts an event loop of its own: from a coroutine call it in a thread, and never
    twice at a time in one process (Alembic keeps its state in a module). Several processes may
    call it at once: each schema is migrated by one while the others wait.
    """
    for name in names or present():
        command.upgrade(config(name, url), "head")


def present() -> list[str]:
    """Return the sections that have migrations."""
    return [name for name in SECTIONS if any((HOME / name / "versions").glob("*.py"))]


def config(name: str, url: str) -> Config:
    """Return Alembic's configuration for one section."""
    result = Config(HOME / "alembic.ini", ini_section=name)
    result.attributes["url"] = url
    return result


def sql(name: str, *files: str) -> list[str]:
    """Return the text of SQL files of a section, for a version script to execute in order."""
    return [(HOME / name / "sql" / file).read_text(encoding="utf-8") for file in files]
