"""The first administrator: by a command, or by a link that works once."""

from __future__ import annotations

import re
from urllib.parse import urlencode

import pytest

from app.audit import Event
from app.serving import startup
from tests.signed_in import sign_in


@pytest.fixture
def operate(app):
    """Runs a command."""
    return lambda *words: app.test_cli_runner().invoke(args=words)


@pytest.fixture
def path(operate):
    """Where a fresh link leads."""
    out = operate("users", "admin", "--link").stdout
    return re.fullmatch(r"https?://[^/]+(/admin/first\?token=[\w-]{43})", out.strip())[1]


@pytest.mark.both_databases
def test_users_admin_command_adds_and_removes_administrators(operate, people, rows):
    people.open(email="ada@example.com")
    assert operate("users", "admin").stderr.startswith("0 administrators. Add one:")
    assert "is an administrator" in operate("users", "admin", "ada@example.com").stdout
    assert "already" in operate("users", "admin", "ada@example.com").stdout
    assert "ada@example.com" in operate("users", "admin").stdout
    assert "no longer an administrator" in operate("users", "admin", "ada@example.com", "--off").stdout
    assert "isn't an administrator" in operate("users", "admin", "ada@example.com", "--off").stdout
    assert [event.name for event in rows(Event) if "administrator" in event.name] == [
        "administrator.added",
        "administrator.removed",
    ]
    assert operate("users", "admin", "eve@example.com").exit_code == 1
    assert operate("users", "admin", "--off").exit_code == 2
    assert operate("users", "admin", "--link", "ada@example.com").exit_code == 2


def test_first_administrator_link_works_once_for_a_signed_in_user(wire, people, path):
    ada, eve = people.open(email="ada@example.com"), people.open(email="eve@example.com")
    assert wire.get(path).status == (401 if wire.language == "json" else 302)
    hers, others = sign_in(wire.elsewhere(), ada), sign_in(wire.elsewhere(), eve)
    assert (hers.get(path).status, others.get(path).status) == (200, 200)
    token = path.partition("=")[2]
    assert hers.post("/admin/first", token=token).ok
    assert hers.get("/admin").status == 200
    assert others.post("/admin/first", token=token).codes == ["admin_link_invalid"]
    assert others.get(path).status == 400
    assert others.get("/admin").status == 403


def test_startup_prints_the_first_administrator_link_only_without_accounts(app, wire, people, rows):
    line = startup.invite_first_administrator(app)
    path = re.search(r"/admin/first\?token=[\w-]{43}$", line)[0]
    hers = sign_in(wire, people.open(email="ada@example.com"))
    assert hers.get(path).status == 200
    assert startup.invite_first_administrator(app) == "", "there is an account now"


def test_startup_prints_no_administrator_link_if_the_console_is_disabled(make_app):
    assert startup.invite_first_administrator(make_app(admin=False)) == ""


def test_first_administrator_link_expires_after_15_minutes_or_when_replaced(wire, people, operate, path, clock):
    operate("users", "admin", "--link")
    hers = sign_in(wire, people.open(email="ada@example.com"))
    assert hers.get(path).status == 400
    newest = operate("users", "admin", "--link").stdout.strip().partition("=")[2]
    clock.shift(15 * 60)
    assert hers.get(f"/admin/first?token={newest}").status == 400


def test_first_administrator_link_requires_recent_reauthentication(wire, people, path, clock):
    hers = sign_in(wire, people.open(email="ada@example.com"))
    clock.shift(301)
    answer = hers.post("/admin/first", token=path.partition("=")[2])
    assert answer.status == (401 if wire.language == "json" else 302)
    assert hers.get("/admin").status in (403,)


@pytest.mark.parametrize("token", ["", "x", "%00", "A" * 43, "A" * 5000])
def test_invalid_first_administrator_token_is_rejected(wire, people, path, token):
    hers = sign_in(wire, people.open(email="ada@example.com"))
    assert hers.get(f"/admin/first?token={token}").status == 400
    assert hers.post("/admin/first", token=token.replace("%00", "y")).codes == ["admin_link_invalid"]


def test_first_administrator_link_redirects_to_sign_in_and_back(browser_wire, path):
    answer = browser_wire.get(path)
    assert answer.location == f"/login?{urlencode({'next': path})}"
