"""Known and unknown people cost the same work, not only the same statements: slow operations are counted here.

``flask selftest enumeration`` measures the time itself, which wants a quiet machine.
"""

from __future__ import annotations

from collections import Counter

import pytest
from argon2 import PasswordHasher

from app.challenges import passcodes
from app.crypto.encryption import KeyRing
from app.db import compiled
from app.login import lookup
from app.users import read_identity

pytestmark = pytest.mark.both_databases

NOBODY = "nobody@example.com"


@pytest.fixture
def everybody(people) -> list[str]:
    """One account of each kind, and someone without an account."""
    kinds = {"known": {}, "off": {"disabled": True}, "bye": {}, "new": {"confirmed": False}}
    opened = {name: people.open(email=f"{name}@example.com", **how) for name, how in kinds.items()}
    people.leave(opened["bye"])
    return [person.email for person in opened.values()] + [NOBODY]


@pytest.fixture
def work(monkeypatch) -> Counter:
    """Counts objects created from rows, decrypted secrets, and derived keys."""
    done: Counter = Counter()

    def count(where, name):
        inner = getattr(where, name)

        def counted(*given, **named):
            done[name, getattr(given[0], "__name__", "")] += 1
            return inner(*given, **named)

        monkeypatch.setattr(where, name, counted)

    for where, name in ((compiled, "_whole"), (KeyRing, "open"), (passcodes, "_derive"), (PasswordHasher, "verify")):
        count(where, name)
    return done


@pytest.fixture
def costs(work, everybody):
    """Has something done about each of them, and returns what it took."""

    def measure(do) -> dict[str, Counter]:
        taken = {}
        for email in everybody:
            work.clear()
            do(email)
            taken[email] = Counter(work)
        return taken

    return measure


def test_send_code_does_the_same_work_for_known_and_unknown_identities(program, costs):
    taken = costs(lambda email: program.post("/us-signin/send-code", identity=email, chosen_method="email"))
    assert taken == dict.fromkeys(taken, taken[NOBODY])
    assert taken[NOBODY]["_whole", "User"] == taken[NOBODY]["_whole", "Enrollment"] == 1
    assert taken[NOBODY]["open", ""] == taken[NOBODY]["_derive", ""] == 1


@pytest.mark.settings(limits=False)
def test_wrong_code_does_the_same_work_for_known_and_unknown_identities(program, everybody, costs):
    for email in everybody * 3:
        program.post("/us-signin/send-code", identity=email, chosen_method="email")
    taken = costs(lambda email: program.post("/us-signin", identity=email, passcode="00000000"))
    assert taken == dict.fromkeys(taken, taken[NOBODY])
    assert taken[NOBODY]["_whole", "Enrollment"] == 1
    assert taken[NOBODY]["_derive", ""] == 3


@pytest.mark.settings(limits=False)
def test_enrollments_are_loaded_once_regardless_of_open_challenges(program, everybody, work):
    for _ in range(3):
        program.post("/us-signin/send-code", identity=everybody[0], chosen_method="email")
    work.clear()
    program.post("/us-signin", identity=everybody[0], passcode="00000000")
    assert work["_whole", "Enrollment"] == 1


def test_decoy_lookup_finds_no_user(app, everybody):
    with app.app_context():
        nobody, known = read_identity(NOBODY), read_identity(everybody[0])
        assert lookup.look_up_recipient(nobody, "email") is None
        assert lookup.look_up_recipient(None, "email") is None
        assert lookup.look_up(nobody, "") == lookup.look_up(None, "") == lookup.NOBODY
        assert lookup.look_up_recipient(known, "email").destination == everybody[0]
        assert lookup.look_up(known, "").user.id == lookup.look_up_recipient(known, "email").user.id


def test_lookup_in_an_empty_database_finds_no_user(app):
    with app.app_context():
        assert lookup.look_up_recipient(read_identity(NOBODY), "email") is None
        assert lookup.look_up(read_identity(NOBODY), "") == lookup.NOBODY


@pytest.mark.settings(failures_per_address=10**6)
def test_rate_limited_account_derives_as_many_codes_as_others(program, everybody, costs):
    for email in everybody * 2:
        program.post("/us-signin/send-code", identity=email, chosen_method="email")
    for _ in range(10):
        program.post("/us-signin", identity=everybody[0], passcode="000000")
    taken = costs(lambda email: program.post("/us-signin", identity=email, passcode="00000000"))
    assert taken == dict.fromkeys(taken, taken[NOBODY])
    assert taken[NOBODY]["_derive", ""] == 2


@pytest.mark.settings(methods=["email", "password"], failures_per_address=10**6)
def test_password_is_hashed_even_for_rate_limited_and_unknown_accounts(program, everybody, people, costs):
    everybody.insert(0, people.open(email="eve@example.com", password="a long enough password").email)
    for _ in range(10):
        program.post("/us-signin", identity=everybody[0], passcode="not the password of anybody")
    taken = costs(lambda email: program.post("/us-signin", identity=email, passcode="not the password of anybody"))
    assert {email: work["verify", ""] for email, work in taken.items()} == dict.fromkeys(taken, 1)
