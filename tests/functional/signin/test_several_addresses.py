"""An account with several addresses: each gets its own codes, and the primary one is its label."""

from __future__ import annotations

import re

import pytest

from tests.sinks import code_in

SEND, SIGN_IN = "/us-signin/send-code", "/us-signin"
WORK = "ada@work.example"


@pytest.fixture
def also_at_work(people, ada) -> None:
    """Ada has a second verified address, and a username."""
    people.give(ada, "email", WORK)
    people.give(ada, "username", "ada")


pytestmark = pytest.mark.usefixtures("also_at_work")


@pytest.mark.parametrize("typed", ["ada@example.com", WORK])
def test_code_is_sent_to_the_typed_address(wire, typed, deliver):
    assert wire.post(SEND, identity=typed, chosen_method="email").ok
    (mail,) = deliver()
    assert mail.to == [typed]
    assert wire.post(SIGN_IN, identity=typed, passcode=code_in(mail)).ok
    assert wire.signed_in_as() == "ada@example.com"


def test_code_for_a_username_is_sent_to_the_primary_email(wire, ada, deliver):
    assert wire.post(SEND, identity="ada", chosen_method="email").ok
    assert [mail.to for mail in deliver()] == [[ada.email]]


def test_each_address_gets_its_own_code(wire, ada, mail_to):
    wire.post(SEND, identity=ada.email, chosen_method="email")
    wire.post(SEND, identity=WORK, chosen_method="email")
    assert code_in(mail_to(ada.email)) != code_in(mail_to(WORK))


@pytest.mark.parametrize("identity", ["ada@example.com", WORK, "nobod@example.com"])
def test_each_address_takes_as_many_statements_as_an_unknown_one(wire, identity, statements):
    wire.get("/us-signin")
    wire.fetch_csrf()
    with statements() as seen:
        assert wire.post(SEND, identity=identity, chosen_method="email").ok
    shapes = [re.sub(r"\s+", " ", text)[:60] for text in seen]
    assert len(shapes) == 5


def test_new_device_email_is_sent_to_every_address(wire, ada, sign_in, clock, app, deliver):
    from app.notifications.notices import notify_of_new_devices

    sign_in(ada.email)
    clock.shift(3600)
    sign_in(ada.email, by=wire.elsewhere(agent="Mozilla/5.0 (iPhone) Safari/605", address="192.0.2.9"))
    with app.app_context():
        from app.extensions import db

        notify_of_new_devices()
        db.session.commit()
    assert sorted(mail.to for mail in deliver() if "New sign-in" in mail.subject) == [[ada.email], [WORK]]


def test_reauthentication_code_is_sent_to_the_primary_email(wire, ada, sign_in, deliver):
    sign_in(WORK)
    assert wire.post("/us-verify/send-code", chosen_method="email").ok
    assert [mail.to for mail in deliver()] == [[ada.email]]
