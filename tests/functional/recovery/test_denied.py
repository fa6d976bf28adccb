"""Reporting the email with a recovery's code cancels the recovery that the code started."""

from __future__ import annotations

from datetime import timedelta

import pytest

from app.audit import Event
from app.recovery.models import Recovery
from tests.functional.recovery.conftest import HOUR, WAIT, proof_in, state_in
from tests.sinks import code_in, denial_in
from tests.wire import Wire


@pytest.fixture
def thief(wire: Wire) -> Wire:
    """Someone other than the owner, who reads the mailbox."""
    return wire.elsewhere(address="203.0.113.9")


def asks(thief: Wire, email: str, mail_to) -> tuple[str, str]:
    """Request a code and verify the mailbox; return the token, and the path of the email's report link."""
    assert thief.post("/recover", identity=email).ok
    mail = mail_to(email)
    proved = thief.post("/recover/prove", identity=email, passcode=code_in(mail))
    return proof_in(proved), denial_in(mail)


def test_not_me_report_of_the_code_cancels_the_recovery_it_started(
    wire, thief, bob, mail_to, text_to, rows, clock, proves
):
    proof, path = asks(thief, bob.email, mail_to)
    assert thief.post("/recover/start", proof=proof).ok
    assert wire.post(path, sure=True).ok
    assert [event.facts["how"] for event in rows(Event, name="recovery.cancelled")] == ["denial"]
    assert "canceled" in mail_to(bob.email).subject
    assert "canceled" in text_to(bob.phone).text
    clock.shift(WAIT + 60)
    later = thief.elsewhere(address="203.0.113.10")
    assert state_in(proves(later, bob.email)) == "start"


@pytest.mark.settings(recovery_wait=timedelta(hours=1))
def test_not_me_report_cancels_a_recovery_past_its_waiting_period(wire, thief, bob, mail_to, rows, clock):
    proof, path = asks(thief, bob.email, mail_to)
    assert thief.post("/recover/start", proof=proof).ok
    clock.shift(2 * HOUR)
    assert wire.post(path, sure=True).ok
    assert rows(Recovery)[0].cancelled_at is not None


def test_proof_of_a_reported_code_cannot_start_a_recovery(wire, thief, bob, mail_to, rows):
    proof, path = asks(thief, bob.email, mail_to)
    assert wire.post(path, sure=True).ok
    assert thief.post("/recover/start", proof=proof).codes == ["recovery_proof_old"]
    assert rows(Recovery) == []


def test_proof_of_a_reported_code_cannot_complete_a_recovery(wire, thief, bob, mail_to, rows, clock, starts):
    starts(wire.elsewhere(address="198.51.100.7"), bob.email)
    clock.shift(WAIT + 60)
    thief._csrf = None
    proof, path = asks(thief, bob.email, mail_to)
    assert wire.post(path, sure=True).ok
    assert thief.post("/recover/complete", proof=proof, lost=["authenticator"]).codes == ["recovery_proof_old"]
    assert rows(Recovery)[0].done_at is None


def test_not_me_report_of_another_code_keeps_the_recovery(wire, thief, bob, mail_to, rows):
    proof, _ = asks(thief, bob.email, mail_to)
    assert thief.post("/recover/start", proof=proof).ok
    assert wire.elsewhere(address="198.51.100.7").post("/recover", identity=bob.email).ok
    assert wire.post(denial_in(mail_to(bob.email)), sure=True).ok
    assert rows(Recovery)[0].cancelled_at is None


@pytest.mark.settings(recovery_wait=timedelta(hours=1))
def test_not_me_report_of_the_completing_code_ends_the_session(wire, thief, bob, mail_to, clock, starts):
    starts(wire.elsewhere(address="198.51.100.7"), bob.email)
    clock.shift(2 * HOUR)
    thief._csrf = None
    proof, path = asks(thief, bob.email, mail_to)
    assert thief.post("/recover/complete", proof=proof, lost=["authenticator"]).ok
    assert thief.signed_in_as() == bob.email
    wire._csrf = None
    assert wire.post(path, sure=True).ok
    assert thief.signed_in_as() is None
