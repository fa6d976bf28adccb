"""Delayed messages: no expired code is sent, and each message says when its code expires."""

from __future__ import annotations

import pytest
import structlog

from app.challenges.models import Challenge
from app.outbox import Message
from tests.sinks import code_in, link_in


@pytest.fixture
def greylist(app, rows, clock, smtp, deliver):
    """Makes the mail server say "try later" for that many seconds; returns the email delivered then, or None."""

    def run(seconds):
        smtp.mode = "busy"
        begun = clock.now()
        while not deliver():
            due = [message.next_attempt_at for message in rows(Message) if message.next_attempt_at]
            if not due:
                return None
            clock.shift((min(due) - clock.now()).total_seconds())
            if (clock.now() - begun).total_seconds() >= seconds:
                smtp.mode = "ok"
        return smtp.mails[-1]

    return run


@pytest.fixture
def asked(people, json_wire, clock):
    """Someone who has requested a sign-in code."""
    ada = people.open(email="ada@example.com")
    clock.shift(0.001)
    assert json_wire.post("/us-signin/send-code", identity=ada.email, chosen_method="email").ok
    return ada


def test_greylisted_code_arrives_valid_and_states_its_expiry_time(asked, json_wire, greylist, rows, clock):
    mail = greylist(300)
    end = rows(Challenge)[0].passcode_expires_at
    assert (end - clock.now()).total_seconds() > 200
    assert f"until {end:%H:%M} UTC" in mail.text
    assert "minutes" not in mail.text
    assert json_wire.post("/us-signin", identity=asked.email, passcode=code_in(mail)).ok


def test_code_that_fails_until_it_expires_is_abandoned_with_a_warning(asked, greylist, rows):
    with structlog.testing.capture_logs() as lines:
        assert greylist(10_000) is None
    (message,) = rows(Message)
    assert (message.state, message.last_error) == ("abandoned", "message refused (451)")
    assert [line["log_level"] for line in lines if line.get("gives_up")] == ["warning"]


def test_code_never_attempted_before_expiry_is_abandoned_with_a_warning(asked, deliver, rows, clock):
    clock.shift(596)
    with structlog.testing.capture_logs() as lines:
        assert deliver() == []
    assert rows(Message)[0].state == "abandoned"
    warned = [line for line in lines if line["event"] == "message.abandoned"]
    assert [(line["log_level"], line["reason"]) for line in warned] == [("warning", "expired")]


def test_delayed_confirmation_mail_has_a_link_but_no_expired_code(json_wire, greylist, clock):
    assert json_wire.post("/register", email="new@example.com").ok
    mail = greylist(660)
    for part in (mail.text, mail.html):
        assert "This email was delayed, and its code has expired." in part
    with pytest.raises(AssertionError, match="0 found"):
        code_in(mail)
    json_wire.get(link_in(mail, "/confirm/").partition("http://localhost")[2])
    assert json_wire.signed_in_as() is not None


@pytest.mark.parametrize("method", ["sms"])
def test_text_message_with_an_expired_code_is_abandoned(people, json_wire, deliver, rows, clock, method):
    bob = people.open(phone="+12015550123", methods=[method])
    assert json_wire.post("/us-signin/send-code", identity=bob.phone, chosen_method=method).ok
    clock.shift(290)
    assert deliver() == []
    assert rows(Message)[0].state == "abandoned"
