"""What the check that all pages go through reports as a fault."""

from __future__ import annotations

import pytest

from tests.browsing import serious_faults

PAGE = "<!doctype html><html lang=en><head><title>x</title></head><body><main><h1>x</h1>{}</main></body></html>"


@pytest.mark.one_database
@pytest.mark.parametrize(
    ("body", "fault"),
    [
        ('<h2 id="a">Name</h2><label for="a">Name</label><input id="a">', 'id "a" twice'),
        ("<form><input name=q></form>", "no name: <input"),
        ("<button></button>", "no name: <button"),
        ('<a href="/"><svg></svg></a>', "no name: <a"),
    ],
)
def test_unnamed_controls_and_duplicate_ids_are_faults(page, body, fault):
    page.set_content(PAGE.format(body))
    assert any(found.startswith(fault) for found in serious_faults(page))


@pytest.mark.one_database
def test_page_with_named_controls_has_no_faults(page):
    page.set_content(PAGE.format('<label for="a">Name</label><input id="a"><button>Go</button>'))
    assert serious_faults(page) == []


@pytest.mark.one_database
@pytest.mark.parametrize("path", ["/", "/us-setup", "/identities", "/tokens", "/my-data", "/sessions", "/activity"])
def test_account_page_has_no_serious_faults(page, people, sign_in, email, path):
    sign_in(people.open(email=email, username=email.partition("@")[0])).goto(path)
    assert serious_faults(page) == []
