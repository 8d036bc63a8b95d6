# ruff: noqa: E501 - a table of made-up events, one a line
"""One release of the fixture store: gates, timeline, what belongs to it."""

from __future__ import annotations

import hashlib
from datetime import timedelta
from typing import Any

from contracts.decision import Decision, NotCounted, PolicyRef, RuleResult
from contracts.event import RecordedEvent, format_time
from services.kit import clock
from services.projector import places, views

MANIFEST = "sha256:" + hashlib.sha256(b"manifest").hexdigest()
SHA = hashlib.sha256(b"commit").hexdigest()[:40]
_STORY: list[tuple[float, str, str, str, str, str, str, str]] = [
    # hours ago, type, phase, tone, title, detail, principal, assurance
    (0.6, "decision.recorded.v1", "readiness", "wait", "deploy:production is pending",
     "Waiting: Approval by a release manager – 0 of 1 approval from release-manager.",
     "service:gatekeeper", "A2"),
    (0.7, "approval.decided.v1", "readiness", "good", "Kate Osei approved deploy:production",
     "“Regression suite is green; the one flaky test is ticketed.”", "dev:kate", "A3"),
    (1.1, "deployment.finished.v1", "deploy", "good", "Deployed to staging", "pay 1.43.0 runs in staging after 3 min.",
     "webhook:github", "A1"),
    (1.2, "deployment.started.v1", "deploy", "neutral", "Deployment to staging started", "", "webhook:github", "A1"),
    (1.3, "decision.recorded.v1", "readiness", "good", "deploy:staging is open",
     "Allowed: all 3 rules are satisfied.", "service:gatekeeper", "A2"),
    (1.4, "artifact.scanned.v2", "build", "good", "Scan found nothing above low",
     "0 critical, 0 high, 2 medium, 7 low.", "webhook:github", "A1"),
    (1.6, "testsuiterun.finished.v1", "build", "good", "412 of 412 tests passed", "unit and contract, 6 min",
     "webhook:github", "A1"),
    (1.7, "artifact.signed.v1", "build", "neutral", "Artifact signed", "cosign, keyless", "webhook:github", "A2"),
    (1.8, "release.candidate_created.v1", "build", "neutral", "Candidate 1.43.0",
     "One artifact, three changes.", "webhook:github", "A1"),
    (22, "change.merged.v1", "build", "neutral", "Merged: Retry card authorisation once on timeout",
     "acme/pay #812 by Ada Marlow, two reviews.", "webhook:github", "A1"),
    (23, "change.reviewed.v1", "build", "good", "Tariq Aziz approved acme/pay #812", "", "webhook:github", "A1"),
    (25, "testsuiterun.finished.v1", "build", "bad", "3 of 409 tests failed",
     "RefundTest.partial, RefundTest.twice, LedgerTest.rounding", "webhook:github", "A1"),
    (40, "release.risk_assessed.v1", "plan", "wait", "Risk assessed: medium, 46 of 100",
     "Touches card authorisation; feature flag in place.", "dev:tim", "A3"),
    (41.5, "release.plan_published.v1", "plan", "neutral", "Rollback plan published", "", "dev:tim", "A3"),
    (42, "release.planned.v1", "plan", "neutral", "Payments 1.43.0 planned", "minor release of pay", "dev:tim", "A3"),
]  # fmt: skip


def _at(hours: float) -> str:
    return format_time(clock.now() - timedelta(hours=hours))


def release(row: views.ReleaseRow, voted: tuple[str, str, int] | None) -> views.ReleaseView:
    """Return a release whole; `voted` is (decision, person, position) of a vote on its last gate."""
    judged = row.gates_total > 0
    return views.ReleaseView(
        row=row.model_copy(update={
            "summary": "Waiting: Approval by a release manager – 0 of 1 approval from release-manager."
            if row.state == "waiting" else None
        }),
        description="Retries a card authorisation once when the acquirer times out, behind a flag.",
        scheduled={"window": {"start": _at(-2), "end": _at(-4)}, "environments": ["production"]},
        risk_factors=["touches card authorisation", "feature flag in place", "no schema change"],
        risk_score=46, gates=[_production(voted), _staging()] if judged else [],
        timeline=_timeline(voted) if judged else _timeline(None)[-3:],
        deployments=[places.DeploymentRow(
            deployment_id="d-1", release_id=row.release_id, service="pay", environment="staging",
            tier="staging", kind="deploy", artifact_digest=MANIFEST, head_sha=SHA, state="success",
            queued_at=None, started_at=_at(1.2), finished_at=_at(1.1), position=1199,
        )] if judged else [],
        artifacts=[MANIFEST] if judged else [], manifest_digest=MANIFEST if judged else None,
        changes=[
            {"ref": f"acme/pay@{SHA}", "title": "Retry card authorisation once on timeout",
             "author": "dev:ada", "merged_at": _at(22), "position": 1180},
            {"ref": f"acme/pay@{SHA[::-1]}", "title": "Round refunds half to even",
             "author": "dev:ada", "merged_at": _at(24), "position": 1172},
        ] if judged else [],
        tickets=[{"ticket_id": "PAY-2291", "state": "In review", "ticket_type": "story",
                  "uri": "https://tickets.acme.example/PAY-2291"}],
        plans=[{"kind": kind, "doc_uri": f"https://docs.acme.example/{kind}",
                "doc_sha256": hashlib.sha256(kind.encode()).hexdigest(), "position": 1150}
               for kind in ("rollout", "rollback")],
        incidents=[], exceptions=[],
    )  # fmt: skip


def _timeline(voted: tuple[str, str, int] | None) -> list[views.TimelineEntry]:
    entries = [
        views.TimelineEntry(
            position=1204 - n if n < 3 else 1204 - n * 3, type=type_, phase=phase, tone=tone,
            title=title, detail=detail, principal=who, assurance=level, occurred_at=_at(hours),
            recorded_at=_at(hours), subjects=["release:pay-1.43.0", "service:pay"],
            uri="https://github.com/acme/pay/actions/runs/1" if who.startswith("webhook") else None,
        ) for n, (hours, type_, phase, tone, title, detail, who, level) in enumerate(_STORY)
    ]  # fmt: skip
    if voted is None:
        return entries
    decision, person, position = voted
    opens = decision == "approved"
    vote = entries[1].model_copy(update={
        "position": position - 1, "title": f"{person} {decision} deploy:production",
        "detail": "", "occurred_at": _at(0), "tone": "good" if opens else "bad",
    })  # fmt: skip
    verdict = entries[0].model_copy(update={
        "position": position, "occurred_at": _at(0), "tone": vote.tone,
        "title": f"deploy:production is {'open' if opens else 'denied'}",
    })  # fmt: skip
    return [verdict, vote, *entries]


def _rule(name: str, title: str, kind: str, status: str, **more: Any) -> RuleResult:
    return RuleResult(
        rule=name, title=title, type=kind, stage="readiness", status=status,
        **more,
    )  # fmt: skip


TESTS = _rule(
    "tests", "Tests of the candidate", "evidence", "pass",
    reason="412 of 412 tests passed on the commit of the candidate",
    required="a passing test run, at most 7 d old", found="unit and contract", evidence=[1186],
)  # fmt: skip
SCAN = _rule(
    "scan", "Artifact scan", "evidence", "pass",
    reason="nothing at or above high", required="a scan without high findings",
    found="0 critical, 0 high", evidence=[1189],
    not_counted=[NotCounted(position=1150, reason="scan of an earlier artifact")],
)  # fmt: skip
QA = _rule(
    "qa", "Approval by quality", "approvals", "pass", reason="1 of 1 approval from qa: kate",
    required="1 of qa", found="approved by kate", evidence=[1203],
)  # fmt: skip


def _manager(voted: tuple[str, str, int] | None) -> RuleResult:
    if voted is None:
        return _rule(
            "rm", "Approval by a release manager", "approvals", "pending",
            reason="0 of 1 approval from release-manager", required="1 of release-manager",
            found="none yet", who=["dev:grace", "dev:radia"], roles=["release-manager"],
            satisfy="1 more approval from release-manager of candidate 1.43.0",
        )  # fmt: skip
    yes = voted[0] == "approved"
    return _rule(
        "rm", "Approval by a release manager", "approvals", "pass" if yes else "fail",
        reason="1 of 1 approval from release-manager" if yes else f"{voted[1]} rejected it",
        required="1 of release-manager", found=f"{voted[0]} by {voted[1]}", evidence=[voted[2] - 1],
        satisfy=None if yes else "a new candidate",
    )  # fmt: skip


def _gate(
    name: str, position: int, verdict: str, summary: str, rules: list[RuleResult]
) -> views.GateView:
    return views.GateView(
        gate=f"deploy:{name}", environment=name, decision_id=f"dec-{position}", position=position,
        recorded_at=_at(0.6), judged=3,
        decision=Decision(
            decision=verdict, release="pay-1.43.0", gate=f"deploy:{name}", environment=name,
            artefact=MANIFEST, as_of=_at(0.6),
            policy=PolicyRef(name="standard", version=3, digest=MANIFEST), summary=summary,
            rules=rules, read_set={"release:pay-1.43.0": 31}, facts_digest=MANIFEST, engine="1",
        ),
    )  # fmt: skip


def _production(voted: tuple[str, str, int] | None) -> views.GateView:
    rules = [TESTS, SCAN, QA, _manager(voted)]
    if voted is None:
        said = "Waiting: Approval by a release manager – 0 of 1 approval from release-manager."
        return _gate("production", 1204, "pending", said, rules)
    verdict = "allow" if voted[0] == "approved" else "deny"
    said = {"allow": "Allowed: all 4 rules are satisfied.",
            "deny": f"Denied: Approval by a release manager – {voted[1]} rejected it."}[verdict]  # fmt: skip
    return _gate("production", voted[2], verdict, said, rules)


def _staging() -> views.GateView:
    return _gate("staging", 1192, "allow", "Allowed: all 2 rules are satisfied.", [TESTS, SCAN])


def recorded(position: int) -> RecordedEvent:
    """Return a recorded event with text in it that a page must escape."""
    return RecordedEvent(
        position=position, recorded_at=_at(0.7), principal="dev:kate", assurance="A3",
        via="service:gatekeeper", commitment=hashlib.sha256(str(position).encode()).hexdigest(),
        versions={"release:pay-1.43.0": 31, "service:pay": 408, "approval:7f0c": 2},
        event={
            "specversion": "1.0", "id": "0d6c1f0a-6b0c-4a57-8d34-1f2b3c4d5e6f",
            "source": "/gatekeeper", "type": "org.releaseledger.approval.decided.v1",
            "subject": "release:pay-1.43.0", "time": _at(0.7),
            "data": {
                "approval_id": "7f0c", "release_id": "pay-1.43.0", "gate": "deploy:production",
                "principal": "dev:kate", "decision": "approved", "roles": ["qa"], "round": 2,
                "comment": "</code><script>alert('no')</script> & \"quoted\"", "target_digest": MANIFEST,
            },
        },
    )  # fmt: skip


REDACTED, REDACTION = 1100, 1190


def redacted() -> RecordedEvent:
    """Return an event whose content was removed: what the ledger gives out of it."""
    left = {"specversion": "1.0", "source": "/gatekeeper", "time": _at(0.7)}
    event = left | {"type": "org.releaseledger.approval.decided.v1"}
    return recorded(REDACTED).model_copy(update={"redacted": True, "event": event})


def redaction() -> RecordedEvent:
    """Return the event that says who had it removed."""
    data = {
        "position": REDACTED, "commitment": "0" * 64, "reason": "names <a person>",
        "requested_by": "dev:kate", "approved_by": "dev:ada",
    }  # fmt: skip
    event = {"specversion": "1.0", "id": "event.redacted-1100", "source": "/ledger/redactions",
             "type": "org.releaseledger.event.redacted.v1", "data": data}  # fmt: skip
    return recorded(REDACTION).model_copy(update={"event": event})
