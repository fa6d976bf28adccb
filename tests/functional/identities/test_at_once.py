"""Concurrent changes: an address has one owner, and an account's changes have an order."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest

from tests.functional.identities.conftest import ADD, CHANGE, CONFIRM, NEW, THIRD
from tests.signed_in import give_token
from tests.sinks import code_in
from tests.wire import Program

pytestmark = pytest.mark.both_databases

BARRIER_TIMEOUT = 0.5
"""Seconds for which one change is held back before its commit, so that the other one could come in between."""


def waits(barrier, function, *given):
    """Call ``function``, then wait at ``barrier`` for the other one, though not for ever."""
    done = function(*given)
    with suppress(threading.BrokenBarrierError):
        barrier.wait()
    return done


@pytest.fixture
def bob(people):
    """Someone else."""
    return people.open(email="bob@example.com")


@pytest.fixture
def at_once(monkeypatch):
    """Enters codes concurrently; each waits for the other before storing, and again before the commit."""
    from app.identities import verification

    counted, stored = threading.Barrier(2, timeout=5), threading.Barrier(2, timeout=BARRIER_TIMEOUT)
    count, told = verification.challenges.count_try_of, verification.notify_of_change
    monkeypatch.setattr(verification.challenges, "count_try_of", lambda *given: waits(counted, count, *given))
    monkeypatch.setattr(verification, "notify_of_change", lambda *given: waits(stored, told, *given))

    def post(*proofs):
        with ThreadPoolExecutor(2) as pool:
            return list(pool.map(lambda each: each[0].post(CONFIRM, passcode=each[1], challenge=each[2]), proofs))

    return post


def asked(app, person, path, email, mail_to):
    """Return someone's API client, with the code and challenge of an address that it requested."""
    program = give_token(Program(app), person)
    challenge = program.post(path, email=email).json["challenge"]
    return program, code_in(mail_to(email)), challenge


def test_concurrent_confirmation_of_one_email_by_two_accounts_succeeds_once(app, ada, bob, at_once, mail_to, emails):
    answers = at_once(*(asked(app, person, ADD, NEW, mail_to) for person in (ada, bob)))
    assert sorted(answer.status for answer in answers) == [200, 400]
    assert [answer.codes for answer in answers if answer.status == 400] == [["identity_already_associated"]]
    assert sorted(emails(ada) + emails(bob)) == sorted([NEW, ada.email, bob.email])


def test_concurrent_use_of_one_code_changes_the_email_once(app, ada, at_once, mail_to, emails):
    proof = asked(app, ada, CHANGE, NEW, mail_to)
    answers = at_once(proof, (give_token(Program(app), ada), *proof[1:]))
    assert sorted(answer.status for answer in answers) in ([200, 400], [200, 401])
    assert emails(ada) == [NEW]


def test_concurrent_email_additions_keep_the_primary_email(app, ada, at_once, mail_to, emails):
    at_once(*(asked(app, ada, ADD, email, mail_to) for email in (NEW, THIRD)))
    assert emails(ada)[0] == ada.email
    assert set(emails(ada)) <= {ada.email, NEW, THIRD}
    assert len(emails(ada)) >= 2


@pytest.mark.settings(emails_per_account=2)
def test_concurrent_email_additions_respect_the_limit(app, ada, at_once, mail_to, emails):
    at_once(*(asked(app, ada, ADD, email, mail_to) for email in (NEW, THIRD)))
    assert len(emails(ada)) == 2


def test_email_change_is_rejected_if_an_earlier_one_is_undone_during_confirmation(
    app, ada, json_wire, mail_to, undo_in, emails, monkeypatch
):
    from app.identities import verification

    first = asked(app, ada, ADD, NEW, mail_to)
    assert first[0].post(CONFIRM, passcode=first[1], challenge=first[2]).status == 200
    undo, second = undo_in(ada.email), asked(app, ada, CHANGE, THIRD, mail_to)
    count = verification.challenges.count_try_of

    def undone_first(*given):
        counted = count(*given)
        undoer = ThreadPoolExecutor(1)
        assert undoer.submit(json_wire.elsewhere().post, undo, sure=True).result().status == 200
        return counted

    monkeypatch.setattr(verification.challenges, "count_try_of", undone_first)
    assert second[0].post(CONFIRM, passcode=second[1], challenge=second[2]).codes == ["api_error"]
    assert emails(ada) == [ada.email]
