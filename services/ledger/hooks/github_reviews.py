"""GitHub: reviews of deployments, that is its own approvals of an environment.

GitHub names a workflow run here, not a deployment, and no release. The link to a release is a
**convention of ours**: the workflow's `run-name` (sent as `display_title`) holds `release:<id>`,
for example `run-name: Deploy release:pay-1.42`. With it: approval.requested and approval.decided,
of kind `environment` and for the gate `github:<environment>`. Without it: the foreign types
`com.github.deployment_review.…`, in the histories of the run and the environment.

They are evidence of what GitHub let pass and who clicked, as GitHub claims it. They name no role
and no digest, so they open no gate of ours.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from contracts.ijson import Json
from services.ledger.hooks.adapter import CannotMap, Fact, identifier, present
from services.ledger.hooks.github_hook import Hook, person
from services.ledger.hooks.reading import each, find, moment, need, prose

_RELEASE = re.compile(r"\brelease:([^\s,\x00-\x1f\x7f]+)")


@dataclass(frozen=True, slots=True)
class _Review:
    """One environment that a run waits for."""

    hook: Hook
    run: str
    attempt: int
    environment: str

    @property
    def key(self) -> tuple[str | int, ...]:
        return ("deployment_review", self.run, self.attempt, self.environment)

    @property
    def approval_id(self) -> str:
        return f"github-{self.run}-{self.attempt}-{identifier(self.environment)}"

    @property
    def release(self) -> str | None:
        title = find(self.hook.payload, "workflow_run", "display_title")
        found = _RELEASE.search(title) if isinstance(title, str) else None
        return found[1] if found else None

    def foreign(self, action: str, data: dict[str, Json], time: str | None = None) -> Fact:
        place = self.hook.scope.environment(self.environment)
        return self.hook.foreign_fact(
            f"com.github.deployment_review.{action}",
            (*self.key, action),
            data | {"approval_id": self.approval_id, "environment": place, "repo": self.hook.repo},
            time=time,
            subject=f"approval:{self.approval_id}",
            subjects=[f"pipelinerun:github-run-{self.run}", f"environment:{place['id']}"],
        )


def requested(hook: Hook) -> list[Fact]:
    """Map the question. GitHub asks one of the named users and teams."""
    review = _review(hook, need(hook.payload, "environment"))
    roles: list[Json] = [_reviewer(r) for r in each(hook.payload, "reviewers")]
    time = moment(find(hook.payload, "since"))
    if review.release is None:
        return [review.foreign("requested", {"reviewers": roles}, time)]
    data: dict[str, Json] = {
        "approval_id": review.approval_id,
        "release_id": review.release,
        "target": f"deploy:{identifier(review.environment)}",
        "kind": "environment",
        "required": {"count": 1, "roles": roles or ["github:any-reviewer"]},
        "environment": hook.scope.environment(review.environment),
    }
    return [hook.fact("approval.requested.v1", (*review.key, "requested"), data, time=time)]


def decided(hook: Hook) -> list[Fact]:
    """Map the answer, once for each environment. GitHub sends no time for it: ours counts."""
    decision, approver = need(hook.payload, "action"), person(find(hook.payload, "approver"))
    if approver is None:
        raise CannotMap("/approver is missing")
    comment = prose(find(hook.payload, "comment"))
    said = present(principal=approver, decision=decision, comment=comment)
    return [_decided(_review(hook, name), said) for name in _environments(hook)]


def _decided(review: _Review, said: dict[str, Json]) -> Fact:
    if review.release is None:
        return review.foreign(str(said["decision"]), said)
    data = said | {
        "approval_id": review.approval_id,
        "release_id": review.release,
        "gate": f"github:{identifier(review.environment)}",
        "roles": [],
    }
    key = (*review.key, str(said["decision"]), str(said["principal"]))
    return review.hook.fact("approval.decided.v1", key, data)


def _review(hook: Hook, environment: str) -> _Review:
    run = find(hook.payload, "workflow_run")
    return _Review(hook, need(run, "id"), find(run, "run_attempt") or 1, environment)


def _environments(hook: Hook) -> list[str]:
    """Return the environments of the jobs that waited, each once."""
    jobs = each(hook.payload, "workflow_job_runs") or [find(hook.payload, "workflow_job_run")]
    return list(dict.fromkeys(need(job, "environment") for job in jobs))


def _reviewer(reviewer: Any) -> str:
    prefix = "github-team" if find(reviewer, "type") == "Team" else "github"
    return f"{prefix}:{need(reviewer, 'reviewer', 'id')}"
