"""Quorum and majority: how many must be there, and how many of their votes carry. Pure."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import BeforeValidator

Majority = Literal["simple", "two-thirds", "unanimous"]

_SHARE = re.compile(r"([1-9]\d?|100)%", re.ASCII)
_MOST = 100


def _quorum(value: object) -> object:
    number = isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= _MOST
    if not number and not (isinstance(value, str) and _SHARE.fullmatch(value)):
        raise ValueError("is neither a number of members such as 3 nor a share such as 50%")
    return value


Quorum = Annotated[int | str, BeforeValidator(_quorum)]


def needed(quorum: Quorum, members: int) -> int:
    """Return how many of `members` must be there: a share is rounded up, and never nobody."""
    if isinstance(quorum, int):
        return quorum
    share = int(quorum.removesuffix("%"))
    return max(1, -(-share * members // 100))


def carried(majority: Majority, yes: int, no: int) -> bool:
    """Say whether votes carry. Abstentions are no votes; a tie, and no vote at all, never carry."""
    match majority:
        case "simple":
            return yes > no
        case "two-thirds":
            return yes > 0 and 3 * yes >= 2 * (yes + no)
        case "unanimous":
            return yes > 0 and no == 0
