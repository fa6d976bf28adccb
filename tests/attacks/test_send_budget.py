"""Send limits during a flood of requests, counted at the mailboxes; the responses never change."""

from __future__ import annotations

from datetime import timedelta
from threading import Barrier, Thread

import pytest
import sqlalchemy as sa
from structlog.testing import capture_logs

from app import clock as house_clock
from app.audit import Event
from app.challenges.models import Challenge
from app.crypto import secrets
from app.extensions import db
from app.outbox import Message
from app.users import User
from tests.sinks import code_in
from tests.wire import Program

pytestmark = pytest.mark.both_databases

SEND = "/us-signin/send-code"
EASY = {"failures_per_address": 10**6, "starts_per_address": 10**6}
HOUR = 3600
easy = pytest.mark.settings(**EASY)


@pytest.fixture
def crowd(people):
    """Creates that many accounts with email addresses, or with numbers that begin with a prefix."""

    def come(count: int, numbers: str = "") -> list:
        if numbers:
            return [people.open(phone=f"{numbers}{number:03}") for number in range(count)]
        return [people.open(email=f"person{number}@example.com") for number in range(count)]

    return come


@pytest.fixture
def ask(json_wire):
    """Requests a code for each of these people, from separate browsers and IP addresses; returns the responses."""

    def each(crowd, method: str = "email") -> list:
        answers = []
        for number, person in enumerate(crowd):
            browser = json_wire.elsewhere(address=f"198.51.{number // 250}.{number % 250}")
            answers.append(browser.post(SEND, identity=person.email or person.phone, chosen_method=method))
        return answers

    return each


def exhausted(rows) -> list[str]:
    """Return which send limits were recorded as used up."""
    return [event.facts["budget"] for event in rows(Event, name="budget.exhausted")]


@pytest.mark.one_database
@pytest.mark.settings(mails_per_hour_overall=10**6, open_challenges=100)
def test_flood_of_code_requests_is_limited_per_ip_address_and_account(json_wire, crowd, deliver, smtp):
    accounts, addresses = 25, 10
    people, statuses = crowd(accounts), []
    for number in range(500):
        browser = json_wire.elsewhere(address=f"203.0.113.{number % addresses}")
        person = people[number % accounts]
        statuses.append(browser.post(SEND, identity=person.email, chosen_method="email").status)
    deliver()
    assert statuses.count(200) == addresses * 20, "twenty starts for each address"
    assert statuses.count(429) == 500 - addresses * 20
    assert len(smtp.mails) == accounts * 5, "five mails for each account"
    assert json_wire.elsewhere(address="192.0.2.1").post(SEND, identity="x@example.com", chosen_method="email").ok


@pytest.mark.settings(mails_per_hour_overall=6, **EASY)
def test_total_mails_per_hour_are_limited_across_accounts(crowd, ask, deliver, clock, rows):
    people = crowd(10)
    assert {answer.status for answer in ask(people)} == {200}
    assert len(deliver()) == 6
    assert exhausted(rows) == ["mail_overall"]
    clock.shift(HOUR + 1)
    ask(people)
    assert len(deliver()) == 6
    assert exhausted(rows) == ["mail_overall"] * 2


@pytest.mark.settings(mails_per_hour_overall=6, **EASY)
def test_registrations_may_use_at_most_half_of_the_total_mail_limit(app, crowd, ask, deliver, rows):
    for number in range(10):
        Program(app).post("/register", email=f"made-up-{number}@example.com")
    assert len(deliver()) == 3
    ask(crowd(5))
    assert len(deliver()) == 3
    assert exhausted(rows) == ["mail_strangers", "mail_overall"]


@pytest.mark.settings(mails_per_hour_overall=0)
def test_default_total_mail_limit_grows_with_confirmed_accounts(app, people):
    from app.throttling import service_totals

    people.open(email="ada@example.com")
    with app.app_context():
        assert [service_totals.most_of("mail", which) for which in ("overall", "strangers")] == [600, 300]
        now = house_clock.now()
        made_up = [{"confirmed_at": now if number % 4 else None} for number in range(12_000)]
        db.session.execute(sa.insert(User), made_up)
        db.session.commit()
        app.extensions.pop("latchkey.accounts")
        assert service_totals.most_of("mail", "overall") == 9001, "those that somebody has confirmed"
        assert service_totals.most_of("mail", "strangers") == 450, "which grows with a tenth of them"
        assert service_totals.most_of("sms", "overall") == 200


@pytest.mark.settings(mails_per_hour_overall=10, **EASY)
def test_nearly_exhausted_total_mail_limit_is_reported(app, crowd, ask, deliver):
    people = crowd(12)

    def said():
        lines = app.test_cli_runner().invoke(args=["doctor"]).stdout.splitlines()
        return next(line for line in lines if line.split()[1:2] == ["budgets"])

    def ask_and_hear(some):
        ask(some)
        with capture_logs() as lines:
            deliver()
        return [(line["event"], line["setting"]) for line in lines if line["event"].startswith("budget.")]

    setting = "LATCHKEY_MAILS_PER_HOUR_OVERALL"
    assert ask_and_hear(people[:7]) == []
    assert said().startswith("ok")
    assert "7 of 10 used" in said()
    assert ask_and_hear(people[7:9]) == [("budget.nearly_exhausted", setting)]
    assert said().startswith("note")
    assert ask_and_hear(people[9:]) == [("budget.exhausted", setting)]
    assert said().startswith("fix")
    assert setting in said()


@pytest.mark.settings(mails_per_hour_overall=3, **EASY)
def test_exhausted_total_mail_limit_does_not_affect_known_browsers(
    json_wire, people, crowd, ask, deliver, mail_to, clock
):
    ada, own = people.open(email="ada@example.com"), json_wire
    own.post(SEND, identity=ada.email, chosen_method="email")
    assert own.post("/us-signin", identity=ada.email, passcode=code_in(mail_to(ada.email))).ok
    own.post("/logout")
    clock.shift(HOUR + 1)
    ask(crowd(5))
    assert len(deliver()) == 3
    own.post(SEND, identity=ada.email, chosen_method="email")
    assert [mail.to for mail in deliver()] == [[ada.email]]


@pytest.mark.settings(mails_per_hour_overall=2, **EASY)
def test_limit_window_started_in_the_future_is_ignored(crowd, ask, deliver, clock):
    people = crowd(4)
    with clock.travel(30 * 24 * HOUR):
        ask(people[:3])
        assert len(deliver()) == 2
    ask(people[3:])
    assert [people[3].email] in [mail.to for mail in deliver()]


@pytest.mark.settings(mails_per_hour_overall=2, **EASY)
def test_response_is_the_same_when_the_mail_is_withheld(crowd, ask, deliver):
    answers = ask(crowd(4))
    deliver()
    assert {tuple(sorted(answer.json)) for answer in answers} == {tuple(sorted(answers[0].json))}


@pytest.mark.settings(mails_per_hour_overall=2, **EASY)
def test_code_requests_for_unknown_users_do_not_use_the_total_mail_limit(json_wire, crowd, ask, deliver):
    for number in range(10):
        json_wire.elsewhere().post(SEND, identity=f"nobody{number}@example.com", chosen_method="email")
    ask(crowd(2))
    assert len(deliver()) == 2


@pytest.mark.settings(mails_per_hour_overall=2, **EASY)
def test_retried_mail_counts_once_towards_the_total_limit(crowd, ask, deliver, smtp, clock):
    smtp.mode = "busy"
    people = crowd(2)
    ask(people)
    for _ in range(3):
        deliver()
        clock.shift(20)
    smtp.mode = "ok"
    clock.shift(130)
    deliver()
    assert len(smtp.mails) == 2


@pytest.mark.settings(sms_per_day_overall=3, sms_breaker_sends=100, **EASY)
def test_total_texts_per_day_are_limited_across_numbers(crowd, ask, deliver, clock, rows):
    people = crowd(5, "+447400123")
    assert {answer.status for answer in ask(people, "sms")} == {200}
    assert len(deliver()) == 3
    assert exhausted(rows) == ["sms_overall"]
    clock.shift(24 * HOUR + 1)
    ask(people, "sms")
    assert len(deliver()) == 3


@pytest.mark.settings(sms_countries="DE,fr", **EASY)
def test_texts_are_sent_only_to_allowed_countries(people, ask, deliver, sms):
    numbers = ["+4915112345678", "+33612345678", "+447400123456", "+12025550123"]
    answers = ask([people.open(phone=number) for number in numbers], "sms")
    deliver()
    assert {answer.status for answer in answers} == {200}
    assert sorted(text.to for text in sms.texts) == ["+33612345678", "+4915112345678"]


def sent_before(app, person, times: int, used: int) -> None:
    """Record text messages sent to a range of numbers within the hour, that many of them with used codes."""
    now = house_clock.now()
    with app.app_context():
        for number in range(times):
            row = {"id": secrets.row_id(), "purpose": "sign_in", "method": "sms", "subject": "x", "binding": "x"}
            row |= {"destination": "", "address": "", "agent": "", "tag": "", "last_sent_at": now - timedelta(days=2)}
            row |= {"passcode_expires_at": now, "expires_at": now, "spent_at": now if number < used else None}
            db.session.add(Challenge(**row))
            texted = {"to": f"{person.phone[:-3]}{number:03}", "channel": "sms", "state": "sent", "sent_at": now}
            db.session.add(Message(kind="sign_in", facts={}, challenge_id=row["id"], **texted))
        db.session.commit()


@easy
@pytest.mark.parametrize(("times", "used", "leaves"), [(60, 0, 0), (49, 0, 1), (60, 12, 1), (60, 11, 0)])
def test_unused_texts_trip_the_breaker_of_their_range_and_country(app, crowd, ask, deliver, rows, times, used, leaves):
    people = crowd(1, "+447400123")
    sent_before(app, people[0], times, used)
    assert ask(people, "sms")[0].status == 200
    assert len(deliver()) == leaves
    assert sorted(each.facts.get("to", "") for each in rows(Event, name="budget.exhausted")) == (
        [] if leaves else ["+4474001", "GB"]
    )


@easy
def test_sms_breaker_does_not_affect_other_countries(app, crowd, people, ask, deliver):
    sent_before(app, crowd(1, "+447400123")[0], 60, 0)
    assert ask([people.open(phone="+4915112345678")], "sms")[0].status == 200
    assert len(deliver()) == 1


@easy
def test_sms_breaker_resets_after_an_hour(app, crowd, ask, deliver, clock, rows):
    people = crowd(3, "+447400123")
    sent_before(app, people[0], 60, 0)
    ask(people[:1], "sms")
    clock.shift(HOUR - 60)
    ask(people[1:2], "sms")
    assert deliver() == []
    clock.shift(HOUR)
    ask(people[2:], "sms")
    assert len(deliver()) == 1
    assert len(rows(Event, name="budget.exhausted")) == 2, "one for the range, one for the country"


@easy
@pytest.mark.parametrize(("method", "most"), [("email", 5), ("sms", 3)])
def test_concurrent_code_requests_cannot_exceed_the_send_limit(app, people, rows, method, most):
    person, barrier = people.open(email="ada@example.com", phone="+447400123456"), Barrier(16)

    def ask_at_once(number: int) -> None:
        program = Program(app, address=f"203.0.113.{number}")
        barrier.wait()
        program.post(SEND, identity=person.email, chosen_method=method)

    threads = [Thread(target=ask_at_once, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(rows(Message, decoy=False)) == most
    assert sum(challenge.sends for challenge in rows(Challenge)) == most


@pytest.mark.settings(methods=["email", "sms", "password"], sms_known_browser=1, **EASY)
def test_concurrent_second_factor_requests_cannot_exceed_the_send_limit(app, people, rows):
    secret = "a short sentence is good"
    given = {"phone": "+447400123456", "password": secret, "methods": ["password", "sms"], "second": "sms"}
    ada, barrier = people.open(email="ada@example.com", **given), Barrier(8)

    def begin_at_once(number: int) -> None:
        program = Program(app, address=f"203.0.113.{number}")
        barrier.wait()
        assert program.post("/us-signin", identity=ada.email, passcode=secret).json["tf_required"]

    threads = [Thread(target=begin_at_once, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(rows(Message, decoy=False)) == 3 + 1, "three for anybody, and one more for who has proved something"
    assert sum(challenge.sends for challenge in rows(Challenge)) == 3 + 1
