"""Access that is revoked at one replica ends at the proxies of all within a second, also without Redis."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from datetime import timedelta

import pytest

from tests.factories import People
from tests.faults.accounts import application_on
from tests.forward_auth import FILE
from tests.serving import Server, free_port

pytestmark = pytest.mark.both_databases

WIKI = "wiki.example.com"
BOUND = 1.0
"""Seconds."""


@pytest.fixture
def replicas(start, database, tmp_path) -> list[Server]:
    """Two servers on one database; the Redis in their settings is down."""
    path = tmp_path / "apps.toml"
    path.write_text(FILE)
    settings = {
        "LATCHKEY_APPS_FILE": path,
        "LATCHKEY_FORWARD_AUTH_PROXIES": "127.0.0.1",
        "LATCHKEY_REDIS_URL": f"redis://127.0.0.1:{free_port()}/0",
        "LATCHKEY_LIMITS": "on",
    }
    return [start(database, workers=2, **settings) for _ in range(2)]


@pytest.fixture
def cookies(database, replicas) -> tuple[str, str]:
    """Ada's cookies here and at the wiki."""
    from flask import g

    from app import clock
    from app.client import ClientContext
    from app.extensions import db
    from app.forward_auth import app_sessions
    from app.forward_auth.app_file import read_apps
    from app.sessions.store import create_session
    from app.users import User

    with application_on(database) as app:
        ada = People(app).open(email="ada@example.com", methods=["email"])
        with app.test_request_context():
            user = db.session.get(User, ada.id)
            session = create_session(user, "email", ClientContext("", "127.0.0.1", "a browser"), remember=False)
            wiki = read_apps(replicas[0].environment["LATCHKEY_APPS_FILE"], needs_https=True)[0][WIKI]
            token, until = app_sessions.create(session, wiki, WIKI)
            assert until - clock.now() > timedelta(hours=1)
            db.session.commit()
            return g.session_cookie[0], token


def status_at(server: Server, token: str) -> int:
    """Return a replica's response to a proxy's check of Ada."""
    headers = {
        "X-Forwarded-Host": WIKI, "X-Forwarded-Uri": "/notes", "X-Forwarded-Method": "GET",
        "X-Forwarded-For": "192.0.2.7", "Cookie": f"latchkey_gate={token}", "Accept": "application/json",
    }  # fmt: skip
    try:
        with urllib.request.urlopen(urllib.request.Request(f"{server.url}/gate/forward", headers=headers)) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as refused:
        return int(refused.code)


def seconds_until_closed(replicas: list[Server], token: str) -> list[float]:
    """Return how long each replica still allowed access, asked four times in turn to reach each of its processes."""
    began, closed = time.monotonic(), []
    for server in replicas:
        while any(status_at(server, token) == 200 for _ in range(4)):
            assert time.monotonic() - began < 10, "she still passes"
        closed.append(time.monotonic() - began)
    return closed


def by_sign_out(replicas: list[Server], session: str, _database) -> None:
    """Sign out at the first replica, as a browser does."""
    cookie = {"Cookie": f"latchkey_session={session}", "Accept": "application/json"}
    page = urllib.request.urlopen(urllib.request.Request(f"{replicas[0].url}/sessions", headers=cookie))
    csrf = json.loads(page.read())["response"]["csrf_token"]
    headers = cookie | {"X-CSRFToken": csrf, "Content-Type": "application/json"}
    urllib.request.urlopen(urllib.request.Request(f"{replicas[0].url}/logout", b"{}", headers, method="POST"))


def by_disabling(_replicas: list[Server], _session: str, database) -> None:
    """Disable the account with a command, as on another machine."""
    with application_on(database) as app:
        done = app.test_cli_runner().invoke(args=["users", "disable", "ada@example.com"])
    assert done.exit_code == 0, done.output


@pytest.mark.parametrize("end", [by_sign_out, by_disabling], ids=["sign-out", "disabled account"])
def test_revoked_session_is_rejected_by_every_replica_within_a_second(replicas, cookies, database, end, capsys):
    session, token = cookies
    assert [status_at(server, token) for server in replicas] == [200, 200]
    end(replicas, session, database)
    closed = seconds_until_closed(replicas, token)
    with capsys.disabled():
        print(  # noqa: T201 - a figure that the documents name
            f"\nclosed at both replicas, {end.__doc__.strip().rstrip('.').lower()}: {max(closed) * 1000:.0f} ms"
        )
    assert max(closed) < BOUND
