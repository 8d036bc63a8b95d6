"""Serve the console over the fixture store: `python -m tests.browser.preview [port]`.

It stands on memory: nothing that is shown here was ever recorded.
"""

from __future__ import annotations

import sys

import uvicorn
from fastapi import FastAPI, Request

from contracts.problem import Forbidden, PreconditionFailed
from services.kit.identity import HEADER_ACTS_FOR
from services.kit.remote import Client
from services.kit.service import new_app
from services.kit.settings import Shared
from services.projector.web import Person, add_console
from tests.browser.fixture_store import FixtureLedger, FixtureStore

PEOPLE = (
    Person("dev:grace", "Grace Holm", ("release-manager",), "Release manager"),
    Person("dev:radia", "Radia Novak", ("release-manager",), "Release manager, second"),
    Person("dev:kate", "Kate Osei", ("qa",), "Head of quality"),
    Person("dev:edith", "Edith Laurent", ("sre", "cab"), "Operations lead, board member"),
    Person("dev:olu", "Olu Adeyemi", ("cab",), "Chair of the change advisory board"),
    Person("dev:tim", "Tim Berger", ("product-owner",), "Product owner, payments"),
    Person("dev:ada", "Ada Marlow", ("developer",), "Developer, payments"),
    Person("dev:alan", "Alan Reyes", ("developer",), "Developer, web"),
    Person("dev:hedy", "Hedy Okafor", ("developer",), "Developer, search"),
)


def app(store: FixtureStore, *, dev: bool = True) -> FastAPI:
    """Return the console over `store`, with a gatekeeper that records into it."""
    made = new_app("preview", "The console over fixtures.")
    gatekeeper = Client("http://gatekeeper", "none", _gatekeeper(store))
    add_console(made, store, gatekeeper, FixtureLedger(), Shared(dev=dev), PEOPLE)  # type: ignore[arg-type]
    return made


def _gatekeeper(store: FixtureStore) -> FastAPI:
    """A gatekeeper with the outcomes that a page must be able to show."""
    made = new_app("gatekeeper", "Fixture.")

    async def approve(release: str, request: Request) -> dict[str, object]:
        body, person = await request.json(), request.headers[HEADER_ACTS_FOR]
        if "moved" in body.get("comment", ""):
            raise PreconditionFailed("the candidate is now 1.43.1; look at it before you decide")
        if person not in {"dev:grace", "dev:radia"}:
            raise Forbidden(f"{person} holds none of the roles that {body['gate']} asks")
        store.voted = (body["decision"], person.partition(":")[2], store.position + 2)
        return {"position": store.voted[2], "release": release}

    made.post("/v1/releases/{release}/approvals", status_code=201)(approve)
    return made


if __name__ == "__main__":
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 8090
    uvicorn.run(app(FixtureStore()), port=port, log_level="warning")
