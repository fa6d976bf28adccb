"""The suggested next step after setting something up is the first one on the account's first page."""

from __future__ import annotations

import html
import re

import pytest

from tests.authenticators import Device
from tests.functional.passkeys.conftest import asked
from tests.functional.setup.conftest import app_code, key_in, state_in
from tests.signed_in import sign_in
from tests.sinks import code_in

PHONE = "+16502530000"
PASSWORD = "a short sentence is good"
NOTHING_LEFT = "There's nothing left to do."

pytestmark = pytest.mark.settings(methods=["email", "sms", "authenticator", "password"])


@pytest.fixture
def ada(people):
    """Someone who signs in by email."""
    return people.open(email="ada@example.com")


@pytest.fixture
def hers(browser_wire, ada):
    """Ada's browser, reauthenticated with her strongest method."""
    return sign_in(browser_wire, ada, via="webauthn,uv")


def follow(wire, answer):
    """Return the page that a form leads to."""
    assert answer.status == 302, answer
    return wire.get(answer.location)


def recommended(page) -> tuple[str, str] | None:
    """Return title and place of what a page recommends next; None where it recommends nothing."""
    card = page.text.partition('aria-label="Recommended next"')[2].partition("</section>")[0]
    found = re.search(r'<strong>(.*?)</strong>.*?href="(.*?)"', card, re.DOTALL)
    return (html.unescape(found[1]), found[2]) if found else None


def first_listed(wire) -> str:
    """Return the first suggestion on the account's first page."""
    missing = [item for item in re.findall(r"<h3>(.*?)</h3>", wire.get("/").text) if "To do" in item]
    return html.unescape(missing[0].partition(" <span")[0])


def set_up_password(wire, _mail_to, _text_to):
    begun = wire.post("/us-setup", chosen_method="password")
    return wire.post(f"/us-setup/{state_in(begun)}", passcode=PASSWORD)


def set_up_phone(wire, _mail_to, text_to):
    begun = wire.post("/us-setup", chosen_method="sms", phone=PHONE)
    return wire.post(f"/us-setup/{state_in(begun)}", passcode=code_in(text_to(PHONE)))


def add_email(wire, mail_to, _text_to):
    wire.post("/identities/add", email="ada@work.example")
    return wire.post("/change-email/confirm", passcode=code_in(mail_to("ada@work.example")))


@pytest.mark.parametrize(
    ("do", "title", "place"),
    [
        (set_up_password, "No passkey yet", "/wan-register"),
        (set_up_phone, "No passkey yet", "/wan-register"),
        (add_email, "1 sign-in method", "/us-setup"),
    ],
)
def test_next_step_is_recommended_after_a_change(hers, mail_to, text_to, do, title, place):
    page = follow(hers, do(hers, mail_to, text_to))
    assert recommended(page) == (title, place)
    assert first_listed(hers) == title


def test_first_passkey_redirects_to_recovery_codes(hers):
    options, state = asked(hers.post("/wan-register", usage="first"))
    done = hers.post(f"/wan-register/{state}", credential=Device().make(options))
    assert done.location == "/mf-recovery-codes"
    page = hers.get(done.location)
    assert recommended(page) is None
    assert "Create recovery codes" in page.text
    assert "Not now" in page.text
    assert first_listed(hers) == "No recovery codes"


def test_recovery_codes_are_still_recommended_after_a_second_passkey(hers):
    for _ in range(2):
        options, state = asked(hers.post("/wan-register", usage="first"))
        done = hers.post(f"/wan-register/{state}", credential=Device().make(options))
    assert recommended(follow(hers, done)) == ("No recovery codes", "/mf-recovery-codes")


def test_recovery_codes_page_links_back_to_the_overview(hers):
    page = hers.post("/mf-recovery-codes")
    assert re.search(r'href="/">I&#39;ve saved my codes|href="/">I\'ve saved my codes', page.text)


def test_recommendation_is_shown_once_and_can_be_declined(hers, mail_to, text_to):
    hers.post("/mf-recovery-codes")
    begun = hers.post("/us-setup", chosen_method="authenticator")
    done = hers.post(f"/us-setup/{state_in(begun)}", passcode=app_code(key_in(begun)))
    page = follow(hers, done)
    assert recommended(page) == ("No passkey yet", "/wan-register")
    assert 'action="/passkey-offer/not-now"' in page.text
    assert recommended(hers.get(done.location)) is None


def test_fully_protected_user_sees_nothing_left_to_do_once(browser_wire, people, mail_to):
    methods = ["email", "sms", "authenticator"]
    bob = people.open(email="bob@example.com", phone=PHONE, methods=methods, second="authenticator")
    his = sign_in(browser_wire, bob, via="webauthn,uv")
    his.post("/mf-recovery-codes")
    his.post("/passkey-offer/not-now")
    page = follow(his, add_email(his, mail_to, None))
    assert NOTHING_LEFT in html.unescape(page.text)
    assert NOTHING_LEFT not in html.unescape(his.get("/identities").text)


def test_username_and_email_changes_recommend_nothing(hers, mail_to):
    assert recommended(follow(hers, hers.post("/identities/username", username="ada-l"))) is None
    hers.post("/change-email", email="ada@new.example")
    page = follow(hers, hers.post("/change-email/confirm", passcode=code_in(mail_to("ada@new.example"))))
    assert recommended(page) is None


def test_declined_recommendation_is_not_repeated(hers, mail_to, text_to):
    hers.post("/passkey-offer/not-now")
    page = follow(hers, set_up_password(hers, mail_to, text_to))
    assert recommended(page) == ("Two-step verification is off", "/tf-setup")


def test_json_response_contains_no_recommendation(json_wire, ada, mail_to):
    hers = sign_in(json_wire, ada, via="webauthn,uv")
    answer = add_email(hers, mail_to, None)
    assert set(answer.json) == {"csrf_token", "current_email", "user"}
