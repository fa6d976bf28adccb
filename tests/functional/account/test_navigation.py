"""The account's pages share a navigation that lists all of them and marks the current one."""

from __future__ import annotations

import re

import pytest

from app.web.pages import ACCOUNT_PAGES
from tests.signed_in import sign_in

PATHS = [entry.path for entry in ACCOUNT_PAGES]
COSTS: dict[str, tuple[int, int]] = {
    "/": (5, 8),
    "/us-setup": (3, 7),
    "/identities": (3, 7),
    "/sessions": (3, 6),
    "/apps": (4, 7),
    "/tokens": (3, 8),
    "/activity": (2, 5),
    "/my-data": (2, 7),
}
"""Statements of each page: for a program, and for a browser, which also sees who is signed in, an open recovery and new
sign-in methods."""


@pytest.fixture
def hers(wire, people):
    """Someone who just signed in."""
    return sign_in(wire, people.open(email="ada@example.com", methods=["email", "authenticator"]), via="authenticator")


def marked_in(text: str) -> list[str]:
    """Return the addresses that a page's navigation marks as where one is."""
    return re.findall(r'<a href="([^"]+)" aria-current="page">', text)


@pytest.mark.parametrize("path", PATHS)
def test_account_page_is_available_as_html_and_json(hers, path):
    answer = hers.get(path)
    assert answer.status == 200
    assert answer.json or marked_in(answer.text) == [path]


@pytest.mark.one_database
@pytest.mark.parametrize("path", PATHS)
def test_account_page_links_to_all_others_and_to_sign_out(browser_wire, people, path):
    page = sign_in(browser_wire, people.open(email="ada@example.com")).get(path).page
    assert set(PATHS) <= set(page.links)
    assert page.heading
    assert "/logout" in [form.get("action") for form in page.forms]


@pytest.mark.one_database
@pytest.mark.parametrize("path", PATHS)
def test_viewing_an_account_page_writes_nothing_to_the_database(hers, path, statements):
    hers.get(path)
    with statements() as seen:
        hers.get(path)
    assert {statement.split()[0] for statement in seen} == {"SELECT"}


@pytest.mark.one_database
@pytest.mark.parametrize("path", PATHS)
def test_account_page_stays_within_its_query_budget(hers, path, statements):
    assert path in COSTS, "a page that joins says what it costs"
    hers.get(path)
    with statements() as seen:
        hers.get(path)
    cost = COSTS[path][hers.language == "form"]
    assert len(seen) == cost, "\n".join(seen)


@pytest.mark.one_database
def test_account_pages_redirect_anonymous_users_to_sign_in(browser_wire):
    for path in PATHS[1:]:
        assert browser_wire.get(path).location == f"/login?next={path.replace('/', '%2F')}"
    assert not set(PATHS[1:]) & set(browser_wire.get("/").page.links)
