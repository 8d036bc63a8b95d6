"""Boards, abstentions and delegations over HTTP, on the real ledger: verbs, refusals, races."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from contracts.event import OURS, format_time
from contracts.problem import (
    Conflict,
    Forbidden,
    Invalid,
    NotFound,
    PreconditionFailed,
    Problem,
)
from services.kit import clock
from services.kit.identity import Principal
from tests.integration.gatekeeper.people import SAID
from tests.integration.gatekeeper.test_gatekeeper_on_the_ledger import House, house
from tests.unit.gatekeeper.guarded import document
from tests.unit.gatekeeper.told import GATE, MANIFEST, OTHER_MANIFEST, RELEASE, Told

__all__ = ["house"]
FAY, OZ, UMA, EVE, SAM = (
    Principal(f"acme:{name}", "A3") for name in ("fay", "oz", "uma", "eve", "sam")
)
RULES = (
    "{id: cab, type: board, board: cab, members: [cab], quorum: 2, valid_for: 14d}",
    "{id: sre, type: approvals, count: 1, roles: [sre]}",
)
ITEM: dict[str, Any] = {"release": RELEASE, "gate": GATE}
SESSIONS = "/v1/board-sessions"
pytestmark = pytest.mark.postgres


@pytest.fixture
def policies(tmp_path: Path) -> Path:
    (tmp_path / "guard.yaml").write_text(document(*RULES), encoding="utf-8")
    return tmp_path


class Board:
    """A session of the board, by either of two gatekeepers."""

    def __init__(self, house: House, id_: str) -> None:
        self.house, self.id = house, id_
        self._turn = 0

    async def say(self, who: Principal, verb: str, **body: Any) -> Any:
        self._turn += 1
        via = self.house.gatekeeper if self._turn % 2 else self.house.second
        return await via.post(f"{SESSIONS}/{self.id}/{verb}", body, who)

    async def come(self, *people: Principal) -> None:
        for who in people:
            await self.say(who, "attendance", presence="joined")

    async def vote(self, who: Principal, vote: str = "approved", **more: Any) -> Any:
        shown = {} if "seen_decision" in more else {"statement": SAID["statement"]}
        return await self.say(who, "votes", **ITEM, vote=vote, reason="as read", **shown, **more)

    async def close(self, who: Principal = FAY) -> Any:
        return await self.say(who, "close", minutes="As said.")

    async def seen(self) -> Any:
        return await self.house.gatekeeper.get(f"{SESSIONS}/{self.id}")

    async def types(self) -> list[str]:
        history = await self.house.ledger.history("main", f"board:{self.id}")
        return [event.type.removeprefix(OURS + "board.") for event in history.events]


async def told(house: House) -> None:
    story = Told(clock.now() - timedelta(hours=1)).planned().merged().candidate().tests()
    await house.tell(story.role("cab", FAY.id, OZ.id, UMA.id).role("sre", SAM.id))


async def opened(house: House, **more: Any) -> Board:
    body = {"board": "cab", "agenda": [ITEM]} | more
    answer = await house.gatekeeper.post(SESSIONS, body, FAY)
    return Board(house, answer["session_id"])


async def ruled(house: House, rule: str = "cab") -> Any:
    decision = (await house.decide())["decision"]
    return next(each for each in decision["rules"] if each["rule"] == rule)


async def test_a_board_sits_and_its_word_opens_the_gate(house: House) -> None:
    await told(house)
    board = await opened(house, session_id="cab-12")
    await board.come(FAY, OZ, UMA)
    seen = await house.decide()
    await board.vote(FAY, seen_decision=seen["decision_id"])
    await board.vote(OZ, "rejected")
    await board.vote(OZ, target_digest=MANIFEST)
    await board.say(UMA, "recusals", **ITEM, reason="my supplier")
    assert (await ruled(house))["reason"] == "session cab-12 of the board cab is open"
    await board.close()
    assert (await ruled(house))["status"] == "pass"
    await house.gatekeeper.post(f"/v1/releases/{RELEASE}/approvals", {**SAID}, SAM)
    made = await house.decide()
    assert made["decision"]["decision"] == "allow"
    assert "board:cab-12" in made["decision"]["read_set"]
    replayed = await house.gatekeeper.post(f"/v1/decisions/{made['decision_id']}/replay", {})
    assert replayed["outcome"] == "same"
    found = await board.seen()
    assert (found["chair"], found["minutes"]) == (FAY.id, "As said.")
    assert found["present"] == [FAY.id, OZ.id, UMA.id]
    (item,) = found["agenda"]
    assert [(v["principal"], v["vote"]) for v in item["votes"]] == [
        (FAY.id, "approved"), (OZ.id, "rejected"), (OZ.id, "approved"),
    ]  # fmt: skip
    assert item["recused"] == [UMA.id]
    release = await house.ledger.history("main", f"release:{RELEASE}")
    kinds = [e.type.removeprefix(OURS) for e in release.events if "board." in e.type]
    assert kinds == ["board.opened.v1", *["board.voted.v1"] * 3, "board.recused.v1",
                     "board.closed.v1"]  # fmt: skip
    votes = [e for e in release.events if e.type == f"{OURS}board.voted.v1"]
    assert all(each.data["statement_sha256"] for each in votes)
    vote = votes[0]
    assert (vote.data["principal"], vote.principal, vote.assurance) == (FAY.id, FAY.id, "A3")


async def test_what_is_refused_in_a_session_and_why(house: House) -> None:
    await told(house)
    board = await opened(house)
    refusals: list[tuple[type[Problem], str, Any]] = [
        (Forbidden, "no member of the board cab", lambda: board.vote(EVE)),
        (Conflict, "come before you vote", lambda: board.vote(OZ)),
        (NotFound, "there is no session", lambda: Board(house, "none").come(OZ)),
        (Invalid, "is not on the agenda", lambda: board.say(
            OZ, "votes", release=RELEASE, gate="deploy:moon", vote="approved", statement="x")),
        (Invalid, "is not on the agenda", lambda: board.say(
            OZ, "recusals", release="pay-9", gate=GATE, reason="x")),
        (Invalid, "needs a reason", lambda: board.say(
            OZ, "votes", **ITEM, vote="rejected", statement="x")),
        (Invalid, "say what was looked at", lambda: board.say(
            OZ, "votes", **ITEM, vote="approved")),
        (PreconditionFailed, "look at it before", lambda: board.vote(
            OZ, target_digest=OTHER_MANIFEST)),
        (Forbidden, f"only {FAY.id}, who chairs", lambda: board.close(OZ)),
        (Conflict, "there is a session", lambda: opened(house, session_id=board.id)),
        (Invalid, "does not ask the board other", lambda: opened(house, board="other")),
        (NotFound, "nobody has recorded anything", lambda: opened(
            house, agenda=[{"release": "pay-9", "gate": GATE}])),
        (Forbidden, "no member", lambda: house.gatekeeper.post(
            SESSIONS, {"board": "cab", "agenda": [ITEM]}, EVE)),
    ]  # fmt: skip
    for kind, text, call in refusals:
        with pytest.raises(kind, match=text):
            await call()
    with pytest.raises(Forbidden, match="is a key; only a person"):
        await house.gatekeeper.post(f"{SESSIONS}/{board.id}/close", {"minutes": "x"})
    assert await board.types() == ["opened.v1"], "nothing of it was recorded"
    await board.come(OZ)
    await board.close()
    for late in (board.close, lambda: board.come(UMA), lambda: board.vote(OZ)):
        with pytest.raises(Conflict, match="was closed at"):
            await late()
    assert await board.types() == ["opened.v1", "attended.v1", "closed.v1"]


async def test_a_vote_on_what_has_moved_is_refused(house: House) -> None:
    await told(house)
    board = await opened(house)
    await board.come(OZ)
    seen = await house.decide()
    await house.tell(_scan())
    with pytest.raises(PreconditionFailed, match="it has moved since you looked"):
        await board.vote(OZ, seen_decision=seen["decision_id"])


def _scan() -> Told:
    story = Told(clock.now())
    story.events = []
    story.clock = clock.now()
    story.risk()
    story.events[0] = story.events[0].model_copy(
        update={"event": story.events[0].event | {"id": "late"}}
    )
    return story


async def test_two_votes_of_one_person_at_once_are_one_vote(house: House) -> None:
    await told(house)
    board = await opened(house)
    await board.come(FAY, OZ)
    await board.vote(FAY)
    votes = ["approved", "rejected", "abstained"] * 3
    await asyncio.gather(*(board.vote(OZ, vote) for vote in votes))
    await board.close()
    history = await house.ledger.history("main", f"board:{board.id}")
    of_oz = [e.data["vote"] for e in history.events if e.data.get("principal") == OZ.id
             and "vote" in e.data]  # fmt: skip
    assert sorted(of_oz) == sorted(votes), "each was recorded"
    found = await ruled(house)
    counts = {"approved": "2 for, 0 against, 0 abstained", "rejected": "1 for, 1 against, 0 abs",
              "abstained": "1 for, 0 against, 1 abstained"}  # fmt: skip
    assert counts[of_oz[-1]] in found["reason"], "and the last one counts"


async def test_no_vote_stands_behind_the_close_that_it_raced_with(house: House) -> None:
    """By either of two gatekeepers; whoever was too late is told so."""
    await told(house)
    for number in range(12):
        board = await opened(house, session_id=f"cab-{number}")
        await board.come(FAY, OZ, UMA)
        came = await asyncio.gather(
            board.vote(FAY), board.vote(OZ), board.close(), board.vote(UMA),
            board.say(UMA, "attendance", presence="left"), return_exceptions=True,
        )  # fmt: skip
        late = [one for one in came if isinstance(one, BaseException)]
        assert all(isinstance(one, Conflict) for one in late), late
        types = await board.types()
        assert types[-1] == "closed.v1"
        assert types.count("closed.v1") == 1
        assert len(types) == 4 + 5 - len(late)
        history = await house.ledger.history("main", f"board:{board.id}")
        gone = any(e.data.get("presence") == "left" for e in history.events)
        there = {FAY.id, OZ.id} | (set() if gone else {UMA.id})
        assert set(history.events[-1].data["present"]) == there, "minutes name who was there"


async def test_an_abstention_is_recorded_and_a_delegate_speaks_for_the_holder(
    house: House,
) -> None:
    await told(house)
    approvals = f"/v1/releases/{RELEASE}/approvals"
    said: dict[str, Any] = SAID | {"decision": "abstained", "comment": "not my field"}
    answer = await house.gatekeeper.post(approvals, said, SAM)
    (rule,) = [r for r in answer["decision"]["rules"] if r["rule"] == "sre"]
    assert rule["reason"].endswith("not counted: sam abstained")
    yes: dict[str, Any] = {**SAID}
    with pytest.raises(Forbidden, match="holds none of the roles"):
        await house.gatekeeper.post(approvals, yes, EVE)
    until = format_time(clock.now() + timedelta(days=2))
    lending: dict[str, Any] = {
        "role": "sre",
        "gate": GATE,
        "delegate": EVE.id,
        "until": until,
        "reason": "away",
    }
    past = lending | {"until": "2026-01-01T00:00:00Z"}
    refusals: list[tuple[type[Problem], str, dict[str, Any], Principal]] = [
        (Invalid, "ends in the future", past, SAM),
        (Invalid, "to somebody else", lending | {"delegate": "github:Sam"}, SAM),
        (Forbidden, "cannot be passed on", lending, OZ),
    ]
    for kind, text, body, who in refusals:
        with pytest.raises(kind, match=text):
            await house.gatekeeper.post("/v1/delegations", body, who)
    lent = await house.gatekeeper.post("/v1/delegations", lending, SAM)
    with pytest.raises(Forbidden, match="cannot be passed on"):
        await house.gatekeeper.post("/v1/delegations", lending | {"delegate": OZ.id}, EVE)
    with pytest.raises(Forbidden, match=f"{OZ.id} has delegated none"):
        await house.gatekeeper.post(approvals, yes | {"on_behalf_of": OZ.id}, EVE)
    await house.gatekeeper.post(approvals, yes, EVE)
    assert "sam has spoken in person" in (await ruled(house, "sre"))["reason"]
    taken_back: dict[str, Any] = {"gate": GATE, "reason": "let eve decide"}
    path = f"/v1/releases/{RELEASE}/withdrawals"
    await house.gatekeeper.post(path, taken_back, SAM)
    assert (await ruled(house, "sre"))["reason"] == "1 of 1 approval from sre: eve for sam"
    revoke = f"/v1/delegations/{lent['delegation_id']}/revoke"
    with pytest.raises(Forbidden, match="only acme:sam and acme:eve"):
        await house.gatekeeper.post(revoke, {"reason": "x"}, OZ)
    with pytest.raises(NotFound, match="there is no delegation"):
        await house.gatekeeper.post("/v1/delegations/none/revoke", {"reason": "x"}, SAM)
    await house.gatekeeper.post(revoke, {"reason": "back"}, SAM)
    assert "has ended" in (await ruled(house, "sre"))["reason"]
