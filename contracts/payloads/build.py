"""Build, verification and packaging: changes, pipelines, tests, artifacts."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from contracts.payloads.model import (
    Count,
    Digest,
    Environment,
    GitSha,
    Identifier,
    Label,
    Payload,
    Principal,
    Prose,
    ReleaseId,
    RunId,
    Sha256Hex,
    Strict,
    Timestamp,
    Uri,
)

Outcome = Literal["success", "failure", "cancelled", "skipped", "error"]
Purl = Label
"""Package URL with its digest, for example `pkg:oci/pay@sha256:…`."""


class ChangeCreated(Payload):
    """A source change was put up for review (a pull request was opened)."""

    composed = ("change:{repo}@{head_sha}",)

    repo: Identifier
    change_id: Identifier
    head_sha: GitSha
    source_ref: Label | None = None
    target: Label | None = None
    author: Principal | None = None
    title: Prose | None = None


class ChangeReviewed(Payload):
    """Somebody judged a source change."""

    composed = ("change:{repo}@{head_sha}",)

    repo: Identifier
    change_id: Identifier
    head_sha: GitSha
    reviewer: Principal
    verdict: Literal["approved", "changes_requested", "commented", "dismissed"]


class ChangeMerged(Payload):
    """A source change reached its target branch.

    `first_commit_at` and `commit_shas` are what lead time is measured from; a sender that does
    not know the first commit's time says null, and the projector takes it from recorded pushes.
    """

    composed = ("change:{repo}@{head_sha}", "change:{repo}@{merge_sha}")

    repo: Identifier
    change_id: Identifier
    head_sha: GitSha
    merge_sha: GitSha
    target: Label
    commit_shas: list[GitSha] = Field(max_length=2500)
    first_commit_at: Timestamp | None
    source_ref: Label | None = None
    author: Principal | None = None
    title: Prose | None = None


class Commit(Strict):
    """One commit of a push. The people are the sender's logins or addresses, claims."""

    sha: GitSha
    committed_at: Timestamp
    author: Label | None = None
    committer: Label | None = None
    co_authors: list[Label] = Field(default_factory=list, max_length=500)


class ChangePushed(Payload):
    """Commits reached a branch, in this order. Pushes to the default branch tell what a later
    deployment contains; pushes to other branches tell when work on a change began.
    """

    composed = ("change:{repo}@{after}",)

    repo: Identifier
    ref: Label
    before: GitSha
    after: GitSha
    default_branch: bool
    forced: bool = False
    commits: list[Commit] = Field(max_length=2500)
    pusher: Principal | None = None


class PipelineRunStarted(Payload):
    """A pipeline began to run."""

    pipeline: Label
    run_id: RunId
    attempt: int = Field(ge=1)
    commit_sha: GitSha | None = None
    repo: Identifier | None = None
    uri: Uri | None = None


class PipelineRunFinished(Payload):
    """A pipeline came to its end."""

    composed = ("change:{repo}@{commit_sha}",)

    pipeline: Label
    run_id: RunId
    attempt: int = Field(ge=1)
    outcome: Outcome
    commit_sha: GitSha
    repo: Identifier
    uri: Uri | None = None


class TestCounts(Strict):
    """How many test cases, by their end."""

    __test__ = False  # not a test class, whatever its name

    passed: Count
    failed: Count
    skipped: Count = 0


class TestSuiteRunFinished(Payload):
    """Tests ran. `artifact_digest` binds the result to what was tested."""

    __test__ = False

    suite: Label
    run_id: RunId
    outcome: Outcome
    counts: TestCounts
    coverage: float | None = Field(default=None, ge=0, le=100)
    environment: Environment | None = None
    artifact_digest: Digest | None = None
    release_id: ReleaseId | None = None
    report_uri: Uri | None = None


class ArtifactPackaged(Payload):
    """An artifact was built from a commit."""

    purl: Purl
    digest: Digest
    commit_sha: GitSha
    repo: Identifier | None = None
    sbom_uri: Uri | None = None
    sbom_sha256: Sha256Hex | None = None


class ArtifactPublished(Payload):
    """An artifact can be had from a repository. The digest is null where the sender gave none."""

    purl: Purl
    digest: Digest | None = None
    repository: Label | None = None
    uri: Uri | None = None


class ArtifactSigned(Payload):
    """An artifact was signed."""

    purl: Purl
    digest: Digest
    signature: Label
    key_id: Label


class SeverityCounts(Strict):
    """How many findings, by severity; null where the scanner does not report that severity."""

    critical: Count
    high: Count
    medium: Count | None
    low: Count | None
    unknown: Count | None


class ArtifactScanned(Payload):
    """A scanner looked for known vulnerabilities."""

    digest: Digest
    scanner: Label
    db_version: Label
    counts: SeverityCounts
    report_uri: Uri | None = None
    release_id: ReleaseId | None = None


class AttestationRecorded(Payload):
    """A signed statement about an artifact (in-toto) was stored and checked."""

    digest: Digest
    predicate_type: Uri
    builder: Label
    verified: bool
    bundle_sha256: Sha256Hex
