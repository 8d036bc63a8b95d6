"""Deploying: a permit is used up by the deployment that begins under it.

Whatever the permit says, the gate is judged once more at that moment, freezes and withdrawn
approvals included; the deployment is recorded with expectations on all that was read, and on the
permit. So of two that use it at the same time one is refused, and so is one whose gate has shut.
"""

from __future__ import annotations

import uuid
from dataclasses import asdict, dataclass

from contracts.catalogue import type_of
from contracts.event import HistoryPage, Receipt, RecordedEvent
from contracts.payloads.deploy import DeploymentKind, DeploymentStarted
from contracts.payloads.model import Environment, Tier
from contracts.problem import Conflict, Invalid, PreconditionFailed
from services.gatekeeper import permits
from services.gatekeeper.deciding import TRIES, Decider, Judged, envelope, stamp
from services.kit.identity import Principal

_STARTED = type_of(DeploymentStarted)


@dataclass(frozen=True, slots=True)
class Start:
    """What is about to be deployed, as the pipeline says."""

    deployment_id: str
    service: str
    artifact_digest: str
    tier: Tier
    kind: DeploymentKind
    trigger: str
    uri: str | None = None


async def begin(decider: Decider, permit_id: str, start: Start, who: Principal) -> Receipt:
    """Use a permit and record that `who` has begun the deployment.

    Raises `NotFound` for an unknown permit, `Conflict` for one that was used, `PreconditionFailed`
    for one that has expired or whose gate is shut by now, `Invalid` for another artefact. The very
    same start, sent again after a lost answer, gives the first receipt.
    """
    key = f"permit:{permit_id}"
    event_id = str(uuid.uuid5(uuid.NAMESPACE_URL, f"{key}/{start.deployment_id}"))
    for _ in range(TRIES):
        page = await decider.reader.history(key)
        if (first := _begun(page, event_id)) is not None:
            if not _is_of(first, start):
                raise permits.used(page)
            return Receipt(
                ledger=decider.name, position=first.position, versions=first.versions,
                event_id=event_id, source=first.event["source"], commitment=first.commitment,
                recorded_at=first.recorded_at,
            )  # fmt: skip
        permit = permits.check(page, decider.now())
        judged = await decider.dry_run(permit.release_id, permit.gate)
        _check(judged, permit.target_digest, start)
        place = judged.decision.environment
        payload = DeploymentStarted(
            deployment_id=start.deployment_id,
            intent_id=permit_id,
            service=start.service,
            environment=Environment(id=place, tier=start.tier),
            artifact_digest=start.artifact_digest,
            kind=start.kind,
            planned=judged.decision.decision == "allow",
            trigger=start.trigger,
            release_id=permit.release_id,
            permit_id=permit_id,
            **({"uri": start.uri} if start.uri else {}),
        )
        event = envelope(payload, f"release:{permit.release_id}", stamp(), event_id)
        try:
            expect = judged.decision.read_set | {key: page.version}
            return await decider.append(event, expect, who)
        except Conflict:
            continue
    raise Conflict(f"what the permit rests on moved {TRIES} times; ask again")


def _begun(page: HistoryPage, event_id: str) -> RecordedEvent | None:
    """Return what this very request has recorded before: by whoever issued the permit."""
    if page.version < 2:  # noqa: PLR2004 - issued, used
        return None
    issued, used = page.events[:2]
    mine = (used.type, used.event["id"], used.via)
    return used if mine == (_STARTED, event_id, issued.principal) else None


def _is_of(begun: RecordedEvent, start: Start) -> bool:
    told = begun.data | {"tier": begun.data["environment"]["tier"]}
    return all(told.get(name) == said for name, said in asdict(start).items())


def _check(judged: Judged, digest: str, start: Start) -> None:
    decision = judged.decision
    if decision.decision not in permits.ALLOWED:
        raise PreconditionFailed(f"the gate is shut by now: {decision.summary}",
                                 moved={"decision": decision.decision})  # fmt: skip
    if decision.artefact != digest:
        raise PreconditionFailed("there is another candidate by now; ask for a permit for it",
                                 moved={"target_digest": decision.artefact})  # fmt: skip
    if start.service not in judged.facts.services:
        detail = f"{start.service} is not a service of this release"
        raise Invalid(detail, errors=[{"pointer": "/service", "detail": detail}])
    if start.artifact_digest not in judged.facts.artifacts():
        detail = f"{start.artifact_digest} is not in the candidate that the permit is for"
        raise Invalid(detail, errors=[{"pointer": "/artifact_digest", "detail": detail}])
