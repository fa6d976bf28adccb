"""What an SMS provider answers, and what becomes of the message: nobody pays twice, and none is given up too soon."""

from __future__ import annotations

from datetime import timedelta
from email.utils import format_datetime

import pytest

from tests.sinks import until

NUMBERS = [f"+1650253{number:04}" for number in range(20)]


def wait_of(message, clock):
    return (message.next_attempt_at - clock.now()).total_seconds()


@pytest.mark.parametrize("status", [429, 503])
def test_a_provider_that_is_busy_is_asked_when_it_says_and_no_earlier(post, attempt, clock, sms, row, status):
    sms.refusals = [(status, {"Retry-After": "120"})] * 7
    message_id = post("sms", expires_at=clock.now() + timedelta(seconds=3600))
    for asked in range(1, 8):
        assert not attempt(message_id)
        assert sms.attempts == asked
        assert (row(message_id).state, row(message_id).attempts) == ("waiting", 0)
        assert row(message_id).last_error == f"provider asks to wait ({status})"
        assert 118 < wait_of(row(message_id), clock) <= 120
        clock.shift(118)
        assert not attempt(message_id), "it is not due"
        assert sms.attempts == asked
        clock.shift(2.1)
    assert attempt(message_id)


@pytest.mark.parametrize("ahead", [0, 300, None])
def test_a_date_to_come_again_is_read_by_the_providers_clock(post, attempt, clock, sms, row, ahead):
    theirs = clock.now() + timedelta(seconds=ahead or 0)
    headers = {"Retry-After": format_datetime(theirs + timedelta(seconds=40), usegmt=True)}
    headers["Date"] = "unknown" if ahead is None else format_datetime(theirs, usegmt=True)
    sms.refusals = [(429, headers)]
    message_id = post("sms")
    assert not attempt(message_id)
    assert 37 < wait_of(row(message_id), clock) <= 40


def test_a_provider_that_says_no_time_is_asked_after_ever_longer_waits(post, attempt, clock, sms, row):
    sms.refusals = [(503, {})] * 8
    message_id = post("sms", expires_at=clock.now() + timedelta(seconds=3600))
    waits = []
    for _ in range(8):
        assert not attempt(message_id)
        waits.append(round(wait_of(row(message_id), clock)))
        clock.shift(waits[-1] + 1)
    assert waits == [1, 2, 4, 8, 16, 32, 60, 60]


@pytest.mark.parametrize("told", ["0", "Wed, 21 Oct 2015 07:28:00 GMT"])
def test_a_provider_that_says_to_come_at_once_again_and_again_is_not_hammered(post, attempt, clock, sms, row, told):
    sms.refusals = [(429, {"Retry-After": told})] * 4
    message_id = post("sms", expires_at=clock.now() + timedelta(seconds=3600))
    waits = []
    for _ in range(4):
        assert not attempt(message_id)
        waits.append(round(wait_of(row(message_id), clock)))
        clock.shift(waits[-1] + 1)
    assert waits == [1, 2, 4, 8]


@pytest.mark.parametrize("text", ["soon", "-5", "", "1e3", "Tue, 99 Nov 2026 25:00:00 GMT"])
def test_a_time_that_nobody_can_read_is_none(post, attempt, clock, sms, row, text):
    sms.refusals = [(429, {"Retry-After": text})]
    message_id = post("sms")
    assert not attempt(message_id)
    assert 0 < wait_of(row(message_id), clock) <= 1


def test_an_endless_wait_ends_after_an_hour(post, attempt, clock, sms, row):
    sms.refusals = [(429, {"Retry-After": "99999999999999"})]
    message_id = post("sms")
    assert not attempt(message_id)
    assert 3590 < wait_of(row(message_id), clock) <= 3600


def test_a_message_whose_code_ends_before_that_is_given_up(post, attempt, clock, sms, row):
    sms.refusals = [(429, {"Retry-After": "400"})]
    message_id = post("sms", expires_at=clock.now() + timedelta(seconds=300))
    assert not attempt(message_id)
    assert row(message_id).state == "abandoned"
    assert row(message_id).last_error.startswith("expired")


@pytest.mark.long
def test_a_provider_that_takes_one_a_second_gets_them_all(app, post, sms, rows, working):
    from app.outbox import Message

    sms.rate = 1.0
    for number in NUMBERS[:6]:
        post("sms", number)
    working(app)
    until(lambda: len(sms.texts) == 6, 25)
    until(lambda: len(rows(Message, state="sent")) == 6)
    assert len({text.to for text in sms.texts}) == 6


@pytest.mark.parametrize("status", [401, 402, 405, 301, 302, 307, 308])
def test_a_provider_that_refuses_us_stops_the_channel_and_no_message_is_given_up(
    post, attempt, clock, sms, row, caplog, status
):
    sms.refusals = [(status, {})] * 2
    first, second = post("sms", NUMBERS[0]), post("sms", NUMBERS[1])
    assert not attempt(first)
    assert not attempt(second)
    assert sms.attempts == 1
    for message_id in (first, second):
        assert (row(message_id).state, row(message_id).attempts) == ("waiting", 0)
        assert row(message_id).last_error == f"provider refuses us ({status})"
    clock.shift(31)
    assert not attempt(second)
    assert 55 < wait_of(row(second), clock) <= 65, "each time twice as long"
    clock.shift(66)
    assert attempt(first)
    assert attempt(second)


def test_what_is_forbidden_for_one_number_stops_no_other(post, attempt, clock, sms, row):
    sms.refusals = [(403, {})]
    forbidden, allowed = post("sms", NUMBERS[0]), post("sms", NUMBERS[1])
    assert not attempt(forbidden)
    assert attempt(allowed)
    assert row(forbidden).state == "waiting"
    assert 25 < wait_of(row(forbidden), clock) <= 30


def test_what_is_forbidden_for_two_in_a_row_stops_the_channel(post, attempt, clock, sms, row):
    sms.refusals = [(403, {})] * 2
    ids = [post("sms", number) for number in NUMBERS[:3]]
    for message_id in ids:
        assert not attempt(message_id)
    assert sms.attempts == 2
    assert row(ids[2]).last_error == "provider refuses us (403)"
    clock.shift(30.1)
    assert attempt(ids[2]), "others go before those that were turned away"


@pytest.mark.settings(sms_success=r'"status"\s*:\s*"(queued|sent)"')
def test_an_answer_that_does_not_look_like_success_is_none(post, attempt, clock, sms, row):
    sms.body = '{"status": "error", "reason": "no credit"}'
    message_id = post("sms")
    assert not attempt(message_id)
    assert (row(message_id).state, row(message_id).last_error) == ("waiting", "provider answered 202 without success")
    sms.body = '{"id": 1, "status": "queued"}'
    with clock.travel(1.1):
        assert attempt(message_id)


@pytest.mark.settings(sms_headers="X-Api-Key: k, e=y\nAuthorization: Bearer t0ken")
def test_headers_of_the_settings_go_with_each_message(post, attempt, sms):
    assert attempt(post("sms"))
    (text,) = sms.texts
    assert (text.headers["X-Api-Key"], text.headers["Authorization"]) == ("k, e=y", "Bearer t0ken")


def test_a_provider_whose_name_nobody_knows_is_called_so(make_app):
    from app.outbox.channels import sms
    from app.outbox.channels.attempt import Failed

    with make_app(sms_url="https://sms.invalid/send").app_context(), pytest.raises(Failed) as failed:
        sms.check()
    assert failed.value.reason == "provider's name not found"
    assert not failed.value.maybe_accepted
