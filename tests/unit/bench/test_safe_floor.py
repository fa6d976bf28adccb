"""The safe floor does the security work that the benchmark claims."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.exceptions import InvalidTag
from flask.testing import FlaskClient

from bench import safe_floor as floor
from bench.bare import Safe
from bench.client import Client, Script, Tally
from bench.subject import address
from tests.databases import Database, Databases

pytestmark = pytest.mark.both_databases

WRONG = "0000000x"


@pytest.fixture
def safe(database: Database, databases: Databases, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Safe]:
    """The safe floor with three people in a database of its own; its server is not started."""
    monkeypatch.setattr(floor, "limit", floor.Limit())
    for name in ("SAFE_FLOOR_DATABASE", "SAFE_FLOOR_KEY"):
        monkeypatch.setenv(name, "")  # populate() sets them: taken back afterwards
    url = databases.fresh(database.kind, migrated=False).url.replace("postgresql:", "postgresql+psycopg:", 1)
    made = Safe(url, 3, tmp_path, 1)
    made.populate()
    yield made
    made.server.stop()


@pytest.fixture
def browser(safe: Safe) -> FlaskClient:
    return new_browser(safe)


def new_browser(safe: Safe) -> FlaskClient:
    client = safe.app.test_client()
    client.environ_base["wsgi.url_scheme"] = "https"
    return client


def ask(browser: FlaskClient, safe: Safe, number: int = 0) -> tuple[str, str]:
    """Have a code sent; return code and link token."""
    browser.post("/send-code", json={"address": address(number)})
    cookie = browser.get_cookie(floor.CHALLENGE_COOKIE)
    assert cookie is not None
    challenge, key = floor.digest(cookie.value), safe.keys[number]
    return floor.code_of(key, challenge).decode(), floor.link_token_of(key, challenge).decode()


def statuses(browser: FlaskClient, *codes: str) -> list[int]:
    return [browser.post("/sign-in", json={"code": code}).status_code for code in codes]


def events(safe: Safe) -> list[str]:
    with safe.app.app_context():
        return list(floor.db.session.scalars(floor.sa.select(floor.Event.name).order_by(floor.Event.id)))


def test_right_code_signs_in_once(safe, browser):
    code, _ = ask(browser, safe)
    assert browser.get("/me").status_code == 401
    assert statuses(browser, code) == [200]
    assert browser.get("/me").json == {"user": 1, "address": address(0)}
    assert statuses(browser, code) == [400]
    assert events(safe) == ["code.sent", "code.guessed", "signed_in"]


def test_challenge_allows_five_guesses(safe, browser):
    code, _ = ask(browser, safe)
    assert statuses(browser, *[WRONG] * 4, code) == [400] * 4 + [200]
    code, _ = ask(browser, safe)
    assert statuses(browser, *[WRONG] * 5, code) == [400] * 6
    assert events(safe).count("code.guessed") == 10


def test_guess_is_stored_before_the_code_is_compared(safe, browser, monkeypatch):
    code, _ = ask(browser, safe)

    def fail(*_: Any) -> bytes:
        raise InvalidTag

    with monkeypatch.context() as broken:
        broken.setattr(floor, "decrypt", fail)
        assert statuses(browser, code) == [500]
    with safe.app.app_context():
        assert floor.db.session.scalar(floor.sa.select(floor.Challenge.guesses)) == 1


def test_link_signs_in_once_and_only_in_the_requesting_browser(safe, browser):
    _, token = ask(browser, safe)
    assert new_browser(safe).get(f"/link?token={token}").status_code == 400
    assert browser.get("/link?token=wrong").status_code == 400
    assert browser.get(f"/link?token={token}").status_code == 302
    assert browser.get("/me").json == {"user": 1, "address": address(0)}
    assert browser.get(f"/link?token={token}").status_code == 400


def test_challenge_expires(safe, browser, monkeypatch):
    code, token = ask(browser, safe)
    later = floor.time.time() + floor.CHALLENGE_LASTS
    monkeypatch.setattr(floor.time, "time", lambda: later)
    assert statuses(browser, code) == [400]
    assert browser.get(f"/link?token={token}").status_code == 400


def test_unknown_address_gets_the_same_response(safe, browser):
    known = browser.post("/send-code", json={"address": address(0)})
    unknown = browser.post("/send-code", json={"address": "nobody@example.com"})
    assert (known.status_code, known.data) == (unknown.status_code, unknown.data)
    assert statuses(browser, WRONG) == [400]


def test_secret_is_encrypted_for_its_user(safe):
    with safe.app.app_context():
        stored = floor.db.session.get_one(floor.User, 1).secret
        assert safe.keys[0] not in stored
        assert floor.decrypt(stored, 1) == safe.keys[0]
        with pytest.raises(InvalidTag):
            floor.decrypt(stored, 2)


def test_requests_are_limited_per_network_address(safe, browser, monkeypatch):
    monkeypatch.setattr(floor, "REQUESTS_A_MINUTE", 2)
    monkeypatch.setattr(floor.time, "time", lambda: 1_000_000.0)  # so that no new minute begins
    assert statuses(browser, WRONG, WRONG, WRONG) == [400, 400, 429]
    elsewhere = {"X-Forwarded-For": "10.0.0.9"}
    assert browser.post("/sign-in", json={"code": WRONG}, headers=elsewhere).status_code == 400


@pytest.mark.one_database
def test_benchmark_clients_complete_every_workload(safe):
    safe.start()
    for work in ("W1", "W2", "W3", "W4"):
        safe.prepare(work, 2)
        assert play_once(safe.server.address, safe.scripts(work, 1)[0]) == []


def play_once(address: tuple[str, int], script: Script) -> list[str]:
    """Do one operation; return what was wrong with it."""
    client, tally = Client(address, script), Tally()
    client.advance(None, tally, 0.0)
    while not tally.times and not tally.errors:
        if answer := client.read():
            client.advance(answer, tally, 0.0)
    client.socket.close()
    return tally.errors
