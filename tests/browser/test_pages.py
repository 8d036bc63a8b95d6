"""Every page in every dress: nothing scrolls sideways, axe finds nothing, the console is silent."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page

from tests.browser.fixture_store import FixtureStore
from tests.browser.looking import check

ADDRESSES = (
    "/",
    "/releases",
    "/releases?q=nothing-has-this-name&state=failed",
    "/releases/pay-1.43.0",
    "/releases/pay-1.43.0?after=1204#gates",
    "/releases/search-0.18.3",
    "/flow",
    "/flow?service=search&days=7",
    "/projection",
    "/events/1203",
    "/events/1100",
    "/nowhere",
)
DRESSES = [("light", 1440), ("dark", 1440), ("light", 390), ("dark", 390)]


@pytest.mark.parametrize(("scheme", "width"), DRESSES)
def test_every_page_fits_and_is_accessible(site: str, page: Page, scheme: str, width: int) -> None:
    page.emulate_media(color_scheme=scheme, reduced_motion="reduce")  # type: ignore[arg-type]
    page.set_viewport_size({"width": width, "height": 844})
    for address in ADDRESSES:
        page.goto(site + address)
        check(page)


@pytest.mark.parametrize(("scheme", "width"), DRESSES)
def test_what_is_parked_is_said_wherever_it_matters(
    site: str, store: FixtureStore, page: Page, scheme: str, width: int
) -> None:
    page.emulate_media(color_scheme=scheme, reduced_motion="reduce")  # type: ignore[arg-type]
    page.set_viewport_size({"width": width, "height": 844})
    store.park()
    page.goto(site)
    check(page)
    assert "9 events parked" in page.locator(".strip").inner_text()
    page.locator("#fresh .parked").click()
    page.wait_for_url("**/projection#parked")
    check(page)
    cards = page.locator(".parked-list > li")
    assert cards.count() == 3
    first = cards.first.inner_text()
    assert "release:web-5.1.9" in first
    assert "with 6 later events" in first
    assert "there is no upcaster from v3 to v1" in first
    assert cards.first.locator("time").count() == 1
    assert "projection replay --ledger main" in page.locator(".setup pre").inner_text()
    cards.first.locator("h3 a").click()
    page.wait_for_url("**/releases/web-5.1.9")
    check(page)
    assert "stands still since event 1" in page.get_by_role("note").inner_text()


def test_where_nothing_is_parked_the_page_says_so(
    site: str, store: FixtureStore, page: Page
) -> None:
    page.goto(site)
    page.locator("#fresh a").click()
    page.wait_for_url("**/projection")
    assert "Nothing is parked." in page.locator("#parked").inner_text()
    assert page.locator(".setup, #fresh .parked, .strip .bad >> text=parked").count() == 0
    store.events = 0
    page.goto(f"{site}/projection")
    check(page)


@pytest.mark.parametrize("width", [1440, 390, 320])
def test_the_first_run_and_empty_pages(
    site: str, store: FixtureStore, page: Page, width: int
) -> None:
    store.events = 0
    page.set_viewport_size({"width": width, "height": 844})
    for address in ("/", "/releases", "/flow"):
        page.goto(site + address)
        check(page)
    page.goto(site)
    assert page.locator("h1").inner_text() == "The ledger is empty"
    assert "curl" in page.locator("pre").first.inner_text()


@pytest.mark.parametrize(
    ("behind", "level"), [(0, "live"), (3, "behind"), (45, "late"), (900, "stopped")]
)
def test_freshness_is_said_in_the_header(
    site: str, store: FixtureStore, page: Page, behind: float, level: str
) -> None:
    store.behind = behind
    page.goto(site)
    assert level in (page.locator("#fresh").get_attribute("class") or "")
    assert page.locator("[role=alert]").count() == (1 if level == "stopped" else 0)
    check(page)


def test_outside_development_nobody_can_act(site_without_people: str, page: Page) -> None:
    page.goto(f"{site_without_people}/releases/pay-1.43.0")
    assert page.locator(".devbar, .menu, form.decide").count() == 0
    assert "Grace or Radia can approve" in page.locator(".viewing").inner_text()
    check(page)


def test_new_events_are_announced_and_never_swapped_in(
    site: str, store: FixtureStore, page: Page
) -> None:
    page.goto(site)
    store.events += 7
    page.locator(".newer").wait_for(timeout=15_000)
    assert page.locator(".newer").inner_text().startswith("7 new events")
    assert page.locator("#announce").inner_text().startswith("7 new events")
    page.locator(".newer").click()
    page.locator("#fresh.live .newer").wait_for(state="detached")
    assert "1,211" in page.locator("#fresh").inner_text()


def test_the_keyboard_is_enough(site: str, page: Page) -> None:
    page.goto(site)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Enter")
    page.keyboard.press("g")
    page.keyboard.press("r")
    page.wait_for_url("**/releases")
    page.keyboard.press("/")
    page.keyboard.type("5.2.0")
    page.wait_for_url("**/releases?q=5.2.0")
    page.locator(".resultline", has_text="1 release matches").wait_for()
    page.locator("#q").press("Escape")
    page.keyboard.press("?")
    assert page.locator("dialog[open]").count() == 1


def test_a_redacted_event_says_who_had_it_removed_and_why(site: str, page: Page) -> None:
    page.goto(f"{site}/events/1100")
    said = page.get_by_role("note").inner_text()
    assert "The content of this event was redacted." in said
    assert "asked for it and Ada" in said
    assert "“names <a person>” (event 1,190)" in said.replace("1 190", "1,190")
    assert "approved" not in page.locator("pre.json").inner_text()
