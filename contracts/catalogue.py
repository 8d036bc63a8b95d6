"""The catalogue: event type → payload model. The one registry; schemas and docs come from it.

A type is `org.releaseledger.<subject>.<predicate>.v<major>`. Adding an optional field keeps the
type; breaking a field makes a new major. See contracts/README.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from pydantic import ValidationError

from contracts import ijson, subject
from contracts.event import OURS, Event, Reading
from contracts.payloads import (
    board,
    build,
    control,
    deploy,
    earlier,
    ledger,
    operate,
    plan,
    policies,
    readiness,
    review,
)
from contracts.payloads.model import Payload
from contracts.problem import Invalid, message

_MODELS: dict[str, type[Payload]] = {
    # planning and governance
    "release.planned.v1": plan.ReleasePlanned,
    "release.scope_changed.v1": plan.ReleaseScopeChanged,
    "release.scheduled.v1": plan.ReleaseScheduled,
    "release.risk_assessed.v1": plan.ReleaseRiskAssessed,
    "release.plan_published.v1": plan.ReleasePlanPublished,
    "release.candidate_created.v1": plan.ReleaseCandidateCreated,
    "release.completed.v1": plan.ReleaseCompleted,
    "release.cancelled.v1": plan.ReleaseCancelled,
    "role.assigned.v1": plan.RoleAssigned,
    "role.revoked.v1": plan.RoleRevoked,
    "ticket.created.v1": plan.TicketCreated,
    "ticket.closed.v1": plan.TicketClosed,
    # build, verification, packaging
    "change.created.v1": build.ChangeCreated,
    "change.pushed.v1": build.ChangePushed,
    "change.reviewed.v1": build.ChangeReviewed,
    "change.merged.v1": build.ChangeMerged,
    "pipelinerun.started.v1": build.PipelineRunStarted,
    "pipelinerun.finished.v1": build.PipelineRunFinished,
    "testsuiterun.finished.v1": build.TestSuiteRunFinished,
    "artifact.packaged.v1": build.ArtifactPackaged,
    "artifact.published.v1": build.ArtifactPublished,
    "artifact.signed.v1": build.ArtifactSigned,
    "artifact.scanned.v2": build.ArtifactScanned,
    "attestation.recorded.v1": build.AttestationRecorded,
    # readiness and change control
    "gate.evaluated.v1": readiness.GateEvaluated,
    "approval.requested.v1": readiness.ApprovalRequested,
    "approval.decided.v1": readiness.ApprovalDecided,
    "approval.abstained.v1": readiness.ApprovalAbstained,
    "approval.closed.v1": readiness.ApprovalClosed,
    "approval.withdrawn.v1": readiness.ApprovalWithdrawn,
    "veto.raised.v1": readiness.VetoRaised,
    "veto.lifted.v1": readiness.VetoLifted,
    "exception.granted.v2": control.ExceptionGranted,
    "exception.revoked.v1": control.ExceptionRevoked,
    "freeze.declared.v2": control.FreezeDeclared,
    "freeze.lifted.v1": control.FreezeLifted,
    "identity.linked.v1": control.IdentityLinked,
    "identity.unlinked.v1": control.IdentityUnlinked,
    "delegation.granted.v1": control.DelegationGranted,
    "delegation.revoked.v1": control.DelegationRevoked,
    "breakglass.invoked.v1": control.BreakGlassInvoked,
    "breakglass.reviewed.v1": control.BreakGlassReviewed,
    "permit.issued.v1": control.PermitIssued,
    "policy.proposed.v1": policies.PolicyProposed,
    "policy.backtested.v1": policies.PolicyBacktested,
    "policy.approved.v1": policies.PolicyApproved,
    "policy.approval_withdrawn.v1": policies.PolicyApprovalWithdrawn,
    "policy.activated.v1": policies.PolicyActivated,
    "policy.retired.v1": policies.PolicyRetired,
    "decision.recorded.v1": readiness.DecisionRecorded,
    # boards
    "board.opened.v1": board.BoardOpened,
    "board.attended.v1": board.BoardAttended,
    "board.voted.v1": board.BoardVoted,
    "board.recused.v1": board.BoardRecused,
    "board.closed.v1": board.BoardClosed,
    # staging, deployment, validation
    "deployment.queued.v1": deploy.DeploymentQueued,
    "deployment.started.v1": deploy.DeploymentStarted,
    "deployment.finished.v1": deploy.DeploymentFinished,
    "service.deployed.v1": deploy.ServiceDeployed,
    "service.rolledback.v1": deploy.ServiceRolledBack,
    "rollout.progressed.v1": deploy.RolloutProgressed,
    "analysis.finished.v1": deploy.AnalysisFinished,
    "verification.finished.v1": deploy.VerificationFinished,
    "featureflag.changed.v1": deploy.FeatureFlagChanged,
    "rollback.triggered.v1": deploy.RollbackTriggered,
    # operation
    "alert.fired.v1": operate.AlertFired,
    "alert.resolved.v1": operate.AlertResolved,
    "incident.detected.v1": operate.IncidentDetected,
    "incident.resolved.v1": operate.IncidentResolved,
    "incident.attributed.v1": operate.IncidentAttributed,
    # review
    "retro.held.v1": review.RetroHeld,
    "actionitem.opened.v1": review.ActionItemOpened,
    "actionitem.closed.v1": review.ActionItemClosed,
    "survey.responded.v1": review.SurveyResponded,
    # the ledger about itself
    "ledger.corrected.v1": ledger.LedgerCorrected,
    "ingest.quarantined.v1": ledger.IngestQuarantined,
    "event.redaction_requested.v1": ledger.EventRedactionRequested,
    "event.redacted.v1": ledger.EventRedacted,
    "key.rotated.v1": ledger.KeyRotated,
    "gap.declared.v1": ledger.GapDeclared,
    # earlier majors that are still taken
    **{name: each.model for name, each in earlier.EARLIER.items() if each.accepted},
}

CATALOGUE: Mapping[str, type[Payload]] = MappingProxyType(
    {OURS + name: model for name, model in _MODELS.items()}
)
"""Full type string → payload model."""


def type_of(model: type[Payload]) -> str:
    """Return the full type string of a payload model."""
    return next(name for name, known in CATALOGUE.items() if known is model)


def model_of(type_: str) -> type[Payload]:
    """Return the model of one of our types, also of one that is only read. Raises `KeyError`."""
    model = CATALOGUE.get(type_)
    return earlier.EARLIER[type_.removeprefix(OURS)].model if model is None else model


def parse(attributes: Any, *, vouched: bool = False) -> Event:
    """Read one CloudEvent and, for our own types, its payload. Raises `Invalid` with pointers.

    Everything is looked at once: the event remembers its subjects and its canonical bytes as they
    were at this moment (`Event.reading`). `vouched`: the attributes come from `ijson.loads`.
    """
    if not isinstance(attributes, dict):
        raise Invalid(
            "an event is a JSON object", errors=[{"pointer": "", "detail": "not an object"}]
        )
    try:
        event = Event.model_validate(attributes)
    except ValidationError as error:
        raise _invalid(error) from None
    subjects = tuple(_find_subjects(event))
    canonical = ijson.dumps(attributes) if vouched or ijson.is_sound(attributes) else None
    event.remember(Reading(subjects, canonical))
    return event


def subjects_of(event: Event) -> list[str]:
    """Return the subjects that an event names, each once, in a stable order.

    The CloudEvents `subject` first, then the marked payload fields (our types) or the extension
    attribute `subjects` (other types). Raises `Invalid` for a payload that does not follow its
    model, for no subject at all, and for more than `subject.MAX_PER_EVENT`.
    """
    return _find_subjects(event) if event.reading is None else list(event.reading.subjects)


def named_by_payload(event: Event) -> list[str]:
    """Return the subjects that the payload of a type of ours names. Raises `Invalid`."""
    return list(_payload(event).subjects())


def _find_subjects(event: Event) -> list[str]:
    named = [] if event.subject is None else [event.subject]
    if event.type.startswith(OURS):
        named += _payload(event).subjects()
    else:
        named += subject.split_extension(str(event.extensions.get("subjects", "")))
    keys = list(dict.fromkeys(named))
    _check_subjects(keys, event)
    return keys


def _payload(event: Event) -> Payload:
    model = CATALOGUE.get(event.type)
    if model is None:
        newest = earlier.successor(event.type.removeprefix(OURS))
        said = f"retired; send {OURS}{newest}" if newest else "not in the catalogue"
        detail = f"{event.type} is {said}"
        raise Invalid(detail, errors=[{"pointer": "/type", "detail": detail}])
    try:
        return model.model_validate(event.data)
    except ValidationError as error:
        raise _invalid(error, "/data") from None


def _check_subjects(keys: list[str], event: Event) -> None:
    where = "/data" if event.type.startswith(OURS) else "/subjects"
    if not keys:
        detail = "names no subject: give `subject`, or the extension attribute `subjects`"
        raise Invalid(detail, errors=[{"pointer": "/subject", "detail": detail}])
    if len(keys) > subject.MAX_PER_EVENT:
        detail = f"names {len(keys)} subjects; at most {subject.MAX_PER_EVENT} are allowed"
        raise Invalid(detail, errors=[{"pointer": where, "detail": detail}])
    for key in keys:
        if not subject.is_key(key):
            detail = f"{key!r} is not a subject key of the form kind:id"
            raise Invalid(detail, errors=[{"pointer": where, "detail": detail}])


def _invalid(error: ValidationError, prefix: str = "") -> Invalid:
    errors = [
        {"pointer": prefix + ijson.pointer(item["loc"]), "detail": message(item)}
        for item in error.errors(include_url=False, include_input=False, include_context=False)
    ]
    first = errors[0]
    return Invalid(f"{first['pointer'] or 'the event'}: {first['detail']}", errors=errors)
