"""Acts: what people and offices say besides approvals, recorded as theirs.

A veto, a withdrawal, an exception, glass that is broken: each is a fact in its person's own name,
whatever becomes of it. Rules say whether it counts, so nothing is expected, and nobody is refused
for lack of a role; a key is, where only a person can speak.
"""

from __future__ import annotations

import uuid
from datetime import datetime

from contracts.event import Receipt, parse_time
from contracts.payloads.control import (
    BreakGlassInvoked,
    BreakGlassReviewed,
    DelegationGranted,
    DelegationRevoked,
    ExceptionGranted,
    ExceptionRevoked,
    FreezeDeclared,
    FreezeLifted,
)
from contracts.payloads.model import Payload
from contracts.payloads.readiness import ApprovalWithdrawn, VetoLifted, VetoRaised
from contracts.problem import Forbidden, Invalid, NotFound
from services.gatekeeper import calendars
from services.gatekeeper.deciding import Decider, envelope, stamp
from services.gatekeeper.folding import fold
from services.gatekeeper.people import People, is_person, not_a_person
from services.gatekeeper.windows import Freeze, check
from services.kit import clock
from services.kit.identity import Principal


class Acts:
    """Records acts in one ledger."""

    def __init__(self, decider: Decider) -> None:
        self._decider = decider

    async def withdraw(self, who: Principal, release: str, gate: str, reason: str) -> Receipt:
        """Take back what a person has said about a release at a gate. `NotFound`: nothing."""
        page = await self._decider.reader.history(f"release:{release}")
        said = fold(release, gate, [page]).approvals
        if not any(vote.principal == who.id and vote.gate == gate for vote in said):
            raise NotFound(f"{who.id} has said nothing about {release} at {gate}")
        payload = ApprovalWithdrawn(approval_id=str(uuid.uuid4()), release_id=release, gate=gate,
                                    principal=who.id, reason=reason)  # fmt: skip
        return await self._of_person(who, payload, f"release:{release}")

    async def object(
        self, who: Principal, release: str, gate: str | None, reason: str
    ) -> tuple[str, Receipt]:
        """Raise a veto at one gate or at all; return its id with the receipt."""
        id_ = str(uuid.uuid4())
        payload = VetoRaised(veto_id=id_, release_id=release, gate=gate, principal=who.id,
                             reason=reason)  # fmt: skip
        return id_, await self._of_person(who, payload, f"release:{release}")

    async def lift(self, who: Principal, release: str, veto: str, reason: str) -> Receipt:
        """Say that a veto is over. `NotFound`: there is none of that id."""
        await self._known(f"veto:{veto}", f"there is no veto {veto}")
        payload = VetoLifted(veto_id=veto, release_id=release, principal=who.id, reason=reason)
        return await self._of_person(who, payload, f"release:{release}")

    async def break_glass(
        self, who: Principal, release: str, gate: str, incident: str, reason: str, digest: str
    ) -> Receipt:
        """Ask to pass a gate without its rules; it takes as many people as the policy says."""
        payload = BreakGlassInvoked(release_id=release, gate=gate, principal=who.id,
                                    incident_id=incident, reason=reason,
                                    target_digest=digest)  # fmt: skip
        return await self._of_person(who, payload, f"release:{release}")

    async def review(
        self, who: Principal, release: str, gate: str, findings: str, *, justified: bool
    ) -> Receipt:
        """Record what a look at a release that passed without rules has found."""
        outcome = "justified" if justified else "not_justified"
        payload = BreakGlassReviewed.model_validate({
            "release_id": release, "gate": gate, "reviewer": who.id, "outcome": outcome,
            "findings": findings})  # fmt: skip
        return await self._of_person(who, payload, f"release:{release}")

    async def grant(self, who: Principal, payload: ExceptionGranted) -> Receipt:
        """Grant an exception in the person's own name."""
        named = (payload.release_id, payload.service, payload.artifact_digest)
        if not any(named):
            detail = "an exception covers a release, a service or an artefact: name one"
            raise Invalid(detail, errors=[{"pointer": "/release_id", "detail": detail}])
        said = payload.model_copy(update={"approver": who.id})
        return await self._of_person(who, said, f"exception:{payload.exception_id}")

    async def revoke(self, who: Principal, exception: str, reason: str) -> Receipt:
        """End an exception before its day."""
        await self._known(f"exception:{exception}", f"there is no exception {exception}")
        payload = ExceptionRevoked(exception_id=exception, reason=reason, revoked_by=who.id)
        return await self._of_person(who, payload, f"exception:{exception}")

    async def delegate(self, who: Principal, payload: DelegationGranted) -> Receipt:
        """Let somebody approve in the person's place, who holds the role themselves."""
        role, now = payload.role, clock.now()
        if parse_time(payload.until) <= now:
            detail = "a delegation ends in the future"
            raise Invalid(detail, errors=[{"pointer": "/until", "detail": detail}])
        if People().same(payload.delegate, who.id):
            detail = "a role is delegated to somebody else"
            raise Invalid(detail, errors=[{"pointer": "/delegate", "detail": detail}])
        if who.id not in (await self._decider.reader.holders([role], now))[role]:
            detail = f"{who.id} does not hold {role}; what was delegated cannot be passed on"
            raise Forbidden(detail, roles=[role])
        said = payload.model_copy(update={"delegator": who.id})
        return await self._of_person(who, said, f"delegation:{payload.delegation_id}")

    async def end_delegation(self, who: Principal, delegation: str, reason: str) -> Receipt:
        """Take a delegation back, or give it back. `NotFound`: there is none of that id."""
        page = await self._decider.reader.history(f"delegation:{delegation}")
        found = next((d for d in fold("", "", [page]).delegations if d.id == delegation), None)
        if found is None:
            raise NotFound(f"there is no delegation {delegation}")
        if who.id not in {found.delegator, found.delegate}:
            raise Forbidden(f"only {found.delegator} and {found.delegate} can end {delegation}")
        payload = DelegationRevoked(delegation_id=delegation, role=found.role, principal=who.id,
                                    reason=reason)  # fmt: skip
        return await self._of_person(who, payload, f"delegation:{delegation}")

    async def declare(self, who: Principal, payload: FreezeDeclared) -> Receipt:
        """Declare a freeze, in the name of a person who does. `Invalid` names every fault."""
        faults = check(calendars.declared(payload, 0))
        if faults:
            said = [fault.replace("zone:", "tz:", 1) for fault in faults]
            errors = [{"pointer": f"/{fault.partition(':')[0]}", "detail": fault} for fault in said]
            raise Invalid(faults[0], errors=errors)
        event = envelope(payload, f"freeze:{payload.freeze_id}", stamp())
        return await self._decider.append(event, None, _person(who))

    async def unfreeze(self, who: Principal, freeze: str, reason: str) -> Receipt:
        """Lift a freeze."""
        await self._known(f"freeze:{freeze}", f"there is no freeze {freeze}")
        event = envelope(FreezeLifted(freeze_id=freeze, reason=reason), f"freeze:{freeze}", stamp())
        return await self._decider.append(event, None, _person(who))

    async def freezes(self, calendar: str) -> list[Freeze]:
        """Return the freezes of a calendar that nobody has lifted."""
        read = self._decider.reader
        page = await read.history(f"calendar:{calendar}")
        draft = fold("", "", [page])
        ends = await read.histories(f"freeze:{name}" for name in draft.freezes)
        return list(fold("", "", [page, *ends]).freezes.values())

    async def planned(self, calendar: str, from_: datetime, months: int) -> list[calendars.Planned]:
        """Return the windows of a calendar's freezes to come."""
        good = [freeze for freeze in await self.freezes(calendar) if not check(freeze)]
        return calendars.simulate(good, from_, months)

    async def _known(self, key: str, otherwise: str) -> None:
        if not (await self._decider.reader.history(key)).version:
            raise NotFound(otherwise)

    async def _of_person(self, who: Principal, payload: Payload, subject: str) -> Receipt:
        if not is_person(who.id, who.via):
            raise Forbidden(not_a_person(who.id))
        return await self._decider.append(envelope(payload, subject, stamp()), None, who)


def _person(who: Principal) -> Principal | None:
    """Return whom to act for; a key that asks is not told, only that we did it."""
    return who if is_person(who.id, who.via) else None
