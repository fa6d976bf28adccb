"""GET of a form's URL, as browsers send it after discarding a tab."""

from __future__ import annotations

import re

import pytest

from tests.functional.admin.conftest import make_administrator
from tests.signed_in import sign_in

PAGES = {
    "/us-signin/send-code": "/us-signin",
    "/us-signin/continue": "/us-signin",
    "/us-verify/send-code": "/us-verify",
    "/recover/prove": "/recover",
    "/recover/start": "/recover",
    "/recover/complete": "/recover",
    "/recover/stop": "/recover",
    "/identities/add": "/identities",
    "/change-email/confirm": "/change-email",
    "/my-data/export": "/my-data",
    "/my-data/delete": "/my-data",
    "/tokens/revoke-all": "/tokens",
    "/mf-recovery-codes/file": "/mf-recovery-codes",
    "/wan-rename": "/wan-register",
    "/known-browsers/x1/forget": "/sessions",
    "/known-browsers/x1/ask-again": "/sessions",
    "/language": "/",
    "/logout": "/",
    "/passkey-offer/not-now": "/",
}
FOR_PROGRAMS = {
    "/hooks/mail/x1", "/us-refresh", "/oauth/device", "/oauth/introspect", "/oauth/par", "/oauth/register",
    "/oauth/revoke", "/oauth/token",
}  # fmt: skip
"""What programs alone post to; they have no page."""


def forms_of(app) -> set[str]:
    """Return a path for each POST rule that has no page."""
    rules = list(app.url_map.iter_rules())
    pages = {rule.rule for rule in rules if "GET" in rule.methods}
    only_posted = {rule.rule for rule in rules if "POST" in rule.methods and rule.rule not in pages}
    return {re.sub(r"<.*?>", "x1", rule) for rule in only_posted}


def of_nothing(app) -> set[str]:
    """Return the addresses of forms whose page is that of one thing, here of one that isn't there."""
    of_one = tuple(f"/admin/{kind}/x1/" for kind in ("groups", "people", "webhooks"))
    return {path for path in forms_of(app) if path.startswith(of_one)}


@pytest.fixture
def hers(browser_wire, people):
    """An administrator's browser, signed in."""
    return sign_in(browser_wire, make_administrator(browser_wire.app, people.open(email="ada@example.com")))


@pytest.mark.one_database
def test_get_on_any_form_address_redirects_to_a_working_page(hers, app):
    dead = {}
    for path in sorted(forms_of(app) - FOR_PROGRAMS - of_nothing(app)):
        answer = hers.get(path)
        while answer.status in (302, 303, 308):
            answer = hers.follow(answer)
        if answer.status != 200:
            dead[path] = answer.status
    assert dead == {}


@pytest.mark.one_database
@pytest.mark.parametrize(("path", "page"), PAGES.items())
def test_get_on_a_form_address_redirects_to_its_page(browser_wire, path, page):
    answer = browser_wire.get(path)
    assert (answer.status, answer.location) == (302, page)


@pytest.mark.one_database
def test_redirect_keeps_local_next_and_drops_external_next(browser_wire):
    assert browser_wire.get("/us-signin/send-code?next=/sessions").location == "/us-signin?next=%2Fsessions"
    assert browser_wire.get("/us-signin/send-code?next=https://evil.example/").location == "/us-signin"


@pytest.mark.one_database
@pytest.mark.parametrize("path", [path for path in PAGES if path != "/change-email/confirm"])
def test_json_get_on_a_form_address_returns_405(json_wire, path):
    answer = json_wire.get(path)
    assert (answer.status, answer.codes, "POST" in answer.headers["Allow"]) == (405, ["method_not_allowed"], True)


@pytest.mark.one_database
def test_other_methods_return_405(browser_wire):
    assert browser_wire.send("PUT", "/us-signin/send-code").status == 405
    assert browser_wire.send("DELETE", "/us-signin").status == 405
