"""When send limits are used up, nothing is sent, no code works, and responses don't reveal it."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from app.challenges.models import Challenge
from app.challenges.passcodes import passcode_of, root_of
from app.enrollments.models import Enrollment

SEND = "/us-signin/send-code"
PHONE = "+16502530000"
BUDGETS = {"email": 5, "sms": 3}


@pytest.fixture
def ada(people):
    """Someone who signs in by email and by text message."""
    return people.open(email="ada@example.com", phone=PHONE)


@pytest.fixture
def use_up(ada) -> Callable[..., None]:
    """Asks for as many codes as an hour allows, each from another browser: ``use_up(wire, "sms")``."""

    def spend(wire, method: str = "email") -> None:
        for _ in range(BUDGETS[method]):
            assert wire.elsewhere().post(SEND, identity=ada.email, chosen_method=method).ok

    return spend


@pytest.fixture
def code_of(app, rows) -> Callable[[Challenge], str]:
    """Derives the code of a challenge from its row, as nobody outside can."""

    def derive(challenge: Challenge) -> str:
        enrolled = rows(Enrollment, id=challenge.enrolled_id)[0]
        with app.app_context():
            return passcode_of(challenge, root_of(challenge, enrolled))

    return derive


def countdown(page: str) -> int:
    """Return in how many seconds a page says that a new code can be requested."""
    found = re.search(r'data-resend="(\d+)"', page)
    assert found, page
    return int(found.group(1))


@pytest.mark.parametrize("method", BUDGETS)
def test_code_of_a_withheld_send_cannot_sign_in(wire, ada, use_up, code_of, rows, deliver, method):
    use_up(wire, method)
    assert len(deliver()) == BUDGETS[method]
    assert wire.post(SEND, identity=ada.email, chosen_method=method).ok
    assert deliver() == []
    [withheld] = rows(Challenge, sends=0)
    answer = wire.post("/us-signin", identity=ada.email, passcode=code_of(withheld))
    assert (answer.status, answer.codes) == (400, ["generic_authn_failed"])
    assert (wire.signed_in_as(), rows(Challenge, sends=0)[0].tries) == (None, 0)


def test_api_client_cannot_answer_a_withheld_challenge(json_wire, program, ada, use_up, code_of, rows):
    use_up(json_wire)
    challenge = program.post(SEND, identity=ada.email, chosen_method="email").json["challenge"]
    code = code_of(rows(Challenge, sends=0)[0])
    assert program.post("/us-signin", identity=ada.email, passcode=code, challenge=challenge).status == 400


@pytest.mark.parametrize("method", BUDGETS)
def test_code_of_a_send_within_the_limit_signs_in(wire, ada, code_of, rows, method):
    wire.post(SEND, identity=ada.email, chosen_method=method)
    assert wire.post("/us-signin", identity=ada.email, passcode=code_of(rows(Challenge, sends=1)[0])).ok
    assert wire.signed_in_as() == ada.email


@pytest.mark.one_database
def test_resend_countdown_is_the_same_for_sent_and_withheld_codes(browser_wire, ada, use_up, rows, clock):
    use_up(browser_wire.elsewhere())
    withheld, sent, seen = browser_wire, browser_wire.elsewhere(), []
    for browser, identity in ((withheld, ada.email), (sent, "bob@example.com")):
        fields = {"identity": identity, "chosen_method": "email"}
        first = browser.post(SEND, **fields).text
        with clock.travel(10):
            seen.append((first, browser.post(SEND, **fields).text))
    assert len(rows(Challenge, sends=0)) == 1
    for first, again in seen:
        assert 25 <= countdown(first) <= 30
        assert 15 <= countdown(again) <= 20, "asking once more does not begin the wait again"


@pytest.mark.one_database
def test_withheld_send_starts_the_same_resend_wait_as_a_real_one(wire, ada, use_up, clock, deliver):
    use_up(wire)
    assert len(deliver()) == 5
    clock.shift(3590)
    wire.post(SEND, identity=ada.email, chosen_method="email")
    assert deliver() == []
    clock.shift(15)  # the hour is over, the wait is not
    wire.post(SEND, identity=ada.email, chosen_method="email")
    assert deliver() == []
    clock.shift(31)
    wire.post(SEND, identity=ada.email, chosen_method="email")
    assert len(deliver()) == 1


@pytest.mark.one_database
def test_resend_restarts_the_countdown(browser_wire, ada, use_up, clock):
    use_up(browser_wire.elsewhere())
    for identity in (ada.email, "bob@example.com"):
        fields = {"identity": identity, "chosen_method": "email"}
        browser = browser_wire.elsewhere()
        browser.post(SEND, **fields)
        with clock.travel(31):
            assert 25 <= countdown(browser.post(SEND, **fields).text) <= 30
