"""Guessing recovery codes, and using one concurrently."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from app.audit import Event
from app.authenticators.models import RecoveryCode
from app.crypto.secrets import is_hash_of
from app.throttling.models import FailureCounter
from tests.signed_in import give_token, sign_in
from tests.wire import Program

CODES, VERIFY = "/mf-recovery-codes", "/us-verify"
WRONG = "ZZ00-0000-0000-0000"


@pytest.fixture
def hers(json_wire, ada):
    """Ada's browser."""
    return sign_in(json_wire, ada)


@pytest.fixture
def codes(people, ada) -> list[str]:
    """Ada's codes."""
    return people.give_codes(ada)


THREADS = 4
"""What ``flask serve`` works on at a time (--threads). More of them than that share one processor, one pool of
connections and one write lock: some then wait too long and get 503, which stores nothing, as under any overload.
"""


def at_once(tasks):
    """Call all of ``tasks``, as many at a time as a web process does, and return what each returned."""
    ready = threading.Barrier(min(THREADS, len(tasks)))

    def start():
        ready.wait()

    with ThreadPoolExecutor(min(THREADS, len(tasks)), initializer=start) as pool:
        return list(pool.map(lambda task: task(), tasks))


@pytest.mark.both_databases
@pytest.mark.settings(limits=False, pool_size=8)
def test_concurrent_uses_of_one_code_succeed_only_once(app, ada, codes, rows):
    programs = [give_token(Program(app), ada) for _ in range(20)]
    answers = at_once([lambda program=program: program.post(VERIFY, passcode=codes[0]) for program in programs])
    assert sorted(answer.status for answer in answers) == [200] + [400] * 19
    assert len(rows(Event, name="recovery.code_used")) == 1
    assert len([row for row in rows(RecoveryCode) if row.used_at]) == 1


@pytest.mark.settings(methods=("email", "password"))
def test_used_code_is_rejected_when_passwords_are_enabled(hers, codes):
    assert hers.post(VERIFY, passcode=codes[0]).ok
    assert hers.post(VERIFY, passcode=codes[0]).status == 400


@pytest.mark.both_databases
@pytest.mark.settings(limits=False, pool_size=8)
def test_concurrent_generation_leaves_one_set_of_codes(app, ada, rows):
    programs = [give_token(Program(app), ada) for _ in range(2)]
    answers = at_once([lambda program=program: program.post(CODES) for program in programs])
    assert {answer.status for answer in answers} <= {200, 400, 401}
    shown = [{code[:2] for code in answer.json["recovery_codes"]} for answer in answers if answer.ok]
    assert {row.selector for row in rows(RecoveryCode)} in shown


@pytest.mark.both_databases
@pytest.mark.settings(failures_per_address=1000)
def test_recovery_codes_are_locked_for_an_hour_after_ten_wrong_guesses(hers, codes, clock):
    assert [hers.post(VERIFY, passcode=WRONG).status for _ in range(10)] == [400] * 10
    assert hers.post(VERIFY, passcode=codes[0]).status == 400
    clock.shift(3601)
    assert hers.post(VERIFY, passcode=codes[0]).ok


@pytest.mark.both_databases
@pytest.mark.settings(failures_per_address=1000)
def test_guesses_are_limited_per_account_across_clients(app, hers, ada, codes):
    others = [give_token(Program(app), ada) for _ in range(2)]
    for number in range(10):
        others[number % 2].post(VERIFY, passcode=WRONG)
    assert hers.post(VERIFY, passcode=codes[0]).status == 400


@pytest.mark.both_databases
@pytest.mark.settings(failures_per_address=1000)
def test_guess_limits_of_recovery_codes_and_app_codes_are_separate(hers, people, clock):
    bob = people.open(email="bob@example.com", methods=["email", "authenticator"])
    his = sign_in(hers.elsewhere(), bob)
    codes = people.give_codes(bob)
    for _ in range(10):
        his.post(VERIFY, passcode=WRONG)
    assert his.post(VERIFY, passcode=bob.app_code()).ok
    for _ in range(10):
        his.post(VERIFY, passcode="000000")
    clock.shift(3000)
    assert his.post(VERIFY, passcode=codes[0]).status == 400
    clock.shift(601)
    assert his.post(VERIFY, passcode=codes[0]).ok


@pytest.mark.one_database
def test_guess_is_counted_before_it_is_checked(hers, codes, rows, monkeypatch):
    from app.authenticators import recovery_codes

    seen = []

    def look(kept, text):
        seen.append([row.in_a_row for row in rows(FailureCounter) if row.hour_count])
        return False

    monkeypatch.setattr(recovery_codes, "is_hash_of", look)
    hers.post(VERIFY, passcode=codes[0])
    assert seen == [[1]]


@pytest.mark.one_database
@pytest.mark.parametrize("which", ["unknown selector", "used", "wrong"])
def test_each_guess_costs_one_slow_hash(hers, codes, monkeypatch, which):
    from app.authenticators import recovery_codes

    hers.post(VERIFY, passcode=codes[1])
    free = next(two for two in ("00", "ZZ", "7Q") if two not in {code[:2] for code in codes})
    guess = {"unknown selector": free + codes[0][2:], "used": codes[1], "wrong": codes[0][:15] + "-0000"[1:]}[which]
    hashed, look = [], is_hash_of
    monkeypatch.setattr(recovery_codes, "is_hash_of", lambda *given: hashed.append(given) or look(*given))
    assert hers.post(VERIFY, passcode=guess).status == 400
    assert len(hashed) == 1
