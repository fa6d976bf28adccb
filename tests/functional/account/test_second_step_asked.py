"""If the second step is a text message, an email code isn't enough for sensitive changes."""

from __future__ import annotations

import pytest

from tests.signed_in import may_change, sign_in
from tests.sinks import code_in

PHONE = "+16502530000"


@pytest.fixture
def sue(people):
    """Someone whose second step is a text message."""
    return people.open(email="sue@example.com", phone=PHONE, methods=["email", "sms"], second="sms")


@pytest.mark.parametrize(
    ("via", "open_to"), [("email", False), ("email,sms", True), ("sms", True), ("recovery_code", True)]
)
def test_disabling_second_step_requires_proof_of_that_factor(wire, sue, rows, via, open_to):
    from app.enrollments.models import Enrollment

    hers = sign_in(wire, sue, via=via)
    hers.post("/tf-setup", setup="disable")
    hers.post("/us-setup", delete_method=["sms"])
    assert [row.is_second for row in rows(Enrollment, method="sms")] == ([] if open_to else [True])


def test_reauthentication_requires_sms_second_step_and_not_email(wire, sue, mail_to, text_to, clock):
    hers = sign_in(wire, sue, via="email,sms")
    clock.shift(301)
    hers.post("/us-verify/send-code", chosen_method="email")
    assert hers.post("/us-verify", passcode=code_in(mail_to(sue.email))).ok
    assert not may_change(hers)
    hers.post("/us-verify/send-code", chosen_method="sms")
    assert hers.post("/us-verify", passcode=code_in(text_to(PHONE))).ok
    assert may_change(hers)


@pytest.mark.settings(freshness_strength="any")
def test_any_proof_authorizes_changes_if_configured(wire, sue):
    assert may_change(sign_in(wire, sue, via="email"))
