"""Put the console onto an app: pages, forms, static files, errors as pages."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi import APIRouter, Depends
from starlette.middleware.gzip import GZipMiddleware
from starlette.responses import Response

from services.projector.web import faults, rendering
from services.projector.web.approvals import Approvals
from services.projector.web.assets import Assets
from services.projector.web.pages import Pages
from services.projector.web.people import Directory
from services.projector.web.preferences import Preferences
from services.projector.web.security import admission, guard

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fastapi import FastAPI

    from services.kit.identity import Keyring
    from services.kit.ports import Shelf
    from services.kit.remote import Client
    from services.kit.settings import Shared
    from services.projector.web.people import Person
    from services.projector.web.reads import Reads


def add_console(  # noqa: PLR0913, PLR0917 - the one place where the console meets all that it needs
    app: FastAPI,
    store: Reads,
    gatekeeper: Client,
    ledger: Shelf,
    shared: Shared,
    people: Sequence[Person],
    keyring: Keyring | None = None,
) -> None:
    """Serve the console from `app`; `people` are those that it knows by name.

    Every route passes the guard against foreign forms and, where there is a `keyring`, the check
    of who may look; a new route cannot forget them.
    """
    console = rendering.Console(
        store, gatekeeper, ledger, shared,
        Directory(people), Assets(), rendering.environment(),
    )  # fmt: skip
    router = APIRouter(
        dependencies=[Depends(admission(keyring)), Depends(guard)],
        default_response_class=Response,
        include_in_schema=False,
    )
    pages = Pages(console)
    Approvals(console, pages).add_to(router)  # before the pages: ids of releases may hold slashes
    pages.add_to(router)
    Preferences(console).add_to(router)
    app.include_router(router)
    faults.install(app, console)
    app.add_middleware(GZipMiddleware, minimum_size=1024)
