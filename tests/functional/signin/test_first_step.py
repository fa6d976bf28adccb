"""The first step asks for the identity and offers first what this browser used last. The same for every account."""

from __future__ import annotations

import pytest

from tests.second import first_step as first_factor
from tests.sinks import code_in

PAGE, SEND = "/us-signin", "/us-signin/send-code"
LAST = "latchkey_last_method"
PHONE = "+16502530000"
PASSWORD = "correct horse battery staple"
ALL = pytest.mark.settings(methods=["email", "sms", "authenticator", "password"])
PASSKEY = "Sign in with a passkey"

pytestmark = pytest.mark.one_database


@pytest.fixture
def first_step(browser_wire):
    """Opens the first step in a browser that last used a method."""

    def look(last: str = ""):
        if last:
            browser_wire.client.set_cookie(LAST, last)
        return browser_wire.get(PAGE)

    return look


def shown(page) -> list[str]:
    """Return the visible sign-in buttons, in order."""
    ways = [button for button in page.buttons if button.path in (PAGE, SEND, "/wan-signin")]
    return [button.text for button in ways if not button.is_folded and not button.is_for_enter]


def main(page):
    """Return the main button. Raises AssertionError unless there is exactly one."""
    (found,) = [button for button in page.buttons if button.is_main]
    return found


def press(browser, page, text: str, **typed: str):
    """Press a button as a browser does: with the fields of its form, and a name only where the button has one."""
    return send(browser, page, next(each for each in page.buttons if each.text == text), typed)


def enter(browser, page, **typed: str):
    """Press Enter in a field as a browser without scripts does: it presses the first button of the field's form."""
    return send(browser, page, next(each for each in page.buttons if each.form.get("action") == PAGE), typed)


def send(browser, page, button, typed: dict[str, str]):
    """Submit the button's form with this input."""
    named = {button.attributes["name"]: button.attributes["value"]} if "name" in button.attributes else {}
    return browser.post(button.path, **page.hidden_of(button.form["action"]) | typed | named)


@pytest.mark.parametrize(
    ("text", "method"),
    [
        pytest.param("Email me a code", "email", marks=pytest.mark.settings(methods=["email", "authenticator"])),
        pytest.param("Text me a code", "sms", marks=pytest.mark.settings(methods=["sms", "authenticator"])),
        pytest.param("Send me a code", None, marks=ALL),
    ],
)
def test_send_button_names_the_method_only_if_it_is_the_only_code_method(first_step, text, method):
    page = first_step().page
    assert shown(page) == [text, PASSKEY]
    assert (main(page).text, main(page).path, main(page).attributes.get("value")) == (text, SEND, method)


@ALL
@pytest.mark.parametrize(
    ("last", "buttons"),
    [
        ("", ["Send me a code", PASSKEY]),
        ("email", ["Send me a code", PASSKEY]),
        ("sms", ["Text me a code", "Email me a code instead", PASSKEY]),
        ("password", ["Sign in", "Send me a code", PASSKEY]),
        ("authenticator", ["Sign in", "Send me a code", PASSKEY]),
        ("webauthn", [PASSKEY, "Send me a code"]),
        ("pigeon", ["Send me a code", PASSKEY]),
    ],
)
def test_last_used_method_is_first_and_labeled_once(first_step, last, buttons):
    answer = first_step(last)
    assert shown(answer.page) == buttons
    assert main(answer.page).text == buttons[0]
    hint = (answer.text.count("Last used here"), main(answer.page).attributes.get("aria-describedby"))
    assert hint == ((1, "used-last") if last not in ("", "pigeon") else (0, None))


@pytest.mark.settings(methods=["sms", "email"])
def test_last_used_email_takes_precedence_over_configured_sms_default(first_step):
    page = first_step("email").page
    assert shown(page) == ["Email me a code", "Text me a code instead", PASSKEY]
    assert main(page).attributes["value"] == "email"


@pytest.mark.settings(methods=["email"])
@pytest.mark.parametrize("last", ["sms", "password"])
def test_disabled_last_used_method_is_ignored(first_step, last):
    answer = first_step(last)
    assert shown(answer.page) == ["Email me a code", PASSKEY]
    assert "Last used here" not in answer.text


@ALL
@pytest.mark.parametrize("last", ["", "sms", "password", "webauthn"])
def test_single_remember_checkbox_applies_to_every_method(first_step, last):
    page = first_step(last).page
    (tick,) = [given for name, given in page.inputs if name == "remember" and given["type"] == "checkbox"]
    assert [box["data-passkey-remember"] for box in page.boxes] == [tick["id"]]


@ALL
def test_password_field_has_autocomplete_for_every_last_used_method(first_step):
    for last in ("", "sms", "password", "webauthn"):
        assert first_step(last).page.attributes("passcode")["autocomplete"] == "current-password"


@ALL
@pytest.mark.parametrize("last", ["", "sms", "password", "authenticator", "webauthn"])
def test_enter_key_signs_in_with_the_typed_password(browser_wire, first_step, people, deliver, last):
    eve = people.open(email="eve@example.com", password=PASSWORD, methods=["email", "password"])
    answer = enter(browser_wire, first_step(last).page, identity=eve.email, passcode=PASSWORD)
    assert (answer.location, browser_wire.signed_in_as()) == ("/", eve.email)
    assert [mail.subject for mail in deliver() if "Sign in to" in mail.subject] == []


@ALL
@pytest.mark.parametrize(
    ("last", "heading"), [("", "Check your email"), ("sms", "Check your phone"), ("webauthn", "Check your email")]
)
def test_enter_key_without_password_sends_the_primary_button_code(browser_wire, first_step, people, last, heading):
    eve = people.open(email="eve@example.com", phone=PHONE, methods=["email", "sms"])
    typed = {"identity": eve.email, "passcode": "", "remember": "y"}
    answer = enter(browser_wire, first_step(last).page, **typed)
    assert (answer.status, answer.page.heading) == (303, heading)
    assert "checked" in answer.page.attributes("remember")


@ALL
def test_enter_key_with_wrong_password_stays_on_the_password_form(browser_wire, first_step, ada):
    answer = enter(browser_wire, first_step().page, identity=ada.email, passcode="not the password of anybody")
    assert (answer.status, answer.codes, main(answer.page).text) == (400, ["generic_authn_failed"], "Sign in")


@ALL
def test_enter_key_without_identity_returns_required_error(browser_wire, first_step):
    answer = enter(browser_wire, first_step().page, identity="", passcode="")
    assert (answer.status, answer.codes, answer.page.heading) == (400, ["required"], "Sign in")


@ALL
@pytest.mark.parametrize("last", ["", "password", "webauthn"])
def test_send_code_button_ignores_an_autofilled_password(browser_wire, first_step, ada, last):
    filled = {"identity": ada.email, "passcode": PASSWORD}
    answer = press(browser_wire, first_step(last).page, "Send me a code", **filled)
    assert answer.page.heading == "Check your email"


@pytest.mark.settings(methods=["email", "sms"])
def test_enter_key_triggers_the_primary_button_when_passwords_are_disabled(first_step):
    page = first_step().page
    assert next(button for button in page.buttons if button.form.get("action") == PAGE) == main(page)


@ALL
def test_json_sign_in_ignores_the_enter_field(json_wire, ada):
    for typed in ({}, {"passcode": ""}):
        answer = json_wire.post(PAGE, identity=ada.email, enter="email", **typed)
        assert (answer.status, answer.codes) == (400, ["generic_authn_failed"])
    form = {"identity": ada.email, "enter": "email", "passcode": "", "csrf_token": json_wire.fetch_csrf()}
    answer = json_wire.send("POST", PAGE, data=form)
    assert (answer.status, answer.codes) == (400, ["generic_authn_failed"])


@ALL
def test_last_used_sms_is_offered_again_for_an_email_identity(browser_wire, people, text_to, sms):
    eve = people.open(email="eve@example.com", phone=PHONE, methods=["email", "sms"])
    browser_wire.post(SEND, identity=eve.email, chosen_method="sms")
    assert browser_wire.post(PAGE, identity=eve.email, passcode=code_in(text_to(PHONE))).ok
    browser_wire.post("/logout")
    page = browser_wire.get(PAGE).page
    assert press(browser_wire, page, "Text me a code", identity=eve.email).page.heading == "Check your phone"
    text_to(PHONE)
    assert len(sms.texts) == 2


@pytest.mark.parametrize("by", ["app", "recovery code"])
def test_last_used_method_is_stored_only_after_the_second_factor(browser_wire, bob, people, code_for, by):
    codes = people.give_codes(bob)
    first_factor(browser_wire, bob, code_for)
    assert LAST not in browser_wire.cookies
    if by == "app":
        assert browser_wire.post("/tf-validate", code=bob.app_code()).ok
    else:
        assert browser_wire.post("/mf-recovery", code=codes[0]).ok
    assert browser_wire.cookies[LAST] == "email"


def test_abandoned_sign_in_keeps_the_previous_last_used_method(browser_wire, bob, code_for):
    browser_wire.client.set_cookie(LAST, "sms")
    first_factor(browser_wire, bob, code_for)
    browser_wire.get(PAGE)
    assert browser_wire.cookies[LAST] == "sms"


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_magic_link_sign_in_stores_email_as_last_used_method(browser_wire, ada, link_for, method):
    link = link_for(ada.email, by=browser_wire)
    if method == "GET":
        browser_wire.get(link)
    else:
        browser_wire.post("/us-verify-link", token=link.partition("token=")[2])
    assert browser_wire.signed_in_as() == ada.email
    assert browser_wire.cookies[LAST] == "email"


def test_magic_link_awaiting_second_factor_stores_no_last_used_method(browser_wire, bob, link_for):
    link = link_for(bob.email, by=browser_wire)
    assert browser_wire.get(link).location.startswith("/tf-validate")
    assert LAST not in browser_wire.cookies


@ALL
def test_password_sign_in_sends_no_code_email(browser_wire, people, deliver):
    eve = people.open(email="eve@example.com", password=PASSWORD, methods=["email", "password"])
    for _ in range(2):
        page = browser_wire.get(PAGE).page
        typed = {"identity": eve.email, "passcode": PASSWORD}
        assert press(browser_wire, page, "Sign in", **typed).location == "/"
        assert browser_wire.signed_in_as() == eve.email
        browser_wire.post("/logout")
    assert main(page).text == "Sign in"
    assert [mail.subject for mail in deliver() if "code" in mail.subject.lower() or "Sign in to" in mail.subject] == []


@ALL
def test_password_user_can_request_a_code_instead(browser_wire, first_step, ada, mail_to):
    page = first_step("password").page
    answer = press(browser_wire, page, "Send me a code", identity=ada.email)
    assert answer.page.heading == "Check your email"
    assert code_in(mail_to(ada.email))


@ALL
@pytest.mark.parametrize("identity", ["ada@example.com", "nobody@example.com"])
def test_wrong_password_after_code_request_shows_the_password_form(browser_wire, ada, identity):
    browser_wire.post(SEND, identity=identity)
    answer = browser_wire.post(PAGE, identity=identity, passcode="not the password of anybody")
    assert (answer.status, answer.page.heading, answer.page.value("identity")) == (400, "Sign in", identity)
    assert answer.codes == ["generic_authn_failed"]
    assert main(answer.page).text == "Sign in"


@ALL
def test_wrong_code_shows_the_code_page_again(browser_wire, ada):
    page = browser_wire.post(SEND, identity=ada.email).page
    answer = browser_wire.post(PAGE, passcode="00000000", **page.hidden_of(PAGE))
    assert (answer.status, answer.page.heading) == (400, "Check your email")


@pytest.mark.settings(methods=["email", "sms"])
def test_json_client_ignores_the_last_used_method_cookie(json_wire, ada):
    json_wire.client.set_cookie(LAST, "sms")
    assert json_wire.post(SEND, identity=ada.email).codes == ["us_method_not_available"]
    assert json_wire.post(SEND, identity=ada.email, chosen_method="email").ok
    assert set(json_wire.get(PAGE).json) == {"available_methods", "code_methods", "identity_attributes", "csrf_token"}
