"""A console on loopback for each test."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

import pytest
import uvicorn
from playwright.sync_api import Browser, Page

from tests.browser.fixture_store import FixtureStore
from tests.browser.preview import app

Open = Callable[..., Page]


@pytest.fixture
def store() -> FixtureStore:
    return FixtureStore()


@pytest.fixture
def site(store: FixtureStore) -> Iterator[str]:
    """The console over `store`: its address."""
    yield from _serve(store, dev=True)


@pytest.fixture
def site_without_people(store: FixtureStore) -> Iterator[str]:
    """The same outside development mode: nobody is signed in."""
    yield from _serve(store, dev=False)


def _serve(store: FixtureStore, *, dev: bool) -> Iterator[str]:
    server = uvicorn.Server(uvicorn.Config(app(store, dev=dev), port=0, log_level="warning"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    thread.join(10)


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page that fails the test when the browser complains about anything."""
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    made = context.new_page()
    complaints: list[str] = []
    made.on("console", lambda m: complaints.append(m.text) if m.type in _BAD else None)
    made.on("pageerror", lambda error: complaints.append(str(error)))
    yield made
    context.close()
    assert [c for c in complaints if "status of 4" not in c] == []


@pytest.fixture
def plain(browser: Browser) -> Iterator[Page]:
    """A page without JavaScript."""
    context = browser.new_context(java_script_enabled=False)
    yield context.new_page()
    context.close()


_BAD = frozenset({"error", "warning"})
