"""The page Flow says which figure may still move, and why."""

from __future__ import annotations

import re

import httpx2

from tests.browser.fixture_store import FixtureStore
from tests.browser.preview import app


async def test_a_provisional_figure_says_so_beside_its_headline() -> None:
    transport = httpx2.ASGITransport(app=app(FixtureStore()))
    async with httpx2.AsyncClient(transport=transport, base_url="http://console") as browser:
        html = (await browser.get("/flow")).text
    words = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", html))
    often, lead = words.split("Change lead time", 1)  # the fixture's first figure is provisional
    assert re.search(
        r"Deployment frequency [0-9.]+ [a-z ]+ Provisional: the last day is not over [0-9A-Z]",
        often,
    )
    assert "Provisional" not in lead
