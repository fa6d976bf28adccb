"""From the code page to another method, if the email can't be read now. The same for every account."""

from __future__ import annotations

import pytest

from tests.sinks import code_in

PAGE, SEND = "/us-signin", "/us-signin/send-code"
PHONE = "+16502530000"
PASSWORD = "correct horse battery staple"
ALL = pytest.mark.settings(methods=["email", "sms", "authenticator", "password"])
GOING = {"next": "/sessions", "remember": "y"}

pytestmark = pytest.mark.one_database


@pytest.fixture
def eve(people):
    """Someone who can sign in with every method that is entered as text."""
    methods = ["email", "sms", "password"]
    return people.open(email="eve@example.com", phone=PHONE, password=PASSWORD, methods=methods)


@pytest.fixture
def asked(browser_wire, eve):
    """Her browser, which waits for a code by email."""
    assert browser_wire.post(SEND, identity=eve.email, **GOING).page.heading == "Check your email"
    return browser_wire


def instead(page) -> list[str]:
    """Return the alternatives to the code: buttons by their text, links by their target."""
    buttons = [button.text for button in page.buttons if button.form.get("action") == SEND]
    return buttons + [link for link in page.links if "use=" in link or link.startswith("/wan-signin")]


@pytest.mark.parametrize(
    ("sent", "offered"),
    [
        pytest.param("email", ["Text me a code instead", "/us-signin?use=authenticator", "/wan-signin"], marks=ALL),
        pytest.param("sms", ["Email me a code instead", "/us-signin?use=authenticator", "/wan-signin"], marks=ALL),
        pytest.param("email", ["/wan-signin"], marks=pytest.mark.settings(methods=["email"])),
        pytest.param(
            "email",
            ["/us-signin?use=password"],
            marks=pytest.mark.settings(methods=["password", "email"], passkeys=False),
        ),
        pytest.param("email", [], marks=pytest.mark.settings(methods=["email"], passkeys=False)),
    ],
)
@pytest.mark.parametrize("identity", ["eve@example.com", "nobody@example.com"])
def test_code_page_offers_the_enabled_methods_regardless_of_the_account(browser_wire, people, identity, sent, offered):
    people.open(email="eve@example.com", methods=["email"])
    answer = browser_wire.post(SEND, identity=identity, chosen_method=sent)
    assert instead(answer.page) == offered
    assert ("Use another method</summary>" in answer.text) is bool(offered)
    assert any("new=1" in link for link in answer.page.links), "one can start over"


@ALL
def test_switching_to_sms_code_keeps_identity_next_and_remember(asked, eve, text_to):
    page = asked.get(PAGE).page
    assert page.hidden_of(SEND) == {"identity": eve.email} | GOING
    page = asked.post(SEND, chosen_method="sms", **page.hidden_of(SEND)).page
    assert (page.heading, page.value("identity"), page.value("next")) == ("Check your phone", eve.email, "/sessions")
    assert "checked" in page.attributes("remember")
    done = asked.post(PAGE, passcode=code_in(text_to(PHONE)), **page.hidden_of(PAGE))
    assert done.location == "/sessions"
    assert asked.signed_in_as() == eve.email


@ALL
def test_emailed_code_still_works_after_requesting_an_sms_code(asked, eve, mail_to):
    asked.post(SEND, identity=eve.email, chosen_method="sms")
    assert asked.post(PAGE, identity=eve.email, passcode=code_in(mail_to(eve.email))).ok
    assert asked.signed_in_as() == eve.email


@ALL
def test_switching_to_password_keeps_identity_next_and_remember(asked, eve):
    (link,) = [link for link in asked.get(PAGE).page.links if "use=" in link]
    assert link == "/us-signin?next=/sessions&use=authenticator"
    page = asked.get(link).page
    assert (page.heading, page.value("identity"), page.value("next")) == ("Sign in", eve.email, "/sessions")
    assert [button.text for button in page.buttons if button.is_main] == ["Sign in"]
    assert "autofocus" in page.attributes("passcode")
    assert "checked" in page.attributes("remember")
    done = asked.post(PAGE, identity=eve.email, passcode=PASSWORD, **page.hidden_of(PAGE))
    assert done.location == "/sessions"
    assert asked.signed_in_as() == eve.email


@ALL
def test_wrong_password_shows_the_password_form_again_with_the_identity(asked, eve):
    asked.get(f"{PAGE}?use=password")
    answer = asked.post(PAGE, identity=eve.email, passcode="not her password")
    assert (answer.status, answer.page.heading, answer.page.value("identity")) == (400, "Sign in", eve.email)


@ALL
def test_password_page_links_back_to_the_code_page(asked):
    page = asked.get(f"{PAGE}?use=password&next=/sessions").page
    assert "/us-signin?next=/sessions" in page.links
    assert asked.get("/us-signin?next=/sessions").page.heading == "Check your email"


@ALL
@pytest.mark.parametrize("why", ["nothing was sent", "another browser", "expired", "used"])
def test_password_page_prefills_identity_only_in_the_browser_with_an_open_request(
    browser_wire, asked, eve, clock, mail_to, why
):
    browser = asked
    if why == "nothing was sent":
        browser = asked.elsewhere()
    elif why == "another browser":
        browser = asked.elsewhere()
        browser.client.set_cookie("latchkey_asked", asked.cookies["latchkey_asked"])
    elif why == "expired":
        clock.shift(601)
    else:
        kept = asked.cookies["latchkey_asked"]
        assert asked.post(PAGE, identity=eve.email, passcode=code_in(mail_to(eve.email))).ok
        asked.post("/logout")
        asked.client.set_cookie("latchkey_asked", kept)
    answer = browser.get(f"{PAGE}?use=password")
    assert eve.email not in answer.text
    assert [button.text for button in answer.page.buttons if button.is_main] == ["Sign in"]
    assert "Back to your code" not in answer.text


@pytest.mark.settings(methods=["email"])
@pytest.mark.parametrize("use", ["password", "email", "webauthn", "", "x" * 3000])
def test_use_parameter_with_unavailable_method_shows_the_code_page(browser_wire, ada, use):
    browser_wire.post(SEND, identity=ada.email)
    assert browser_wire.get(f"{PAGE}?use={use}").page.heading == "Check your email"


@ALL
@pytest.mark.settings(generic_responses=False)
def test_explicit_mode_reports_unavailable_sms_on_the_code_page(browser_wire, ada):
    browser_wire.post(SEND, identity=ada.email)
    answer = browser_wire.post(SEND, identity=ada.email, chosen_method="sms")
    assert (answer.status, answer.page.heading) == (400, "Check your email")
    assert answer.codes == ["us_method_not_available"]
