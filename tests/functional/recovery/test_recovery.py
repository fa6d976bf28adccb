"""/recover: the mailbox is verified, every channel is notified, the wait passes, and the owner has access again."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from app.audit import Event
from app.authenticators.models import Passkey, RecoveryCode
from app.enrollments.models import Enrollment
from app.recovery.models import Recovery
from app.sessions.models import AuthSession
from app.users import Identity
from tests.functional.recovery.conftest import HOUR, WAIT, proof_in, state_in
from tests.signed_in import give_token, sign_in
from tests.sinks import code_in
from tests.wire import Wire


def completes(wire, proves, bob, **fields):
    """Verify the mailbox again and complete the recovery."""
    return wire.post("/recover/complete", proof=proof_in(proves(wire, bob.email)), **fields)


def test_recovery_removes_lost_factors_and_signs_the_owner_in(wire, bob, proves, starts, clock, rows):
    assert state_in(starts(wire, bob.email)) == "waiting"
    clock.shift(WAIT + 1)
    back = wire.elsewhere()
    standing = proves(back, bob.email)
    assert state_in(standing) == "ready"
    done = back.post("/recover/complete", proof=proof_in(standing), lost=["authenticator", "sms"])
    assert done.ok
    assert done.location in (None, "/us-setup")
    assert back.signed_in_as() == bob.email
    assert sorted(row.method for row in rows(Enrollment)) == ["email"]
    assert not any(row.is_second for row in rows(Enrollment))
    assert back.get("/us-setup").status == 200


@pytest.mark.both_databases
def test_owner_is_notified_at_start_the_day_before_and_at_completion(
    app, json_wire, bob, proves, starts, clock, mail_to, text_to, smtp, sms, deliver
):
    starts(json_wire, bob.email)
    assert "is being recovered" in mail_to(bob.email).subject
    assert "is being recovered" in text_to(bob.phone).text
    clock.shift(WAIT - 23 * HOUR)
    swept(app)
    assert "tomorrow" in mail_to(bob.email).subject
    swept(app)
    deliver()
    assert len([mail for mail in smtp.to(bob.email) if "tomorrow" in mail.subject]) == 1
    clock.shift(24 * HOUR)
    completes(json_wire, proves, bob, lost=["authenticator"])
    assert "was recovered" in mail_to(bob.email).subject


def swept(app) -> None:
    """Run what the worker does at each sweep."""
    from threading import Event

    from app.outbox import jobs

    with app.app_context():
        jobs.run_periodic_tasks(Event())


def test_recovery_cannot_be_completed_before_the_waiting_period_ends(wire, bob, proves, starts, clock, rows):
    proof = proof_in_start(wire, bob, starts)
    clock.shift(WAIT - 60)
    answer = wire.post("/recover/complete", proof=proof_in_code(wire, bob, proves))
    assert (answer.status, answer.codes) == (400, ["recovery_not_ready"])
    assert wire.post("/recover/complete", proof=proof).codes == ["recovery_proof_old"]
    assert [row.done_at for row in rows(Recovery)] == [None]
    assert wire.signed_in_as() is None


def proof_in_start(wire, bob, starts) -> str:
    """Start, and return the proof of it; on pages a proof like it."""
    from app.recovery.requests import proof_of

    starts(wire, bob.email)
    with wire.app.app_context():
        return proof_of(bob.id, "0" * 32)


def proof_in_code(wire, bob, proves) -> str:
    """Verify the mailbox; the waiting page has no token, so an equal one is created."""
    from app.challenges.models import Challenge
    from app.extensions import db
    from app.recovery.requests import proof_of

    assert state_in(proves(wire, bob.email)) == "waiting"
    with wire.app.app_context():
        answered = sa.select(Challenge.id).where(Challenge.purpose == "recovery").order_by(Challenge.created_at.desc())
        return proof_of(bob.id, db.session.scalars(answered).first() or "")


def test_recovery_expires_a_week_after_the_waiting_period(wire, bob, proves, starts, clock):
    starts(wire, bob.email)
    clock.shift(WAIT + 7 * 24 * HOUR + 1)
    assert state_in(proves(wire, bob.email)) == "start"


@pytest.mark.both_databases
def test_completion_ends_all_other_sessions_and_removes_recovery_codes(
    app, json_wire, program, bob, proves, starts, clock, rows
):
    elsewhere = sign_in(Wire(app, "form"), bob, via="email,authenticator")
    give_token(program, bob)
    with_codes = sign_in(Wire(app, "json"), bob, via="email,authenticator")
    with_codes.post("/us-verify", passcode=bob.app_code())
    assert with_codes.post("/mf-recovery-codes").ok
    starts(json_wire, bob.email)
    clock.shift(WAIT + 1)
    open_before = sign_in(Wire(app, "form"), bob)
    assert completes(json_wire, proves, bob, lost=["authenticator"]).ok
    assert [each.signed_in_as() for each in (elsewhere, program, with_codes, open_before)] == [None] * 4
    assert rows(RecoveryCode) == []
    assert len([row for row in rows(AuthSession) if row.revoked_at is None]) == 1


@pytest.mark.both_databases
def test_factors_not_lost_are_kept_but_no_longer_second_factors(json_wire, people, proves, starts, clock, rows):
    eve = people.open(
        email="eve@example.com", phone="+16502530002", methods=["email", "sms", "authenticator"], second="authenticator"
    )
    starts(json_wire, eve.email)
    clock.shift(WAIT + 1)
    assert completes(json_wire, proves, eve, lost=["authenticator"]).ok
    left = rows(Enrollment)
    assert sorted(row.method for row in left) == ["email", "sms"]
    assert not any(row.is_second for row in left)
    assert "phone" in {row.kind for row in rows(Identity)}
    assert rows(Passkey) == []


@pytest.mark.settings(second_factor="required")
def test_completion_requires_second_factor_enrollment_when_required(json_wire, bob, proves, starts, clock):
    starts(json_wire, bob.email)
    clock.shift(WAIT + 1)
    answer = completes(json_wire, proves, bob, lost=["authenticator", "sms"])
    assert (answer.json["tf_required"], answer.json["tf_state"]) == (True, "setup_from_login")
    assert json_wire.signed_in_as() is None


@pytest.mark.both_databases
def test_recovery_can_be_completed_only_once(json_wire, bob, proves, starts, clock):
    starts(json_wire, bob.email)
    clock.shift(WAIT + 1)
    proof = proof_in(proves(json_wire, bob.email))
    assert json_wire.post("/recover/complete", proof=proof, lost=["authenticator"]).ok
    other = json_wire.elsewhere()
    assert other.post("/recover/complete", proof=proof).codes == ["recovery_over"]
    assert other.signed_in_as() is None


def test_proof_expires_after_ten_minutes(wire, bob, proves, clock, rows):
    proof = proof_in(proves(wire, bob.email))
    clock.shift(601)
    answer = wire.post("/recover/start", proof=proof)
    assert (answer.status, answer.codes) == (400, ["recovery_proof_old"])
    assert rows(Recovery) == []


@pytest.mark.one_database
@pytest.mark.parametrize("proof", ["", "x", "v1.00000000.AAAAAAAAAAAAAAAA.AAAAAAAAAAAAAAAAAAAAAA", "\ud800", "é" * 50])
def test_malformed_proof_is_rejected(json_wire, bob, proof, rows):
    assert json_wire.post("/recover/start", proof=proof).status == 400
    assert rows(Recovery) == []


def test_email_only_account_needs_no_recovery(wire, people, proves, rows):
    ada = people.open(email="ada@example.com")
    assert state_in(proves(wire, ada.email)) == "not_needed"
    from app.recovery.requests import proof_of

    with wire.app.app_context():
        proof = proof_of(ada.id, "0" * 32)
    assert wire.post("/recover/start", proof=proof).status == 400
    assert rows(Recovery) == []


@pytest.mark.one_database
def test_recover_page_suggests_recovery_codes_for_the_second_step(app, browser_wire, bob, proves):
    made = sign_in(Wire(app, "json"), bob, via="email,authenticator")
    made.post("/us-verify", passcode=bob.app_code())
    made.post("/mf-recovery-codes")
    page = proves(browser_wire, bob.email).text
    assert "You have 10 recovery codes left." in page
    assert "use it for the second step" in page


@pytest.mark.one_database
def test_recover_page_suggests_recovery_codes_for_reauthentication(browser_wire, people, proves):
    ada = people.open(email="ada@example.com", methods=["email", "authenticator"])
    people.give_codes(ada)
    page = proves(browser_wire, ada.email).text
    assert "use it when we ask you to confirm it's you" in page
    assert "second step" not in page


def test_only_one_recovery_can_be_open(wire, bob, proves, starts, rows):
    starts(wire, bob.email)
    assert state_in(proves(wire.elsewhere(), bob.email)) == "waiting"
    assert len(rows(Recovery)) == 1


@pytest.mark.both_databases
def test_recoveries_are_limited_to_three_in_thirty_days(json_wire, bob, proves, starts, clock, rows):
    for _ in range(3):
        assert state_in(starts(json_wire, bob.email)) == "waiting"
        assert sign_in(json_wire.elsewhere(), bob).post("/recover/stop").json["cancelled"] is True
        clock.shift(2 * HOUR)
    assert state_in(proves(json_wire, bob.email)) == "capped"
    clock.shift(30 * 24 * HOUR)
    assert state_in(starts(json_wire, bob.email)) == "waiting"
    assert len(rows(Recovery)) == 4


def test_recovery_is_audited_and_listed_on_the_activity_page(json_wire, bob, proves, starts, clock, rows):
    starts(json_wire, bob.email)
    clock.shift(WAIT + 1)
    completes(json_wire, proves, bob, lost=["authenticator"])
    names = [event.name for event in rows(Event, user_id=bob.id)]
    assert {"recovery.started", "recovery.completed", "factor.removed"} <= set(names)
    told = {event["event"]: event["text"] for event in json_wire.get("/activity").json["events"]}
    assert told["recovery.started"] == "Account recovery started by email"


@pytest.mark.one_database
@pytest.mark.settings(recovery_starts=0)
@pytest.mark.parametrize("path", ["", "/prove", "/start", "/complete"])
def test_disabled_recovery_returns_404_and_is_not_linked(wire, path):
    assert wire.post(f"/recover{path}", identity="a@example.com", passcode="12345678", proof="x").status == 404
    assert "/recover" not in wire.get("/us-signin").text


def test_disabled_account_cannot_complete_recovery(json_wire, app, bob, starts, proves, clock):
    starts(json_wire, bob.email)
    clock.shift(WAIT + 1)
    proof = proof_in(proves(json_wire, bob.email))
    app.test_cli_runner().invoke(args=["users", "disable", bob.email])
    assert json_wire.post("/recover/complete", proof=proof).codes == ["recovery_proof_old"]
    assert json_wire.signed_in_as() is None


@pytest.mark.one_database
def test_recovery_and_sign_in_codes_are_not_interchangeable(json_wire, bob, mail_to):
    json_wire.post("/recover", identity=bob.email)
    code = code_in(mail_to(bob.email))
    assert json_wire.post("/us-signin", identity=bob.email, passcode=code).status == 400
    json_wire.post("/us-signin/send-code", identity=bob.email, chosen_method="email")
    other = code_in(mail_to(bob.email))
    assert json_wire.post("/recover/prove", identity=bob.email, passcode=other).status == 400
    assert json_wire.post("/recover/prove", identity=bob.email, passcode=code).ok


@pytest.mark.one_database
def test_recoveries_are_pruned_once_they_no_longer_count_toward_the_limit(app, json_wire, bob, starts, clock, rows):
    from app.recovery.requests import prune_recoveries

    starts(json_wire, bob.email)
    for days, left in ((36, 1), (5, 0)):
        clock.shift(days * 24 * HOUR)
        with app.app_context():
            prune_recoveries()
        assert len(rows(Recovery)) == left


@pytest.mark.one_database
@pytest.mark.settings(recovery_wait=36 * HOUR)
def test_short_waiting_period_sends_no_reminder(app, json_wire, bob, starts, deliver, smtp, clock):
    starts(json_wire, bob.email)
    clock.shift(20 * HOUR)
    swept(app)
    deliver()
    assert not any("tomorrow" in mail.subject for mail in smtp.to(bob.email))


@pytest.mark.parametrize(
    ("lost", "code"),
    [([f"x{number}" for number in range(4000)], "api_error"), (["authenticator", "pigeon"], "invalid_choice")],
)
def test_invalid_lost_methods_are_rejected(wire, bob, proves, starts, clock, statements, rows, lost, code):
    starts(wire, bob.email)
    clock.shift(WAIT + 1)
    proof = proof_in(proves(wire, bob.email))
    with statements() as seen:
        answer = wire.post("/recover/complete", proof=proof, lost=lost)
    assert (answer.status, answer.codes) == (400, [code])
    assert len(seen) <= 2
    assert rows(Recovery)[0].done_at is None


def test_repeated_lost_method_counts_once(wire, bob, proves, starts, clock):
    starts(wire, bob.email)
    clock.shift(WAIT + 1)
    assert completes(wire, proves, bob, lost=["authenticator"] * 3000).ok


@pytest.mark.one_database
@pytest.mark.settings(recovery_wait=3600)
def test_page_announces_no_reminder_for_a_short_waiting_period(browser_wire, bob, proves, starts):
    assert "again a day before the end" not in proves(browser_wire, bob.email).text
    waiting = starts(browser_wire.elsewhere(), bob.email)
    assert state_in(waiting) == "waiting"
    assert "send you a reminder" not in waiting.text


@pytest.mark.one_database
def test_page_announces_a_reminder_for_a_long_waiting_period(browser_wire, bob, proves, starts):
    assert "again a day before the end" in proves(browser_wire, bob.email).text
    assert "We'll send you a reminder by email." in starts(browser_wire.elsewhere(), bob.email).text
