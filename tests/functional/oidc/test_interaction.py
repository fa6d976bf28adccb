"""What a user does before an app gets its response: sign in, confirm, choose an account, consent."""

from __future__ import annotations

import json
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.oidc import register
from tests.signed_in import sign_in
from tests.wire import Wire


@pytest.fixture
def asking(app):
    """An app that people have to allow things."""
    return register(app, "immich", name="Immich", consent="ask")


def shown(wire, path):
    """Return the page that a browser sees."""
    return wire.get(path)


def decide(wire, page, allow: str):
    """Press a button of the consent page, or of the account chooser."""
    path = "/oauth/consent" if 'action="/oauth/consent"' in page.text else "/oauth/account"
    fields = {"csrf_token": page.csrf_token, "request": page.page.value("request"), "allow": allow}
    return wire.client.post(path, data=fields)


def error_of(rp, response) -> str:
    """Return the error that an app was sent."""
    answer = rp.answer(response)
    assert answer["state"] == rp.state
    return answer["error"]


def test_consent_page_shows_app_host_scopes_and_account(asking, browser):
    page = shown(browser, asking.request(scope="openid email groups"))
    assert page.status == 200
    for text in ("Allow Immich?", "app.example.com", "See your email", "See which groups", "ada@example.com"):
        assert text in page.text
    assert "See your phone number" not in page.text


@pytest.mark.both_databases
def test_consent_is_remembered_and_new_scopes_require_consent(asking, browser):
    page = shown(browser, asking.request(scope="openid email"))
    answer = asking.answer(decide(browser, page, "yes"))
    assert asking.exchange(answer["code"]).json["scope"] == "openid email"
    assert asking.code(browser, scope="openid email")
    more = shown(browser, asking.request(scope="openid email groups"))
    assert "See which groups" in more.text
    decide(browser, more, "yes")
    assert asking.code(browser, scope="openid groups")
    assert asking.code(browser, scope="openid email")


def test_denied_consent_returns_access_denied_and_is_not_remembered(asking, browser, rows):
    from app.audit import Event

    page = shown(browser, asking.request())
    assert error_of(asking, decide(browser, page, "no")) == "access_denied"
    assert shown(browser, asking.request()).status == 200
    assert [event.facts["client"] for event in rows(Event, name="app.refused")] == ["immich"]


@pytest.mark.both_databases
def test_double_submitted_consent_redirects_with_the_same_code(asking, browser, rows):
    from app.audit import Event
    from app.oidc.models import Grant

    page = shown(browser, asking.request())
    first, second = decide(browser, page, "yes"), decide(browser, page, "yes")
    reloaded = browser.client.get(f"/oauth/continue?request={page.page.value('request')}")
    assert first.headers["Location"] == second.headers["Location"] == reloaded.headers["Location"]
    assert len(rows(Grant)) == len(rows(Event, name="app.allowed")) == len(rows(Event, name="app.signed_in")) == 1
    assert asking.exchange(asking.answer(second)["code"]).status_code == 200


@pytest.mark.both_databases
def test_double_submitted_denial_is_idempotent(asking, browser, rows):
    from app.audit import Event

    page = shown(browser, asking.request())
    assert [error_of(asking, decide(browser, page, "no")) for _ in range(2)] == ["access_denied"] * 2
    assert len(rows(Event, name="app.refused")) == 1


@pytest.mark.parametrize("how", ["exchanged", "later", "otherwise", "elsewhere", "signed out", "refused"])
def test_answered_request_cannot_be_answered_again(app, ada, asking, browser, clock, rows, how):
    from app.oidc.models import Grant

    page = shown(browser, asking.request())
    first = decide(browser, page, "no" if how == "refused" else "yes")
    other = sign_in(Wire(app, "form"), ada)
    if how == "exchanged":
        assert asking.exchange(asking.answer(first)["code"]).status_code == 200
    if how == "later":
        clock.shift(31)
    if how == "signed out":
        browser.post("/logout")
        sign_in(browser, ada)
    presses = other if how == "elsewhere" else browser
    data = {"request": page.page.value("request"), "allow": "no" if how == "otherwise" else "yes"}
    again = presses.post("/oauth/consent", **data)
    assert (again.status, again.location) == (400, None)
    assert len(rows(Grant)) == (how != "refused")


def test_consent_without_csrf_token_is_rejected(asking, browser):
    page = shown(browser, asking.request())
    data = {"request": page.page.value("request"), "allow": "yes"}
    assert browser.client.post("/oauth/consent", data=data).status_code == 400
    assert (
        browser.client.post("/oauth/consent", data=data, headers={"Origin": "https://evil.example"}).status_code == 400
    )


@pytest.mark.parametrize(
    ("asked", "error"),
    [
        ({}, "consent_required"),
        ({"prompt": "none"}, "consent_required"),
        ({"scope": "openid offline_access", "prompt": "none"}, "consent_required"),
    ],
    ids=["page", "none", "offline"],
)
def test_prompt_none_without_consent_returns_consent_required(asking, browser, asked, error):
    if "prompt" not in asked:
        asked = asked | {"prompt": "none"}
    assert error_of(asking, browser.client.get(asking.request(**asked))) == error


def test_prompt_none_when_signed_out_returns_login_required(grafana, app):
    assert error_of(grafana, app.test_client().get(grafana.request(prompt="none"))) == "login_required"


def test_login_hint_of_request_prefills_the_sign_in_page(grafana, app):
    wire = Wire(app, "form")
    page = wire.follow(wire.get(grafana.request(login_hint="ada@example.com")))
    assert page.page.value("identity") == "ada@example.com"
    for hint in ("a\tb", "x" * 255):
        assert wire.follow(wire.get(grafana.request(login_hint=hint))).page.value("identity") in ("", hint[:254])
    assert wire.get("/us-signin?login_hint=a%0Ab").page.value("identity") == ""


@pytest.mark.parametrize(
    ("ui_locales", "language"),
    [("de-CH", "de"), ("se fr", "fr"), ("pt", "pt-BR"), ("*", "en"), ("se", "en"), ("zh-Hant", "en"), (None, "en")],
)
def test_sign_in_pages_use_the_language_from_ui_locales(grafana, app, ui_locales, language):
    wire = Wire(app, "form")
    page = wire.follow(wire.get(grafana.request(ui_locales=ui_locales)))
    assert f'<html lang="{language}"' in page.text
    assert f'<html lang="{language}"' in wire.get("/register").text, "and so are the pages after it"


def test_chosen_language_takes_precedence_over_ui_locales(grafana, app):
    wire = Wire(app, "form")
    wire.post("/language", language="fr")
    assert '<html lang="fr"' in wire.follow(wire.get(grafana.request(ui_locales="de"))).text


def test_prompt_login_requires_reauthentication_when_signed_in(grafana, browser, clock, ada):
    clock.shift(5)
    first = browser.client.get(grafana.request(prompt="login"))
    assert urlsplit(first.headers["Location"]).path == "/us-verify"
    back = parse_qs(urlsplit(first.headers["Location"]).query)["next"][0]
    assert urlsplit(browser.client.get(back).headers["Location"]).path == "/us-verify"
    sign_in(browser, ada)
    assert "code" in grafana.answer(browser.client.get(back))


def test_max_age_requires_reauthentication_only_when_exceeded(grafana, browser, clock):
    clock.shift(100)
    assert grafana.code(browser, max_age=101)
    assert urlsplit(browser.client.get(grafana.request(max_age=99)).headers["Location"]).path == "/us-verify"
    assert error_of(grafana, browser.client.get(grafana.request(max_age=99, prompt="none"))) == "login_required"


def test_max_age_zero_is_satisfied_by_reauthentication(grafana, browser, clock, ada):
    clock.shift(5)
    first = browser.client.get(grafana.request(max_age=0))
    sign_in(browser, ada)
    back = parse_qs(urlsplit(first.headers["Location"]).query)["next"][0]
    clock.shift(5)
    assert "code" in grafana.answer(browser.client.get(back))


def test_prompt_select_account_offers_the_signed_in_account(grafana, browser):
    page = shown(browser, grafana.request(prompt="select_account"))
    assert "Continue as" in page.text
    answer = browser.client.get(decide(browser, page, "yes").headers["Location"])
    assert "code" in grafana.answer(answer)


def test_account_chooser_shows_name_and_email_of_the_account(grafana, browser, ada):
    browser.post("/identities/name", name="Ada Lovelace")
    page = shown(browser, grafana.request(prompt="select_account"))
    assert ">AL</span>" in page.text
    person = page.text.partition('<div class="person">')[2].partition("</div>")[0]
    assert person.count("Ada Lovelace") == 1
    assert ada.email in person


def test_account_chooser_allows_another_account(grafana, browser, people):
    page = shown(browser, grafana.request(prompt="select_account"))
    to = browser.client.get(decide(browser, page, "no").headers["Location"])
    assert urlsplit(to.headers["Location"]).path == "/us-signin"
    sign_in(browser, people.open(email="grace@example.com", methods=["email"]))
    back = parse_qs(urlsplit(to.headers["Location"]).query)["next"][0]
    tokens = grafana.exchange(grafana.answer(browser.client.get(back))["code"]).json
    assert grafana.claims(tokens["id_token"])["sub"]


def test_id_token_hint_of_another_user_is_not_answered(grafana, browser, app, people):
    other = sign_in(Wire(app, "form"), people.open(email="grace@example.com", methods=["email"]))
    hint = grafana.tokens(other)["id_token"]
    assert error_of(grafana, browser.client.get(grafana.request(id_token_hint=hint, prompt="none"))) == "login_required"
    assert "another account" in shown(browser, grafana.request(id_token_hint=hint)).text
    own = grafana.tokens(browser)["id_token"]
    assert grafana.code(browser, id_token_hint=own, prompt="none")


def test_only_members_of_an_allowed_group_can_use_the_client(app, browser, ada, rows):
    from app.audit import Event
    from app.extensions import db
    from app.groups import service as groups

    closed = register(app, "proxmox", name="Proxmox", groups=["admins"])
    page = shown(browser, closed.request())
    assert page.status == 403
    assert "You don't have access to Proxmox" in page.text
    assert [event.facts["client"] for event in rows(Event, name="app.not_allowed")] == ["proxmox"]
    assert error_of(closed, browser.client.get(closed.request(prompt="none"))) == "access_denied"
    with app.app_context():
        groups.create("admins", by="test")
        groups.add_member("admins", ada.id, by="test")
        db.session.commit()
    tokens = closed.tokens(browser, scope="openid groups")
    assert closed.userinfo(tokens["access_token"]).json["groups"] == ["admins"]


@pytest.mark.parametrize("how", ["client", "claims", "acr_values"])
def test_aal2_request_requires_second_factor_and_is_reported_in_acr(app, people, how):
    rp = register(app, "vault", level="aal2" if how == "client" else "aal1")
    essential = json.dumps({"id_token": {"acr": {"essential": True, "values": ["aal2"]}}})
    asked = {"client": {}, "claims": {"claims": essential}, "acr_values": {"acr_values": "aal2"}}[how]
    person = people.open(email="eve@example.com", methods=["email", "authenticator"])
    wire = sign_in(Wire(app, "form"), person, via="email")
    page = shown(wire, rp.request(**asked))
    assert "Confirm with a second factor" in page.text
    silent = rp.answer(wire.client.get(rp.request(prompt="none", **asked)))
    assert silent.get("error") == (None if how == "acr_values" else "interaction_required")
    sign_in(wire, person, via="email,authenticator")
    claims = rp.claims(rp.tokens(wire, **asked)["id_token"])
    assert (claims["acr"], claims["amr"]) == ("aal2", ["otp", "mfa"])


def test_cross_site_authorization_post_is_stored_and_continues_by_redirect(grafana, browser, app):
    address, _, query = grafana.request().partition("?")
    fields = {name: values[0] for name, values in parse_qs(query).items()}
    sent = app.test_client(use_cookies=False).post(address, data=fields, headers={"Origin": "https://app.example.com"})
    assert sent.status_code == 303
    answer = grafana.answer(browser.client.get(sent.headers["Location"]))
    assert grafana.exchange(answer["code"]).status_code == 200


@pytest.mark.both_databases
def test_claims_parameter_requests_individual_claims(asking, browser):
    wanted = json.dumps({"userinfo": {"email": None}, "id_token": {"email": {"essential": True}}})
    page = shown(browser, asking.request(claims=wanted))
    assert "See your email" in page.text
    tokens = asking.exchange(asking.answer(decide(browser, page, "yes"))["code"]).json
    assert asking.userinfo(tokens["access_token"]).json["email"] == "ada@example.com"
    assert asking.claims(tokens["id_token"])["email"] == "ada@example.com"


def test_consent_form_navigation_gets_a_meta_refresh_page(asking, browser):
    page = shown(browser, asking.request())
    fields = {"csrf_token": page.csrf_token, "request": page.page.value("request"), "allow": "yes"}
    answer = browser.client.post("/oauth/consent", data=fields, headers={"Sec-Fetch-Dest": "document"})
    assert answer.status_code == 200
    assert 'http-equiv="refresh" content="0; url=https://app.example.com/callback?code=' in answer.text
