"""Suppressed addresses: who gets no mail, who is told, and how it ends."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest

from tests.functional.bounces.conftest import sendgrid_event
from tests.sinks import code_in

ADA = "ada@example.com"


NEW_KEY = "for-tests-alone-too-9c2e5d71a8f04b36b7d0c3e1f6a59824"


@pytest.fixture
def ada(people):
    return people.open(email=ADA, methods=["email"])


@pytest.fixture
def report(app):
    """Has a provider report something: ``report("hard")``. Each report is another one."""
    count = 0

    def take(kind="hard", address=ADA, code="5.1.1"):
        from app.extensions import db
        from app.outbox import suppressions

        nonlocal count
        count += 1
        with app.app_context():
            suppressions.process_reports([suppressions.Report(address, kind, "test", str(count), code)])
            db.session.commit()

    return take


@pytest.fixture
def suppressed(app):
    """Returns whether an address gets no mail."""

    def ask(address=ADA):
        from app.outbox import suppressions

        with app.app_context():
            return suppressions.reasons_for({address}).get(address, "")

    return ask


@pytest.fixture
def sweep(app):
    """Runs the periodic tasks of a worker."""
    import threading

    from app.outbox import jobs

    def run():
        with app.app_context():
            jobs.run_periodic_tasks(threading.Event())

    return run


def ask_for_code(wire, identity=ADA):
    return wire.post("/us-signin/send-code", identity=identity, chosen_method="email")


@pytest.mark.parametrize("kind", ["hard", "complaint"])
def test_mail_to_a_suppressed_address_is_dropped_with_the_reason(ada, json_wire, report, deliver, rows, kind):
    from app.audit import Event
    from app.outbox import Message

    report(kind)
    assert ask_for_code(json_wire).status == 200
    assert deliver() == []
    (message,) = rows(Message)
    assert (message.state, message.last_error) == ("dropped", f"address suppressed ({kind} 5.1.1)")
    (event,) = rows(Event, name="delivery.failed")
    assert event.facts["reason"] == f"address suppressed ({kind} 5.1.1)"
    assert event.user_id == ada.id


@pytest.mark.both_databases
def test_notices_go_to_the_other_addresses_of_the_account(app, people, report, deliver, smtp, clock):
    from app.client import ClientContext
    from app.extensions import db
    from app.notifications import notices
    from app.notifications.notices import sentence
    from app.users import Identity

    ada = people.open(email=ADA)
    report("hard")
    other = Identity(user_id=ada.id, kind="email", value="ada@b.example", is_primary=False, confirmed_at=clock.now())
    with app.test_request_context():
        db.session.add(other)
        db.session.flush()
        notices.notify(ada.id, sentence("Something changed."), ClientContext("", "127.0.0.1", "x"))
        db.session.commit()
    deliver()
    assert [mail.to for mail in smtp.mails] == [["ada@b.example"]]


@pytest.mark.both_databases
@pytest.mark.settings(soft_bounces=3, soft_bounce_span=timedelta(days=7))
def test_several_soft_bounces_within_the_span_suppress_the_address(ada, report, suppressed, clock):
    report("soft", code="4.2.2")
    clock.shift(8 * 86400)
    report("soft", code="4.2.2")
    report("soft", code="4.2.2")
    assert not suppressed()
    report("soft", code="4.2.2")
    assert suppressed() == "address suppressed (soft 4.2.2)"
    clock.shift(7 * 86400 + 1)
    assert not suppressed()


@pytest.mark.both_databases
@pytest.mark.settings(suppress_for=timedelta(days=30))
def test_suppression_expires(ada, json_wire, report, suppressed, deliver, clock):
    report()
    clock.shift(30 * 86400 - 10)
    assert suppressed()
    clock.shift(11)
    assert not suppressed()
    ask_for_code(json_wire)
    assert len(deliver()) == 1


@pytest.mark.both_databases
def test_repeated_bounces_extend_the_suppression_and_record_one_event(ada, report, rows, clock):
    from app.audit import Event
    from app.outbox.models import Suppression

    report()
    (first,) = rows(Suppression)
    clock.shift(86400)
    report("soft")
    report("complaint")
    (second,) = rows(Suppression)
    assert timedelta(0) <= second.until - first.until - timedelta(days=1) < timedelta(seconds=5)
    assert second.kind == "complaint"
    assert len(rows(Event, name="address.suppressed")) == 1


@pytest.mark.both_databases
def test_suppressions_command_lists_and_lifts(app, ada, report, suppressed, rows):
    from app.audit import Event

    operate = app.test_cli_runner().invoke
    assert operate(args=["mail", "suppressions", "list"]).output == "No address is suppressed.\n"
    report()
    listed = operate(args=["mail", "suppressions", "list"]).output
    assert "a...@example.com" in listed
    assert ADA not in listed
    facts = json.loads(operate(args=["mail", "suppressions", "list", "--json"]).output)
    assert [(each["masked"], each["kind"]) for each in facts] == [("a...@example.com", "hard")]
    assert operate(args=["mail", "suppressions", "lift", " ADA@example.com"]).output == f"{ADA} gets mail again.\n"
    assert not suppressed()
    (event,) = rows(Event, name="address.unsuppressed")
    assert (event.user_id, event.facts) == (ada.id, {"by": "operator"})
    again = operate(args=["mail", "suppressions", "lift", ADA])
    assert (again.exit_code, again.output) == (1, f"Error: {ADA} isn't suppressed.\n")
    assert operate(args=["mail", "suppressions", "lift", "ada"]).exit_code == 2


@pytest.mark.both_databases
@pytest.mark.settings(soft_bounces=2)
def test_soft_bounces_before_lifting_no_longer_count(app, ada, report, suppressed):
    report("soft")
    report("soft")
    assert suppressed()
    app.test_cli_runner().invoke(args=["mail", "suppressions", "lift", ADA])
    report("soft")
    assert not suppressed()
    report("soft")
    assert suppressed()


@pytest.mark.both_databases
def test_report_repeated_after_lifting_does_not_suppress_again(app, ada, hooks, suppressed):
    hooks.sendgrid([sendgrid_event()])
    app.test_cli_runner().invoke(args=["mail", "suppressions", "lift", ADA])
    hooks.sendgrid([sendgrid_event()])
    assert not suppressed()


def test_entering_a_mailed_code_lifts_the_suppression(ada, wire, mail_to, report, suppressed, sweep, rows, clock):
    from app.audit import Event

    ask_for_code(wire)
    code = code_in(mail_to(ADA))
    report("soft")
    report("hard")
    sweep()
    assert suppressed(), "that it was asked for proves nothing"
    clock.shift(1)
    assert wire.post("/us-signin", identity=ADA, passcode=code).ok
    sweep()
    assert not suppressed()
    assert [event.facts["by"] for event in rows(Event, name="address.unsuppressed")] == ["proved"]


@pytest.mark.both_databases
def test_sign_in_by_another_method_does_not_lift_the_suppression(people, json_wire, report, suppressed, sweep, clock):
    ada = people.open(email=ADA, methods=["authenticator"])
    report()
    clock.shift(60)
    assert json_wire.post("/us-signin", identity=ADA, passcode=ada.app_code()).ok
    sweep()
    assert suppressed()


TOLD = "deliver email to this address lately. Check it, or use another sign-in method."
UNDELIVERED = "deliver email to this address lately, so we stopped sending it."


@pytest.fixture
def known(ada, browser_wire, mail_to, clock):
    """A browser that Ada has signed in with, and out again."""
    return known_to(ADA, browser_wire, mail_to, clock)


def known_to(identity, wire, mail_to, clock):
    """Sign in with a browser and out again; return it."""
    ask_for_code(wire, identity)
    assert wire.post("/us-signin", identity=identity, passcode=code_in(mail_to(identity))).ok
    wire.post("/logout")
    clock.shift(60)
    return wire


def test_known_browser_sees_that_mail_is_suppressed(known, report):
    report()
    page = known.follow(ask_for_code(known))
    assert TOLD in page.text


def test_known_browser_sees_no_warning_without_a_suppression(known):
    assert TOLD not in known.follow(ask_for_code(known)).text


def test_unknown_browser_does_not_learn_about_a_suppression(known, report, people):
    report()
    people.open(email="grace@example.com")
    stranger = known.elsewhere()
    assert TOLD not in stranger.follow(ask_for_code(stranger)).text


def test_known_browser_of_another_account_does_not_learn_about_a_suppression(
    ada, people, browser_wire, mail_to, report, clock
):
    people.open(email="grace@example.com", methods=["email"])
    known_to("grace@example.com", browser_wire, mail_to, clock)
    report()
    assert TOLD not in browser_wire.follow(ask_for_code(browser_wire)).text


def test_json_reports_undelivered_only_to_a_known_browser(ada, json_wire, mail_to, report, clock):
    known_to(ADA, json_wire, mail_to, clock)
    report()
    assert ask_for_code(json_wire).json["undelivered"] is True
    assert "undelivered" not in ask_for_code(json_wire.elsewhere()).json


@pytest.mark.both_databases
def test_identities_page_shows_suppressed_addresses_to_their_owner(ada, browser_wire, json_wire, report):
    from tests.signed_in import sign_in

    sign_in(browser_wire, ada)
    assert UNDELIVERED not in browser_wire.get("/identities").text
    report()
    assert UNDELIVERED in browser_wire.get("/identities").text
    (one,) = sign_in(json_wire, ada).get("/identities").json["identities"]
    assert one["undelivered"] is True


@pytest.mark.both_databases
def test_suppressions_survive_key_rotation(app, make_app, ada, report, suppressed, settings_values):
    report()
    rotated = make_app(secret_keys=f"{NEW_KEY},{settings_values['secret_keys']}")
    from app.outbox import suppressions

    with rotated.app_context():
        assert suppressions.reasons_for({ADA})


@pytest.mark.both_databases
def test_expired_suppressions_and_bounces_are_pruned(app, ada, report, rows, clock):
    from app.outbox import suppressions
    from app.outbox.models import Bounce, Suppression

    report()
    with app.app_context():
        assert (suppressions.prune_suppressions(), suppressions.prune_bounces()) == (0, 0)
        clock.shift(98 * 86400)
        assert (suppressions.prune_suppressions(), suppressions.prune_bounces()) == (1, 1)
    assert (rows(Bounce), rows(Suppression)) == ([], [])


@pytest.mark.both_databases
def test_doctor_reports_bounces_and_complaints(app, ada, report, people):
    operate = app.test_cli_runner().invoke
    assert "0 bounced and 0 were reported as spam" in operate(args=["doctor"]).output
    report()
    report("complaint")
    told = operate(args=["doctor"]).output
    assert "1 bounced and 1 were reported as spam in the last day; 1 suppressed" in told
    assert "note  bounces" not in told
    for _ in range(20):
        report("soft")
    assert "note  bounces" in operate(args=["doctor"]).output
