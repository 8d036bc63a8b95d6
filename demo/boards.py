"""Who is asked, and what they answer."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from contracts.payloads.readiness import ApprovalClosed, ApprovalKind, ApprovalRequested, Required
from demo.native import BOARD, BOT, PRODUCTION, STAGING, Pen, said_by
from demo.people import EDITH, GRACE, KATE, MARA, OLU, RADIA, TARIQ, Person
from demo.steps import Ask, Facts, Sit, Step, Vote
from demo.work import Release

QUALITY_GATE = "quality:candidate"
STAGING_GATE = "deploy:staging"
PRODUCTION_GATE = "deploy:production"


@dataclass(frozen=True, slots=True)
class Question:
    """One group of people that is asked at one gate, and who of them answers."""

    kind: ApprovalKind
    role: str
    voters: tuple[Person, ...]
    comment: str

    def id(self, release: Release, gate: str) -> str:
        """Return the approval's id."""
        return f"{release.id}.{gate.partition(':')[2]}.{self.kind}"


def of_staging(release: Release) -> tuple[Question, ...]:
    """Return who is asked before staging."""
    voter = (KATE, TARIQ)[release.ordinal % 2]
    return (Question("qa", "qa", (voter,), "Test plan read, suites green."),)


def of_production(release: Release) -> tuple[Question, ...]:
    """Return who is asked before production: by risk and by type, as the policy has it."""
    manager = GRACE if release.arc == "hotfix" or release.ordinal % 3 else RADIA
    questions = [Question("owner", "release-manager", (manager,), "Window and rollback plan fit.")]
    if release.risk == "high":
        questions.insert(0, Question("security", "security", (MARA,), "Threat model unchanged."))
    return tuple(questions)


def sat(release: Release) -> tuple[Sit, ...]:
    """Return the session of the advisory board over a major release, as the policy has it."""
    if release.arc != "major":
        return ()
    said = "Migration rehearsed on a copy.", "Approved; the way back is to be tried once more."
    members = (OLU.id, EDITH.id)
    return (Sit(f"cab.{release.id}", "cab", release.id, PRODUCTION_GATE, members, *said),)


def requested(release: Release, gate: str, at: datetime) -> Facts:
    """Return the requests, sent by the owner: who asks may not answer."""
    staging = gate == STAGING_GATE
    questions = of_staging(release) if staging else of_production(release)
    pen = Pen(release.seed, BOARD)
    events = [
        ApprovalRequested(
            approval_id=question.id(release, gate),
            release_id=release.id,
            target=gate,
            kind=question.kind,
            required=Required(count=len(question.voters), roles=[question.role]),
            environment=STAGING if staging else PRODUCTION,
        )
        for question in questions
    ]
    return said_by(
        release.service.owner.id, *(pen.fact(at, event, event.approval_id) for event in events)
    )


def closed(release: Release, gate: str, at: datetime) -> Facts:
    """Return that the questions are answered: all with yes, or the release is refused."""
    questions = of_staging(release) if gate == STAGING_GATE else of_production(release)
    pen, refused = Pen(release.seed, BOARD), release.arc == "rejected" and gate == PRODUCTION_GATE
    events = [
        ApprovalClosed(
            approval_id=question.id(release, gate),
            release_id=release.id,
            status=("rejected" if question.kind == "security" else "cancelled")
            if refused
            else "approved",
        )
        for question in questions
    ]
    return said_by(BOT, *(pen.fact(at, event, event.approval_id) for event in events))


def votes(release: Release, gate: str, questions: tuple[Question, ...]) -> list[Step]:
    """Return a yes of everybody who is asked."""
    return [
        Vote(release.id, gate, person.id, "approved", question.comment)
        for question in questions
        for person in question.voters
    ]


def allowed(release: Release, gate: str) -> Ask:
    """Return the pipeline's question, to be answered with yes."""
    return Ask(release.id, gate, BOT, ("allow",))
