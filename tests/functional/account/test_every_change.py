"""Every change of sign-in methods ends all other sessions and notifies every address (ASVS 7.4.3, 6.3.7).

A new kind of change needs a function here and a line in ``CHANGES``.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from app.outbox import Message
from tests.authenticators import Device
from tests.functional.passkeys.conftest import asked
from tests.functional.setup.conftest import PHONE, app_code, key_in, state_in
from tests.second import begin_setup, prove_setup
from tests.signed_in import give_token, sign_in
from tests.sinks import code_in

WORK, NEW = "ada@work.example", "ada@new.example"
SENTENCE = "a short sentence of mine"


def set_up_app(wire, newest) -> None:
    begun = wire.post("/us-setup", chosen_method="authenticator")
    assert wire.post(f"/us-setup/{state_in(begun)}", passcode=app_code(key_in(begun))).ok


def set_up_phone(wire, newest) -> None:
    begun = wire.post("/us-setup", chosen_method="sms", phone="+1 650 253 0001")
    assert wire.post(f"/us-setup/{state_in(begun)}", passcode=code_in(newest("+16502530001"))).ok


def set_up_password(wire, newest) -> None:
    begun = wire.post("/us-setup", chosen_method="password")
    assert wire.post(f"/us-setup/{state_in(begun)}", passcode=SENTENCE).ok


def make_passkey(wire, newest) -> None:
    options, state = asked(wire.post("/wan-register", usage="first", name="Key"))
    assert wire.post(f"/wan-register/{state}", credential=Device().make(options)).ok


def remove_passkey(wire, newest) -> None:
    assert wire.post("/wan-delete", name="Key").ok


def make_codes(wire, newest) -> None:
    assert wire.post("/mf-recovery-codes").ok


def remove(name: str) -> Callable:
    def change(wire, newest) -> None:
        assert wire.post("/us-setup", delete_method=name).ok

    return change


def switch_second_step_on(wire, newest) -> None:
    begun = begin_setup(wire, setup="sms")
    assert prove_setup(wire, begun, code_in(newest(PHONE))).ok


def switch_second_step_off(wire, newest) -> None:
    assert wire.post("/tf-setup", setup="disable").ok


def prove_new(path: str) -> Callable:
    def change(wire, newest) -> None:
        assert wire.post(path, email=NEW).ok
        assert wire.post("/change-email/confirm", passcode=code_in(newest(NEW))).ok

    return change


def send(path: str, **fields: str) -> Callable:
    def change(wire, newest) -> None:
        assert wire.post(path, **fields).ok

    return change


NOTHING, SOMETHING, SECOND = ["email"], ["email", "sms", "authenticator", "password"], "authenticator"
CHANGES = {
    "an app is set up": (set_up_app, NOTHING, ""),
    "an app is set up anew": (set_up_app, SOMETHING, ""),
    "a phone is set up": (set_up_phone, NOTHING, ""),
    "a phone is set up anew": (set_up_phone, SOMETHING, ""),
    "a password is set up": (set_up_password, NOTHING, ""),
    "a password is set up anew": (set_up_password, SOMETHING, ""),
    "a passkey is made": (make_passkey, NOTHING, ""),
    "a passkey is removed": (remove_passkey, NOTHING, ""),
    "recovery codes are made": (make_codes, NOTHING, ""),
    "mail is removed": (remove("email"), SOMETHING, ""),
    "an app is removed": (remove("authenticator"), SOMETHING, ""),
    "a phone is removed": (remove("sms"), SOMETHING, ""),
    "a password is removed": (remove("password"), SOMETHING, ""),
    "the address is changed": (prove_new("/change-email"), NOTHING, ""),
    "an address is added": (prove_new("/identities/add"), NOTHING, ""),
    "an address is removed": (send("/identities/remove", email=WORK), NOTHING, ""),
    "another address is the primary one": (send("/identities/primary", email=WORK), NOTHING, ""),
    "a number is removed": (send("/identities/remove", phone=PHONE), SOMETHING, ""),
    "a username is chosen": (send("/identities/username", username="ada-l"), NOTHING, ""),
    "the second step is switched on": (switch_second_step_on, SOMETHING, ""),
    "the second step is switched off": (switch_second_step_off, SOMETHING, SECOND),
}
"""The change, the methods that the account has before, and its second factor."""


@pytest.fixture
def newest(mail_to, text_to):
    """Runs the outbox and returns the newest email or text message to someone."""
    return lambda to: mail_to(to) if "@" in to else text_to(to)


@pytest.mark.settings(methods=("email", "sms", "authenticator", "password"))
@pytest.mark.parametrize(("change", "has", "second"), CHANGES.values(), ids=CHANGES)
def test_account_change_ends_other_sessions_and_notifies_every_email_address(
    wire, people, program, newest, rows, change, has, second
):
    more = {"password": SENTENCE if "password" in has else "", "phone": PHONE if "sms" in has else ""}
    ada = people.open(email="ada@example.com", methods=has, second=second, **more)
    people.give(ada, "email", WORK)
    here = sign_in(wire, ada, via="webauthn,uv")
    if change is remove_passkey:
        make_passkey(here, newest)
    other = sign_in(wire.elsewhere(), ada)
    give_token(program, ada)
    before = {row.id for row in rows(Message)}
    change(here, newest)
    assert (other.signed_in_as(), program.signed_in_as()) == (None, None)
    assert other.get("/sessions").status == (401 if wire.language == "json" else 302)
    assert here.get("/sessions").status == 200
    told = [row.to for row in rows(Message, kind="changed") if row.id not in before]
    assert {ada.email, WORK} <= set(told)
    assert len(told) == len(set(told))
