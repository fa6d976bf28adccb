"""Where the second step is a text message, a mailed code alone opens nothing sensitive, though worth as much."""

from __future__ import annotations

import pytest

from tests.signed_in import may_change, sign_in
from tests.sinks import code_in

PHONE = "+16502530000"


@pytest.fixture
def sue(people):
    """Somebody whose second step is a text message."""
    return people.open(email="sue@example.com", phone=PHONE, methods=["email", "sms"], second="sms")


@pytest.mark.parametrize(
    ("via", "open_to"), [("email", False), ("email,sms", True), ("sms", True), ("recovery_code", True)]
)
def test_the_second_step_is_switched_off_only_with_what_it_asks_for(wire, sue, rows, via, open_to):
    from app.enrollments.models import Enrollment

    hers = sign_in(wire, sue, via=via)
    hers.post("/tf-setup", setup="disable")
    hers.post("/us-setup", delete_method=["sms"])
    assert [row.is_second for row in rows(Enrollment, method="sms")] == ([] if open_to else [True])


def test_proving_again_by_mail_is_not_enough_and_by_a_text_it_is(wire, sue, mail_to, text_to, clock):
    hers = sign_in(wire, sue, via="email,sms")
    clock.shift(301)
    hers.post("/us-verify/send-code", chosen_method="email")
    assert hers.post("/us-verify", passcode=code_in(mail_to(sue.email))).ok
    assert not may_change(hers)
    hers.post("/us-verify/send-code", chosen_method="sms")
    assert hers.post("/us-verify", passcode=code_in(text_to(PHONE))).ok
    assert may_change(hers)


@pytest.mark.settings(freshness_strength="any")
def test_an_operator_may_let_anything_do(wire, sue):
    assert may_change(sign_in(wire, sue, via="email"))
