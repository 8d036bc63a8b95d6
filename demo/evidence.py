"""What machines say about a release: packages, signatures, scans, tests, the candidate, checks."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from contracts.payloads.build import (
    ArtifactPackaged,
    ArtifactScanned,
    ArtifactSigned,
    AttestationRecorded,
    SeverityCounts,
    TestCounts,
    TestSuiteRunFinished,
)
from contracts.payloads.deploy import VerificationFinished
from contracts.payloads.model import Environment
from contracts.payloads.plan import ReleaseCandidateCreated
from demo.native import BOT, CI, DELIVERY, REGISTRY, STAGING, Pen, said_by
from demo.steps import Facts
from demo.work import Deployment, Release

MOST_CHANGES = 20
"""A candidate names at most so many changes (contracts/payloads/plan.py)."""


def packaged(release: Release) -> Facts:
    """Return everything that the pipeline says about the image, then the candidate."""
    at, pen = release.candidate_at - timedelta(minutes=14), Pen(release.seed, CI)
    return said_by(
        BOT,
        pen.fact(at, _package(release)),
        pen.fact(at + timedelta(minutes=1), _signature(release)),
        pen.fact(at + timedelta(minutes=2), _provenance(release)),
        scanned(release, at + timedelta(minutes=4), high=0),
        _tested(release, "unit", at + timedelta(minutes=6)),
        _tested(release, "integration", at + timedelta(minutes=11)),
        pen.fact(release.candidate_at, _candidate(release)),
    )


def _package(release: Release) -> ArtifactPackaged:
    return ArtifactPackaged(
        purl=release.purl,
        digest=release.digest,
        commit_sha=release.sha,
        repo=release.service.repo.full_name,
        sbom_uri=f"{REGISTRY}/{release.id}/sbom.cdx.json",
        sbom_sha256=release.seed.hex("sbom", release.id),
    )


def _signature(release: Release) -> ArtifactSigned:
    return ArtifactSigned(
        purl=release.purl,
        digest=release.digest,
        signature=f"{REGISTRY}/{release.id}/image.sig",
        key_id=release.seed.digest("signing key"),
    )


def _provenance(release: Release) -> AttestationRecorded:
    return AttestationRecorded(
        digest=release.digest,
        predicate_type="https://slsa.dev/provenance/v1",
        builder=f"https://github.com/{release.service.repo.full_name}/actions",
        verified=True,
        bundle_sha256=release.seed.hex("provenance", release.id),
    )


def scanned(release: Release, at: datetime, *, high: int) -> dict[str, Any]:
    """Return a scan of the image; a later scan may know more."""
    chance = release.seed.random("scan", release.id)
    scan = ArtifactScanned(
        digest=release.digest,
        scanner="trivy",
        db_version=at.strftime("%Y%m%d"),
        counts=SeverityCounts(
            critical=0,
            high=high,
            medium=chance.randint(0, 3),
            low=chance.randint(2, 14),
            unknown=0,
        ),
        report_uri=f"{REGISTRY}/{release.id}/report.json",
        release_id=release.id,
    )
    return Pen(release.seed, REGISTRY).fact(at, scan, at.isoformat())


def _tested(
    release: Release, suite: str, at: datetime, environment: Environment | None = None
) -> dict[str, Any]:
    chance = release.seed.random("tests", release.id, suite)
    sizes = {"unit": 1400, "integration": 260, "end-to-end": 84, "load": 12}
    run = release.seed.number("suite run", release.id, suite)
    result = TestSuiteRunFinished(
        suite=suite,
        run_id=f"ci-{run}",
        outcome="success",
        counts=TestCounts(
            passed=sizes[suite] + 3 * release.ordinal, failed=0, skipped=chance.randint(0, 2)
        ),
        artifact_digest=release.digest,
        release_id=release.id,
        report_uri=f"{CI}/{run}/report.xml",
        coverage=round(chance.uniform(83, 92), 1) if suite == "unit" else None,
        environment=environment,
    )
    return Pen(release.seed, CI).fact(at, result, suite)


def _candidate(release: Release) -> ReleaseCandidateCreated:
    merged = [change.ref for change in release.contents if change.merged_at]
    return ReleaseCandidateCreated(
        release_id=release.id,
        version=release.version,
        manifest_digest=release.manifest,
        artifacts=[release.digest],
        change_ids=merged[-MOST_CHANGES:],
    )


def rehearsed(release: Release, at: datetime) -> Facts:
    """Return the nightly tests of a release that has no candidate yet: bound to no artifact."""
    tested = _tested(release, "unit", at)
    tested["data"].pop("artifact_digest")
    return said_by(BOT, tested)


def staged(of: Deployment) -> Facts:
    """Return what was found in staging: the smoke test, end-to-end tests, load for a major one."""
    release, at = of.release, of.finished_at
    tests = [_tested(release, "end-to-end", at + timedelta(minutes=18), STAGING)]
    if release.arc == "major":
        tests.append(_tested(release, "load", at + timedelta(minutes=50), STAGING))
    return said_by(BOT, verified(of, at + timedelta(minutes=2)), *tests)


def verified(of: Deployment, at: datetime) -> dict[str, Any]:
    """Return the smoke test after a deployment."""
    check = VerificationFinished(
        deployment_id=of.id, kind="smoke", outcome="success", release_id=of.content.id
    )
    return Pen(of.release.seed, DELIVERY).fact(at, check, of.id)
