"""Hints of an app about the user it sends here: who they are, and in which language."""

from __future__ import annotations

from urllib.parse import parse_qs, urlencode, urlsplit

import pytest

from tests.oidc import register
from tests.signed_in import sign_in
from tests.wire import Wire


@pytest.fixture
def stranger(app) -> Wire:
    """A browser in which nobody is signed in."""
    return Wire(app, "form")


def sent(wire: Wire, rp, **asked) -> str:
    """Return where an app's request redirects someone who isn't signed in."""
    return str(wire.client.get(rp.request(**asked)).headers["Location"])


# --- login_hint ---------------------------------------------------------------------------------


def test_login_hint_prefills_the_sign_in_form_and_sends_no_code(stranger, grafana, ada, rows):
    from app.outbox.models import Message

    page = stranger.get(sent(stranger, grafana, login_hint="ada@example.com"))
    assert page.page.value("identity") == "ada@example.com"
    assert page.page.heading == "Sign in"
    assert rows(Message) == []


@pytest.mark.parametrize(
    ("hint", "shown"),
    [
        ("+44 7400 123456", "+44 7400 123456"),
        ('"><script>alert(1)</script>', '"><script>alert(1)</script>'),
        ("x" * 254, "x" * 254),
        ("x" * 255, ""),
        ("a\u202eb", ""),
        ("a\x00b", ""),
        ("", ""),
    ],
)
def test_login_hint_is_escaped_and_limited_in_length(stranger, hint, shown):
    page = stranger.get("/us-signin?" + urlencode({"login_hint": hint}))
    assert page.status == 200
    assert (page.page.value("identity") or "") == shown
    assert "<script>alert" not in page.text


def test_login_hint_survives_a_language_change(stranger):
    page = stranger.get("/us-signin?login_hint=ada%40example.com")
    assert page.page.value("page") == "/us-signin?login_hint=ada%40example.com"


# --- which app ----------------------------------------------------------------------------------


def test_sign_in_and_registration_pages_name_the_app(stranger, grafana):
    for path in ("/us-signin", "/register"):
        target = parse_qs(urlsplit(sent(stranger, grafana)).query)["next"][0]
        page = stranger.get(f"{path}?{urlencode({'next': target})}")
        assert 'to continue to <strong class="breakable">Grafana</strong>' in page.text
        assert ">G</span>" in page.text
    assert "to continue to" not in stranger.get("/us-signin").text
    assert "to continue to" not in stranger.get("/us-signin?next=/apps").text


def test_sign_in_page_still_names_the_app_after_invalid_input(stranger, grafana):
    page = stranger.get(sent(stranger, grafana))
    again = stranger.post("/us-signin/send-code", identity="", next=page.page.value("next"))
    assert again.status == 400
    assert "Grafana</strong>" in again.text


def test_reauthentication_page_names_the_app(grafana, browser, clock):
    clock.shift(5)
    to = browser.client.get(grafana.request(prompt="login")).headers["Location"]
    assert 'to continue to <strong class="breakable">Grafana</strong>' in browser.get(to).text


@pytest.mark.parametrize("target", ["nothing", "0" * 32, ""])
def test_sign_in_page_for_unknown_request_names_no_app(stranger, target):
    page = stranger.get("/us-signin?" + urlencode({"next": f"/oauth/continue?request={target}"}))
    assert page.status == 200
    assert "to continue to" not in page.text


@pytest.mark.parametrize("wrong", [{"redirect_uri": "https://evil.example/"}, {"response_type": "token"}])
def test_sign_in_page_for_invalid_request_names_no_app(stranger, grafana, wrong):
    fields = {"client_id": "grafana", "redirect_uri": "https://app.example.com/callback"} | wrong
    target = stranger.client.post("/oauth/authorize", data=fields).headers["Location"]
    page = stranger.get("/us-signin?" + urlencode({"next": target}))
    assert page.status == 200
    assert "to continue to" not in page.text


def test_url_of_another_site_is_no_valid_destination(app):
    from app.web.destinations import is_destination

    with app.app_context():
        assert is_destination("/oauth/continue?request=x")
        assert not is_destination("https://front.example/oauth/continue?request=x")


def test_sign_in_page_names_a_self_registered_app_by_its_host(app, stranger, grafana):
    from app.extensions import db
    from app.oidc.models import OAuthClient

    with app.app_context():
        db.session.get(OAuthClient, "grafana").source = "registration"
        db.session.commit()
    page = stranger.get(sent(stranger, grafana))
    assert "app.example.com</strong>" in page.text
    assert "Grafana" not in page.text


@pytest.mark.both_databases
def test_sign_in_page_for_an_app_runs_two_more_queries(app, stranger, grafana, statements):
    to = sent(stranger, grafana)
    stranger.get("/us-signin")
    with statements() as without:
        stranger.get("/us-signin")
    with statements() as seen:
        stranger.get(to)
    assert len(seen) - len(without) == 2  # the request and its client; one for a client of the file


def test_user_signed_in_in_another_tab_continues_to_the_app(stranger, grafana, ada):
    page = stranger.get(sent(stranger, grafana))
    target = page.page.value("next")
    sign_in(stranger, ada)
    again = stranger.get("/us-signin?" + urlencode({"next": target}))
    assert again.location == target
    posted = stranger.post("/us-signin/send-code", identity=ada.email, next=target)
    assert posted.location == target
    assert stranger.get("/us-signin?next=//evil.example").location == "/"
    assert "code" in grafana.answer(stranger.client.get(target))


# --- ui_locales ---------------------------------------------------------------------------------


def language_of(page) -> str:
    """Return the language of a page."""
    return str(page.text.partition('<html lang="')[2].partition('"')[0])


@pytest.mark.parametrize(
    ("asked", "language"),
    [
        ("de", "de"), ("de-AT", "de"), ("pt", "pt-BR"), ("pt-PT", "pt-BR"), ("PT-br", "pt-BR"), ("zh fr-CA de", "fr"),
        ("zh", "en"), ("", "en"), ("en de", "en"), ("x" * 300, "en"), ("../de", "en"), ("d", "en"),
    ],
)  # fmt: skip
def test_ui_locales_select_the_first_supported_language(stranger, grafana, asked, language):
    page = stranger.get(sent(stranger, grafana, ui_locales=asked))
    assert language_of(page) == language
    assert language_of(stranger.get("/register")) == language


def test_requested_language_is_kept_in_a_cookie_for_an_hour(stranger, grafana, ada, clock):
    stranger.get(sent(stranger, grafana, ui_locales="de"))
    cookie = stranger.client.get_cookie("latchkey_asked_language")
    assert (cookie.value, cookie.max_age, cookie.http_only, cookie.same_site) == ("de", 3600, True, "Lax")
    page = stranger.post("/us-signin/send-code", identity="ada@example.com", chosen_method="email")
    assert language_of(page) == "de"


def test_chosen_language_cookie_takes_precedence_over_ui_locales(stranger, grafana):
    stranger.client.set_cookie("latchkey_language", "fr")
    assert language_of(stranger.get(sent(stranger, grafana, ui_locales="de"))) == "fr"


def test_account_language_takes_precedence_over_ui_locales(app, ada, browser, grafana):
    asking = register(app, "immich", name="Immich", consent="ask")
    browser.client.set_cookie("latchkey_asked_language", "de")
    assert language_of(browser.get(asking.request(ui_locales="de"))) == "en"


def test_request_without_ui_locales_clears_the_requested_language(stranger, grafana):
    stranger.get(sent(stranger, grafana, ui_locales="de"))
    assert language_of(stranger.get(sent(stranger, grafana))) == "en"
    assert stranger.client.get_cookie("latchkey_asked_language") is None


def test_new_account_gets_the_requested_language(stranger, grafana, rows):
    from app.users import User

    page = stranger.get(sent(stranger, grafana, ui_locales="de"))
    assert language_of(page) == "de"
    stranger.post("/register", email="new@example.com")
    assert [user.language for user in rows(User)] == ["de"]
