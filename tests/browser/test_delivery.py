"""How pages and files are delivered: headers, caching, budgets, vendored files, errors."""

from __future__ import annotations

import base64
import gzip
import hashlib
import http.client
import json
import re
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Page

from services.projector.web.assets import FOLDER, Assets
from services.projector.web.security import local

CSS_BUDGET, JS_BUDGET, PAGE_BUDGET = 12_000, 8_000, 12_000
"""Compressed bytes: all styles, our own script, the HTML of a page."""


def _get(site: str, path: str, **headers: str) -> tuple[int, http.client.HTTPMessage, bytes]:
    with closing(http.client.HTTPConnection(urlsplit(site).netloc)) as connection:
        connection.request("GET", path, headers={"accept": "text/html"} | headers)
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()


def test_a_page_may_load_only_our_files_and_run_only_our_scripts(site: str) -> None:
    _, first, body = _get(site, "/")
    policy = first["content-security-policy"]
    nonce = re.findall(r"'nonce-([^']+)'", policy)[0]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert set(re.findall(r'<script nonce="([^"]+)"', body.decode())) == {nonce}
    assert body.decode().count("<script") == body.decode().count('<script nonce="')
    assert nonce not in _get(site, "/")[1]["content-security-policy"]
    assert first["referrer-policy"] == "same-origin"


def test_files_are_named_by_their_content_and_kept_for_a_year(site: str) -> None:
    name = f"/static/{Assets().version}/console.css"
    status, headers, body = _get(site, name, **{"accept-encoding": "gzip"})
    assert status == 200
    assert "immutable" in headers["cache-control"]
    assert headers["content-encoding"] == "gzip"
    assert gzip.decompress(body) == _get(site, name)[2]
    assert "immutable" not in _get(site, "/static/other/console.css")[1]["cache-control"]
    assert _get(site, f"/static/{Assets().version}/../pages.py")[0] == 404


def test_budgets(site: str) -> None:
    assets = Assets()
    styles, script = assets.get("console.css"), assets.get("console.js")
    assert styles is not None
    assert styles.zipped is not None
    assert len(styles.zipped) <= CSS_BUDGET
    assert script is not None
    assert script.zipped is not None
    assert len(script.zipped) <= JS_BUDGET
    for path in ("/", "/releases", "/releases/pay-1.43.0", "/flow"):
        assert len(gzip.compress(_get(site, path)[2])) <= PAGE_BUDGET, path


def test_vendored_files_are_those_of_the_manifest() -> None:
    vendor = FOLDER / "vendor"
    rows = json.loads((vendor / "manifest.json").read_text())
    for row in rows:
        digest = hashlib.sha384((vendor / row["file"]).read_bytes()).digest()
        assert row["sha384"] == "sha384-" + base64.b64encode(digest).decode()
        assert any((vendor / row["file"]).parent.glob("LICENSE*"))
    found = {p for p in vendor.rglob("*") if p.suffix in {".js", ".woff2"}}
    assert found == {vendor / row["file"] for row in rows}


@pytest.mark.parametrize("path", ["/nowhere", "/releases/nothing", "/events/99999", "/events/x"])
def test_what_is_not_there_is_a_page_for_people_and_a_problem_for_programs(
    site: str, path: str
) -> None:
    status, headers, body = _get(site, path)
    assert (status, headers.get_content_type()) == (404, "text/html")
    assert b"Nothing is there</h1>" in body
    status, headers, body = _get(site, path, accept="application/json")
    assert (status, headers.get_content_type()) == (404, "application/problem+json")
    assert json.loads(body)["status"] == 404


def test_a_page_is_also_given_as_json(site: str) -> None:
    assert json.loads(_get(site, "/?format=json")[2])["events"] == 1204
    release = json.loads(_get(site, "/releases/pay-1.43.0?format=json")[2])
    assert release["row"]["release_id"] == "pay-1.43.0"
    assert len(json.loads(_get(site, "/flow?format=json")[2])) == 2


@pytest.mark.parametrize("query", ["before=x", "limit=0", "limit=9999"])
def test_a_bad_question_is_422_in_words(site: str, query: str) -> None:
    status, _, body = _get(site, f"/releases?{query}")
    assert status == 422
    assert b"The request is not valid" in body


def test_text_of_events_is_never_markup(site: str, page: Page) -> None:
    page.on("dialog", lambda _: pytest.fail("a script of an event ran"))
    page.goto(f"{site}/events/1203")
    assert "<script>alert('no')</script>" in page.locator("pre").inner_text()


def test_preferences_need_no_javascript(site: str, plain: Page) -> None:
    plain.goto(f"{site}/flow?days=30")
    for theme in ("light", "dark", "system"):
        plain.get_by_role("button", name=re.compile("^Theme")).click()
        assert plain.url == f"{site}/flow?days=30"
        assert plain.locator("html").get_attribute("data-theme") == theme
    cookies = {c["name"]: c for c in plain.context.cookies()}
    assert cookies["rlg_theme"]["httpOnly"]
    assert cookies["rlg_theme"]["sameSite"] == "Lax"


@pytest.mark.parametrize(
    ("path", "safe"),
    [("/flow?days=7", "/flow?days=7"), ("//evil.example", "/"), ("/\\evil.example", "/"),
     ("https://evil.example", "/"), ("", "/"), ("/a\r\nx: y", "/")],
)  # fmt: skip
def test_the_way_back_stays_here(path: str, safe: str) -> None:
    assert local(path) == safe


def test_filters_and_pages_are_links(site: str, plain: Page) -> None:
    plain.goto(f"{site}/releases")
    plain.get_by_role("link", name="Older").click()
    assert "before=" in plain.url
    plain.goto(f"{site}/releases")
    plain.locator(".rail").get_by_role("link", name="Rolled back").click()
    assert plain.locator("tbody tr").count() == 1
    assert plain.get_by_role("link", name="Clear all filters").count() == 1


def test_no_template_marks_anything_as_safe() -> None:
    folder = Path(FOLDER).parent / "templates"
    found = [path.name for path in folder.glob("*.html") if "|safe" in path.read_text()]
    assert found == []
