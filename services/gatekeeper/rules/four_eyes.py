"""Four eyes: who is tied to a release may not approve it, and who wrote it must be known. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from services.gatekeeper.facts import Facts
from services.gatekeeper.people import issuer
from services.gatekeeper.records import Tie
from services.gatekeeper.rules import words
from services.gatekeeper.rules.schema import Approvals, Board


def tied(person: str, rule: Approvals | Board, facts: Facts) -> Tie | None:
    """Return what keeps a person from approving; None: nothing does."""
    for tie in facts.ties:
        excluded = tie.kind in (rule.exclude or ()) and tie.gate in {None, facts.gate}
        if excluded and facts.people.same(tie.who, person):
            return tie
    return None


def ties(person: str, facts: Facts) -> tuple[str, ...]:
    """Return the kinds of ties that a person has to the release at this gate, by name."""
    mine = (t for t in facts.ties if t.gate in {None, facts.gate})
    return tuple(sorted({t.kind for t in mine if facts.people.same(t.who, person)}))


def unproved(rule: Approvals | Board, facts: Facts) -> tuple[str, str] | None:
    """Return what is not known of the authors, and what would tell; None: all is known."""
    if "author" not in (rule.exclude or ()) or facts.candidate is None:
        return None
    if not (changes := facts.changes()):
        return "which changes this candidate holds", "a release candidate that names its changes"
    wrote = facts.authors()
    silent = [f"change {words.brief(change)}" for change in changes if change not in wrote]
    whole = (*changes, *facts.branches())
    if silent:
        return f"who wrote {words.both(silent)}", "an event that names the author of each change"
    return _strangers(rule, facts, whole)


def _strangers(
    rule: Approvals | Board, facts: Facts, changes: Sequence[str]
) -> tuple[str, str] | None:
    """Return the accounts that wrote something and are nobody's, as far as is recorded."""
    issuers = {issuer(held.principal) for held in facts.holdings} - {""}  # also of ended ones
    if not issuers:
        return None  # nobody ever held a role, so nothing counts, and that is the first to say
    kinds = {"author", "co_author"} & set(rule.exclude or ())
    strange = {
        tie.who: next(ref for ref in tie.refs if ref in changes)
        for tie in facts.ties
        if tie.kind in kinds
        and not set(changes).isdisjoint(tie.refs)
        and not facts.people.knows(tie.who, issuers)
    }
    if not strange:
        return None
    said = [f"{who} is, who wrote change {words.brief(ref)}" for who, ref in strange.items()]
    return f"who {words.both(said)}", f"an event that links {words.both(list(strange))} to a person"
