"""What a story is made of: deliveries, facts, votes, questions and pauses.

Chapters follow one another; the threads of a chapter run side by side; the steps of a thread are
strictly in order. A step can be sent again without harm.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from contracts import ijson

SECRET = "demo-secret"  # noqa: S105 - the marked sample secret; refused outside development
Verdicts = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Webhook:
    """One delivery of a real sender."""

    connection: Literal["github", "alertmanager"]
    kind: str
    """GitHub: the value of X-GitHub-Event."""
    delivery: str
    at: str
    """When it happened; only to put deliveries in order."""
    payload: dict[str, Any]
    permit: str = ""
    """The deployment whose permit the workflow adds, see `Permit`."""

    def permitted(self, permit_id: str) -> Webhook:
        """Return it with the permit where our convention for GitHub's deployments has it."""
        deployment: dict[str, Any] = self.payload["deployment"]
        said = {**deployment["payload"], "permit_id": permit_id}
        return replace(
            self, payload={**self.payload, "deployment": {**deployment, "payload": said}}
        )

    def body(self) -> bytes:
        """Return the bytes that are sent and signed."""
        return ijson.dumps(self.payload)

    def headers(self) -> dict[str, str]:
        """Return the headers that the sender sets."""
        if self.connection == "alertmanager":
            return {
                "content-type": "application/json",
                "user-agent": "Alertmanager/0.28.1",
                "authorization": f"Bearer {SECRET}",
            }
        return {
            "content-type": "application/json",
            "user-agent": "GitHub-Hookshot/3a9c1f2",
            "accept": "*/*",
            "x-github-event": self.kind,
            "x-github-delivery": self.delivery,
            "x-github-hook-id": "511204377",
            "x-github-hook-installation-target-id": "90417713",
            "x-github-hook-installation-target-type": "organization",
            "x-hub-signature-256": signature(self.body()),
        }


@dataclass(frozen=True, slots=True)
class Facts:
    """CloudEvents that one actor sends in one batch."""

    actor: str
    events: tuple[dict[str, Any], ...]


@dataclass(frozen=True, slots=True)
class Vote:
    """A person approves or rejects a release at a gate, through the gatekeeper."""

    release: str
    gate: str
    person: str
    decision: Literal["approved", "rejected"]
    comment: str
    roles: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Sit:
    """A board sits over a release at a gate, through the gatekeeper, and all are for it.

    The first of `members` chairs.
    """

    session: str
    board: str
    release: str
    gate: str
    members: tuple[str, ...]
    reason: str
    minutes: str


@dataclass(frozen=True, slots=True)
class Ask:
    """Somebody asks the gatekeeper for a verdict; `expect` are the ones that the story allows."""

    release: str
    gate: str
    actor: str
    expect: Verdicts


@dataclass(frozen=True, slots=True)
class Permit:
    """A pipeline asks for the permit of a deployment: the release's `attempt`-th at the gate."""

    release: str
    gate: str
    actor: str
    deployment: str
    attempt: int


@dataclass(frozen=True, slots=True)
class Await:
    """Pause until webhooks are mapped: `count` events of `type` stand in a subject's history."""

    subject: str
    type: str
    count: int = 1


Step = Webhook | Facts | Vote | Sit | Ask | Permit | Await
Thread = tuple[Step, ...]
Chapter = tuple[Thread, ...]


@dataclass(frozen=True, slots=True)
class Story:
    """The whole, ready to be sent. `waiting` is the release left for the newcomer."""

    chapters: tuple[Chapter, ...]
    releases: tuple[str, ...]
    waiting: str
    gate: str = field(default="deploy:production")

    def steps(self) -> list[Step]:
        """Return all steps, chapter by chapter and thread by thread."""
        return [step for chapter in self.chapters for thread in chapter for step in thread]


def signature(body: bytes) -> str:
    """Return the value of X-Hub-Signature-256: HMAC-SHA256 over the bytes, hex."""
    return "sha256=" + hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
