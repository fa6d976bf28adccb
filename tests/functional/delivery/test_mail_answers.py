"""How long a mail server is waited for, and what is sent again. A second copy of a mail is rare, and a loss never."""

from __future__ import annotations

import threading
import time
from datetime import timedelta

import pytest

from tests.sinks import until


def seconds_to_wait(row, clock):
    return (row.next_attempt_at - clock.now()).total_seconds()


@pytest.mark.settings(mail_timeout=0.5)
def test_a_server_that_thinks_long_after_the_final_dot_gets_one_copy(post, attempt, smtp, row):
    smtp.mode, smtp.delay = "slow", 1.5
    message_id = post()
    assert attempt(message_id)
    assert (row(message_id).state, row(message_id).attempts, len(smtp.mails)) == ("sent", 1, 1)


@pytest.mark.settings(mail_timeout=0.5, mail_answer_timeout=0.5)
def test_a_server_that_never_answers_to_a_whole_mail_is_left_alone_with_it_for_two_minutes(
    post, attempt, clock, smtp, row
):
    smtp.mode = "slow"
    message_id = post()
    began = time.monotonic()
    assert not attempt(message_id)
    assert time.monotonic() - began < 2
    assert (row(message_id).state, row(message_id).last_error) == ("waiting", "timed out")
    assert 115 < seconds_to_wait(row(message_id), clock) <= 120


@pytest.mark.settings(mail_timeout=0.5)
def test_a_server_that_is_slow_before_it_has_the_mail_is_tried_again_soon(post, attempt, clock, smtp, row):
    smtp.hesitation = 2
    message_id = post()
    began = time.monotonic()
    assert not attempt(message_id)
    assert time.monotonic() - began < 1.5
    assert (row(message_id).last_error, len(smtp.mails)) == ("timed out", 0)
    assert seconds_to_wait(row(message_id), clock) <= 1


@pytest.mark.settings(mail_timeout=0.5)
def test_a_further_try_has_more_patience(post, attempt, clock, smtp, row):
    smtp.hesitation = 1
    message_id = post()
    assert not attempt(message_id)
    with clock.travel(1.1):
        assert attempt(message_id)
    assert row(message_id).attempts == 2


@pytest.mark.settings(mail_timeout=0.5)
def test_a_further_try_has_more_patience_over_a_connection_that_is_there_too(post, attempt, clock, smtp, row):
    message_id = post()
    smtp.hesitation = 1
    assert not attempt(message_id)
    smtp.hesitation = 0
    assert attempt(post())
    smtp.hesitation, before = 1, smtp.connections
    with clock.travel(1.1):
        assert attempt(message_id)
    assert (row(message_id).attempts, smtp.connections) == (2, before)


def test_a_worker_that_stops_while_the_server_has_the_mail_sends_no_copy_soon(post, attempt, clock, smtp, row):
    from app.outbox.channels import cutoff

    smtp.mode, smtp.delay = "slow", 30
    message_id = post()
    trying = threading.Thread(target=attempt, args=(message_id,))
    trying.start()
    until(lambda: smtp.attempts)
    cutoff.cut_off_all()
    trying.join(5)
    assert not trying.is_alive()
    assert (row(message_id).state, row(message_id).last_error) == ("waiting", "worker stopped")
    assert 115 < seconds_to_wait(row(message_id), clock) <= 120


@pytest.mark.settings(mail_timeout=5)
def test_a_worker_that_stops_before_that_gives_the_mail_back_untried(post, attempt, clock, smtp, row):
    from app.outbox.channels import cutoff

    smtp.hesitation = 4
    message_id = post()
    trying = threading.Thread(target=attempt, args=(message_id,))
    trying.start()
    until(lambda: smtp.connections)
    cutoff.cut_off_all()
    trying.join(3)
    assert (row(message_id).state, row(message_id).attempts) == ("waiting", 0)
    assert seconds_to_wait(row(message_id), clock) <= 0


def test_a_try_takes_no_longer_than_those_who_lease_messages_are_told():
    from app.outbox.channels import mail
    from app.outbox.channels.failures import LONGEST_TRY
    from config.settings import Settings

    answer = min(each.le for each in Settings.model_fields["mail_answer_timeout"].metadata if hasattr(each, "le"))
    assert timedelta(seconds=mail.LONGEST) + answer <= LONGEST_TRY
