"""The one form that decides: approve, reject, abstain, or take it back; sent on to the gatekeeper
for the person.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from contracts.problem import Forbidden, Invalid, Problem
from services.kit.identity import Principal
from services.projector.web.presenting import segment

if TYPE_CHECKING:
    from fastapi import APIRouter

    from contracts.ijson import Json
    from services.projector.web.pages import Pages
    from services.projector.web.people import Person
    from services.projector.web.rendering import Console

VOTES = frozenset({"approved", "rejected", "abstained"})
BACK = "withdrawn"
LONGEST_COMMENT = 2_000
_FIELDS = ("gate", "decision", "comment", "target_digest", "seen_decision")


@dataclass(frozen=True, slots=True)
class Attempt:
    """What a person sent, and why it was not taken. Shown again with nothing lost."""

    gate: str
    decision: str
    comment: str
    target_digest: str
    seen_decision: str
    problem: Problem | None = None

    def check(self) -> None:
        """Raise `Invalid` for what the person can mend before anybody is asked."""
        if self.decision not in {*VOTES, BACK}:
            raise Invalid("choose to approve, to reject or to abstain")
        if self.decision == "rejected" and not self.comment:
            raise Invalid("say why you reject: whoever prepares this release needs the reason")
        if self.decision == BACK and not self.comment:
            raise Invalid("say why you take it back: others have relied on it")
        if len(self.comment) > LONGEST_COMMENT:
            raise Invalid(
                f"the reason has {len(self.comment)} of at most {LONGEST_COMMENT} characters"
            )

    def body(self) -> Json:
        """Return what the gatekeeper is asked."""
        wanted: dict[str, Json] = {"gate": self.gate, "decision": self.decision}
        wanted |= {"comment": self.comment} if self.comment else {}
        wanted |= {"target_digest": self.target_digest} if self.target_digest else {}
        return wanted | ({"seen_decision": self.seen_decision} if self.seen_decision else {})


class Approvals:
    """The route of the form."""

    def __init__(self, console: Console, pages: Pages) -> None:
        self._console = console
        self._pages = pages

    def add_to(self, router: APIRouter) -> None:
        """Add the route, and the way back for whoever reloads what it answered."""
        router.post("/releases/{release_id:path}/approvals")(self.decide)
        router.get("/releases/{release_id:path}/approvals")(self.back)

    async def decide(self, request: Request, release_id: str) -> Response:
        """Record a person's decision and lead to the page that shows what came of it.

        What the gatekeeper refuses is shown on the release's page, with its status and in words.
        """
        attempt = await _attempt(request)
        try:
            attempt.check()
            answer = await self._ask(release_id, attempt, self._person(request))
        except Problem as problem:
            failed = replace(attempt, problem=problem)
            return await self._pages.release_page(
                request, release_id, problem.status, attempt=failed
            )
        base = request.scope.get("root_path", "")
        target = f"{base}/releases/{segment(release_id)}?after={int(answer['position'])}#gates"
        return RedirectResponse(target, 303)

    async def back(self, request: Request, release_id: str) -> Response:
        """Lead from the form's address to the release: a refused form leaves it in the browser."""
        base = request.scope.get("root_path", "")
        return RedirectResponse(f"{base}/releases/{segment(release_id)}", 303)

    def _person(self, request: Request) -> Person:
        viewer = self._console.viewer(request)
        if viewer is None:
            raise Forbidden("only a signed-in person can decide")
        return viewer

    async def _ask(self, release_id: str, attempt: Attempt, person: Person) -> dict[str, Any]:
        path, ask = f"/v1/releases/{segment(release_id)}", self._console.gatekeeper.post
        acting = Principal(person.id, "A0")  # development mode: nobody was authenticated
        answer: dict[str, Any]
        if attempt.decision == BACK:
            said: Json = {"gate": attempt.gate, "reason": attempt.comment}
            await ask(f"{path}/withdrawals", said, acting)
            gate: Json = {"release": release_id, "gate": attempt.gate}
            answer = await ask("/v1/decisions", gate)  # or it is judged a moment later, by itself
        else:
            answer = await ask(f"{path}/approvals", attempt.body(), acting)
        return answer


async def _attempt(request: Request) -> Attempt:
    form = await request.form(max_files=0, max_fields=10)
    gate, decision, comment, digest, seen = (str(form.get(name, "")) for name in _FIELDS)
    return Attempt(gate, decision, comment.replace("\r\n", "\n").strip(), digest, seen)
