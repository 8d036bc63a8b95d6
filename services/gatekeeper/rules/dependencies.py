"""Dependencies: the releases that this one depends on are out first. Pure."""

from __future__ import annotations

from services.gatekeeper.facts import Facts
from services.gatekeeper.rules import words
from services.gatekeeper.rules.answer import Answer
from services.gatekeeper.rules.schema import Dependencies

TITLE = "Dependencies are out"


def judge(rule: Dependencies, facts: Facts, place: str) -> Answer:
    """Judge one rule; `place` is the environment that the gate leads to."""
    where = f"deployed to {place}" if rule.state == "deployed" else "completed"
    need = f"every release that it depends on is {where}"
    if facts.release_type is None:
        return Answer("pending", "nobody has planned it", need, "no plan", satisfy="a plan")
    if not facts.depends_on:
        return Answer("pass", "it depends on no other release", need, "none")
    out: dict[str, list[int]] = {}
    for name in facts.depends_on:
        other = facts.others.get(name)
        seen = other and (_deployed(other, place) if rule.state == "deployed" else _over(other))
        if seen:
            out[name] = seen
    cancelled = [n for n in facts.depends_on if n not in out and _cancelled(facts.others.get(n))]
    missing = [name for name in facts.depends_on if name not in out]
    evidence = [position for positions in out.values() for position in positions]
    if cancelled:
        reason = f"it depends on {words.both(cancelled)}, which will not go out"
        return Answer("fail", reason, need, f"cancelled: {words.both(cancelled)}", evidence)
    if missing:
        verb = "is" if len(missing) == 1 else "are"
        reason = f"{words.both(missing)} {verb} not {where}"
        satisfy = f"{words.both(missing)} {verb} {where}"
        return Answer(
            "pending", reason, need, words.both(sorted(out)) or "none", evidence, satisfy=satisfy
        )
    names = words.both(list(facts.depends_on))
    verb = "is" if len(facts.depends_on) == 1 else "are"
    return Answer("pass", f"{names} {verb} {where}", need, names, evidence)


def _deployed(other: Facts, place: str) -> list[int]:
    """Return where each service of a release last went well there; empty: not each did."""
    last = {
        one.service: one
        for one in sorted(other.deployments.values(), key=lambda d: d.stamp.position)
        if one.environment == place and one.state != "started" and one.kind != "rollback"
    }
    wanted = set(other.services) or set(last)
    good = [last[s].stamp.position for s in wanted if s in last and last[s].state == "success"]
    return sorted(good) if wanted and len(good) == len(wanted) else []


def _over(other: Facts) -> list[int]:
    return [other.closed[0]] if other.closed and other.closed[1] == "success" else []


def _cancelled(other: Facts | None) -> bool:
    words_ = {"cancelled", "rejected", "superseded"}
    return other is not None and other.closed is not None and other.closed[1] in words_
