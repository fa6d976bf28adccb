"""``flask keys`` and the keys that sign ID tokens."""

from __future__ import annotations

import threading

import pytest
import sqlalchemy as sa

from app.crypto.encryption import KeyRing, kid_of
from app.extensions import db
from app.oidc import keys
from app.oidc.models import SigningKey
from app.outbox import jobs
from app.serving.startup import refuse_missing_keys
from tests.functional.operator.conftest import NEW_KEY, OLD_KEY

OLD, NEW = KeyRing([OLD_KEY]).kid, KeyRing([NEW_KEY]).kid
DAY = 86_400


@pytest.fixture(autouse=True)
def made(app):
    """Two keys of each algorithm."""
    with app.app_context():
        jobs.run_periodic_tasks(threading.Event())


@pytest.fixture
def es256(rows):
    """The ids of the keys of ES256, by number."""
    return [row.kid for row in rows(SigningKey, alg="ES256")]


@pytest.mark.both_databases
def test_list_shows_the_signing_key_and_the_next_one(operate, es256):
    listed = operate("keys", "list")
    assert listed.exit_code == 0
    lines = [line.split(maxsplit=2) for line in listed.stdout.splitlines() if line.startswith("ES256")]
    assert [line[1] for line in lines] == es256
    assert lines[0][2].startswith("signs since 20")
    assert lines[1][2].startswith("next, signs from 20")


def test_list_shows_until_when_an_old_key_is_published(operate, app, clock, es256):
    clock.shift(90 * DAY)
    with app.app_context():
        jobs.run_periodic_tasks(threading.Event())
    [line] = [line for line in operate("keys", "list").stdout.splitlines() if es256[0] in line]
    assert "published until 20" in line


@pytest.mark.both_databases
def test_rotate_reseals_private_keys_and_they_keep_signing(operate, app, rotating_app, new_key_app, rows):
    with app.app_context():
        token = keys.sign({"sub": "ada"}, "ES256")
    assert operate("keys", "rotate", on=rotating_app).stdout.startswith("6 rows are now encrypted with key")
    assert {kid_of(row.sealed_private) for row in rows(SigningKey)} == {NEW}
    with new_key_app.app_context():
        assert keys.verify(token) == {"sub": "ada"}
        assert keys.verify(keys.sign({"sub": "bob"}, "ES256")) == {"sub": "bob"}


@pytest.mark.both_databases
def test_rotate_activates_the_next_key_of_each_algorithm(operate, app, clock, es256):
    clock.shift(2 * DAY)
    done = operate("keys", "rotate")
    assert done.exit_code == 0
    assert [line.split()[0] for line in done.stdout.splitlines()[1:]] == ["RS256", "ES256", "EdDSA"]
    assert f"ES256  {es256[1]}  signs since" in done.stdout
    listed = operate("keys", "list").stdout
    assert f"{es256[1]}  signs since" in listed


def test_rotate_shows_when_a_recently_published_key_will_sign(operate, es256):
    done = operate("keys", "rotate", "--alg", "ES256")
    assert done.stdout.splitlines()[0].startswith(f"ES256  {es256[1]}  next, signs from 20")
    assert len(done.stdout.splitlines()) == 1


def test_rotate_of_one_algorithm_does_not_reseal(operate, rotating_app, rows):
    operate("keys", "rotate", "--alg", "RS256", on=rotating_app)
    assert {kid_of(row.sealed_private) for row in rows(SigningKey)} == {OLD}


@pytest.mark.both_databases
def test_rotate_now_drops_the_signing_key_and_explains_the_consequences(operate, rows, es256):
    done = operate("keys", "rotate", "--alg", "ES256", "--now")
    assert done.exit_code == 0
    assert done.stdout.splitlines()[0] == f"ES256  {es256[0]}  dropped"
    assert done.stdout.splitlines()[1].startswith(f"ES256  {es256[1]}  signs since 20")
    assert "within 10 seconds" in done.stderr
    assert "15 minutes" in done.stderr
    kept = [row.kid for row in rows(SigningKey, alg="ES256")]
    assert es256[0] not in kept
    assert len(kept) == 2
    assert len(rows(SigningKey, alg="RS256")) == 2


def test_unknown_algorithm_is_rejected(operate):
    refused = operate("keys", "rotate", "--alg", "HS256")
    assert refused.exit_code == 2
    assert "RS256" in refused.stderr


@pytest.mark.both_databases
def test_missing_encryption_key_of_signing_keys_is_reported(operate, new_key_app):
    assert f"{OLD}          6 rows  MISSING" in operate("keys", "list", on=new_key_app).stdout
    assert "rows are encrypted with key" in operate("doctor", on=new_key_app).stdout
    with new_key_app.app_context(), pytest.raises(SystemExit):
        refuse_missing_keys()


@pytest.mark.both_databases
def test_tampered_private_key_is_reported(operate, app, rows):
    first, following = rows(SigningKey, alg="ES256")
    with app.app_context():
        moved = sa.update(SigningKey).where(SigningKey.alg == "ES256", SigningKey.number == following.number)
        db.session.execute(sa.delete(SigningKey).where(SigningKey.alg != "ES256"))
        db.session.execute(moved.values(sealed_private=first.sealed_private))
        db.session.execute(sa.delete(SigningKey).where(SigningKey.number == first.number))
        db.session.commit()
    assert "was changed or moved" in operate("doctor").stdout


def test_private_keys_are_never_shown(operate, rows):
    sealed = [row.sealed_private for row in rows(SigningKey)]
    shown = "".join(operate("keys", *words).output for words in (["list"], ["rotate"], ["rotate", "--now"]))
    assert not [text for text in sealed if text in shown]
