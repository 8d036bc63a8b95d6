"""Veto: nobody of these roles stands in the way. Pure.

A veto counts when its person held one of the roles as they raised it, whatever became of the role
since. It ends when that person lifts it, or somebody who holds one of the roles then.
"""

from __future__ import annotations

from services.gatekeeper.facts import Facts
from services.gatekeeper.people import short
from services.gatekeeper.records import Veto as Raised
from services.gatekeeper.rules import words
from services.gatekeeper.rules.answer import Answer
from services.gatekeeper.rules.schema import Veto

TITLE = "No veto"


def judge(rule: Veto, facts: Facts) -> Answer:
    """Judge one veto rule."""
    roles = words.either(rule.roles)
    open_ = [veto for veto in facts.vetoes.values() if _stands(veto, rule, facts)]
    if not open_:
        return Answer("pass", f"nobody of {roles} objects", f"no veto of {roles}", "none")
    said = words.both([f"{short(v.principal)} objects: {words.quoted(v.reason)}" for v in open_])
    who = words.unique(veto.principal for veto in open_)
    return Answer(
        "fail",
        said,
        f"no veto of {roles}",
        f"veto of {words.both([short(each) for each in who])}",
        [veto.stamp.position for veto in open_],
        satisfy=f"it is lifted by {words.either([short(each) for each in who])} or by {roles}",
        who=who,
        roles=rule.roles,
    )


def _stands(veto: Raised, rule: Veto, facts: Facts) -> bool:
    if veto.gate not in {None, facts.gate}:
        return False
    if not facts.could_object(veto.principal, rule.roles, veto.stamp):
        return False
    return not any(
        who == veto.principal or facts.did_hold(who, rule.roles, stamp) for who, stamp in veto.lifts
    )
