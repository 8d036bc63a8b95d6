"""What every page must keep, looked at in a real browser."""

from __future__ import annotations

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

_SIDEWAYS = "document.documentElement.scrollWidth - document.documentElement.clientWidth"


def check(page: Page) -> None:
    """Fail when the page scrolls sideways or axe finds a violation (WCAG 2.2 and best practice)."""
    assert page.evaluate(_SIDEWAYS) == 0, f"{page.url} scrolls sideways"
    found = Axe().run(page)
    where = [
        (item["id"], [node["html"][:200] for node in item["nodes"]])
        for item in found.response["violations"]
    ]
    assert where == [], page.url
