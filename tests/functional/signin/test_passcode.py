"""POST /us-signin with an email code: valid once, in this browser, for a short time, in any spelling."""

from __future__ import annotations

import itertools

import pytest

from app.audit import Event
from app.challenges.models import Challenge
from app.sessions.models import AuthSession
from tests.functional.signin.conftest import wrong
from tests.sinks import code_in

FULLWIDTH = str.maketrans("0123456789", "０１２３４５６７８９")
ARABIC = str.maketrans("0123456789", "٠١٢٣٤٥٦٧٨٩")
SUPERSCRIPT = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")
MATHEMATICAL = str.maketrans("0123456789", "𝟎𝟏𝟐𝟑𝟒𝟓𝟔𝟕𝟖𝟗")

SPELLINGS = [
    "{0} {1}",
    "{0}-{1}",
    " {0}{1} ",
    "{0}\t{1}",
    "{0}\u00a0{1}",
    "{0}  -  {1}",
]

NOT_THE_CODE = [
    0,
    -1,
    7,
    10**8,
    10**40,
    1.5,
    1e300,
    True,
    False,
    None,
    "",
    " ",
    "0",
    "00000000",
    "0" * 7,
    "0" * 9,
    "0" * 10_000,
    [],
    [[]],
    [None],
    {},
    {"code": "00000000"},
    "1e7",
    "0x12345",
    "+1234567",
    "1234567٠",
    "abcdefgh",
    "' OR 1=1",
    "\u200b",
    "𝟎𝟎𝟎𝟎𝟎𝟎𝟎𝟎",
]


def test_correct_code_signs_in(wire, ada, code_for):
    answer = wire.post("/us-signin", identity=ada.email, passcode=code_for(ada.email))
    assert wire.signed_in_as() == ada.email
    if wire.language == "form":
        assert (answer.status, answer.location) == (302, "/")
    else:
        assert answer.status == 200
        assert set(answer.json) == {"csrf_token", "user", "tf_required"}
        assert answer.json["tf_required"] is False


def test_login_path_is_an_alias_of_us_signin(wire, ada, sign_in):
    assert sign_in(ada.email, path="/login").signed_in_as() == ada.email


def test_wrong_code_is_rejected_and_counted(wire, ada, code_for, rows):
    code = code_for(ada.email)
    answer = wire.post("/us-signin", identity=ada.email, passcode=wrong(code))
    assert (answer.status, answer.codes) == (400, ["generic_authn_failed"])
    assert wire.signed_in_as() is None
    assert rows(Challenge)[0].tries == 1
    assert [event.user_id for event in rows(Event, name="sign_in.failed")] == [ada.id]


def test_code_works_only_once(wire, ada, code_for, rows):
    code = code_for(ada.email)
    assert wire.post("/us-signin", identity=ada.email, passcode=code).ok
    wire.post("/logout")
    assert wire.post("/us-signin", identity=ada.email, passcode=code).status == 400
    assert wire.signed_in_as() is None
    assert len(rows(AuthSession)) == 1


@pytest.mark.parametrize(("age", "works"), [(599, True), (601, False)])
def test_emailed_code_expires_after_ten_minutes(wire, ada, code_for, clock, age, works):
    code = code_for(ada.email)
    clock.shift(age - 1)
    answer = wire.post(
        "/us-signin", identity=ada.email, passcode=code, headers={"Date": "Thu, 01 Jan 1970 00:00:00 GMT"}
    )
    assert answer.ok is works
    assert wire.signed_in_as() == (ada.email if works else None)


def test_correct_code_is_rejected_after_five_wrong_attempts(wire, ada, code_for, rows):
    code = code_for(ada.email)
    for _ in range(5):
        assert wire.post("/us-signin", identity=ada.email, passcode=wrong(code)).status == 400
    answer = wire.post("/us-signin", identity=ada.email, passcode=code)
    assert (answer.status, answer.codes) == (400, ["generic_authn_failed"])
    assert rows(Challenge)[0].tries == 5


def test_correct_code_is_accepted_at_the_fifth_attempt(wire, ada, code_for):
    code = code_for(ada.email)
    for _ in range(4):
        wire.post("/us-signin", identity=ada.email, passcode=wrong(code))
    assert wire.post("/us-signin", identity=ada.email, passcode=code).ok


def test_resend_carries_the_same_code(wire, ada, code_for, clock, rows):
    first = code_for(ada.email)
    clock.shift(31)
    assert code_for(ada.email) == first
    assert [challenge.sends for challenge in rows(Challenge)] == [2]
    assert wire.post("/us-signin", identity=ada.email, passcode=first).ok


def test_resend_does_not_reset_the_attempts(wire, ada, code_for, clock):
    code = code_for(ada.email)
    for _ in range(3):
        wire.post("/us-signin", identity=ada.email, passcode=wrong(code))
    clock.shift(31)
    code_for(ada.email)
    for _ in range(2):
        wire.post("/us-signin", identity=ada.email, passcode=wrong(code))
    assert not wire.post("/us-signin", identity=ada.email, passcode=code).ok


def test_resend_within_thirty_seconds_sends_nothing(wire, ada, code_for, smtp, clock):
    code_for(ada.email)
    clock.shift(25)
    assert wire.post("/us-signin/send-code", identity=ada.email, chosen_method="email").ok
    code_for(ada.email)
    assert len(smtp.mails) == 1


def test_exhausted_challenge_is_replaced_by_one_with_a_new_code(wire, ada, code_for):
    first = code_for(ada.email)
    for _ in range(5):
        wire.post("/us-signin", identity=ada.email, passcode=wrong(first))
    second = code_for(ada.email)
    assert second != first
    assert wire.post("/us-signin", identity=ada.email, passcode=second).ok


def test_code_works_only_in_the_requesting_browser(wire, ada, code_for):
    code = code_for(ada.email)
    other = wire.elsewhere()
    refused = other.post("/us-signin", identity=ada.email, passcode=code)
    assert (refused.status, refused.codes) == (400, ["generic_authn_failed"])
    assert other.signed_in_as() is None
    assert wire.post("/us-signin", identity=ada.email, passcode=code).ok


def test_attempts_in_another_browser_do_not_exhaust_the_code(wire, ada, code_for):
    code = code_for(ada.email)
    attacker = wire.elsewhere()
    code_for(ada.email, by=attacker)
    for _ in range(6):
        attacker.post("/us-signin", identity=ada.email, passcode=wrong(code))
    assert wire.post("/us-signin", identity=ada.email, passcode=code).ok


def test_code_requests_from_other_browsers_do_not_invalidate_the_code(wire, ada, code_for):
    code = code_for(ada.email)
    for _ in range(5):
        wire.elsewhere().post("/us-signin/send-code", identity=ada.email, chosen_method="email")
    assert wire.post("/us-signin", identity=ada.email, passcode=code).ok


def test_code_works_only_for_the_identity_it_was_sent_to(wire, ada, people, code_for):
    eve = people.open(email="eve@example.com")
    code = code_for(eve.email)
    assert not wire.post("/us-signin", identity=ada.email, passcode=code).ok
    assert wire.signed_in_as() is None


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.one_database
def test_whitespace_and_dashes_in_a_code_are_ignored(wire, ada, code_for, spelling):
    code = code_for(ada.email)
    assert wire.post("/us-signin", identity=ada.email, passcode=spelling.format(code[:4], code[4:])).ok


@pytest.mark.parametrize("script", [FULLWIDTH, ARABIC, SUPERSCRIPT, MATHEMATICAL])
@pytest.mark.one_database
def test_unicode_digits_in_a_code_are_accepted(wire, ada, code_for, script):
    code = code_for(ada.email)
    assert wire.post("/us-signin", identity=ada.email, passcode=code[:-1] + code[-1].translate(script)).ok


@pytest.mark.settings(limits=False)
def test_used_code_in_fullwidth_digits_is_rejected(wire, ada, code_for):
    code = code_for(ada.email)
    assert wire.post("/us-signin", identity=ada.email, passcode=code).ok
    wire.post("/logout")
    assert not wire.post("/us-signin", identity=ada.email, passcode=code.translate(FULLWIDTH)).ok


@pytest.mark.settings(limits=False, challenge_tries=100)
def test_malformed_json_passcode_returns_400(json_wire, ada, code_for):
    code = code_for(ada.email, by=json_wire)
    for typed in NOT_THE_CODE:
        answer = json_wire.post("/us-signin", identity=ada.email, passcode=typed)
        assert answer.status == 400, (typed, answer)
        assert answer.codes in (["api_error"], ["generic_authn_failed"]), (typed, answer.codes)
    assert json_wire.post("/us-signin", identity=ada.email, passcode=code).ok


@pytest.mark.parametrize("typed", ["0" * 1_000_000, "\x00" * 8, "12\x005678"])
@pytest.mark.one_database
def test_overlong_passcode_or_nul_byte_is_rejected(wire, ada, typed):
    answer = wire.post("/us-signin", identity=ada.email, passcode=typed)
    assert answer.status in (400, 413)
    assert wire.signed_in_as() is None


def test_lone_surrogate_in_passcode_is_rejected(json_wire, ada):
    token = json_wire.fetch_csrf()
    body = f'{{"identity": "{ada.email}", "passcode": "\\ud800", "csrf_token": "{token}"}}'
    answer = json_wire.send("POST", "/us-signin", data=body, headers={"Content-Type": "application/json"})
    assert answer.status == 400


def test_passcode_may_be_a_json_number(json_wire, ada, code_for):
    code = code_for(ada.email, by=json_wire)
    assert json_wire.post("/us-signin", identity=ada.email, passcode=[int(code)]).ok


@pytest.mark.settings(limits=False)
def test_numeric_passcode_is_padded_with_leading_zeros(json_wire, ada, code_for):
    for _ in itertools.count():
        browser = json_wire.elsewhere()
        code = code_for(ada.email, by=browser)
        if code.startswith("0"):
            break
    assert browser.post("/us-signin", identity=ada.email, passcode=int(code)).ok


@pytest.mark.settings(email_code_digits=6)
def test_email_code_digits_setting_sets_the_code_length(wire, ada, code_for):
    code = code_for(ada.email)
    assert len(code) == 6
    assert wire.post("/us-signin", identity=ada.email, passcode=code).ok


def test_missing_passcode_is_rejected(wire, ada, code_for):
    code_for(ada.email)
    for fields in ({}, {"passcode": ""}, {"passcode": " "}):
        answer = wire.post("/us-signin", identity=ada.email, **fields)
        assert (answer.status, answer.codes) == (400, ["generic_authn_failed"])


def test_wrong_code_shows_the_code_page_with_the_identity(browser_wire, ada, code_for):
    code = code_for(ada.email, by=browser_wire)
    page = browser_wire.post("/us-signin", identity=ada.email, passcode=wrong(code), remember=True).page
    assert page.value("identity") == ada.email
    assert page.attributes("passcode")["autocomplete"] == "one-time-code"


def test_email_identity_ignores_case_and_whitespace(wire, ada, mail_to):
    wire.post("/us-signin/send-code", identity=" ADA@Example.COM ", chosen_method="email")
    code = code_in(mail_to(ada.email))
    assert wire.post("/us-signin", identity="Ada@example.com", passcode=code).ok
