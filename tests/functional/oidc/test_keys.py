"""Signing keys over time: planned rotation, a leaked key, two replicas, and retention of old keys."""

from __future__ import annotations

import base64
import json
import random
import threading
from collections.abc import Callable
from datetime import timedelta

import pytest
from flask import Flask
from joserfc import jwt
from joserfc.jwk import KeySet

from app.audit import Event
from app.db.retention import registered_cleanups
from app.extensions import db
from app.oidc import key_store, keys
from app.oidc.clients import ALGORITHMS
from app.oidc.models import SigningKey
from app.outbox import jobs

HOUR, DAY = 3600, 86_400
CLAIMS = {"sub": "ada"}


class Replica:
    """A server and its worker on the one database; a token is signed, read and verified there."""

    def __init__(self, app: Flask) -> None:
        self.app = app

    def sign(self, alg: str = "ES256") -> str:
        """Sign a token."""
        with self.app.app_context():
            return keys.sign(CLAIMS, alg)

    def verify(self, token: str) -> dict | None:
        """Verify a token."""
        with self.app.app_context():
            return keys.verify(token)

    def jwks(self, alg: str = "") -> list[str]:
        """Return the ids of the published keys."""
        found = self.app.test_client().get("/oauth/jwks").json["keys"]
        return [key["kid"] for key in found if not alg or key["alg"] == alg]

    def work(self) -> None:
        """Do what a worker does now and then."""
        with self.app.app_context():
            jobs.run_periodic_tasks(threading.Event())
            for cleanup in registered_cleanups():
                if cleanup.__module__ == keys.__name__:
                    cleanup()

    def rotate(self, alg: str | None = "ES256", *, now: bool = False) -> list[keys.Rotation]:
        """Rotate as ``flask keys rotate`` does."""
        with self.app.app_context():
            rotations = keys.rotate(alg, now=now)
            db.session.commit()
            return rotations


@pytest.fixture
def here(app: Flask) -> Replica:
    """A replica."""
    return Replica(app)


@pytest.fixture
def there(app: Flask, make_app: Callable[..., Flask]) -> Replica:
    """Another replica on the same database."""
    return Replica(make_app(pool_size=3))


def kid_of(token: str) -> str:
    """Return which key signed a token."""
    header = token.partition(".")[0]
    return json.loads(base64.urlsafe_b64decode(header + "=" * (-len(header) % 4)))["kid"]


# --- planned ------------------------------------------------------------------------------------


def test_worker_creates_first_and_next_key_per_algorithm(here, rows):
    here.work()
    assert [(row.alg, row.number) for row in rows(SigningKey)] == [
        (alg, number) for alg in sorted(ALGORITHMS) for number in (1, 2)
    ]
    here.work()
    assert len(rows(SigningKey)) == 6


@pytest.mark.both_databases
def test_signing_key_rotates_after_ninety_days(here, clock):
    here.work()
    first, following = here.jwks("ES256")
    clock.shift(90 * DAY - HOUR)
    here.work()
    assert kid_of(here.sign()) == first
    clock.shift(HOUR)
    assert kid_of(here.sign()) == following
    here.work()
    assert here.jwks("ES256")[:2] == [first, following]
    assert len(here.jwks("ES256")) == 3
    clock.shift(DAY - HOUR)
    assert first in here.jwks("ES256")
    clock.shift(2 * HOUR)
    here.work()
    assert first not in here.jwks("ES256")
    assert len(here.jwks("ES256")) == 2


def test_keys_rotate_on_schedule_without_a_worker(here, clock):
    first, following = here.jwks("ES256")
    clock.shift(91 * DAY)
    assert kid_of(here.sign()) == following
    assert here.jwks("ES256")[:2] == [first, following]
    assert len(here.jwks("ES256")) == 3


@pytest.mark.both_databases
@pytest.mark.settings(oauth_jwt_lifetime=timedelta(days=3))
def test_retired_key_is_published_until_its_last_token_expires(here, clock):
    here.work()
    first = kid_of(here.sign())
    clock.shift(90 * DAY)
    here.work()
    clock.shift(3 * DAY - HOUR)
    assert first in here.jwks()
    clock.shift(2 * HOUR)
    assert first not in here.jwks()


def test_expired_key_is_not_published_from_a_stale_cache(here, clock, monkeypatch):
    here.work()
    first = kid_of(here.sign())
    clock.shift(90 * DAY)
    here.work()
    monkeypatch.setattr(key_store, "CACHE_LIFETIME", 100 * DAY)
    assert first in here.jwks()
    clock.shift(2 * DAY)
    assert first not in here.jwks()


@pytest.mark.settings(oauth_refresh_absolute=timedelta(days=30))
def test_retired_key_verifies_for_refresh_lifetime_without_its_private_part(here, clock, rows):
    here.work()
    token = here.sign()
    for days in (90, 2):
        clock.shift(days * DAY)
        here.work()
    assert kid_of(token) not in here.jwks()
    assert here.verify(token) == CLAIMS
    [old] = [row for row in rows(SigningKey) if row.kid == kid_of(token)]
    assert old.sealed_private == ""
    assert all(row.sealed_private for row in rows(SigningKey) if row.published_until is None)
    clock.shift(29 * DAY - HOUR)
    here.work()
    assert here.verify(token) == CLAIMS
    clock.shift(2 * HOUR)
    here.work()
    assert here.verify(token) is None
    assert kid_of(token) not in [row.kid for row in rows(SigningKey)]


def test_shorter_rotation_period_applies_to_the_current_key(here, make_app, clock):
    here.work()
    first, following = here.jwks("ES256")
    clock.shift(20 * DAY)
    weekly = Replica(make_app(oauth_key_rotation=timedelta(days=7)))
    weekly.work()
    clock.shift(DAY - HOUR)
    weekly.work()
    assert {kid_of(here.sign()), kid_of(weekly.sign())} == {first}
    clock.shift(HOUR)
    assert {kid_of(here.sign()), kid_of(weekly.sign())} == {following}


# --- by command ---------------------------------------------------------------------------------


def test_manual_rotation_waits_until_next_key_was_published_for_a_day(here, clock):
    here.work()
    first, following = here.jwks("ES256")
    clock.shift(5 * HOUR)
    [rotation] = here.rotate()
    assert (rotation.kid, rotation.signs_from - clock.now() <= timedelta(hours=19)) == (following, True)
    clock.shift(19 * HOUR - 60)
    assert kid_of(here.sign()) == first
    clock.shift(120)
    assert kid_of(here.sign()) == following


def test_manual_rotation_to_a_long_published_key_is_immediate(here, clock):
    here.work()
    first, following = here.jwks("ES256")
    clock.shift(2 * DAY)
    here.rotate()
    clock.shift(11)
    assert kid_of(here.sign()) == following
    here.work()
    assert here.jwks("ES256")[:2] == [first, following]
    assert len(here.jwks("ES256")) == 3


@pytest.mark.both_databases
def test_repeated_manual_rotation_changes_keys_at_most_daily(here, clock, rows):
    here.work()
    clock.shift(2 * DAY)
    for _ in range(5):
        here.rotate()
        clock.shift(HOUR)
    assert len(rows(SigningKey, alg="ES256")) == 3


def test_rotation_is_audited_and_keeps_other_algorithms(here, rows):
    here.work()
    before = {row.kid: row.signs_from for row in rows(SigningKey, alg="RS256")}
    [rotation] = here.rotate("ES256")
    assert {row.kid: row.signs_from for row in rows(SigningKey, alg="RS256")} == before
    [event] = rows(Event, name="signing_key.rotated")
    assert (event.facts["alg"], event.facts["kid"], event.facts["dropped"]) == ("ES256", rotation.kid, [])


def test_rotation_without_keys_does_nothing(here, rows):
    assert here.rotate(None) == []
    assert rows(SigningKey) == []


# --- a key that leaked --------------------------------------------------------------------------


@pytest.mark.both_databases
def test_immediate_rotation_drops_the_leaked_key(here, clock, rows):
    here.work()
    first, following = here.jwks("ES256")
    forged = here.sign()
    [rotation] = here.rotate(now=True)
    assert rotation.dropped == (first,)
    clock.shift(11)
    assert kid_of(here.sign()) == following
    assert here.verify(forged) is None
    assert len(here.jwks("ES256")) == 2
    assert here.jwks("ES256")[0] == following
    assert first not in [row.kid for row in rows(SigningKey)]
    assert rows(Event, name="signing_key.rotated")[0].facts["dropped"] == [first]


@pytest.mark.both_databases
def test_immediate_rotation_drops_retired_keys_too(here, clock):
    here.work()
    old = here.sign()
    clock.shift(90 * DAY)
    here.work()
    here.rotate(now=True)
    clock.shift(11)
    assert here.verify(old) is None
    assert kid_of(old) not in here.jwks()


@pytest.mark.both_databases
def test_second_immediate_rotation_drops_the_leaked_next_key(here, clock):
    here.work()
    leaked = here.jwks("ES256")
    for _ in range(2):
        here.rotate(now=True)
    clock.shift(11)
    assert set(leaked) & set(here.jwks("ES256")) == set()
    assert kid_of(here.sign()) == here.jwks("ES256")[0]
    assert len(here.jwks("ES256")) == 2


def test_immediate_rotation_works_without_a_next_key(here, clock):
    leaked = here.sign()
    here.rotate(now=True)
    clock.shift(11)
    assert kid_of(here.sign()) != kid_of(leaked)
    assert here.verify(leaked) is None


# --- two replicas -------------------------------------------------------------------------------


@pytest.mark.both_databases
def test_replicas_share_the_first_key(here, there):
    assert len({kid_of(replica.sign(alg)) for replica in (here, there) for alg in ALGORITHMS}) == len(ALGORITHMS)
    assert here.verify(there.sign()) == there.verify(here.sign()) == CLAIMS


def test_token_signed_by_another_replicas_new_key_is_verified(here, there):
    assert there.verify(there.sign("RS256")) == CLAIMS
    token = here.sign("EdDSA")
    assert there.verify(token) == CLAIMS


def test_replicas_publish_the_same_keys(here, there, clock):
    for step in (0, 10, 90 * DAY, 10, DAY, 10, 90 * DAY, 10):
        clock.shift(step)
        there.work()
        here.jwks()
        clock.shift(10)
        assert here.jwks() == there.jwks()


@pytest.mark.both_databases
def test_replicas_creating_a_key_concurrently_agree_on_one(here, there, rows, monkeypatch):
    both = threading.Barrier(2, timeout=10)
    generate = key_store.generate

    def together(alg: str) -> key_store.Key:
        both.wait()
        return generate(alg)

    monkeypatch.setattr(key_store, "generate", together)
    signed: list[str] = []
    threads = [
        threading.Thread(target=lambda replica=replica: signed.append(replica.sign())) for replica in (here, there)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(signed) == 2
    assert {kid_of(token) for token in signed} == {row.kid for row in rows(SigningKey)}
    assert len(rows(SigningKey)) == 1


@pytest.mark.both_databases
def test_concurrent_immediate_rotations_drop_the_key_once(here, there, clock, monkeypatch):
    here.work()
    leaked, following = here.jwks("ES256")
    prepare, rotated = keys._prepare, []

    def meanwhile(signing, at_once):
        found = prepare(signing, at_once)
        monkeypatch.setattr(keys, "_prepare", prepare)
        rotated.extend(there.rotate(now=True))
        return found

    monkeypatch.setattr(keys, "_prepare", meanwhile)
    here.rotate(now=True)
    clock.shift(11)
    assert rotated[0].dropped == (leaked,)
    assert kid_of(here.sign()) == following
    assert len(here.jwks("ES256")) == 2


@pytest.mark.both_databases
def test_planned_rotation_does_not_undo_a_concurrent_immediate_one(here, there, rows, clock, monkeypatch):
    here.work()
    clock.shift(HOUR)
    prepare = keys._prepare

    def meanwhile(signing, at_once):
        found = prepare(signing, at_once)
        monkeypatch.setattr(keys, "_prepare", prepare)
        there.rotate(now=True)
        return found

    monkeypatch.setattr(keys, "_prepare", meanwhile)
    here.rotate()
    assert rows(SigningKey, alg="ES256", number=2)[0].signs_from <= clock.now()


def test_leaked_key_signs_nothing_on_any_replica_after_ten_seconds(here, there, clock):
    here.work()
    leaked = kid_of(there.sign())
    here.rotate(now=True)
    clock.shift(11)
    assert leaked not in {kid_of(there.sign()), kid_of(here.sign())}
    assert leaked not in there.jwks()


@pytest.mark.parametrize("seed", range(3))
def test_daily_cached_jwks_verifies_all_tokens_through_rotations(here, there, clock, seed):
    """An app reads the keys from either replica once a day and verifies tokens of both, through rotations."""
    chance, replicas = random.Random(seed), (here, there)
    signed_by, rotations = set(), 0
    for _day in range(200):
        known = KeySet.import_key_set(chance.choice(replicas).app.test_client().get("/oauth/jwks").json)
        for _ in range(chance.randrange(3)):
            clock.shift(chance.randrange(8 * HOUR))
            if chance.random() < 0.04:
                rotations += len(chance.choice(replicas).rotate())
            if chance.random() < 0.3:
                chance.choice(replicas).work()
            for replica in replicas:
                token = replica.sign()
                signed_by.add(kid_of(token))
                assert jwt.decode(token, known, algorithms=["ES256"]).claims == CLAIMS
                assert {each.verify(token) == CLAIMS for each in replicas} == {True}
    assert rotations > 2
    assert len(signed_by) > 2


# --- faults -------------------------------------------------------------------------------------


@pytest.mark.both_databases
def test_cached_jwks_is_served_while_the_database_is_unavailable(here, clock, monkeypatch):
    from sqlalchemy.exc import OperationalError

    published = here.jwks()

    def away():
        raise OperationalError("SELECT", {}, Exception("away"))

    clock.shift(60)
    monkeypatch.setattr(key_store, "_read", away)
    assert here.jwks() == published


def test_cached_jwks_does_not_hide_other_errors(here, clock, monkeypatch):
    here.jwks()
    clock.shift(60)

    def fail():
        raise ValueError("not as it should be")

    monkeypatch.setattr(key_store, "_read", fail)
    assert here.app.test_client().get("/oauth/jwks").status_code == 500


@pytest.mark.both_databases
def test_jwks_returns_503_when_database_is_unavailable_and_nothing_cached(here, monkeypatch):
    from sqlalchemy.exc import OperationalError

    def away():
        raise OperationalError("SELECT", {}, Exception("away"))

    monkeypatch.setattr(key_store, "_read", away)
    assert here.app.test_client().get("/oauth/jwks").status_code == 503


@pytest.mark.both_databases
def test_concurrent_first_signatures_create_a_single_key(here, rows):
    signed: list[str] = []
    threads = [threading.Thread(target=lambda: signed.append(here.sign("EdDSA"))) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({kid_of(token) for token in signed}) == 1
    assert len(signed) == 12
    assert len(rows(SigningKey)) == 1
