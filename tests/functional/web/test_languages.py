"""The language of pages, JSON errors and messages."""

from __future__ import annotations

import importlib.util
import json
import re
from gettext import NullTranslations
from pathlib import Path

import pytest
import sqlalchemy as sa
from babel.messages import Catalog

from app import i18n
from app.extensions import db, execute_update
from app.outbox.models import Message
from app.users import User
from app.web.messages import MESSAGES
from tests.signed_in import sign_in

SPEC = importlib.util.spec_from_file_location("messages", Path(__file__).parents[3] / ".ci" / "messages.py")
catalogs = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(catalogs)

WRONG = MESSAGES["generic_authn_failed"]
GERMAN = {"Accept-Language": "de-AT,de;q=0.9,en;q=0.1"}
SEND = "/us-signin/send-code"

pytestmark = pytest.mark.settings(languages=("en", "de", "ar", "pt-BR"))


@pytest.fixture(autouse=True)
def german(tmp_path, monkeypatch):
    """Catalogs of which the German one has one text."""
    monkeypatch.setattr(i18n, "FOLDER", tmp_path)
    for language in ("de", "ar", "pt_BR"):
        catalog = Catalog(locale=language)
        if language == "de":
            catalog.add(WRONG, "Das hat nicht geklappt.")
        catalogs.write(tmp_path / language / "LC_MESSAGES" / "messages.po", catalog)
    i18n._catalog.cache_clear()
    yield
    i18n._catalog.cache_clear()


@pytest.fixture
def ada(people):
    return people.open(email="ada@example.com", methods=["email"])


@pytest.fixture
def speaks(app):
    """Stores what language an account is in."""

    def store(user_id: int, language: str) -> None:
        with app.app_context():
            execute_update(sa.update(User).where(User.id == user_id).values(language=language))
            db.session.commit()

    return store


@pytest.mark.one_database
@pytest.mark.parametrize(
    ("header", "cookie", "language", "direction"),
    [
        ("", "", "en", "ltr"),
        ("de-AT,de;q=0.9", "", "de", "ltr"),
        ("fr, ar;q=0.3", "", "ar", "rtl"),
        ("pt", "", "pt-BR", "ltr"),
        ("xx;;;q=q, \x7f", "", "en", "ltr"),
        ("de", "ar", "ar", "rtl"),
        ("de", "../../etc", "de", "ltr"),
    ],
)
def test_page_language_comes_from_the_cookie_or_accept_language(browser_wire, header, cookie, language, direction):
    if cookie:
        browser_wire.client.set_cookie(i18n.COOKIE, cookie, domain="localhost")
    answer = browser_wire.get("/us-signin", headers={"Accept-Language": header})
    assert f'<html lang="{language}" dir="{direction}">' in answer.text


def test_page_uses_the_account_language_after_sign_in(browser_wire, ada, speaks):
    speaks(ada.id, "ar")
    sign_in(browser_wire, ada)
    assert '<html lang="ar" dir="rtl">' in browser_wire.get("/", headers=GERMAN).text


def test_error_is_translated_but_its_code_is_not(wire, ada):
    wire.post(SEND, identity=ada.email, chosen_method="email")
    answer = wire.post("/us-signin", headers=GERMAN, identity=ada.email, passcode="00000000")
    assert (answer.status, answer.errors) == (400, {"": ["Das hat nicht geklappt."]})
    assert answer.codes in ([], ["generic_authn_failed"])  # a page shows no code


def test_known_and_unknown_users_get_the_same_error_in_the_request_language(json_wire, ada, speaks):
    speaks(ada.id, "ar")
    told = [
        json_wire.elsewhere().post("/us-signin", headers=GERMAN, identity=identity, passcode="00000000").errors
        for identity in (ada.email, "nobody@example.com")
    ]
    assert told == [{"": ["Das hat nicht geklappt."]}] * 2


def test_messages_use_account_language_or_request_language_for_strangers(wire, ada, rows, speaks):
    speaks(ada.id, "ar")
    wire.post(SEND, headers=GERMAN, identity=ada.email, chosen_method="email")
    wire.post(SEND, headers=GERMAN, identity="nobody@example.com", chosen_method="email")
    assert {message.to: message.language for message in rows(Message)} == {
        "ada@example.com": "ar",
        "nobody@example.com": "de",
    }


def test_change_notice_uses_the_account_language(wire, ada, rows, speaks):
    speaks(ada.id, "ar")
    sign_in(wire, ada).post("/identities/username", headers=GERMAN, username="ada.lovelace")
    assert [message.language for message in rows(Message, kind="changed")] == ["ar"]


@pytest.mark.one_database
@pytest.mark.parametrize(
    ("label", "text"),
    [
        ("Firefox on Linux", "Firefox ON Linux"),
        ("Safari on iPhone or iPad", "Safari ON IPHONE OR IPAD"),
        ("Unknown browser", "UNKNOWN BROWSER"),
        ("curl", "curl"),
    ],
)
def test_browser_names_are_translated(app, monkeypatch, label, text):
    with app.app_context(), monkeypatch.context() as patch:
        patch.setattr(i18n, "_catalog", lambda tag: Shouting())
        assert i18n.browser_text(label) == text


def test_new_account_gets_the_request_language(wire, rows):
    wire.post("/register", headers=GERMAN, email="new@example.com")
    assert [user.language for user in rows(User)] == ["de"]


@pytest.mark.one_database
def test_removed_language_falls_back_to_the_first(app):
    with app.app_context(), i18n.use_language("ja"):
        assert i18n.language() == "en"
    with app.app_context(), i18n.use_language("de"):
        assert i18n.gettext(WRONG) == "Das hat nicht geklappt."


def test_chosen_language_is_stored_in_browser_and_account(wire, ada, rows):
    answer = wire.post("/language", language="ar", next="/us-signin")
    assert answer.ok
    assert answer.location == ("/us-signin" if wire.language == "form" else None)
    assert wire.cookies[i18n.COOKIE] == "ar"
    assert rows(User)[0].language == "en", "nobody is signed in"
    sign_in(wire, ada).post("/language", language="de")
    assert rows(User)[0].language == "de"


@pytest.mark.parametrize("tag", ["ja", "xx", "", "EN"])
def test_unavailable_language_is_rejected(wire, tag):
    answer = wire.post("/language", language=tag)
    assert answer.status == 400
    assert answer.codes == ["invalid_choice"]
    assert i18n.COOKIE not in wire.cookies


@pytest.mark.one_database
def test_language_switcher_is_on_sign_in_and_account_pages(browser_wire, ada):
    assert '<option value="pt-BR" lang="pt-BR">Português (Brasil)</option>' in browser_wire.get("/us-signin").text
    assert 'action="/language"' in sign_in(browser_wire, ada).get("/").text


@pytest.mark.one_database
@pytest.mark.settings(languages=("en",))
def test_language_switcher_is_hidden_with_a_single_language(browser_wire):
    assert "/language" not in browser_wire.get("/us-signin").text


@pytest.mark.one_database
def test_notice_is_translated_when_it_is_sent(app, monkeypatch):
    from app.notifications import notices
    from app.notifications.notices import plural_sentence, sentence

    told = [
        sentence("{method} removed.", method=sentence("Passkey")),
        plural_sentence("{count} code", "{count} left", 2),
    ]
    with app.app_context(), monkeypatch.context() as patch:
        patch.setattr(i18n, "_catalog", lambda tag: Shouting() if tag == "de" else NullTranslations())
        facts = notices._stored_sentences(told)
        assert facts["what"] == "Passkey removed. 2 left"
        with i18n.use_language("de"):
            assert notices.text_of(json.loads(json.dumps(facts))) == "PASSKEY REMOVED. 2 LEFT"
            assert notices.text_of({"what": "Written by an earlier release."}) == "Written by an earlier release."


def test_phone_number_is_isolated_in_right_to_left_text(app):
    with app.app_context():
        assert i18n.isolated("+16505550100") == "+16505550100"
        with i18n.use_language("ar"):
            assert i18n.isolated("+16505550100") == "\u2068+16505550100\u2069"


class Shouting(NullTranslations):
    """A catalog in which every text is there."""

    def gettext(self, message):
        return re.sub(r"(?<![{\w])\w+(?![\w}])", lambda word: word[0].upper(), message)

    def ngettext(self, one, many, count):
        return self.gettext(many)


@pytest.mark.one_database
def test_language_switcher_returns_to_the_page_but_never_to_another_site(browser_wire):
    page = browser_wire.get("/us-signin?new=1&next=/sessions").page
    assert page.value("page") == "/us-signin?new=1&next=%2Fsessions"
    answer = browser_wire.post("/language", language="de", page=page.value("page"))
    assert (answer.status, answer.location) == (303, "/us-signin?new=1&next=%2Fsessions")
    assert browser_wire.get("/us-signin?next=//evil.example").page.value("page") == "/us-signin"
    assert browser_wire.post("/language", language="de", page="//evil.example").location == "/"
