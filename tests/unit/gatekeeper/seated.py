"""A board that sits over the guarded release, told in words of its sessions."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Self

from contracts.event import format_time
from tests.unit.gatekeeper.guarded import Guarded
from tests.unit.gatekeeper.told import CONSOLE, GATE, MANIFEST, RELEASE

SESSION = "cab-12"


class Seated(Guarded):
    """Members of the board hold `cab`."""

    def opened(self, chair: str, id_: str = SESSION, **changed: Any) -> Self:
        by = changed.pop("by", chair)
        agenda = [{"release_id": changed.pop("release", RELEASE), "gate": GATE}]
        data = {"session_id": id_, "board": "cab", "chair": chair, "agenda": agenda} | changed
        self.tell("board.opened.v1", data, by, CONSOLE)
        return self

    def came(self, *who: str, id_: str = SESSION) -> Self:
        return self._presence("joined", who, id_)

    def went(self, *who: str, id_: str = SESSION) -> Self:
        return self._presence("left", who, id_)

    def says(self, who: str, vote: str = "approved", id_: str = SESSION, **changed: Any) -> Self:
        """Tell a vote in a session."""
        by = changed.pop("by", who)
        data = {"session_id": id_, "release_id": RELEASE, "gate": GATE, "principal": who}
        data |= {"vote": vote, "target_digest": MANIFEST} | changed
        self.tell("board.voted.v1", data, by, CONSOLE)
        return self

    def recused(self, who: str, id_: str = SESSION, **changed: Any) -> Self:
        by = changed.pop("by", who)
        data = {"session_id": id_, "release_id": RELEASE, "gate": GATE, "principal": who}
        self.tell("board.recused.v1", data | {"reason": "my supplier"} | changed, by, CONSOLE)
        return self

    def closed(self, chair: str, id_: str = SESSION, **changed: Any) -> Self:
        by = changed.pop("by", chair)
        data = {"session_id": id_, "chair": chair, "releases": [RELEASE], "present": []}
        self.tell("board.closed.v1", data | {"minutes": "As said."} | changed, by, CONSOLE)
        return self

    def sat(self, chair: str, id_: str = SESSION, **votes: str) -> Self:
        """Tell a whole session: who votes how, by name, in order."""
        people = [f"acme:{name}" for name in votes]
        self.opened(chair, id_).came(*people, id_=id_)
        for who, vote in zip(people, votes.values(), strict=True):
            self.says(who, vote, id_)
        return self.closed(chair, id_)

    def abstained(self, who: str, **changed: Any) -> Self:
        data = {"approval_id": "a1", "release_id": RELEASE, "gate": GATE, "principal": who}
        self.tell("approval.abstained.v1", data | {"target_digest": MANIFEST} | changed, who,
                  CONSOLE)  # fmt: skip
        return self

    def delegated(
        self, who: str, to: str, until: datetime, role: str = "sre", **changed: Any
    ) -> Self:
        by, via = changed.pop("by", who), changed.pop("via", CONSOLE)
        data = {"delegation_id": f"d{len(self.events)}", "role": role, "gate": GATE}
        data |= {"delegator": who, "delegate": to, "until": format_time(until), "reason": "away"}
        self.tell("delegation.granted.v1", data | changed, by, via)
        return self

    def undelegated(self, who: str, id_: str, role: str = "sre") -> Self:
        data = {"delegation_id": id_, "role": role, "principal": who, "reason": "back"}
        self.tell("delegation.revoked.v1", data, who, CONSOLE)
        return self

    def _presence(self, presence: str, people: tuple[str, ...], id_: str) -> Self:
        for who in people:
            data = {"session_id": id_, "principal": who, "presence": presence}
            self.tell("board.attended.v1", data, who, CONSOLE)
        return self
