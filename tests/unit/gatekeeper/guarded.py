"""A release before a guarded gate, told in words of change control, and what is decided of it."""

from __future__ import annotations

import hashlib
from datetime import datetime, timedelta
from typing import Any, Self

from contracts.decision import Decision, RuleResult
from contracts.event import format_time
from services.gatekeeper.judge import judge
from services.gatekeeper.policy import load, select
from tests.unit.gatekeeper.told import CONSOLE, GATE, IMAGE, MANIFEST, RELEASE, SHA, Told, moment

KIM, HAL, FAY, OZ, UMA, ROSA = (
    f"acme:{name}" for name in ("kim", "hal", "fay", "oz", "uma", "rosa")
)
HEAD = "apiVersion: release-ledger/v1\nkind: ReleasePolicy\n"
BREAK_GLASS = "{roles: [incident-commander], count: 2, review_within: 48h}"


def document(*rules: str, head: str = "", glass: str = BREAK_GLASS) -> str:
    """Return a policy of one gate with these rules."""
    lines = "".join(f"    - {rule}\n" for rule in rules)
    return (
        f"{HEAD}metadata: {{name: guard, version: 1, owner: me}}\n{head}"
        f"gates:\n- id: {GATE}\n  break_glass: {glass}\n"
        f"  stages:\n  - id: gate\n    rules:\n{lines}"
    )


class Guarded(Told):
    """Hal owns the release, Kim wrote it, tests have passed."""

    def __init__(self, start: datetime | None = None) -> None:
        super().__init__(*([start] if start else []))
        self.planned(owner=HAL).merged(author=KIM).candidate().tests()

    def decide(self, text: str, **later: float) -> Decision:
        """Return the decision so long after the newest event."""
        facts = self.facts()
        return judge(facts, select([load(text)], facts), moment(self, **later))

    def rule(self, text: str, **later: float) -> RuleResult:
        """Return what the one rule of a document says."""
        (found,) = self.decide(document(text, glass="null"), **later).rules
        return found

    def pushed(self, **commit: Any) -> Self:
        """Tell who had a part in the change's commit."""
        said = {"sha": "1" * 40, "committed_at": format_time(self.clock)} | commit
        data = {"repo": "acme/pay", "ref": "refs/heads/main", "before": "0" * 40, "after": SHA}
        self.tell("change.pushed.v1", data | {"default_branch": True, "commits": [said]})
        return self

    def withdrew(self, who: str) -> Self:
        data = {"approval_id": "a1", "release_id": RELEASE, "gate": GATE}
        self.tell(
            "approval.withdrawn.v1", data | {"principal": who, "reason": "a fault"}, who, CONSOLE
        )
        return self

    def vetoed(self, who: str, gate: str | None = GATE) -> Self:
        data = {
            "veto_id": "v1",
            "release_id": RELEASE,
            "principal": who,
            "reason": "card data in logs",
        }
        data |= {"gate": gate} if gate else {}
        self.tell("veto.raised.v1", data, who, CONSOLE)
        return self

    def lifted(self, who: str) -> Self:
        data = {"veto_id": "v1", "release_id": RELEASE, "principal": who, "reason": "mended"}
        self.tell("veto.lifted.v1", data, who, CONSOLE)
        return self

    def ran(self, place: str = "staging", outcome: str = "success", **more: Any) -> Self:
        """Tell that a deployment has ended."""
        id_ = f"d{len(self.events)}"
        data: dict[str, Any] = {"deployment_id": id_, "intent_id": id_, "service": "pay"}
        data |= {"artifact_digest": IMAGE, "environment": {"id": place, "tier": "other"}}
        data |= {"kind": "normal", "planned": True, "trigger": "ci", "outcome": outcome}
        at = more.pop("at", None)
        self.tell("deployment.finished.v1", data | {"release_id": RELEASE} | more, at=at)
        return self

    def excepted(self, by: str, control: str, ends: datetime, **more: Any) -> Self:
        data: dict[str, Any] = {
            "exception_id": "x1",
            "control": control,
            "reason": "no fix yet",
            "impact": "none",
        }
        data |= {"approver": by, "owner": by, "expires_at": format_time(ends), "compensating": []}
        said = data | (more or {"release_id": RELEASE})
        self.tell("exception.granted.v2", said, by, CONSOLE)
        return self

    def frozen(self, start: str, end: str, rrule: str | None = None, **more: Any) -> Self:
        data: dict[str, Any] = {
            "freeze_id": "f1",
            "start": start,
            "end": end,
            "tz": "Europe/Berlin",
        }
        data |= {"reason": "nightly batch", "allowed_types": []} | (
            {"rrule": rrule} if rrule else {}
        )
        self.tell("freeze.declared.v2", data | more)
        return self

    def broke(self, *who: str, release: str = RELEASE, digest: str = MANIFEST) -> Self:
        """Tell who asks to pass without rules."""
        for person in who:
            data = {
                "release_id": release,
                "gate": GATE,
                "principal": person,
                "incident_id": "inc-3",
            }
            said = data | {"reason": "payments fail", "target_digest": digest}
            self.tell("breakglass.invoked.v1", said, person, CONSOLE)
        return self

    def reviewed(self, who: str, release: str = RELEASE) -> Self:
        data = {"release_id": release, "gate": GATE, "reviewer": who, "outcome": "justified"}
        self.tell("breakglass.reviewed.v1", data | {"findings": "no other way"}, who, CONSOLE)
        return self

    def activated(self, text: str, author: str = UMA) -> Self:
        """Tell that a text judges from now on."""
        data = {"policy_id": "guard", "version": 1, "author": author, "content": text}
        digest = hashlib.sha256(text.encode()).hexdigest()
        self.tell("policy.activated.v1", data | {"content_sha256": digest}, "service:gatekeeper")
        return self

    def later(self, **span: float) -> Self:
        """Let time pass before the next sentence."""
        self.clock += timedelta(**span)
        return self
