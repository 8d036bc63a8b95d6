"""One event of every type: the life of the release pay-1.42, for the corpus to be made from.

Only what has no file in `events/` yet is made; changing a line here changes nothing recorded.
"""

from __future__ import annotations

from typing import Any

from contracts.event import OURS

R = "pay-1.42"
HEAD, MERGE, BASE = "9fceb02d" * 5, "1b2c3d4e" * 5, "0a0b0c0d" * 5
IMAGE, OLD_IMAGE = "sha256:" + "a1" * 32, "sha256:" + "b2" * 32
MANIFEST, SHA256 = "sha256:" + "c3" * 32, "d4" * 32
PROD = {"id": "production-eu", "tier": "production"}
ADA, GRACE, KIM = "acme:ada", "acme:grace", "acme:kim"
CONSOLE = {"principal": GRACE, "assurance": "A4", "via": "service:gatekeeper"}
GATEKEEPER = {"principal": "service:gatekeeper", "assurance": "A2"}
AT = "2026-03-02T09:%02d:00Z"
DEPLOYMENT: dict[str, Any] = {
    "deployment_id": "dep-77", "intent_id": "int-77", "service": "pay", "environment": PROD,
    "artifact_digest": IMAGE, "kind": "normal", "planned": True, "trigger": "release",
    "release_id": R, "repo": "acme/pay", "head_sha": MERGE, "uri": "https://ci.example/77",
    "remediates": "dep-76",
}  # fmt: skip
SCAN: dict[str, Any] = {
    "digest": IMAGE, "scanner": "trivy", "db_version": "20260301",
    "report_uri": "https://scan.example/1", "release_id": R,
}  # fmt: skip
TICKET: dict[str, Any] = {
    "ticket_id": "CHG-9", "system": "jira", "ticket_type": "change_request",
    "uri": "https://jira.example/CHG-9", "state": "open", "release_id": R,
}  # fmt: skip
ALERT: dict[str, Any] = {
    "alert_key": "a-5", "name": "PayErrors", "severity": "critical", "started_at": AT % 50,
    "service": "pay", "environment": PROD, "summary": "5xx above 2 %", "uri": "https://am.example",
}  # fmt: skip
INCIDENT: dict[str, Any] = {
    "incident_id": "inc-3", "environment": PROD, "severity": "high", "started_at": AT % 50,
    "service": "pay", "summary": "Payments fail", "uri": "https://inc.example/3",
}  # fmt: skip
RULE = {
    "rule": "approvals", "title": "One approval", "type": "approvals", "stage": "approve",
    "status": "pass", "reason": "grace approved", "required": "1", "found": "1", "evidence": [19],
}  # fmt: skip
VERDICT: dict[str, Any] = {
    "decision": "allow", "release": R, "gate": "deploy:production", "environment": "production",
    "artefact": MANIFEST, "as_of": AT % 40, "summary": "All rules hold.", "rules": [RULE],
    "policy": {"name": "standard", "version": 1, "digest": f"sha256:{SHA256}"},
    "read_set": {f"release:{R}": 9}, "facts_digest": f"sha256:{SHA256}", "engine": "1",
}  # fmt: skip
CHANGE: dict[str, Any] = {
    "repo": "acme/pay", "change_id": "512", "head_sha": HEAD, "source_ref": "card",
    "target": "main", "author": ADA, "title": "Pay by card",
}  # fmt: skip
COMMIT = {"sha": HEAD, "committed_at": "2026-03-01T17:00:00+01:00", "author": "ada@acme.example"}
RUN: dict[str, Any] = {
    "pipeline": "ci", "run_id": "run-8", "attempt": 1, "commit_sha": MERGE, "repo": "acme/pay",
    "uri": "https://ci.example/8",
}  # fmt: skip
WINDOW = {"start": AT % 0, "end": AT % 59, "tz": "Europe/Berlin"}
COUNTS = {"critical": 0, "high": 1, "medium": 4, "low": None, "unknown": None}
EXCEPTION: dict[str, Any] = {
    "exception_id": "ex-2", "control": "soak", "scope": "pay", "reason": "urgent", "approver": KIM,
    "expires_at": "2026-03-09T00:00:00Z", "compensating": ["watch by hand"], "release_id": R,
    "ticket_id": "CHG-9",
}  # fmt: skip
SERVICE: dict[str, Any] = {
    "service": "pay", "environment": PROD, "purl": f"pkg:oci/pay@{IMAGE}", "digest": IMAGE,
    "release_id": R,
}  # fmt: skip
ACTION: dict[str, Any] = {
    "item_id": "act-1", "release_id": R, "owner": ADA, "due": "2026-04-01T00:00:00Z",
    "title": "Alert earlier",
}  # fmt: skip

PAYLOADS: dict[str, dict[str, Any]] = {
    "ticket.created.v1": TICKET,
    "release.planned.v1": {"release_id": R, "name": "Payments 1.42", "service_ids": ["pay"],
                           "release_type": "minor", "owner": KIM, "description": "Cards",
                           "ticket_ids": ["CHG-9"]},
    "release.scope_changed.v1": {"release_id": R, "added": ["CHG-9"], "removed": [],
                                 "reason": "asked for"},
    "release.scheduled.v1": {"release_id": R, "window": WINDOW,
                             "environments": ["production-eu"]},
    "release.risk_assessed.v1": {"release_id": R, "score": 17.5, "tier": "low", "method": "points",
                                 "factors": ["small diff"], "assessor": KIM},
    "release.plan_published.v1": {"release_id": R, "kind": "rollback",
                                  "doc_uri": "https://wiki.example/rb", "doc_sha256": SHA256},
    "change.pushed.v1": {"repo": "acme/pay", "ref": "refs/heads/card", "before": BASE,
                         "after": HEAD, "default_branch": False, "forced": False,
                         "commits": [COMMIT], "pusher": ADA},
    "change.created.v1": CHANGE,
    "change.reviewed.v1": {"repo": "acme/pay", "change_id": "512", "head_sha": HEAD,
                           "reviewer": GRACE, "verdict": "approved"},
    "change.merged.v1": CHANGE | {"merge_sha": MERGE, "commit_shas": [HEAD],
                                  "first_commit_at": None},
    "pipelinerun.started.v1": RUN,
    "pipelinerun.finished.v1": RUN | {"outcome": "success"},
    "artifact.packaged.v1": {"purl": f"pkg:oci/pay@{IMAGE}", "digest": IMAGE, "commit_sha": MERGE,
                             "repo": "acme/pay", "sbom_uri": "https://sbom.example/1",
                             "sbom_sha256": SHA256},
    "artifact.published.v1": {"purl": "pkg:oci/pay", "digest": IMAGE, "repository": "registry",
                              "uri": "https://registry.example/pay"},
    "artifact.signed.v1": {"purl": "pkg:oci/pay", "digest": IMAGE, "signature": "MEUCIQ==",
                           "key_id": "k-1"},
    "artifact.scanned.v1": SCAN | {"counts": {"critical": 0, "high": 2, "medium": 7}},
    "artifact.scanned.v2": SCAN | {"counts": COUNTS},
    "attestation.recorded.v1": {"digest": IMAGE, "builder": "https://ci.example",
                                "predicate_type": "https://slsa.dev/provenance/v1",
                                "verified": True, "bundle_sha256": SHA256},
    "testsuiterun.finished.v1": {"suite": "unit", "run_id": "run-8", "outcome": "success",
                                 "counts": {"passed": 1412, "failed": 0, "skipped": 3},
                                 "coverage": 81.25, "environment": {"id": "ci", "tier": "testing"},
                                 "artifact_digest": IMAGE, "release_id": R,
                                 "report_uri": "https://ci.example/8/tests"},
    "release.candidate_created.v1": {"release_id": R, "version": "1.42.0",
                                     "manifest_digest": MANIFEST, "artifacts": [IMAGE],
                                     "change_ids": [f"acme/pay@{MERGE}"]},
    "gate.evaluated.v1": {"gate": "quality", "subject": "pay", "outcome": "warn",
                          "policy_id": "sonar", "policy_version": "9", "policy_sha256": SHA256,
                          "inputs": ["coverage"], "reasons": ["below 85 %"], "release_id": R},
    "role.assigned.v1": {"scope": "pay", "role": "release-manager", "principal": GRACE,
                         "valid_until": "2027-01-01T00:00:00Z"},
    "approval.requested.v1": {"approval_id": "ap-4", "release_id": R, "target": "deploy:production",
                              "kind": "owner", "environment": PROD,
                              "required": {"count": 1, "roles": ["release-manager"]},
                              "expires_at": "2026-03-05T00:00:00Z"},
    "approval.decided.v1": {"approval_id": "ap-4", "release_id": R, "gate": "deploy:production",
                            "principal": GRACE, "decision": "approved",
                            "roles": ["release-manager"], "comment": "go", "on_behalf_of": KIM,
                            "target_digest": MANIFEST, "statement_sha256": SHA256},
    "approval.closed.v1": {"approval_id": "ap-4", "release_id": R, "status": "approved"},
    "role.revoked.v1": {"scope": "pay", "role": "qa", "principal": ADA},
    "exception.granted.v1": EXCEPTION,
    "exception.granted.v2": {
        "exception_id": "ex-3", "control": "soak", "reason": "urgent", "impact": "no canary",
        "approver": KIM, "owner": ADA, "expires_at": "2026-03-09T00:00:00Z",
        "compensating": ["watch by hand"], "scope": "payments", "gate": "deploy:production",
        "release_id": R, "service": "pay", "version": "1.42.0", "artifact_digest": IMAGE,
        "ticket_id": "CHG-9"},
    "exception.revoked.v1": {"exception_id": "ex-2", "reason": "not needed", "revoked_by": KIM},
    "freeze.declared.v1": {"freeze_id": "fr-1", "scope": [PROD], "window": WINDOW,
                           "reason": "sale", "allowed_types": ["hotfix"]},
    "freeze.declared.v2": {
        "freeze_id": "fr-2", "calendar": "nightly", "environments": ["production-eu"],
        "services": ["pay"], "start": "2026-03-02T22:00", "end": "2026-03-03T05:00",
        "tz": "Europe/Berlin", "rrule": "FREQ=DAILY", "exdates": ["2026-03-05"],
        "reason": "nightly batch", "allowed_types": ["hotfix"]},
    "freeze.lifted.v1": {"freeze_id": "fr-1", "reason": "over"},
    "approval.withdrawn.v1": {"approval_id": "ap-4", "release_id": R, "gate": "deploy:production",
                              "principal": GRACE, "reason": "found a fault"},
    "veto.raised.v1": {"veto_id": "ve-1", "release_id": R, "gate": "deploy:production",
                       "principal": GRACE, "reason": "card data in logs"},
    "veto.lifted.v1": {"veto_id": "ve-1", "release_id": R, "principal": GRACE,
                       "reason": "mended"},
    "identity.linked.v1": {"identity": "github:4711", "principal": KIM, "basis": "sso"},
    "identity.unlinked.v1": {"identity": "github:4711", "principal": KIM, "reason": "left"},
    "breakglass.invoked.v1": {"release_id": R, "gate": "deploy:production", "principal": GRACE,
                              "incident_id": "inc-3", "reason": "payments fail",
                              "target_digest": MANIFEST},
    "breakglass.reviewed.v1": {"release_id": R, "gate": "deploy:production", "reviewer": KIM,
                               "outcome": "justified", "findings": "no other way"},
    "approval.abstained.v1": {"approval_id": "ap-4", "release_id": R, "gate": "deploy:production",
                              "principal": GRACE, "reason": "not my field",
                              "target_digest": MANIFEST, "statement_sha256": SHA256},
    "delegation.granted.v1": {"delegation_id": "de-1", "role": "release-manager",
                              "gate": "deploy:production", "delegator": GRACE, "delegate": ADA,
                              "until": "2026-03-09T00:00:00Z", "reason": "on leave"},
    "delegation.revoked.v1": {"delegation_id": "de-1", "role": "release-manager",
                              "principal": GRACE, "reason": "back"},
    "board.opened.v1": {"session_id": "cab-12", "board": "cab", "chair": GRACE,
                        "agenda": [{"release_id": R, "gate": "deploy:production"}]},
    "board.attended.v1": {"session_id": "cab-12", "principal": GRACE, "presence": "joined"},
    "board.voted.v1": {"session_id": "cab-12", "release_id": R, "gate": "deploy:production",
                       "principal": GRACE, "vote": "approved", "reason": "rehearsed",
                       "target_digest": MANIFEST, "statement_sha256": SHA256},
    "board.recused.v1": {"session_id": "cab-12", "release_id": R, "gate": "deploy:production",
                         "principal": GRACE, "reason": "my supplier"},
    "board.closed.v1": {"session_id": "cab-12", "chair": GRACE, "releases": [R],
                        "present": [GRACE], "minutes": "Approved; watch the queue."},
    "permit.issued.v1": {"permit_id": "pm-1", "decision_id": "dec-1", "release_id": R,
                         "gate": "deploy:production", "environment": "production",
                         "target_digest": MANIFEST, "not_after": "2026-03-02T10:00:00Z"},
    "policy.activated.v1": {"policy_id": "standard", "version": 1, "content_sha256": SHA256,
                            "content": "kind: ReleasePolicy\n", "author": "governance"},
    "decision.recorded.v1": {"decision_id": "dec-1", "release_id": R, "decision": VERDICT},
    "deployment.queued.v1": DEPLOYMENT,
    "deployment.started.v1": DEPLOYMENT,
    "deployment.finished.v1": DEPLOYMENT | {"outcome": "success", "base_sha": BASE,
                                            "change_ids": [f"acme/pay@{MERGE}"],
                                            "description": "all pods"},
    "service.deployed.v1": SERVICE,
    "rollout.progressed.v1": {"deployment_id": "dep-77", "target": "pay", "step": 2,
                              "weight": 12.5, "release_id": R},
    "analysis.finished.v1": {"deployment_id": "dep-77", "metric_set": "latency",
                             "outcome": "success", "window_seconds": 600,
                             "values": {"p99_ms": 182.4}, "release_id": R},
    "verification.finished.v1": {"deployment_id": "dep-77", "kind": "smoke", "outcome": "success",
                                 "release_id": R},
    "featureflag.changed.v1": {"flag": "card", "environment": PROD, "old": "off", "new": "on",
                               "targeting_digest": "t1", "release_id": R},
    "alert.fired.v1": ALERT,
    "incident.detected.v1": INCIDENT,
    "incident.attributed.v1": {"incident_id": "inc-3", "deployment_id": "dep-77", "basis": "rule",
                               "rule_version": "1", "confidence": 0.8},
    "rollback.triggered.v1": {"deployment_id": "dep-77", "cause": "manual", "rule": "slo",
                              "to_digest": OLD_IMAGE, "release_id": R, "triggered_at": AT % 55},
    "service.rolledback.v1": SERVICE | {"digest": OLD_IMAGE},
    "alert.resolved.v1": ALERT | {"ended_at": AT % 58},
    "incident.resolved.v1": INCIDENT | {"mitigated_at": AT % 56, "resolved_at": AT % 58},
    "ticket.closed.v1": TICKET | {"state": "done", "resolution": "fixed"},
    "release.completed.v1": {"release_id": R, "outcome": "success", "reason": "all seen"},
    "release.cancelled.v1": {"release_id": "pay-1.43", "outcome": "superseded", "reason": "no"},
    "retro.held.v1": {"release_id": R, "attendees": [ADA, GRACE],
                      "summary_uri": "https://wiki.example/retro", "summary": "Calm."},
    "actionitem.opened.v1": ACTION,
    "actionitem.closed.v1": ACTION,
    "survey.responded.v1": {"survey_id": "s-1", "release_id": R, "role": "dev", "score": 4,
                            "scale": 5, "invited_n": 12},
    "ledger.corrected.v1": {"target_event_ids": ["e-1"], "reason": "wrong id", "approver": KIM,
                            "correction": {"name": "Payments"}},
    "ingest.quarantined.v1": {"connection": "github", "raw_sha256": SHA256,
                              "reason": "no such member", "adapter_version": "1"},
    "event.redaction_requested.v1": {"position": 3, "reason": "names a person",
                                     "requested_by": "key:dpo"},
    "event.redacted.v1": {"position": 3, "commitment": SHA256, "reason": "names a person",
                          "requested_by": "key:dpo", "approved_by": "key:auditor"},
    "key.rotated.v1": {"ledger": "main", "key": "sealer", "retired": "log.example+aa+AQ==",
                       "introduced": "log.example+bb+AQ==", "reason": "yearly", "operator": "kim"},
    "gap.declared.v1": {"ledger": "main", "first": 90, "last": 99, "closed": "log.example\n99\n…",
                        "origin": "log.example/2", "reason": "disk lost", "operator": "kim"},
    "policy.proposed.v1": {"policy_id": "standard", "version": 2, "content_sha256": SHA256,
                           "content": "kind: ReleasePolicy\n", "author": GRACE,
                           "reason": "more coverage", "shadow": True},
    "policy.backtested.v1": {"policy_id": "standard", "content_sha256": SHA256, "first": 1,
                             "last": 90, "table_sha256": SHA256, "decisions": 12, "covered": 9,
                             "changed": 2, "failed": 1, "blocked": 1},
    "policy.approved.v1": {"policy_id": "standard", "content_sha256": SHA256, "principal": GRACE,
                           "comment": "read and tried"},
    "policy.approval_withdrawn.v1": {"policy_id": "standard", "content_sha256": SHA256,
                                     "principal": GRACE, "reason": "misread the threshold"},
    "policy.retired.v1": {"policy_id": "standard", "reason": "replaced", "retired_by": GRACE},
}  # fmt: skip
_ORIGINS = {
    "approval.requested.v1": CONSOLE, "approval.decided.v1": CONSOLE,
    "approval.abstained.v1": CONSOLE, "delegation.granted.v1": CONSOLE,
    "delegation.revoked.v1": CONSOLE, "board.opened.v1": CONSOLE, "board.attended.v1": CONSOLE,
    "board.voted.v1": CONSOLE, "board.recused.v1": CONSOLE, "board.closed.v1": CONSOLE,
    "decision.recorded.v1": GATEKEEPER, "policy.activated.v1": GATEKEEPER,
    "policy.proposed.v1": CONSOLE, "policy.backtested.v1": CONSOLE,
    "policy.approved.v1": CONSOLE, "policy.approval_withdrawn.v1": CONSOLE,
    "policy.retired.v1": CONSOLE,
}  # fmt: skip

_SUBJECTS = {"ledger.corrected.v1": {"subject": f"release:{R}"}}
"""Where no field of the payload names one."""


def everyday() -> dict[str, dict[str, Any]]:
    """Return name → what is recorded: a CloudEvent and, where it matters, its origin."""
    return {
        name: {
            "event": {
                "specversion": "1.0",
                "id": f"everyday-{name}",
                "source": "/golden",
                "type": OURS + name,
                "time": AT % (number % 60),
                "data": data,
                **_SUBJECTS.get(name, {}),
            },
            "origin": _ORIGINS.get(name),
        }
        for number, (name, data) in enumerate(PAYLOADS.items(), start=1)
    }
