"""``flask keys``: rotating the key while people sign in."""

from __future__ import annotations

import re
import threading
from datetime import timedelta

import pytest
import sqlalchemy as sa

from app import clock
from app.audit import Event
from app.authenticators import keys as key_announcements
from app.authenticators.models import KeyAnnouncement
from app.cli import keys
from app.crypto.encryption import KeyRing, kid_of
from app.enrollments.models import Enrollment
from app.extensions import db
from tests.functional.operator.conftest import NEW_KEY, OLD_KEY
from tests.wire import Wire

OLD, NEW = KeyRing([OLD_KEY]).kid, KeyRing([NEW_KEY]).kid


def under(rows) -> list[str]:
    """Return the id of the key that each enrolled method is sealed under."""
    return [kid_of(row.secret) for row in rows(Enrollment)]


def test_new_prints_a_random_hex_key(operate):
    result = operate("keys", "new")
    assert re.fullmatch(r"[0-9a-f]{64}\n", result.stdout)
    assert result.stdout != operate("keys", "new").stdout


@pytest.mark.both_databases
def test_rotate_moves_everything_to_the_current_key(operate, people, rows, rotating_app):
    people.open(methods=["email", "authenticator"])
    result = operate("keys", "rotate", on=rotating_app)
    assert (result.exit_code, result.stdout) == (
        0,
        f"2 rows are now encrypted with key {NEW}, 0 couldn't be decrypted.\n",
    )
    assert under(rows) == [NEW, NEW]
    assert rows(Event, name="key.rotated")[0].facts["moved"] == 2


@pytest.mark.both_databases
def test_users_sign_in_before_during_and_after_rotation(
    operate, people, clock, app, rotating_app, new_key_app, rows, monkeypatch
):
    ada = people.open("ada@example.com", methods=["authenticator"])
    done = []

    def sign_in(serving):
        clock.shift(30)
        answer = Wire(serving, "json").post("/us-signin", identity=ada.email, passcode=ada.app_code())
        done.append(answer.ok)

    def write_while_somebody_signs_in(column, texts):
        somebody = threading.Thread(target=sign_in, args=[rotating_app])
        somebody.start()
        somebody.join()
        return real(column, texts)

    real = keys._write
    sign_in(app)
    sign_in(rotating_app)
    monkeypatch.setattr(keys, "_write", write_while_somebody_signs_in)
    operate("keys", "rotate", on=rotating_app)
    sign_in(rotating_app)
    sign_in(new_key_app)
    assert done == [True] * 5
    assert rows(Enrollment)[0].last_step == int(clock.unix()) // 30


@pytest.mark.both_databases
def test_rotating_twice_is_idempotent(operate, people, rows, rotating_app):
    people.open()
    operate("keys", "rotate", on=rotating_app)
    before = [row.secret for row in rows(Enrollment)]
    assert operate("keys", "rotate", on=rotating_app).stdout.startswith("0 rows are now")
    assert [row.secret for row in rows(Enrollment)] == before


@pytest.mark.both_databases
def test_interrupted_rotation_can_be_resumed(operate, people, rows, rotating_app, monkeypatch):
    monkeypatch.setattr(keys, "BATCH", 2)
    for _ in range(5):
        people.open()

    def stop(_count: int) -> None:
        raise KeyboardInterrupt

    with rotating_app.app_context(), pytest.raises(KeyboardInterrupt):
        keys.reseal(stop)
    assert sorted(under(rows)) == sorted([NEW] * 2 + [OLD] * 3)
    assert operate("keys", "rotate", on=rotating_app).stdout.startswith("3 rows are now")


@pytest.mark.both_databases
def test_rotation_does_not_overwrite_a_concurrent_change(people, rows, app, rotating_app, monkeypatch):
    people.open()
    [row] = rows(Enrollment)
    theirs = app.extensions["latchkey.keyring"].seal(b"another", "elsewhere")

    def write_after_somebody_else(column, texts):
        with db.engine.begin() as connection:
            connection.execute(sa.update(Enrollment).where(Enrollment.id == row.id).values(secret=theirs))
        return real(column, texts)

    real = keys._write
    monkeypatch.setattr(keys, "_write", write_after_somebody_else)
    with rotating_app.app_context():
        assert keys.reseal().moved == 0
    assert [row.secret for row in rows(Enrollment)] == [theirs]


@pytest.mark.both_databases
def test_rotate_reports_unreadable_rows_and_moves_the_others(operate, people, rows, app, rotating_app):
    people.open("ada@example.com")
    people.open("eve@example.com")
    ada, eve = rows(Enrollment)
    with app.app_context():
        db.session.execute(sa.update(Enrollment).where(Enrollment.id == eve.id).values(secret=ada.secret))
        db.session.commit()
    result = operate("keys", "rotate", on=rotating_app)
    assert result.exit_code == 1
    assert f"changed or moved: enrolled_method {eve.id}" in result.stderr
    assert result.stdout == f"1 row is now encrypted with key {NEW}, 1 couldn't be decrypted.\n"
    assert {row.id: kid_of(row.secret) for row in rows(Enrollment)} == {ada.id: NEW, eve.id: OLD}


@pytest.mark.both_databases
def test_rotate_reports_the_missing_key(operate, people, rows, new_key_app):
    people.open()
    result = operate("keys", "rotate", on=new_key_app)
    assert result.exit_code == 1
    assert f"key {OLD} isn't in the ring" in result.stderr
    assert under(rows) == [OLD]


@pytest.mark.both_databases
def test_list_shows_which_keys_are_still_needed(operate, people, app, rotating_app, new_key_app):
    people.open()
    assert operate("keys", "list").stdout == f"{OLD}           1 row  current\n"
    assert "still needed: flask keys rotate" in operate("keys", "list", on=rotating_app).stdout
    missing = operate("keys", "list", on=new_key_app)
    assert missing.exit_code == 1
    assert f"{OLD}           1 row  MISSING" in missing.stdout
    operate("keys", "rotate", on=rotating_app)
    assert f"{OLD}          0 rows  encrypts nothing" in operate("keys", "list", on=rotating_app).stdout


def test_commands_never_print_keys(operate, people, rotating_app):
    people.open()
    shown = "".join(operate("keys", word, on=rotating_app).output for word in ("list", "rotate"))
    assert OLD_KEY not in shown
    assert NEW_KEY not in shown


@pytest.fixture
def announced(app, rows, monkeypatch):
    """Announces a process with only the old key, that many seconds ago."""

    def announce(age: int) -> None:
        monkeypatch.setattr(key_announcements, "_announced", {})
        monkeypatch.setattr(key_announcements, "DEAD_AFTER", timedelta(seconds=1))
        with app.app_context():
            key_announcements.announce()
            db.session.execute(sa.update(KeyAnnouncement).values(seen_at=clock.now() - timedelta(seconds=age)))
            db.session.commit()
        assert [row.kids for row in rows(KeyAnnouncement)] == [OLD]

    return announce


@pytest.mark.both_databases
def test_rotate_is_rejected_while_a_running_process_lacks_the_new_key(operate, people, announced, rotating_app, rows):
    people.open("ada@example.com")
    announced(age=-60)
    refused = operate("keys", "rotate", on=rotating_app)
    assert refused.exit_code == 1
    assert f"1 running process doesn't have key {NEW}" in refused.stderr
    assert under(rows) == [OLD]


@pytest.mark.both_databases
def test_rotate_ignores_processes_that_have_ended(operate, people, announced, rotating_app, rows):
    people.open("ada@example.com")
    announced(age=0)
    assert operate("keys", "rotate", on=rotating_app).exit_code == 0
    assert under(rows) == [NEW]


@pytest.mark.both_databases
def test_process_announcement_is_throttled_and_prunes_dead_processes(announced, rotating_app, rows):
    announced(age=60)
    with rotating_app.app_context():
        key_announcements.announce()
        db.session.commit()
    assert [row.kids for row in rows(KeyAnnouncement)] == [OLD], "not again so soon"
    key_announcements._announced.clear()
    key_announcements._holder.cache_clear()
    with rotating_app.app_context():
        key_announcements.announce()
        db.session.commit()
    assert [row.kids for row in rows(KeyAnnouncement)] == [f"{NEW} {OLD}"]
