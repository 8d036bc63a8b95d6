"""Permits, and deployments that lack one.

From the first permit on that is issued for an environment, each deployment there needs one. One
that has none is a fact like all others, and says what was wrong: facts are facts, and auditors ask.
A permit is a matter that is open until it is used; `guard` is the matter of its environment.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from services.projector.readmodels.fact import Fact
from services.projector.readmodels.rows import Key, Row, Rows

ALLOWED = frozenset({"allow", "allow-by-break-glass"})
_ISSUED, _STARTED, _FINISHED = "permit.issued", "deployment.started", "deployment.finished"


def keys(fact: Fact, rows: Rows) -> Iterator[Key]:
    """Declare the permits, also the one that it runs under, and whether its place needs any."""
    permit, place = fact.text("permit_id"), _place(fact)
    if permit and fact.name in {_ISSUED, _STARTED}:
        yield "matter", ("permit", permit)
    if fact.name == _ISSUED:
        yield "gate", (fact.text("release_id") or "", fact.text("gate") or "", place)
    if fact.noun == "deployment":
        id_, service = fact.text("deployment_id") or "", fact.text("service") or ""
        if (held := rows.known("deployment", id_, service)) and held["permit_id"]:
            yield "matter", ("permit", held["permit_id"])
        if fact.name == _STARTED and (known := rows.known("matter", "permit", permit or "")):
            yield "gate", _gate(known)
    if place:
        yield "matter", ("guard", place)


def apply(fact: Fact, rows: Rows) -> None:
    """Take a permit that was issued. Runs after `releases`, before `deployments`."""
    permit, place = fact.text("permit_id"), _place(fact)
    if fact.name != _ISSUED or not permit or not place:
        return
    release = rows.get("release", fact.text("release_id") or "")
    doc = {
        "permit_id": permit, "environment": place, "not_after": fact.time("not_after"),
        "release": fact.text("release_id") or "", "gate": fact.text("gate") or "",
        "digests": [fact.text("target_digest"), *(release["artifacts"] if release else ())],
        "used_by": None,
    }  # fmt: skip
    rows.put("matter", _matter("permit", permit, fact) | {"doc": doc})
    if rows.get("matter", "guard", place) is None:
        rows.put("matter", _matter("guard", place, fact))


def standing(row: Row, held: Row | None, fact: Fact, rows: Rows) -> dict[str, Any]:
    """Return `permit_id` and `unauthorised` of a deployment, where the event tells about them.

    `held` is the row before the event. What a start was flagged for, nothing takes away.
    """
    if row["permit_id"]:
        return _strayed(row, fact, rows)
    if fact.name not in {_STARTED, _FINISHED} or _flagged_by_a_start(held):
        return {}
    if rows.get("matter", "guard", _place(fact)) is None:
        return {}
    named = fact.text("permit_id") if fact.name == _STARTED else None
    if named is None:
        # An end says nothing about permits: what its start was found to be holds, in its place.
        known = fact.name == _FINISHED and row["started_at"] and row["environment"] == _place(fact)
        return {} if known else {"unauthorised": "no permit was used"}
    permit = rows.get("matter", "permit", named)
    fault = _fault(permit, row, held, fact) or _shut(permit, rows)
    if fault is not None or permit is None:
        return {"unauthorised": fault}
    used = permit["doc"] | {"used_by": row["deployment_id"]}
    rows.put("matter", permit | {"open": False, "closed_at": fact.at, "doc": used})
    return {"permit_id": named, "unauthorised": None}


def _flagged_by_a_start(held: Row | None) -> bool:
    return held is not None and bool(held["unauthorised"] and held["started_at"])


def _strayed(row: Row, fact: Fact, rows: Rows) -> dict[str, Any]:
    """Flag what began under a permit, and turned out to be something else or somewhere else."""
    permit = rows.get("matter", "permit", row["permit_id"])
    if row["unauthorised"] or permit is None:
        return {}
    fault = _elsewhere(permit, fact) or _another({row["artifact_digest"]}, permit)
    return {"unauthorised": fault} if fault else {}


def _fault(permit: Row | None, row: Row, held: Row | None, fact: Fact) -> str | None:
    if permit is None:
        return "nobody has issued its permit"
    told, artefacts = permit["doc"], {row["artifact_digest"]}
    before = held if held and held["finished_at"] else None
    if before and before["artifact_digest"]:
        artefacts.add(before["artifact_digest"])
    if told["used_by"] not in {None, row["deployment_id"]}:
        return f"its permit had been used by {told['used_by']}"
    if fault := _elsewhere(permit, fact) or _another(artefacts, permit):
        return fault
    if before and permit["position"] > before["position"]:
        return "its permit was issued after it had ended"
    ended = told["not_after"] is None or fact.recorded_at >= told["not_after"]
    return f"its permit had ended at {told['not_after']}" if ended else None


def _gate(permit: Row) -> tuple[str, str, str]:
    told = permit["doc"]
    return told.get("release", ""), told.get("gate", ""), told["environment"]


def _shut(permit: Row | None, rows: Rows) -> str | None:
    """Say so when its gate was judged again since, and shut: who records starts by themselves asks
    nobody once more.
    """
    gate = rows.get("gate", *_gate(permit)) if permit else None
    if permit is None or gate is None or gate["position"] <= permit["position"]:
        return None
    return None if gate["verdict"] in ALLOWED else "its gate had shut before it began"


def _elsewhere(permit: Row, fact: Fact) -> str | None:
    place = permit["doc"]["environment"]
    return f"its permit is for {place}" if place != _place(fact) else None


def _another(artefacts: set[str | None], permit: Row) -> str | None:
    if None in artefacts:
        return "it does not say which artefact it deploys"
    wrong = not artefacts <= set(permit["doc"]["digests"])
    return "its permit is for another candidate" if wrong else None


def _place(fact: Fact) -> str:
    if fact.name == _ISSUED:
        return fact.text("environment") or ""
    return fact.environment[0] if fact.noun == "deployment" else ""


def _matter(kind: str, key: str, fact: Fact) -> Row:
    return {
        "kind": kind, "key": key, "open": True, "closed_at": None, "until": None,
        "position": fact.position, "doc": {},
    }  # fmt: skip
