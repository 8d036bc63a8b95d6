"""What the gatekeeper is asked and answers over HTTP, as models: OpenAPI tells the truth."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from contracts import ijson
from contracts.decision import Decision
from contracts.event import Receipt
from contracts.payloads.control import PermitIssued
from contracts.payloads.deploy import DeploymentKind
from contracts.payloads.model import Identifier, Tier


def _clean(text: str) -> str:
    ijson.check(text)
    return text


Name = Annotated[Identifier, AfterValidator(_clean)]
Digest = Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$")]
Prose = Annotated[str, Field(max_length=20_000), AfterValidator(_clean)]
Reason = Annotated[Prose, Field(min_length=1)]


class In(BaseModel):
    """A body; unknown members are refused."""

    model_config = ConfigDict(extra="forbid")


class Ask(In):
    """May this release pass? Give the gate, or the environment that `deploy:…` guards."""

    release: Name
    gate: Name | None = None
    environment: Name | None = None

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.gate is None) == (self.environment is None):
            raise ValueError("give either gate or environment")
        return self

    @property
    def at(self) -> str:
        """The gate that is asked about."""
        return self.gate or f"deploy:{self.environment}"


class Looked(In):
    """What a person looked at before they spoke: their word is about that, and about nothing else.

    `seen_decision` or `statement` is needed; the SHA-256 of what was shown is recorded.
    """

    target_digest: Digest | None = None
    """The manifest that the person looked at; another current one is refused with 412."""
    statement: Prose = ""
    """What the person was shown, as text. `artefact` in a JSON object is the manifest that the
    person looked at."""
    seen_decision: Name | None = None
    """The decision that the person was shown: refused with 412 when what it rests on has moved."""

    @model_validator(mode="after")
    def _something_was_shown(self) -> Self:
        if self.seen_decision is None and not self.statement.strip():
            raise ValueError("say what was looked at: seen_decision, or statement")
        return self


class Say(Looked):
    """A person's yes, no or neither; the authenticated person's, for a body cannot name one."""

    gate: Name
    decision: Literal["approved", "rejected", "abstained"]
    comment: Prose | None = None
    on_behalf_of: Name | None = None
    """In whose place, where a role was delegated; without it, whoever holds a role speaks for
    themselves."""

    @model_validator(mode="after")
    def _no_says_why(self) -> Self:
        if self.decision == "rejected" and not (self.comment or "").strip():
            raise ValueError("a rejection needs a comment that says why")
        if self.decision == "abstained" and self.on_behalf_of is not None:
            raise ValueError("nobody abstains in the place of somebody else")
        return self


class Begin(In):
    """A deployment begins under a permit. The permit says of which release, and where to."""

    deployment_id: Name
    service: Name
    artifact_digest: Digest
    tier: Tier
    kind: DeploymentKind = "normal"
    trigger: Annotated[str, Field(min_length=1, max_length=500), AfterValidator(_clean)]
    uri: Annotated[str, Field(min_length=1, max_length=2000), AfterValidator(_clean)] | None = None


class Permit(BaseModel):
    """A permit and how it stands: `usable`, `used` or `expired`."""

    permit_id: str
    decision_id: str
    release_id: str
    gate: str
    environment: str
    target_digest: str
    not_after: str
    state: str


class Replayed(BaseModel):
    """What came of judging a decision once more: `same`, to the byte; `different`; `other_engine`,
    where another version of the engine or its libraries has judged; `unreadable`,
    where something that it had read cannot be read, or was redacted since.
    """

    decision_id: str
    position: int
    outcome: str
    difference: str | None


class Recorded(BaseModel):
    """A decision with its place in the ledger."""

    decision_id: str
    position: int
    recorded_at: str
    decision: Decision
    permit: PermitIssued | None = None
    """Where one was asked for (`permit=true`) and the answer is yes."""
    sealed: bool = False
    """Whether the log's published tree was seen to cover it; asked for by `sealed=true`."""


class DryRun(BaseModel):
    """What the decision would be. Nothing was recorded."""

    decision: Decision


class Decisions(BaseModel):
    """The decisions of a release, newest first."""

    release: str
    decisions: list[Recorded]


class Voted(BaseModel):
    """The recorded vote, and the gate's decision after it.

    `decision` is null when the gate could not be judged at once: the vote stands, ask again.
    `position` is the last one that was written: wait for it to see all of this in a projection.
    """

    approval: Receipt
    decision_id: str | None
    decision: Decision | None
    position: int
