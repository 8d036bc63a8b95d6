"""Who is asked says yes in the console, takes it back, abstains: the real services behind it."""

from __future__ import annotations

from typing import Any

import httpx2
import pytest
from starlette.types import ASGIApp

from tests.unit.demo.test_load import app, log, run

__all__ = ["app"]
pytestmark = pytest.mark.postgres
GATE = {"gate": "deploy:production"}


async def test_a_vote_is_given_and_taken_back_in_the_console(app: ASGIApp) -> None:
    waiting = (await run(app)).waiting
    site, page = "http://127.0.0.1", f"/releases/{waiting}"
    headers = {"sec-fetch-site": "same-origin", "origin": site}
    async with httpx2.AsyncClient(
        transport=httpx2.ASGITransport(app=app), base_url=site, headers=headers, timeout=60
    ) as http:

        async def gate() -> dict[str, Any]:
            head = len(await log(app))  # what is shown then is no older
            made = (await http.get(f"{page}?format=json&after={head}")).json()["gates"]
            return next(each for each in made if each["gate"] == GATE["gate"])

        async def decided(**form: str) -> str:
            answer = await http.post(f"{page}/approvals", data=GATE | form)
            if answer.status_code != 303:
                return f"{answer.status_code} {answer.text}"
            return (await http.get(answer.headers["location"])).text

        seen = await gate()
        (asked,) = {who for rule in seen["decision"]["rules"] for who in rule["who"][:1]}
        http.headers["cookie"] = f"rlg_person={asked}"
        said = await decided(decision="approved", seen_decision=seen["decision_id"])
        assert "judged again: allowed" in said
        assert "Take it back" in said
        assert 'value="approved"' not in said
        assert "say why you take it back" in (await decided(decision="withdrawn")).lower()
        back = await decided(decision="withdrawn", comment="The window moved.")
        assert "judged again: pending" in back
        assert "took back what they had said" in back
        assert "Take it back" not in back
        seen = await gate()
        again = await decided(decision="abstained", seen_decision=seen["decision_id"])
        assert "abstained" in again
