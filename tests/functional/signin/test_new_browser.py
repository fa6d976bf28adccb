"""A sign-in from a new browser: the owner is notified, and can end it from the email."""

from __future__ import annotations

from threading import Event

import pytest

from app.audit import Event as Happened
from app.outbox import Message
from app.sessions.models import AuthSession
from tests.sinks import code_in, denial_in

SUBJECT = "New sign-in to your"


@pytest.fixture
def new_browser_emails(app, deliver, smtp):
    """Returns the emails about new browsers, after running the worker's sweep and the outbox."""

    def sweep() -> list:
        from app.outbox import jobs

        with app.app_context():
            jobs.run_periodic_tasks(Event())
        deliver()
        return [mail for mail in smtp.mails if SUBJECT in mail.subject]

    return sweep


@pytest.fixture
def came_in(wire, ada, sign_in, clock):
    """Ada's first browser, and another one that has signed in a while later."""
    other = wire.elsewhere(agent="Mozilla/5.0 (iPhone) Safari/605", address="192.0.2.9")
    sign_in(ada.email)
    clock.shift(3600)
    sign_in(ada.email, by=other)
    return wire, other


def test_first_sign_in_of_a_new_account_sends_no_new_device_email(wire, ada, sign_in, new_browser_emails):
    sign_in(ada.email)
    assert new_browser_emails() == []


def test_confirming_a_registration_sends_no_new_device_email(wire, mail_to, new_browser_emails):
    from tests.sinks import code_in

    wire.post("/register", email="new@example.com")
    wire.post("/confirm", email="new@example.com", passcode=code_in(mail_to("new@example.com")))
    assert new_browser_emails() == []


def test_new_device_email_names_ip_address_and_device_and_links_to_not_me(came_in, ada, new_browser_emails):
    (mail,) = new_browser_emails()
    assert mail.to == [ada.email]
    for text in (mail.text, mail.html):
        assert "192.0.2.9" in text
        assert "iPhone" in text
        assert "Signed in from" in text
        assert "/not-me/s." in text


def test_sign_in_without_device_cookie_sends_new_device_email(
    wire, program, ada, sign_in, mail_to, new_browser_emails, clock
):
    sign_in(ada.email)
    clock.shift(3600)
    asked = program.post("/us-signin/send-code", identity=ada.email, chosen_method="email").json["challenge"]
    answer = program.post("/us-signin", identity=ada.email, passcode=code_in(mail_to(ada.email)), challenge=asked)
    assert "latchkey_session" in str(answer.headers.getlist("Set-Cookie"))
    assert len(new_browser_emails()) == 1


def test_first_browser_sign_in_after_api_client_use_sends_new_device_email(
    wire, program, ada, sign_in, mail_to, new_browser_emails, clock
):
    asked = program.post("/us-signin/send-code", identity=ada.email, chosen_method="email").json["challenge"]
    assert program.post("/us-signin", identity=ada.email, passcode=code_in(mail_to(ada.email)), challenge=asked).ok
    clock.shift(3600)
    sign_in(ada.email)
    assert len(new_browser_emails()) == 1


def test_first_browser_sign_in_to_an_older_account_sends_new_device_email(
    wire, ada, sign_in, new_browser_emails, clock
):
    clock.shift(2 * 24 * 3600)
    sign_in(ada.email)
    assert len(new_browser_emails()) == 1


def test_known_device_sign_in_sends_no_new_device_email(came_in, ada, sign_in, new_browser_emails, clock):
    first, other = came_in
    for browser in (first, other):
        browser.post("/logout")
        clock.shift(60)
        sign_in(ada.email, by=browser)
    assert len(new_browser_emails()) == 1


def test_new_device_report_ends_only_that_session(came_in, ada, new_browser_emails, rows):
    first, other = came_in
    path = denial_in(new_browser_emails()[0])
    assert first.get(path).status == 200
    assert other.signed_in_as() == ada.email
    for _ in range(2):
        assert first.elsewhere().post(path, sure="y").status == 200
    assert (first.signed_in_as(), other.signed_in_as()) == (ada.email, None)
    assert sum(session.revoked_at is None for session in rows(AuthSession)) == 1


@pytest.mark.settings(denied_penalty=0)
def test_new_device_report_works_after_that_session_signed_out(came_in, ada, sign_in, new_browser_emails, rows, clock):
    first, other = came_in
    path = denial_in(new_browser_emails()[0])
    other.post("/logout")
    owner = first.elsewhere()
    assert owner.get(path).json.get("state", "asked") == "asked"
    for _ in range(2):
        assert owner.post(path, sure="y").ok
    assert len(rows(Happened, name="link.denied_by_user")) == 1
    clock.shift(3600)
    sign_in(ada.email, by=other)
    assert len(new_browser_emails()) == 2


def test_session_of_a_reported_code_request_shows_as_denied(came_in, new_browser_emails, smtp):
    path = denial_in(new_browser_emails()[0])
    codes = [mail for mail in smtp.mails if SUBJECT not in mail.subject]
    owner = came_in[0].elsewhere()
    assert owner.post(denial_in(codes[-1]), sure="y").ok
    assert owner.get(path).json.get("state", "denied") == "denied"


def test_account_without_email_gets_no_new_device_email(wire, people, clock, rows, new_browser_emails):
    eve = people.open(username="eve", methods=["authenticator"])
    for browser in (wire, wire.elsewhere()):
        assert browser.post("/us-signin", identity="eve", passcode=eve.app_code()).ok
        clock.shift(60)
    assert new_browser_emails() == []
    assert rows(Message, kind="new_device") == []
    assert not any(session.untold for session in rows(AuthSession))


def test_new_device_notifications_beyond_one_batch_are_sent_in_one_run(came_in, app, rows):
    import sqlalchemy as sa

    from app.extensions import db
    from app.notifications.notices import SESSIONS_PER_BATCH
    from app.outbox import jobs

    table = AuthSession.__table__
    with app.app_context():
        found = db.session.execute(sa.select(table).where(table.c.untold).limit(1)).one()
        row = dict(zip(table.c.keys(), found, strict=True))
        del row["id"]
        copies = [row | {"digest": f"{number:064}"} for number in range(2 * SESSIONS_PER_BATCH + 50)]
        db.session.execute(sa.insert(table), copies)
        db.session.commit()
        jobs.run_periodic_tasks(Event())
    assert rows(AuthSession, untold=True) == []
    assert len(rows(Message, kind="new_device")) == len(copies) + 1
