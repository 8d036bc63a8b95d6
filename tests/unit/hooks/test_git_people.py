"""The people whom git names: recorded where a connection wants them, never by accident."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, cast

import pytest

from contracts import catalogue
from services.ledger.hooks.adapter import Scope
from services.ledger.hooks.git_people import people
from tests.unit.hooks import payloads
from tests.unit.hooks.payloads import B, map_github, only

ADA, GRACE = "Ada@Acme.example", "grace@acme.example"
COMMIT: dict[str, Any] = {
    "id": B, "timestamp": "2026-03-01T12:00:00Z",
    "author": {"name": "Ada", "email": ADA}, "committer": {"name": "Grace", "email": GRACE},
    "message": "Pay faster\n\nCo-authored-by: Fay <fay@acme.example>\n"
    "co-authored-by:  Hal  <12345+hal@users.noreply.github.com>  \n",
}  # fmt: skip


def commits(scope: Scope, *sent: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the commits of the event that a push becomes."""
    made = only(map_github("push", payloads.push(commits=list(sent)), scope))
    catalogue.parse(made)
    return cast("list[dict[str, Any]]", cast("dict[str, Any]", made["data"])["commits"])


def test_a_connection_that_wants_people_gets_author_committer_and_co_authors() -> None:
    (commit,) = commits(Scope("github", commit_people=True), COMMIT)
    assert commit["author"] == "git:ada@acme.example"
    assert commit["committer"] == "git:grace@acme.example"
    assert commit["co_authors"] == ["git:fay@acme.example", "github:12345"]


def test_others_record_no_address() -> None:
    assert "@" not in json.dumps(commits(Scope("github"), COMMIT))


@pytest.mark.parametrize(
    ("commit", "found"),
    [
        ({"committer": {"email": "noreply@github.com"}}, {}),
        ({"author": {"name": "Ada"}}, {}),
        ({"author": {"email": ""}, "committer": None, "message": None}, {}),
        ({"message": "Co-authored-by: nobody"}, {}),
        ({"message": "Say Co-authored-by: A <a@b.example> in the text"}, {}),
        ({"author": {"email": ADA}, "message": f"x\n\nCo-authored-by: Ada <{ADA}>"},
         {"author": "git:ada@acme.example"}),
        ({"message": "x\r\n\r\nCo-authored-by: A <a@b.example>\r\nCo-authored-by: A <a@b.example>"},
         {"co_authors": ["git:a@b.example"]}),
    ],
)  # fmt: skip
def test_what_names_nobody_adds_nobody(commit: dict[str, Any], found: dict[str, Any]) -> None:
    assert people(commit) == found


@pytest.mark.parametrize(
    ("count", "last"),
    [(21, "git:p20@x.example"), (500, "git:p499@x.example"), (501, "git:more-than-500-co-authors")],
)
def test_many_co_authors_stop_no_push(count: int, last: str) -> None:
    trailers = "".join(f"Co-authored-by: P <p{i}@x.example>\n" for i in range(count))
    commit = COMMIT | {"message": f"All of us\n\n{trailers}"}
    (made,) = commits(Scope("github", commit_people=True), commit)
    assert len(made["co_authors"]) == min(count, 500)
    assert (made["co_authors"][0], made["co_authors"][-1]) == ("git:p0@x.example", last)


def test_an_address_that_is_too_long_is_an_account_all_the_same() -> None:
    address = f"{'a' * 600}@acme.example"
    who = f"git:sha256-{hashlib.sha256(address.encode()).hexdigest()}"
    commit = COMMIT | {"author": {"email": address.upper()}}
    commit |= {"message": f"x\n\nCo-authored-by: B <b{address}>"}
    (made,) = commits(Scope("github", commit_people=True), commit)
    assert made["author"] == who
    (other,) = made["co_authors"]
    assert other.startswith("git:sha256-")
    assert other != who


def test_a_real_push_maps_with_its_people(samples: Path) -> None:
    payload = json.loads((samples / "github" / "push.payload.json").read_text(encoding="utf-8"))
    scope = Scope("github", commit_people=True)
    for fact in map_github("push", payload, scope).facts:
        assert catalogue.parse(fact.event).type.endswith("change.pushed.v1")
