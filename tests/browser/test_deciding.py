"""The one form that decides: with and without JavaScript, and everything that can be refused."""

from __future__ import annotations

import http.client
from contextlib import closing
from urllib.parse import urlencode, urlsplit

import pytest
from playwright.sync_api import Page

from tests.browser.fixture_store import FixtureStore
from tests.browser.looking import check

RELEASE = "/releases/pay-1.43.0"


def _post(site: str, path: str, headers: dict[str, str], **fields: str) -> tuple[int, str]:
    form = {"content-type": "application/x-www-form-urlencoded"}
    with closing(http.client.HTTPConnection(urlsplit(site).netloc)) as connection:
        connection.request("POST", path, urlencode(fields), form | headers)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()


def test_approving_without_javascript(site: str, plain: Page) -> None:
    plain.goto(site)
    plain.get_by_role("link", name="Review and decide").click()
    plain.locator("textarea").fill("Read it, ran it.")
    plain.get_by_role("button", name="Approve").click()
    assert plain.url == f"{site}{RELEASE}?after=1206#gates"
    banner = plain.locator("#result").inner_text()
    assert "deploy:production was judged again: allowed" in banner
    assert "event 1,206" in banner
    assert plain.locator("form.decide").count() == 0


def test_rejecting_needs_a_reason_and_keeps_nothing_waiting(site: str, page: Page) -> None:
    page.goto(site + RELEASE)
    with page.expect_response("**/approvals") as refused:
        page.get_by_role("button", name="Reject").click()
    assert refused.value.status == 422
    assert "say why you reject" in page.locator("#result").inner_text().lower()
    check(page)
    page.locator("textarea").fill("The rollback plan is for another version.")
    page.get_by_role("button", name="Reject").click()
    page.wait_for_url("**?after=1206#gates")
    assert "denied" in page.locator("#result").inner_text()


def test_what_the_gatekeeper_refuses_is_shown_and_no_word_is_lost(site: str, page: Page) -> None:
    page.goto(site + RELEASE)
    page.locator("textarea").fill("It moved?\nSecond line <b>& more</b>")
    with page.expect_response("**/approvals") as refused:
        page.get_by_role("button", name="Approve").click()
    assert refused.value.status == 412
    assert "What you saw has changed" in page.locator("#result").inner_text()
    assert page.locator("textarea").input_value() == "It moved?\nSecond line <b>& more</b>"
    check(page)
    page.goto(page.url.partition("#")[0])
    assert page.url == site + RELEASE, "the address of a refused form leads to its release"


def test_only_those_who_could_act_see_the_form(site: str, plain: Page) -> None:
    plain.goto(site + RELEASE)
    plain.locator(".menu summary").click()
    plain.get_by_role("button", name="Ada Marlow").click()
    assert plain.url == site + RELEASE
    assert plain.locator("form.decide").count() == 0
    said = plain.locator(".viewing").inner_text()
    assert said.startswith("You are viewing as Ada; Grace or Radia can approve")


def test_a_forged_vote_of_somebody_without_the_role_is_403_in_words(site: str) -> None:
    headers = {"sec-fetch-site": "same-origin", "origin": site, "cookie": "rlg_person=dev:ada"}
    fields = {"gate": "deploy:production", "decision": "approved", "comment": "let me"}
    status, body = _post(site, f"{RELEASE}/approvals", headers, **fields)
    assert status == 403
    assert "holds none of the roles" in body
    assert "<blockquote>let me</blockquote>" in body


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site", "origin": "http://other.example"},
        {"sec-fetch-site": "none"},
        {"sec-fetch-site": "same-origin", "origin": "http://other.example"},
        {"origin": "http://other.example"},
        {"origin": "null"},
    ],
)
@pytest.mark.parametrize("path", [f"{RELEASE}/approvals", "/person", "/theme"])
def test_a_foreign_form_is_refused_and_changes_nothing(
    site: str, store: FixtureStore, path: str, headers: dict[str, str]
) -> None:
    fields = {"gate": "deploy:production", "decision": "approved", "person": "dev:ada"}
    status, _ = _post(site, path, headers, theme="dark", **fields)
    assert status == 403
    assert store.voted is None


def test_a_browser_without_fetch_metadata_may_post_from_our_own_origin(site: str) -> None:
    status, _ = _post(site, "/theme", {"origin": site}, theme="dark", next="/flow")
    assert status == 303


def test_outside_development_nobody_can_decide_or_choose_a_person(
    site_without_people: str, store: FixtureStore
) -> None:
    ours = {"sec-fetch-site": "same-origin", "cookie": "rlg_person=dev:grace"}
    fields = {"gate": "deploy:production", "decision": "approved", "person": "dev:grace"}
    for path in (f"{RELEASE}/approvals", "/person"):
        assert _post(site_without_people, path, ours, **fields)[0] == 403
    assert store.voted is None
