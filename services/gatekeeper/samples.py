"""Samples: what the tests of a policy need not say about the release that they tell of. Pure.

One made-up release of one service, with one artifact built from one merged change. A test gives of
each event what matters; the rest of its data, where the type is here, is taken from these.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

RELEASE, SERVICE, DEPLOYMENT = "sample", "sample-service", "sample-deployment"
IMAGE, MANIFEST = "sha256:" + "a" * 64, "sha256:" + "c" * 64
SHA, HEAD, ANY_SHA256 = "5a" * 20, "4e" * 20, "f" * 64
OWNER, AUTHOR = "test:owner", "test:author"
_OF = {"release_id": RELEASE}
_SITTING = {"session_id": "sample"}
_CHANGE = {"repo": "acme/sample", "change_id": "1", "head_sha": HEAD, "author": AUTHOR}
_DEPLOYED: dict[str, Any] = _OF | {
    "deployment_id": DEPLOYMENT, "intent_id": "sample-intent", "service": SERVICE,
    "environment": {"id": "staging", "tier": "staging"}, "artifact_digest": IMAGE,
    "kind": "normal", "planned": True, "trigger": "release",
}  # fmt: skip

SAMPLES: Mapping[str, Mapping[str, Any]] = {
    "release.planned": _OF | {"name": "Sample", "service_ids": [SERVICE], "owner": OWNER,
                              "release_type": "minor"},
    "release.risk_assessed": _OF | {"score": 10, "tier": "low", "method": "sample",
                                    "factors": [], "assessor": OWNER},
    "release.plan_published": _OF | {"kind": "rollback", "doc_uri": "https://wiki.example/1",
                                     "doc_sha256": ANY_SHA256},
    "release.candidate_created": _OF | {"version": "1.0.0", "manifest_digest": MANIFEST,
                                        "artifacts": [IMAGE],
                                        "change_ids": [f"acme/sample@{SHA}"]},
    "release.scope_changed": _OF | {"added": [], "removed": [], "reason": "sample"},
    "release.scheduled": _OF | {"environments": ["production"]},
    "release.completed": _OF | {"outcome": "success"},
    "release.cancelled": _OF | {"reason": "sample"},
    "change.created": _CHANGE,
    "change.reviewed": {"repo": "acme/sample", "change_id": "1", "head_sha": HEAD,
                        "reviewer": "test:reviewer", "verdict": "approved"},
    "change.merged": _CHANGE | {"merge_sha": SHA, "target": "main", "commit_shas": [SHA],
                                "first_commit_at": None},
    "artifact.packaged": {"purl": f"pkg:oci/sample@{IMAGE}", "digest": IMAGE, "commit_sha": SHA,
                          "repo": "acme/sample"},
    "artifact.scanned": {"digest": IMAGE, "scanner": "sample", "db_version": "1",
                         "counts": {"critical": 0, "high": 0, "medium": 0, "low": 0,
                                    "unknown": 0}},
    "attestation.recorded": {"digest": IMAGE, "builder": "https://ci.example", "verified": True,
                             "predicate_type": "https://slsa.dev/provenance/v1",
                             "bundle_sha256": ANY_SHA256},
    "testsuiterun.finished": _OF | {"suite": "unit", "run_id": "1", "outcome": "success",
                                    "counts": {"passed": 100, "failed": 0}, "coverage": 80.0,
                                    "artifact_digest": IMAGE},
    "pipelinerun.finished": {"pipeline": "ci", "run_id": "1", "attempt": 1, "commit_sha": SHA,
                             "repo": "acme/sample", "outcome": "success"},
    "deployment.started": _DEPLOYED,
    "deployment.finished": _DEPLOYED | {"outcome": "success"},
    "service.rolledback": _OF | {"service": SERVICE, "purl": "pkg:oci/sample@0.9",
                                 "environment": {"id": "staging", "tier": "staging"}},
    "rollback.triggered": {"deployment_id": DEPLOYMENT, "cause": "manual"},
    "verification.finished": _OF | {"deployment_id": DEPLOYMENT, "kind": "smoke",
                                    "outcome": "success"},
    "analysis.finished": _OF | {"deployment_id": DEPLOYMENT, "metric_set": "sample",
                                "outcome": "success", "window_seconds": 600, "values": {}},
    "gate.evaluated": _OF | {"gate": "quality", "subject": f"artifact:{IMAGE}", "outcome": "pass",
                             "policy_id": "sample", "policy_version": "1", "inputs": [],
                             "reasons": []},
    "role.assigned": {"scope": "*"},
    "role.revoked": {"scope": "*"},
    "identity.linked": {"basis": "sso"},
    "identity.unlinked": {"reason": "sample"},
    "approval.requested": _OF | {"approval_id": "sample", "kind": "owner",
                                 "required": {"count": 1, "roles": ["owner"]}},
    "approval.decided": _OF | {"approval_id": "sample", "decision": "approved", "roles": [],
                               "target_digest": MANIFEST},
    "approval.withdrawn": _OF | {"approval_id": "sample", "reason": "sample"},
    "approval.abstained": _OF | {"approval_id": "sample", "target_digest": MANIFEST},
    "delegation.granted": {"delegation_id": "sample", "reason": "sample"},
    "delegation.revoked": {"delegation_id": "sample", "reason": "sample"},
    "board.opened": _SITTING | {"board": "cab", "agenda": [_OF | {"gate": "deploy:production"}]},
    "board.attended": _SITTING | {"presence": "joined"},
    "board.voted": _OF | _SITTING | {"vote": "approved", "target_digest": MANIFEST},
    "board.recused": _OF | _SITTING | {"reason": "sample"},
    "board.closed": _SITTING | {"releases": [RELEASE], "present": [], "minutes": "sample"},
    "veto.raised": _OF | {"veto_id": "sample", "reason": "sample"},
    "veto.lifted": _OF | {"veto_id": "sample", "reason": "sample"},
    "freeze.declared": {"freeze_id": "sample", "tz": "UTC", "reason": "sample",
                        "allowed_types": []},
    "freeze.lifted": {"freeze_id": "sample", "reason": "sample"},
    "exception.granted": _OF | {"exception_id": "sample", "reason": "sample", "impact": "sample",
                                "owner": OWNER, "compensating": []},
    "exception.revoked": {"exception_id": "sample", "reason": "sample"},
    "breakglass.invoked": _OF | {"incident_id": "sample", "reason": "sample",
                                 "target_digest": MANIFEST},
    "breakglass.reviewed": _OF | {"outcome": "justified", "findings": "sample"},
}  # fmt: skip
"""Name of a type without its major → data."""
GATED = frozenset({"approval.decided", "approval.withdrawn", "approval.abstained", "board.voted",
                   "board.recused", "delegation.granted", "breakglass.invoked",
                   "breakglass.reviewed"})  # fmt: skip
"""Types whose `gate` is that of the test, unless it says another."""
SPEAKER = {
    "approval.decided": "principal", "approval.withdrawn": "principal",
    "approval.abstained": "principal", "delegation.granted": "delegator",
    "delegation.revoked": "principal", "board.opened": "chair", "board.attended": "principal",
    "board.voted": "principal", "board.recused": "principal", "board.closed": "chair",
    "veto.raised": "principal",
    "veto.lifted": "principal", "exception.granted": "approver", "exception.revoked": "revoked_by",
    "breakglass.invoked": "principal", "breakglass.reviewed": "reviewer",
}  # fmt: skip
"""Types that people say → the field that names who."""
