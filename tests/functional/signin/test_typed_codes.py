"""A code is accepted in any spelling, and input that can't be a code costs no try."""

from __future__ import annotations

import pytest

from app.authenticators.models import RecoveryCode
from app.challenges.models import Challenge
from app.sessions.models import PendingSignIn
from app.throttling.models import FailureCounter
from tests.functional.signin.conftest import wrong
from tests.functional.signin.test_link_elsewhere import LINK, SEND, Request
from tests.second import begin_setup, first_step, taken
from tests.signed_in import sign_in as sign_in_person
from tests.sinks import code_in, link_in

pytestmark = pytest.mark.one_database

NO_CODES = ["1234567", "069178٣٨٣", "0691753a", "0691.7538", "²x", "-", "\u202fx"]


def wide(code: str) -> str:
    """Return ``code`` as input methods write it: full-width, with invisible characters around and between."""
    half = "".join(chr(0xFEE0 + ord(each)) for each in code)
    return f"\u202d{half[:4]}\u3000\u200b{half[4:]}\u202c\r\n"


WAYS = {
    "full width": wide,
    "Arabic-Indic": lambda code: "".join(chr(0x0660 + int(digit)) for digit in code),
    "narrow no-break space": lambda code: f"{code[:4]}\u202f{code[4:]}",
    "zero width and bidi marks": lambda code: f"\u200e{code[:4]}\u2060\ufeff{code[4:]}\u200f",
    "line ends": lambda code: f"\r\n{code}\n",
    "another dash": lambda code: f"{code[:4]}\u2011{code[4:]}",
}


@pytest.mark.parametrize("way", WAYS)
def test_emailed_code_is_accepted_in_any_notation_but_only_once(wire, ada, code_for, way):
    code = code_for(ada.email)
    assert wire.post("/us-signin", identity=ada.email, passcode=WAYS[way](code)).ok
    assert wire.signed_in_as() == ada.email
    wire.post("/logout")
    for again in (code, WAYS[way](code)):
        assert wire.post("/us-signin", identity=ada.email, passcode=again).status == 400


def test_totp_code_is_accepted_in_any_notation_but_only_once(wire, people):
    eve = people.open(email="eve@example.com", methods=["authenticator"])
    code = eve.app_code()
    assert wire.post("/us-signin", identity=eve.email, passcode=wide(code)).ok
    wire.post("/logout")
    for again in (code, wide(code), WAYS["Arabic-Indic"](code)):
        assert wire.post("/us-signin", identity=eve.email, passcode=again).status == 400


def test_malformed_code_does_not_count_as_an_attempt(wire, ada, code_for, rows):
    code = code_for(ada.email)
    for typed in NO_CODES:
        answer = wire.post("/us-signin", identity=ada.email, passcode=typed)
        assert (answer.status, answer.codes) == (400, ["generic_authn_failed"])
    assert [row.tries for row in rows(Challenge)] == [0]
    assert [row.hour_count for row in rows(FailureCounter) if row.hour_count] == []
    wire.post("/us-signin", identity=ada.email, passcode=wide(wrong(code)))
    assert [row.tries for row in rows(Challenge)] == [1], "a wrong code is one in any writing"
    assert wire.post("/us-signin", identity=ada.email, passcode=code).ok


def test_second_step_accepts_any_notation_and_counts_only_well_formed_codes(wire, bob, code_for, rows):
    first_step(wire, bob, code_for)
    for typed in NO_CODES:
        taken(wire.post("/tf-validate", code=typed), False)
    assert [row.tries for row in rows(PendingSignIn)] == [0]
    taken(wire.post("/tf-validate", code=wide(wrong(bob.app_code()))), False)
    assert [row.tries for row in rows(PendingSignIn)] == [1]
    taken(wire.post("/tf-validate", code=wide(bob.app_code())), True)


def test_recovery_code_is_accepted_in_any_notation_but_only_once(wire, people, bob, code_for, rows):
    first, second, *_ = people.give_codes(bob)
    sign_in_person(wire, bob)
    assert wire.post("/us-verify", passcode=f"\u200f{first.lower()}\u202f\n").ok
    assert wire.post("/us-verify", passcode="".join(chr(0xFEE0 + ord(each)) for each in second)).ok
    assert wire.post("/us-verify", passcode=first).status == 400
    assert len([row for row in rows(RecoveryCode) if row.used_at]) == 2


def test_confirmation_characters_are_accepted_in_any_notation(wire, ada, mail_to, rows):
    answer = wire.post(SEND, identity=ada.email, chosen_method="email")
    link = link_in(mail_to(ada.email), LINK).removeprefix("http://localhost")
    request = Request(wire, wire.elsewhere(), answer, link)
    for typed in ("AB", "ABCD", "A0B", "é22"):
        assert request.type(typed).codes == ["link_characters_wrong"]
    assert [row.carry_tries for row in rows(Challenge)] == [0]
    assert request.type(wide(request.characters)).ok
    assert request.state == "approved"


def test_enrollment_accepts_any_notation_and_counts_only_well_formed_codes(wire, ada, text_to, rows):
    sign_in_person(wire, ada)
    begun = wire.post("/us-setup", chosen_method="sms", phone="+16502530000")
    state = begun.json.get("state") or _action(begun, "/us-setup/")
    code = code_in(text_to("+16502530000"))
    for typed in NO_CODES:
        assert wire.post(f"/us-setup/{state}", passcode=typed).codes == ["invalid_password_code"]
    assert [row.tries for row in rows(Challenge, purpose="setup")] == [0]
    assert wire.post(f"/us-setup/{state}", passcode=wide(code)).ok


def test_second_factor_enrollment_accepts_any_notation(wire, people, rows):
    eve = people.open(email="eve@example.com", methods=["email", "authenticator"])
    sign_in_person(wire, eve)
    begun = begin_setup(wire, setup="authenticator", existing=True)
    state = begun.json.get("tf_state_token") or _action(begun, "/tf-setup/")
    for typed in NO_CODES:
        assert wire.post(f"/tf-setup/{state}", code=typed).codes == ["two_factor_invalid_token"]
    assert [row.tries for row in rows(Challenge, purpose="second_setup")] == [0]
    assert wire.post(f"/tf-setup/{state}", code=wide(eve.app_code())).ok


def test_email_change_accepts_any_notation(wire, ada, mail_to, rows):
    sign_in_person(wire, ada)
    wire.post("/change-email", email="ada@new.example")
    for typed in NO_CODES:
        assert wire.post("/change-email/confirm", passcode=typed).codes == ["invalid_password_code"]
    assert [row.tries for row in rows(Challenge, purpose="change_email")] == [0]
    assert wire.post("/change-email/confirm", passcode=wide(code_in(mail_to("ada@new.example")))).ok


def _action(answer, path: str) -> str:
    (action,) = [form["action"] for form in answer.page.forms if form.get("action", "").startswith(path)]
    return str(action.removeprefix(path))
