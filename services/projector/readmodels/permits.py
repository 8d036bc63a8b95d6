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

_ISSUED, _STARTED, _FINISHED = "permit.issued", "deployment.started", "deployment.finished"


def keys(fact: Fact, _: Rows) -> Iterator[Key]:
    """Declare the permit, and whether permits are in use in its place."""
    permit, place = fact.text("permit_id"), _place(fact)
    if permit and fact.name in {_ISSUED, _STARTED}:
        yield "matter", ("permit", permit)
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
        "digests": [fact.text("target_digest"), *(release["artifacts"] if release else ())],
        "used_by": None,
    }  # fmt: skip
    rows.put("matter", _matter("permit", permit, fact) | {"doc": doc})
    if rows.get("matter", "guard", place) is None:
        rows.put("matter", _matter("guard", place, fact))


def standing(row: Row, fact: Fact, rows: Rows) -> dict[str, Any]:
    """Return `permit_id` and `unauthorised` of a deployment, where the event tells about them."""
    if fact.name not in {_STARTED, _FINISHED} or row["permit_id"]:
        return {}
    if rows.get("matter", "guard", _place(fact)) is None:
        return {}
    named = fact.text("permit_id") if fact.name == _STARTED else None
    if named is None:
        # An end says nothing about permits: what its start was found to be holds.
        known = fact.name == _FINISHED and row["started_at"]
        return {} if known else {"unauthorised": "no permit was used"}
    permit = rows.get("matter", "permit", named)
    fault = _fault(permit, row, fact)
    if fault is not None or permit is None:
        return {"unauthorised": fault}
    used = permit["doc"] | {"used_by": row["deployment_id"]}
    rows.put("matter", permit | {"open": False, "closed_at": fact.at, "doc": used})
    return {"permit_id": named, "unauthorised": None}


def _fault(permit: Row | None, row: Row, fact: Fact) -> str | None:
    if permit is None:
        return "nobody has issued its permit"
    told, artefact = permit["doc"], row["artifact_digest"]
    ended = told["not_after"] is None or fact.recorded_at >= told["not_after"]
    faults = {
        f"its permit had been used by {told['used_by']}":
            told["used_by"] not in {None, row["deployment_id"]},
        f"its permit is for {told['environment']}": told["environment"] != _place(fact),
        "it does not say which artefact it deploys": artefact is None,
        "its permit is for another candidate": artefact not in told["digests"],
        f"its permit had ended at {told['not_after']}": ended,
    }  # fmt: skip
    return next((text for text, wrong in faults.items() if wrong), None)


def _place(fact: Fact) -> str:
    if fact.name == _ISSUED:
        return fact.text("environment") or ""
    return fact.environment[0] if fact.noun == "deployment" else ""


def _matter(kind: str, key: str, fact: Fact) -> Row:
    return {
        "kind": kind, "key": key, "open": True, "closed_at": None, "until": None,
        "position": fact.position, "doc": {},
    }  # fmt: skip
