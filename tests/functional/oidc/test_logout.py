"""/oauth/logout: an app signs a user out (OpenID Connect RP-Initiated Logout 1.0)."""

from __future__ import annotations

import json
from html import unescape
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from joserfc.util import urlsafe_b64decode, urlsafe_b64encode

from app.audit import Event
from app.extensions import db
from app.oidc import keys
from app.oidc.models import AuthorizationRequest, OAuthClient
from tests.oidc import register
from tests.pages import Page
from tests.signed_in import give_token, sign_in
from tests.wire import Wire

BYE = "https://wiki.example.com/bye?from=latchkey"
LOGOUT, CONFIRM = "/oauth/logout", "/oauth/logout/confirm"
DOCUMENT = {"Sec-Fetch-Dest": "document", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Site": "same-origin"}


@pytest.fixture
def wiki(app):
    """An app that has registered where people go when they are signed out."""
    return register(app, "wiki", name="Wiki", post_logout_redirect_uris=[BYE], home_url="https://wiki.example.com/")


@pytest.fixture
def hint(wiki, browser):
    """The ID token that the app got for Ada in this browser."""
    return wiki.tokens(browser)["id_token"]


def path(**parameters) -> str:
    return f"{LOGOUT}?{urlencode(parameters, doseq=True)}"


def get(wire: Wire, **parameters):
    return wire.client.get(path(**parameters))


def is_page(response, heading: str, status: int = 200) -> bool:
    assert (response.status_code, "Location" in response.headers) == (status, False), response.headers
    return heading in unescape(response.get_data(as_text=True))


def fields_of(response) -> dict[str, str]:
    page = Page(response.get_data(as_text=True))
    names = ("csrf_token", "client_id", "post_logout_redirect_uri", "state")
    return {name: page.value(name) for name in names if page.value(name) is not None}


def test_logout_with_own_id_token_hint_needs_no_confirmation(browser, hint, rows, ada):
    answer = get(browser, id_token_hint=hint, post_logout_redirect_uri=BYE, state="a b&c=%2F")
    assert answer.status_code == 303
    assert answer.headers["Location"] == f"{BYE}&state=a+b%26c%3D%252F"
    assert answer.headers["Clear-Site-Data"] == '"cache", "storage"'
    assert browser.signed_in_as() is None
    event = rows(Event, name="session.ended")[-1]
    assert (event.user_id, event.facts["reason"], event.facts["client"]) == (ada.id, "signed_out", "wiki")


def test_post_logout_redirect_without_state_is_unchanged(browser, hint):
    answer = get(browser, id_token_hint=hint, post_logout_redirect_uri=BYE)
    assert answer.headers["Location"] == BYE


def test_logout_without_redirect_uri_shows_a_page_linking_to_the_app(browser, hint):
    answer = get(browser, id_token_hint=hint)
    assert is_page(answer, "You're signed out")
    assert 'href="https://wiki.example.com/"' in answer.text
    assert browser.signed_in_as() is None


def test_expired_id_token_hint_is_accepted_for_logout(browser, hint, clock):
    clock.shift(3600)
    assert get(browser, id_token_hint=hint, post_logout_redirect_uri=BYE).headers["Location"] == BYE
    assert browser.signed_in_as() is None


def test_id_token_hint_from_another_session_of_the_user_is_accepted(app, ada, wiki, hint):
    other = sign_in(Wire(app, "form"), ada)
    assert get(other, id_token_hint=hint, post_logout_redirect_uri=BYE).headers["Location"] == BYE
    assert other.signed_in_as() is None


def test_pairwise_id_token_hint_is_accepted_for_logout(app, browser, ada):
    wiki = register(app, "wiki", subject="pairwise", post_logout_redirect_uris=[BYE])
    hint = wiki.tokens(browser)["id_token"]
    other = sign_in(Wire(app, "form"), ada)
    for each in (browser, other):
        assert get(each, id_token_hint=hint, post_logout_redirect_uri=BYE).headers["Location"] == BYE
        assert each.signed_in_as() is None


def test_id_token_hint_is_accepted_after_subject_type_changed(app, browser, wiki, hint):
    with app.app_context():
        row = db.session.get(OAuthClient, "wiki")
        row.registered = row.registered | {"subject": "pairwise"}
        db.session.commit()
    assert get(browser, id_token_hint=hint, post_logout_redirect_uri=BYE).headers["Location"] == BYE
    assert browser.signed_in_as() is None


def test_id_token_hint_of_another_user_requires_confirmation(app, people, wiki, hint):
    eve = people.open("eve@example.com", methods=["email"])
    hers = sign_in(Wire(app, "form"), eve)
    answer = get(hers, id_token_hint=hint, post_logout_redirect_uri=BYE)
    assert is_page(answer, "Sign out of Latchkey?")
    assert "eve@example.com" in answer.text
    assert hers.signed_in_as() == "eve@example.com"


@pytest.mark.parametrize("given", [{}, {"client_id": "wiki"}, {"logout_hint": "ada@example.com", "ui_locales": "xx"}])
def test_logout_without_id_token_hint_requires_confirmation(browser, wiki, given):
    answer = get(browser, **given)
    assert is_page(answer, "Sign out of Latchkey?")
    assert ("Wiki" in answer.text) == ("client_id" in given)
    assert browser.signed_in_as() == "ada@example.com"


def test_confirmed_logout_redirects_to_the_app(browser, wiki):
    asked = get(browser, client_id="wiki", post_logout_redirect_uri=BYE, state="42")
    answer = browser.client.post(CONFIRM, data=fields_of(asked))
    assert (answer.status_code, answer.headers["Location"]) == (303, f"{BYE}&state=42")
    assert answer.headers["Clear-Site-Data"] == '"cache", "storage"'
    assert browser.signed_in_as() is None


def test_confirmed_logout_by_form_navigation_gets_a_meta_refresh_page(browser, wiki):
    asked = get(browser, client_id="wiki", post_logout_redirect_uri=BYE)
    answer = browser.client.post(CONFIRM, data=fields_of(asked), headers=DOCUMENT)
    assert is_page(answer, f'content="0; url={BYE}"')
    assert browser.signed_in_as() is None


def test_confirmed_logout_without_redirect_uri_shows_signed_out_page(browser, wiki):
    asked = get(browser, client_id="wiki")
    answer = browser.client.post(CONFIRM, data=fields_of(asked))
    assert answer.headers["Location"] == "/oauth/logout?client_id=wiki"
    assert is_page(browser.client.get(answer.headers["Location"]), "You're signed out")


def test_logout_confirmation_is_csrf_protected(browser, wiki):
    fields = fields_of(get(browser, client_id="wiki")) | {"csrf_token": "forged"}
    assert browser.client.post(CONFIRM, data=fields).status_code == 400
    assert browser.client.post(CONFIRM, data={"client_id": "wiki"}).status_code == 400
    foreign = {"Sec-Fetch-Site": "cross-site"}
    good = fields_of(get(browser, client_id="wiki"))
    assert browser.client.post(CONFIRM, data=good, headers=foreign).status_code == 400
    assert browser.signed_in_as() == "ada@example.com"


def test_logout_confirmation_with_unregistered_redirect_uri_is_rejected(browser, wiki):
    fields = fields_of(get(browser, client_id="wiki")) | {"post_logout_redirect_uri": "https://evil.example.com/"}
    answer = browser.client.post(CONFIRM, data=fields)
    assert is_page(answer, "an address we don't know", 400)
    assert browser.signed_in_as() == "ada@example.com"


@pytest.mark.both_databases
def test_double_submitted_logout_confirmation_is_idempotent(browser, wiki, rows):
    page = browser.get(path(client_id="wiki", post_logout_redirect_uri=BYE, state="42"))
    cookie = browser.client.get_cookie("latchkey_session").value
    fields = {"client_id": "wiki", "post_logout_redirect_uri": BYE, "state": "42", "csrf_token": page.csrf_token}
    for _ in range(2):
        answer = browser.client.post(CONFIRM, data=fields)
        assert (answer.status_code, answer.headers["Location"]) == (303, f"{BYE}&state=42")
        browser.client.set_cookie("latchkey_session", cookie)
    assert len(rows(Event, name="session.ended")) == 1


def test_logout_can_be_confirmed_in_json(app, ada, wiki):
    program = sign_in(Wire(app, "json"), ada)
    asked = program.get(path(client_id="wiki"))
    assert (asked.status, asked.json["state"], asked.json["app"]) == (200, "confirm", "Wiki")
    answer = program.post(CONFIRM, client_id="wiki", post_logout_redirect_uri=BYE, state="1")
    assert (answer.status, answer.json) == (200, {"redirect_to": f"{BYE}&state=1"})
    assert program.signed_in_as() is None
    assert program.get(path()).json["state"] == "signed_out"


@pytest.mark.parametrize("given", [{"client_id": "wiki"}, {}], ids=["client_id", "hint"])
def test_logout_when_signed_out_redirects_immediately(browser_wire, wiki, hint, given):
    given = given or {"id_token_hint": hint}
    answer = get(browser_wire, **given, post_logout_redirect_uri=BYE, state="1")
    assert (answer.status_code, answer.headers["Location"]) == (303, f"{BYE}&state=1")
    assert "Clear-Site-Data" not in answer.headers


REFUSED = {
    "another path": {"post_logout_redirect_uri": "https://wiki.example.com/other"},
    "a query added": {"post_logout_redirect_uri": f"{BYE}&more=1"},
    "a fragment": {"post_logout_redirect_uri": f"{BYE}#here"},
    "another case": {"post_logout_redirect_uri": BYE.replace("wiki.", "WIKI.")},
    "a blank behind": {"post_logout_redirect_uri": f"{BYE} "},
    "a script": {"post_logout_redirect_uri": "javascript:alert(1)"},
    "a redirect URI": {"post_logout_redirect_uri": "https://app.example.com/callback"},
    "no client": {"client_id": None},
    "another client": {"client_id": "blog"},
    "no such client": {"client_id": "nobody"},
    "a client of no name": {"client_id": "\u00e4"},
    "a client of great length": {"client_id": "a" * 300},
    "twice": {"post_logout_redirect_uri": [BYE, BYE]},
    "two states": {"state": ["1", "2"]},
    "a long state": {"state": "s" * 2049},
    "a NUL": {"state": "a\x00b"},
    "no token": {"id_token_hint": "nonsense"},
    "a long token": {"id_token_hint": "e" * 9000},
}


BY_FORM = {
    name: each for name, each in REFUSED.items() if name not in ("twice", "two states", "no token", "a long token")
}


def asked_for(different) -> dict:
    given = {"client_id": "wiki", "post_logout_redirect_uri": BYE} | different
    return {name: value for name, value in given.items() if value is not None}


@pytest.mark.parametrize("different", REFUSED.values(), ids=REFUSED)
@pytest.mark.parametrize("posted", [False, True], ids=["GET", "POST"])
def test_invalid_logout_request_shows_an_error_and_keeps_the_session(app, browser, wiki, different, posted):
    register(app, "blog")
    given = asked_for(different)
    if posted:
        answer = browser.client.get(browser.client.post(LOGOUT, data=given).headers["Location"])
    else:
        answer = get(browser, **given)
    assert (answer.status_code, "Location" in answer.headers) == (400, False)
    assert browser.signed_in_as() == "ada@example.com"


@pytest.mark.parametrize("different", BY_FORM.values(), ids=BY_FORM)
def test_logout_confirmation_with_invalid_fields_is_rejected(app, browser, wiki, different):
    register(app, "blog")
    answer = browser.client.post(CONFIRM, data=asked_for(different) | fields_of(get(browser)))
    assert (answer.status_code, "Location" in answer.headers) == (400, False)
    assert browser.signed_in_as() == "ada@example.com"


def tampered(token: str) -> dict[str, str]:
    head, body, mac = token.split(".")
    claims = json.loads(urlsafe_b64decode(body.encode()))
    other = urlsafe_b64encode(json.dumps(claims | {"sub": "somebody"}).encode()).decode()
    none = urlsafe_b64encode(b'{"alg":"none","kid":"x","typ":"JWT"}').decode()
    return {
        "a changed body": f"{head}.{other}.{mac}",
        "no signature": f"{head}.{body}.",
        "alg none": f"{none}.{body}.",
        "half": token[: len(token) // 2],
    }


@pytest.mark.parametrize("how", ["a changed body", "no signature", "alg none", "half"])
def test_tampered_id_token_hint_is_rejected(browser, wiki, hint, how):
    answer = get(browser, id_token_hint=tampered(hint)[how], post_logout_redirect_uri=BYE)
    assert is_page(answer, "We couldn't read the app's request", 400)
    assert browser.signed_in_as() == "ada@example.com"


@pytest.mark.parametrize(
    "different",
    [
        {"typ": "logout+jwt"},
        {"typ": "at+jwt"},
        {"iss": "https://login.example.com"},
        {"aud": "blog"},
        {"aud": ["nobody"]},
    ],
    ids=str,
)
def test_token_of_another_type_issuer_or_audience_is_rejected_as_hint(app, browser, wiki, hint, different):
    register(app, "blog")
    with app.app_context():
        claims = keys.verify(hint) | different
        other = keys.sign(claims, "RS256", typ=claims.pop("typ", "JWT"))
    assert get(browser, id_token_hint=other, client_id="wiki", post_logout_redirect_uri=BYE).status_code == 400
    assert browser.signed_in_as() == "ada@example.com"


@pytest.mark.parametrize("audience", ["wiki", ["wiki"], ["blog", "wiki"]], ids=str)
def test_id_token_hint_with_several_audiences_is_accepted(app, browser, wiki, hint, audience):
    with app.app_context():
        other = keys.sign(keys.verify(hint) | {"aud": audience}, "RS256")
    assert get(browser, id_token_hint=other, client_id="wiki", post_logout_redirect_uri=BYE).headers["Location"] == BYE
    assert browser.signed_in_as() is None


def test_id_token_hint_of_another_client_is_rejected(app, browser, wiki, hint):
    register(app, "blog", post_logout_redirect_uris=["https://blog.example.com/bye"])
    given = {"client_id": "blog", "post_logout_redirect_uri": "https://blog.example.com/bye"}
    assert get(browser, id_token_hint=hint, **given).status_code == 400
    assert browser.signed_in_as() == "ada@example.com"


def test_cross_site_logout_post_is_stored_and_continues_by_redirect(app, browser, wiki, hint, rows):
    """Such a POST comes without the cookie, since it is SameSite=Lax; the GET that answers it brings it."""
    fields = {"id_token_hint": hint, "post_logout_redirect_uri": BYE, "state": "1"}
    foreign = app.test_client(use_cookies=False)
    answer = foreign.post(
        LOGOUT, data=fields, headers={"Sec-Fetch-Site": "cross-site", "Origin": "https://wiki.example"}
    )
    location = answer.headers["Location"]
    assert answer.status_code == 303
    assert list(parse_qs(urlsplit(location).query)) == ["request"], "the token is in no address"
    assert browser.signed_in_as() == "ada@example.com"
    assert len(rows(AuthorizationRequest)) == 1
    back = browser.client.get(location)
    assert (back.status_code, back.headers["Location"]) == (303, f"{BYE}&state=1")
    assert browser.signed_in_as() is None


def test_stored_logout_request_expires_after_ten_minutes(browser, wiki, clock):
    location = browser.client.post(LOGOUT, data={"client_id": "wiki"}).headers["Location"]
    clock.shift(601)
    assert is_page(browser.client.get(location), "has expired or was completed", 400)
    assert browser.client.get("/oauth/logout?request=nonsense").status_code == 400


@pytest.mark.both_databases
@pytest.mark.settings(exchanges_per_address=5)
def test_logout_posts_are_rate_limited_per_ip_address(browser, wiki):
    answers = [browser.client.post(LOGOUT, data={"client_id": "wiki"}).status_code for _ in range(6)]
    assert answers == [303] * 5 + [429]


@pytest.mark.parametrize(
    "headers",
    [{"Sec-Purpose": "prefetch"}, {"Purpose": "prefetch"}, {"Sec-Fetch-Mode": "cors"}, None],
    ids=["prefetch", "older prefetch", "script", "HEAD"],
)
def test_prefetch_or_head_of_logout_keeps_the_session(browser, hint, headers):
    method = "GET" if headers else "HEAD"
    browser.client.open(path(id_token_hint=hint), method=method, headers=headers or {})
    assert browser.signed_in_as() == "ada@example.com"


def test_logout_page_uses_ui_locales_unless_the_user_has_a_language(app, wiki, browser_wire, browser):
    assert '<html lang="de"' in get(browser_wire, ui_locales="xx de-AT en").text
    assert '<html lang="en"' in get(browser_wire, ui_locales="xx").text
    browser_wire.client.set_cookie("latchkey_language", "fr")
    assert '<html lang="fr"' in get(browser_wire, ui_locales="de").text
    assert '<html lang="en"' in get(browser, ui_locales="de").text, "Ada's account is in English"


def test_logout_link_does_not_revoke_an_api_token(app, ada, program, wiki):
    give_token(program, ada)
    assert program.get(path(client_id="wiki")).json["state"] == "signed_out"
    assert program.signed_in_as() == "ada@example.com"
