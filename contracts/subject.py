"""Subjects: what events name. A key is `kind:id`, for example `release:pay-1.42`.

Payload models mark the fields that name subjects: `release_id: Annotated[str, Names("release")]`.
A key is 3 to 512 characters; the kind is lower-case; neither holds a comma, white space or a
control character (the extension attribute `subjects` is comma-separated).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

MAX_PER_EVENT = 64
MAX_LENGTH = 512
KINDS = (
    "release", "artifact", "change", "service", "environment", "deployment", "approval",
    "incident", "alert", "ticket", "policy", "freeze", "exception", "role", "pipelinerun",
    "decision", "flag", "event", "connection", "log", "calendar", "control", "permit", "veto",
    "identity", "breakglass", "board", "delegation", "proposal",
)  # fmt: skip
"""The kinds that the catalogue uses. Foreign events may name others."""

_KEY = re.compile(r"[a-z][a-z0-9_-]{0,31}:[^\s,\x00-\x1f\x7f]+")


@dataclass(frozen=True, slots=True)
class Names:
    """Marks a payload field (a string or a list of them) whose value names subjects of `kind`."""

    kind: str

    def __get_pydantic_json_schema__(
        self, core_schema: Any, handler: Callable[[Any], dict[str, Any]]
    ) -> dict[str, Any]:
        """Carry the mark into JSON Schema, where other languages find it."""
        return handler(core_schema) | {"x-subject-kind": self.kind}


def is_key(text: str) -> bool:
    """Say whether `text` can stand as a subject key."""
    return len(text) <= MAX_LENGTH and _KEY.fullmatch(text) is not None


def split_extension(text: str) -> list[str]:
    """Split the CloudEvents extension attribute `subjects` at its commas."""
    return [part.strip() for part in text.split(",") if part.strip()]
