"""The newcomer's first click: a real browser approves a waiting release in the running product."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.looking import check
from tests.story.served import Shape
from tests.story.teller import Teller
from tests.story.test_story import GATE, plan, shown


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page that fails the test when the browser complains about anything."""
    made = browser.new_page(viewport={"width": 1440, "height": 900})
    faults: list[str] = []
    made.on("console", lambda said: faults.append(said.text) if said.type == "error" else None)
    made.on("pageerror", lambda error: faults.append(str(error)))
    yield made
    made.close()
    assert faults == []


def test_approve_in_the_browser_and_read_the_decision_with_its_reasons_and_evidence(
    one_process: Shape, page: Page
) -> None:
    tell, release = Teller(one_process), f"pay-{uuid.uuid4().hex[:8]}"
    plan(tell, release)
    shown(tell, release, tell.ask(release, GATE)["position"])

    page.goto(one_process.console)
    check(page)
    page.get_by_role("link", name=f"Payments {release}").first.click()
    check(page)
    page.get_by_label("Your reason").fill("Plan, tests and scan read.")
    page.get_by_role("button", name="Approve").click()

    expect(page.locator("#main")).to_contain_text("Allowed")
    expect(page.locator("#main")).to_contain_text("Plan, tests and scan read.")
    check(page)
    (gate,) = tell.read(f"/v1/releases/{release}")["gates"]
    assert gate["decision"]["decision"] == "allow"
    for position in gate["decision"]["rules"][-1]["evidence"]:
        page.goto(f"{one_process.console}/events/{position}")
        expect(page.locator("#main")).to_contain_text("approval.decided")
