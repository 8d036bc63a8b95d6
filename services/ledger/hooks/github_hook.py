"""One GitHub delivery, opened: its payload and what every mapping of GitHub needs.

People are `github:<numeric id>`: a login is a name, can change hands, and stays out of the log.
`source` is `/hooks/<connection>/<owner>/<repository>`; event ids come from natural keys, because
repository, organisation and App hooks deliver the same fact under different delivery ids.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from contracts.event import OURS
from contracts.ijson import Json
from services.ledger.hooks.adapter import CannotMap, Fact, Scope, identifier, natural_id
from services.ledger.hooks.reading import find, need

_SHA = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")
_OUTCOMES: Mapping[str, str] = {
    "success": "success",
    "neutral": "skipped",
    "skipped": "skipped",
    "failure": "failure",
    "action_required": "failure",
    "timed_out": "error",
    "startup_failure": "error",
    "cancelled": "cancelled",
    "stale": "cancelled",
}


@dataclass(frozen=True, slots=True)
class Hook:
    """A parsed delivery and the scope of its connection."""

    payload: dict[str, Any]
    scope: Scope

    @property
    def repo(self) -> str:
        """`owner/name`."""
        return identifier(need(self.payload, "repository", "full_name"))

    @property
    def service(self) -> str:
        """The service that the repository stands for: by the connection's map, else its name."""
        return self.scope.service(self.repo, need(self.payload, "repository", "name"))

    def fact(
        self,
        type_: str,
        key: tuple[str | int | None, ...],
        data: dict[str, Json],
        *,
        time: str | None = None,
        subject: str | None = None,
        agree: frozenset[str] | None = None,
    ) -> Fact:
        """Make a fact of one of our own types; `key` is its natural key within the repository."""
        return self.foreign_fact(OURS + type_, key, data, time=time, subject=subject, agree=agree)

    def foreign_fact(  # noqa: PLR0913 - the attributes of an event, by name
        self,
        type_: str,
        key: tuple[str | int | None, ...],
        data: dict[str, Json],
        *,
        time: str | None = None,
        subject: str | None = None,
        subjects: list[str] | None = None,
        agree: frozenset[str] | None = None,
    ) -> Fact:
        """Make a fact of a type that is not ours; `subjects` go into the extension attribute."""
        event: dict[str, Json] = {
            "specversion": "1.0",
            "id": natural_id(self.scope.connection, "github", self.repo, *key),
            "source": f"/hooks/{self.scope.connection}/{self.repo}",
            "type": type_,
            "datacontenttype": "application/json",
            "data": data,
        }
        named = {"time": time, "subject": subject, "subjects": ",".join(subjects or ()) or None}
        return Fact(event | {name: value for name, value in named.items() if value}, agree)


def person(user: Any) -> str | None:
    """Return a GitHub user as a principal, None where the sender gives none (a deleted account)."""
    number = find(user, "id")
    return f"github:{number}" if isinstance(number, int) else None


def outcome(conclusion: str) -> str:
    """Return our outcome of a run for GitHub's conclusion. Neutral and skipped block nothing."""
    if conclusion not in _OUTCOMES:
        raise CannotMap(f"the conclusion {conclusion[:40]!r} is not known")
    return _OUTCOMES[conclusion]


def is_sha(text: Any) -> bool:
    """Say whether `text` is a git object name."""
    return isinstance(text, str) and _SHA.fullmatch(text) is not None


def is_null_sha(text: str) -> bool:
    """Say whether `text` is git's name for nothing (a branch that was made or deleted)."""
    return not text.strip("0")
