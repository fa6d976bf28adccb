"""Concurrent changes of one account run one after the other, so nothing is added twice."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest

from app.login.credential_changes import revoke_other_sessions
from tests.functional.setup.conftest import PHONE, app_code, key_in, state_in
from tests.signed_in import give_token
from tests.sinks import code_in
from tests.wire import Program

BARRIER_TIMEOUT = 0.5
"""Seconds for which one change is held back before its commit, so that the other one could come in between."""


@pytest.fixture
def programs(app, ada):
    """Two programs of Ada's."""
    return [give_token(Program(app), ada), give_token(Program(app), ada)]


def waits(barrier, function, *given):
    """Call ``function``, then wait at ``barrier`` for the other one, though not for ever."""
    done = function(*given)
    with suppress(threading.BrokenBarrierError):
        barrier.wait()
    return done


@pytest.fixture
def at_once(programs, monkeypatch):
    """Posts to both programs' set-up states at once; either waits for the other when it has stored its own."""
    from app.setup import service as enrollment

    counted, stored = threading.Barrier(2, timeout=5), threading.Barrier(2, timeout=BARRIER_TIMEOUT)
    count, shut_out = enrollment.challenges.count_try_of, revoke_other_sessions

    monkeypatch.setattr(enrollment.challenges, "count_try_of", lambda *given: waits(counted, count, *given))
    monkeypatch.setattr(enrollment, "revoke_other_sessions", lambda *given: waits(stored, shut_out, *given))

    def post(*proofs):
        with ThreadPoolExecutor(2) as pool:
            tries = zip(programs, proofs, strict=True)
            return list(pool.map(lambda each: each[0].post(f"/us-setup/{each[1][0]}", passcode=each[1][1]), tries))

    return post


@pytest.mark.both_databases
def test_concurrent_authenticator_setups_add_only_one(programs, at_once, enrolled):
    begun = [program.post("/us-setup", chosen_method="authenticator") for program in programs]
    answers = at_once(*((state_in(each), app_code(key_in(each))) for each in begun))
    assert sorted(answer.status for answer in answers) == [200, 400], "the first change has ended the other session"
    assert enrolled() == ["authenticator", "email"]


@pytest.mark.both_databases
def test_concurrent_phone_setups_add_only_one(programs, at_once, enrolled, text_to, rows):
    from app.users import Identity

    proofs = []
    for program, phone in zip(programs, (PHONE, "+16502530001"), strict=True):
        begun = program.post("/us-setup", chosen_method="sms", phone=phone)
        proofs.append((state_in(begun), code_in(text_to(phone))))
    assert sorted(answer.status for answer in at_once(*proofs)) == [200, 400]
    assert enrolled() == ["email", "sms"]
    assert len(rows(Identity, kind="phone")) == 1
