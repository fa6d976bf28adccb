"""Responses of an SMS provider: nobody pays twice, and no message is given up too early."""

from __future__ import annotations

from datetime import timedelta
from email.utils import format_datetime

import pytest

from tests.sinks import until

NUMBERS = [f"+1650253{number:04}" for number in range(20)]


def wait_of(message, clock):
    return (message.next_attempt_at - clock.now()).total_seconds()


@pytest.mark.parametrize("status", [429, 503])
def test_busy_provider_is_retried_after_its_retry_after(post, attempt, clock, sms, row, status):
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
def test_retry_after_date_is_relative_to_the_providers_clock(post, attempt, clock, sms, row, ahead):
    theirs = clock.now() + timedelta(seconds=ahead or 0)
    headers = {"Retry-After": format_datetime(theirs + timedelta(seconds=40), usegmt=True)}
    headers["Date"] = "unknown" if ahead is None else format_datetime(theirs, usegmt=True)
    sms.refusals = [(429, headers)]
    message_id = post("sms")
    assert not attempt(message_id)
    assert 37 < wait_of(row(message_id), clock) <= 40


def test_busy_provider_without_retry_after_is_retried_with_backoff(post, attempt, clock, sms, row):
    sms.refusals = [(503, {})] * 8
    message_id = post("sms", expires_at=clock.now() + timedelta(seconds=3600))
    waits = []
    for _ in range(8):
        assert not attempt(message_id)
        waits.append(round(wait_of(row(message_id), clock)))
        clock.shift(waits[-1] + 1)
    assert waits == [1, 2, 4, 8, 16, 32, 60, 60]


@pytest.mark.parametrize("told", ["0", "Wed, 21 Oct 2015 07:28:00 GMT"])
def test_immediate_retry_after_still_backs_off(post, attempt, clock, sms, row, told):
    sms.refusals = [(429, {"Retry-After": told})] * 4
    message_id = post("sms", expires_at=clock.now() + timedelta(seconds=3600))
    waits = []
    for _ in range(4):
        assert not attempt(message_id)
        waits.append(round(wait_of(row(message_id), clock)))
        clock.shift(waits[-1] + 1)
    assert waits == [1, 2, 4, 8]


@pytest.mark.parametrize("text", ["soon", "-5", "", "1e3", "Tue, 99 Nov 2026 25:00:00 GMT"])
def test_malformed_retry_after_is_ignored(post, attempt, clock, sms, row, text):
    sms.refusals = [(429, {"Retry-After": text})]
    message_id = post("sms")
    assert not attempt(message_id)
    assert 0 < wait_of(row(message_id), clock) <= 1


def test_retry_after_is_capped_at_an_hour(post, attempt, clock, sms, row):
    sms.refusals = [(429, {"Retry-After": "99999999999999"})]
    message_id = post("sms")
    assert not attempt(message_id)
    assert 3590 < wait_of(row(message_id), clock) <= 3600


def test_message_expiring_before_the_retry_after_is_abandoned(post, attempt, clock, sms, row):
    sms.refusals = [(429, {"Retry-After": "400"})]
    message_id = post("sms", expires_at=clock.now() + timedelta(seconds=300))
    assert not attempt(message_id)
    assert row(message_id).state == "abandoned"
    assert row(message_id).last_error.startswith("expired")


@pytest.mark.long
def test_all_messages_reach_a_provider_limited_to_one_per_second(app, post, sms, rows, working):
    from app.outbox import Message

    sms.rate = 1.0
    for number in NUMBERS[:6]:
        post("sms", number)
    working(app)
    until(lambda: len(sms.texts) == 6, 25)
    until(lambda: len(rows(Message, state="sent")) == 6)
    assert len({text.to for text in sms.texts}) == 6


@pytest.mark.parametrize("status", [401, 402, 405, 301, 302, 307, 308])
def test_rejected_provider_account_pauses_the_channel_without_abandoning_messages(
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


def test_single_403_does_not_pause_the_channel(post, attempt, clock, sms, row):
    sms.refusals = [(403, {})]
    forbidden, allowed = post("sms", NUMBERS[0]), post("sms", NUMBERS[1])
    assert not attempt(forbidden)
    assert attempt(allowed)
    assert row(forbidden).state == "waiting"
    assert 25 < wait_of(row(forbidden), clock) <= 30


def test_two_consecutive_403_responses_pause_the_channel(post, attempt, clock, sms, row):
    sms.refusals = [(403, {})] * 2
    ids = [post("sms", number) for number in NUMBERS[:3]]
    for message_id in ids:
        assert not attempt(message_id)
    assert sms.attempts == 2
    assert row(ids[2]).last_error == "provider refuses us (403)"
    clock.shift(30.1)
    assert attempt(ids[2]), "others go before those that were turned away"


@pytest.mark.settings(sms_success=r'"status"\s*:\s*"(queued|sent)"')
def test_response_not_matching_the_success_pattern_is_a_failure(post, attempt, clock, sms, row):
    sms.body = '{"status": "error", "reason": "no credit"}'
    message_id = post("sms")
    assert not attempt(message_id)
    assert (row(message_id).state, row(message_id).last_error) == ("waiting", "provider answered 202 without success")
    sms.body = '{"id": 1, "status": "queued"}'
    with clock.travel(1.1):
        assert attempt(message_id)


@pytest.mark.settings(sms_headers="X-Api-Key: k, e=y\nAuthorization: Bearer t0ken")
def test_configured_headers_are_sent_with_each_message(post, attempt, sms):
    assert attempt(post("sms"))
    (text,) = sms.texts
    assert (text.headers["X-Api-Key"], text.headers["Authorization"]) == ("k, e=y", "Bearer t0ken")


def test_unresolvable_provider_name_is_reported(make_app):
    from app.outbox.channels import sms
    from app.outbox.channels.attempt import Failed

    with make_app(sms_url="https://sms.invalid/send").app_context(), pytest.raises(Failed) as failed:
        sms.check()
    assert failed.value.reason == "provider's name not found"
    assert not failed.value.maybe_accepted
