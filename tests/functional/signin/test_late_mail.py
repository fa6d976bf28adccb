"""Emails that arrive late or out of order still work, and have the same tag as the page."""

from __future__ import annotations

import re

import pytest

from tests.signed_in import sign_in as give_session
from tests.sinks import code_in

ADA = "ada@example.com"
PHONE = "+16502530000"


@pytest.mark.parametrize("which", [0, 1], ids=["the older", "the newer"])
def test_both_open_challenges_of_a_browser_work_until_logout(wire, ada, code_for, clock, which):
    codes = [code_for(ADA)]
    clock.shift(560)  # too late for the same code once more, and before it ends
    codes.append(code_for(ADA))
    assert codes[0] != codes[1]
    assert wire.post("/us-signin", identity=ADA, passcode=codes[which]).ok
    assert wire.signed_in_as() == ADA
    wire.post("/logout")
    for code in codes:  # signing out cancels requests made here
        assert not wire.post("/us-signin", identity=ADA, passcode=code).ok


@pytest.mark.parametrize("which", [0, 1])
def test_resent_code_works_from_either_email_but_only_once(wire, ada, code_for, clock, which):
    codes = [code_for(ADA)]
    clock.shift(31)
    codes.append(code_for(ADA))
    assert codes[0] == codes[1]
    assert wire.post("/us-signin", identity=ADA, passcode=codes[which]).ok
    wire.post("/logout")
    assert not wire.post("/us-signin", identity=ADA, passcode=codes[1 - which]).ok


def test_code_request_in_another_browser_keeps_the_first_code_valid(wire, ada, code_for):
    code = code_for(ADA)
    code_for(ADA, by=wire.elsewhere())
    assert wire.post("/us-signin", identity=ADA, passcode=code).ok


@pytest.mark.parametrize(
    ("path", "fields"),
    [
        ("/us-signin/send-code", {"identity": ADA, "chosen_method": "email"}),
        ("/us-verify/send-code", {"chosen_method": "email"}),
        ("/us-setup", {"chosen_method": "email"}),
        ("/us-setup", {"chosen_method": "sms", "phone": PHONE}),
        ("/register", {"email": ADA}),
        ("/confirm", {"email": ADA}),
    ],
)
def test_page_and_message_show_the_same_request_tag(browser_wire, people, deliver, path, fields):
    if path != "/register":
        person = people.open(email=ADA, confirmed=path != "/confirm")
    if path.startswith(("/us-verify", "/us-setup")):
        give_session(browser_wire, person)
    answer = browser_wire.post(path, **fields)
    page = browser_wire.follow(answer) if answer.location else answer
    [mark] = re.findall(r'class="tag">([2-9A-Z]{4})<', page.text)
    [message] = deliver()
    assert mark in (message.text if "phone" in fields else message.subject)
    assert code_in(message)
