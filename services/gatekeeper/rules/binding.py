"""Binding: what somebody said holds for what they said it of. Pure.

`artefact`: for the candidate that they looked at, so a rebuilt one is to be looked at anew.
`scope`: until a plan or `release.scope_changed` tells another one; a rebuild alone voids nothing.
A no outlives that: nobody gets rid of it by a wider plan.
"""

from __future__ import annotations

from collections.abc import Collection

from services.gatekeeper.facts import Facts
from services.gatekeeper.people import short
from services.gatekeeper.records import Approval, BoardVote
from services.gatekeeper.rules import words
from services.gatekeeper.rules.schema import Binding


def unbound(
    vote: Approval | BoardVote, bind: Collection[Binding] | None, facts: Facts
) -> str | None:
    """Return why a vote is not about what is judged, as far as `bind` asks; None: it is."""
    who, bind = short(vote.principal), bind or ()
    if "artefact" in bind and not _objects(vote, facts):
        if vote.digest is None:
            return f"{who} did not say which candidate"
        if facts.candidate is None or vote.digest != facts.candidate.digest:
            return f"{who} voted on another candidate, {words.brief(vote.digest)}"
    if "scope" in bind and facts.scope and vote.stamp.position < facts.scope.position:
        return None if _is_no(vote) else f"the scope has changed since {who} voted"
    return None


def _objects(vote: Approval | BoardVote, facts: Facts) -> bool:
    """Say whether it is a no to this candidate, by whatever name: it need not be exact."""
    no = isinstance(vote, Approval) and not vote.approved
    return no and vote.digest in {None, *facts.artifacts()}


def _is_no(vote: Approval | BoardVote) -> bool:
    return not vote.approved if isinstance(vote, Approval) else vote.vote == "rejected"
