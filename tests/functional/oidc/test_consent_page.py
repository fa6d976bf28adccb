"""The pages between an app's request and its response: who requests what, and where it leads."""

from __future__ import annotations

import re
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.oidc import register
from tests.signed_in import sign_in
from tests.wire import Wire

POLICY = {"policy_url": "https://app.example.com/privacy", "terms_url": "https://app.example.com/terms"}


@pytest.fixture
def asking(app):
    """An app that people have to allow things."""
    return register(app, "immich", name="Immich", consent="ask", **POLICY)


def registered_by(app, client_id: str, source: str) -> None:
    """Set a client's ``source``."""
    from app.extensions import db
    from app.oidc.models import OAuthClient

    with app.app_context():
        db.session.get(OAuthClient, client_id).source = source
        db.session.commit()


def press(wire: Wire, page, path: str, allow: str):
    """Press a button of a page that has the request's id."""
    fields = {"csrf_token": page.csrf_token, "request": page.page.value("request"), "allow": allow}
    return wire.client.post(path, data=fields)


def listed(page) -> list[str]:
    """Return the permissions on the page, with the mark of new ones."""
    [scopes] = re.findall(r'<ul class="scopes".*?</ul>', page.text, re.DOTALL)
    return [" ".join(re.sub(r"<[^>]+>", " ", each).split()) for each in re.findall(r"<li>.*?</li>", scopes, re.DOTALL)]


def test_consent_page_names_the_host_of_the_requested_redirect_uri(app, browser):
    rp = register(app, "two", consent="ask", redirect_uris=["https://a.example.com/cb", "https://b.example.com/cb"])
    rp.redirect_uri = "https://b.example.com/cb"
    assert 'go to <strong class="breakable">b.example.com</strong>' in browser.get(rp.request()).text


@pytest.mark.parametrize("uri", ["http://127.0.0.1/cb", "com.example.app:/cb"])
def test_consent_page_says_when_the_redirect_goes_to_a_native_app(app, browser, uri):
    rp = register(app, "native", public=True, consent="ask", redirect_uris=[uri])
    assert "You'll go to an app on this device." in browser.get(rp.request()).text.replace("&#39;", "'")


def test_consent_page_explains_openid_only_scope(browser, asking):
    assert listed(browser.get(asking.request(scope="openid"))) == [
        "Sign you in without seeing your email or other details"
    ]
    assert listed(browser.get(asking.request(scope="openid email"))) == ["See your email"]


def test_consent_page_marks_newly_requested_scopes(browser, asking):
    page = browser.get(asking.request(scope="openid email"))
    assert listed(page) == ["See your email"]
    press(browser, page, "/oauth/consent", "yes")
    more = browser.get(asking.request(scope="openid email groups"))
    assert listed(more) == ["See your email", "See which groups you're a member of New"]


def test_policy_and_terms_links_open_in_a_new_tab(app, browser, asking):
    page = browser.get(asking.request())
    assert set(POLICY.values()) <= set(page.page.links)
    assert page.text.count('target="_blank" rel="noopener noreferrer"') == 2
    bare = register(app, "bare", name="Bare", consent="ask")
    assert "app-links" not in browser.get(bare.request()).text


@pytest.mark.parametrize(("source", "is_warned_of"), [("command", False), ("registration", True)])
def test_consent_page_warns_about_self_registered_clients(app, browser, asking, source, is_warned_of):
    registered_by(app, "immich", source)
    page = browser.get(asking.request())
    assert ("This app added itself" in page.text) is is_warned_of


def test_self_registered_client_is_identified_by_redirect_host_not_home_page(app, browser):
    rp = register(app, "liar", name="Bank", consent="ask", home_url="https://bank.example/")
    assert "bank.example" in browser.get(rp.request()).text
    registered_by(app, "liar", "registration")
    text = browser.get(rp.request()).text
    assert "bank.example" not in text
    assert 'trust <strong class="breakable">app.example.com</strong>' in text


def test_user_can_switch_account_on_the_consent_page(app, browser, asking, people):
    page = browser.get(asking.request())
    assert 'formaction="/oauth/account"' in page.text
    to = browser.client.get(press(browser, page, "/oauth/account", "no").headers["Location"])
    assert urlsplit(to.headers["Location"]).path == "/us-signin"
    sign_in(browser, people.open(email="grace@example.com", methods=["email"]))
    again = browser.get(parse_qs(urlsplit(to.headers["Location"]).query)["next"][0])
    assert "grace@example.com" in again.text
    assert "Allow Immich?" in again.text


def test_user_without_access_can_switch_to_an_allowed_account(app, browser, people, rows):
    from app.audit import Event
    from app.extensions import db
    from app.groups import service as groups

    closed = register(app, "proxmox", name="Proxmox", groups=["admins"], require_pushed=False)
    page = browser.get(closed.request())
    assert page.status == 403
    grace = people.open(email="grace@example.com", methods=["email"])
    with app.app_context():
        groups.create("admins", by="test")
        groups.add_member("admins", grace.id, by="test")
        db.session.commit()
    to = browser.client.get(press(browser, page, "/oauth/account", "no").headers["Location"])
    sign_in(browser, grace)
    back = parse_qs(urlsplit(to.headers["Location"]).query)["next"][0]
    assert "code" in closed.answer(browser.client.get(back))
    assert len(rows(Event, name="app.not_allowed")) == 1


def test_revisiting_the_access_denied_page_records_no_second_event(app, browser, rows):
    from app.audit import Event
    from app.oidc.models import AuthorizationRequest

    closed = register(app, "proxmox", name="Proxmox", groups=["admins"])
    browser.get(closed.request())
    [first] = [row for row in rows(AuthorizationRequest) if row.done_at]
    assert browser.get(f"/oauth/continue?request={first.id}").status == 400
    assert len(rows(Event, name="app.not_allowed")) == 1


@pytest.mark.parametrize("asked", [{}, {"prompt": "select_account"}, {"acr_values": "aal2"}])
def test_changing_language_returns_to_the_same_authorization_page(browser, asking, asked):
    page = browser.get(asking.request(**asked))
    fields = {"csrf_token": page.csrf_token, "language": "de", "page": page.page.value("page")}
    back = browser.client.post("/language", data=fields).headers["Location"]
    assert back.startswith("/oauth/continue?request=")
    again = browser.get(back)
    assert again.status == 200
    assert 'lang="de"' in again.text
    assert "Immich" in again.text


def test_access_denied_page_can_be_reopened_for_a_language_change(app, browser):
    closed = register(app, "proxmox", name="Proxmox", groups=["admins"])
    page = browser.get(closed.request())
    again = browser.get(page.page.value("page"))
    assert again.status == 403
    assert "Proxmox" in again.text
