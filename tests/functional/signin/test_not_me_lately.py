"""A report doesn't undo what was set up more than a day ago: a mailbox alone can't remove a second factor."""

from __future__ import annotations

import pyotp
import pytest

from app import clock as now
from app.enrollments.models import Enrollment
from tests.second import begin_setup, prove_setup
from tests.sinks import code_in, denial_in, links_in
from tests.wire import Wire

DAY = 24 * 3600


@pytest.fixture
def owner(json_wire, ada, code_for) -> Wire:
    """Ada's browser, in which she has signed in by email and set up an app as her second step."""
    code = code_for(ada.email, by=json_wire)
    assert json_wire.post("/us-signin", identity=ada.email, passcode=code, remember=True).ok
    begun = begin_setup(json_wire, setup="authenticator")
    key = begun.json["tf_authr_b32key"]
    assert prove_setup(json_wire, begun, pyotp.TOTP(key).at(int(now.unix()))).ok
    json_wire.key = key
    return json_wire


def seconds(rows) -> list[str]:
    """Return the second factors."""
    return [row.method for row in rows(Enrollment) if row.is_second]


@pytest.mark.parametrize(("age", "left"), [(DAY - 60, []), (DAY + 60, ["authenticator"])])
def test_report_from_a_session_notice_removes_only_factors_added_within_a_day(
    owner, wire, ada, mail_to, rows, clock, age, left
):
    clock.shift(age)
    owner._csrf = None
    assert owner.post("/us-verify", passcode=pyotp.TOTP(owner.key).at(int(now.unix()))).ok
    assert owner.post("/mf-recovery-codes").ok
    assert owner.elsewhere(address="203.0.113.9").post(denial_in(mail_to(ada.email)), sure=True).ok
    assert seconds(rows) == left
    if left:
        told = mail_to(ada.email).text.replace("\n", " ")
        assert "we kept it: Authenticator app" in told


def test_undoing_an_email_change_keeps_an_older_second_factor(owner, wire, ada, mail_to, rows, clock, smtp, deliver):
    assert owner.post("/change-email", email="new@example.com").ok
    assert owner.post("/change-email/confirm", passcode=code_in(mail_to("new@example.com"))).ok
    clock.shift(2 * DAY)
    deliver()
    undo = [link for mail in smtp.to(ada.email) for link in links_in(mail) if "/undo/" in link][-1]
    thief = wire.elsewhere(address="203.0.113.9")
    assert thief.post(undo.removeprefix("http://localhost"), sure=True).ok
    assert seconds(rows) == ["authenticator"]
