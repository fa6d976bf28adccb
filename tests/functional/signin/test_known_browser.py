"""The cookie by which an account recognizes a browser: no authentication, no identity, valid for a year."""

from __future__ import annotations

import pytest

from app import user_agents
from app.audit import Event
from app.client import MAX_KNOWN_ACCOUNTS
from app.crypto.secrets import digest
from app.sessions.models import KnownDevice
from tests.sinks import code_in

COOKIE = "latchkey_known"
DAY = 24 * 3600


def met(rows) -> list[str]:
    """Return what each sign-in said of its browser, in order."""
    return [event.facts["browser"] for event in rows(Event, name="sign_in.succeeded")]


def browsers(rows) -> list[KnownDevice]:
    """Return the rows of known browsers."""
    return sorted((row for row in rows(KnownDevice) if row.first_seen_at), key=lambda row: row.user_id)


def again(browser, sign_in, who, clock=None, seconds: int = 31) -> None:
    """Sign out and in again in the same browser, a while later."""
    browser.post("/logout")
    if clock:
        clock.shift(seconds)
    sign_in(who.email, by=browser)


def test_sign_in_stores_a_known_device(wire, ada, sign_in, rows):
    sign_in(ada.email)
    known = browsers(rows)
    assert [(row.user_id, row.browser) for row in known] == [(ada.id, digest(wire.cookies[COOKIE]))]
    assert known[0].agent == user_agents.label(wire.agent)
    assert met(rows) == ["new"]


def test_known_device_cookie_lasts_a_year_and_is_http_only(wire, ada, code_for):
    code = code_for(ada.email)
    answer = wire.post("/us-signin", identity=ada.email, passcode=code)
    line = next(line for line in answer.headers.getlist("Set-Cookie") if line.startswith(COOKIE))
    assert {"Max-Age=31536000", "HttpOnly", "SameSite=Lax", "Path=/"} <= {part.strip() for part in line.split(";")}


def test_magic_link_sign_in_stores_a_known_device(wire, ada, link_for, rows):
    wire.get(link_for(ada.email))
    assert [row.browser for row in browsers(rows)] == [digest(wire.cookies[COOKIE])]


def test_registration_confirmation_stores_a_known_device(wire, mail_to, rows):
    wire.post("/register", email="eve@example.com")
    assert wire.post("/confirm", email="eve@example.com", passcode=code_in(mail_to("eve@example.com"))).ok
    assert [row.browser for row in browsers(rows)] == [digest(wire.cookies[COOKIE])]


def test_failed_sign_in_stores_no_known_device(wire, ada, code_for, rows):
    code_for(ada.email)
    wire.post("/us-signin", identity=ada.email, passcode="00000000")
    assert COOKIE not in wire.cookies
    assert browsers(rows) == []


def test_api_client_gets_no_known_device_cookie(program, ada, mail_to, rows):
    asked = program.post("/us-signin/send-code", identity=ada.email, chosen_method="email").json["challenge"]
    answer = program.post("/us-signin", identity=ada.email, passcode=code_in(mail_to(ada.email)), challenge=asked)
    assert answer.ok
    assert COOKIE not in str(answer.headers.getlist("Set-Cookie"))
    assert (browsers(rows), met(rows)) == ([], ["none"])


def test_known_device_sign_in_keeps_the_secret_and_last_seen_time(wire, ada, sign_in, rows, clock):
    sign_in(ada.email)
    secret, before = wire.cookies[COOKIE], browsers(rows)[0].last_seen_at
    again(wire, sign_in, ada, clock)
    assert (wire.cookies[COOKIE], met(rows)) == (secret, ["new", "known"])
    assert [row.last_seen_at for row in browsers(rows)] == [before]


def test_known_device_last_seen_and_cookie_are_renewed_after_a_day(wire, ada, sign_in, code_for, rows, clock):
    sign_in(ada.email)
    first = browsers(rows)[0]
    wire.post("/logout")
    clock.shift(DAY + 1)
    code = code_for(ada.email)
    answer = wire.post("/us-signin", identity=ada.email, passcode=code)
    (row,) = browsers(rows)
    assert row.first_seen_at == first.first_seen_at < row.last_seen_at
    assert "Max-Age=31536000" in next(line for line in answer.headers.getlist("Set-Cookie") if COOKIE in line)
    assert met(rows) == ["new", "known"]


def test_magic_link_sign_in_recognizes_a_known_device(wire, ada, sign_in, link_for, rows, clock):
    sign_in(ada.email)
    wire.post("/logout")
    clock.shift(31)
    wire.get(link_for(ada.email))
    assert met(rows) == ["new", "known"]


def test_accounts_sharing_a_browser_have_separate_known_device_secrets(wire, ada, people, sign_in, rows, clock):
    eve = people.open(email="eve@example.com")
    sign_in(ada.email)
    hers = wire.cookies[COOKIE]
    again(wire, sign_in, eve, clock)
    theirs, kept = wire.cookies[COOKIE].split(".")
    assert kept == hers != theirs
    known = [(row.user_id, row.browser) for row in browsers(rows)]
    assert known == [(ada.id, digest(hers)), (eve.id, digest(theirs))]
    for who in (ada, eve, ada):
        again(wire, sign_in, who, clock)
    assert met(rows) == ["new", "new", "known", "known", "known"]
    assert sorted(wire.cookies[COOKIE].split(".")) == sorted((hers, theirs))


def test_cookie_copied_before_an_account_signed_in_is_a_new_device_for_it(wire, ada, people, sign_in, rows, clock):
    eve = people.open(email="eve@example.com")
    sign_in(eve.email)
    copy = wire.elsewhere()
    copy.client.set_cookie(COOKIE, wire.cookies[COOKIE])
    again(wire, sign_in, ada, clock)
    clock.shift(31)
    sign_in(ada.email, by=copy)
    assert met(rows) == ["new", "new", "new"]


@pytest.mark.settings(limits=False)
def test_known_device_cookie_evicts_the_oldest_account_beyond_the_limit(wire, people, sign_in, rows, clock):
    several = [people.open(email=f"p{number}@example.com") for number in range(MAX_KNOWN_ACCOUNTS + 1)]
    for one in several:
        again(wire, sign_in, one, clock)
    assert len(wire.cookies[COOKIE].split(".")) == MAX_KNOWN_ACCOUNTS
    again(wire, sign_in, several[1], clock)
    again(wire, sign_in, several[0], clock)
    assert met(rows)[-2:] == ["known", "new"]


def test_known_device_cookie_does_not_sign_in(wire, ada, sign_in):
    sign_in(ada.email)
    other = wire.elsewhere()
    other.client.set_cookie(COOKIE, wire.cookies[COOKIE])
    assert other.signed_in_as() is None


@pytest.mark.parametrize("value", ["", "x", "x" * 43, "x" * 500, "ü" * 43, "\x00" * 43])
def test_malformed_known_device_cookie_counts_as_a_new_device(wire, ada, sign_in, rows, value):
    wire.client.set_cookie(COOKIE, value)
    sign_in(ada.email)
    assert met(rows) == ["new"]


def test_disabling_an_account_revokes_its_known_devices(wire, ada, sign_in, app, rows, clock):
    sign_in(ada.email)
    secret = wire.cookies[COOKIE]
    for word in ("disable", "enable"):
        app.test_cli_runner().invoke(args=["users", word, ada.email])
    clock.shift(31)
    sign_in(ada.email)
    assert wire.cookies[COOKIE] != secret
    assert met(rows) == ["new", "new"]


def test_removing_a_sign_in_method_revokes_other_known_devices(wire, people, sign_in, rows, clock):
    ada = people.open(email="ada@example.com", phone="+447400123456")
    sign_in(ada.email)
    other = wire.elsewhere()
    clock.shift(31)
    sign_in(ada.email, by=other)
    assert other.post("/us-setup", delete_method=["sms"]).ok
    known = {row.browser: row.revoked_at is None for row in browsers(rows)}
    assert known == {digest(wire.cookies[COOKIE]): False, digest(other.cookies[COOKIE]): True}


def test_logout_keeps_the_known_device(wire, ada, sign_in, rows):
    sign_in(ada.email)
    wire.post("/logout")
    assert COOKIE in wire.cookies
    assert [row.revoked_at for row in browsers(rows)] == [None]


def test_known_device_of_another_account_does_not_affect_a_new_browser(wire, ada, people, sign_in, rows, clock):
    eve = people.open(email="eve@example.com")
    sign_in(eve.email)
    other = wire.elsewhere()
    sign_in(ada.email, by=other)
    assert met(rows) == ["new", "new"]


def test_sign_in_runs_the_same_statements_for_known_and_new_devices(wire, ada, code_for, statements, clock):
    costs = []
    for _ in range(2):
        code = code_for(ada.email)
        wire.fetch_csrf()
        with statements() as seen:
            assert wire.post("/us-signin", identity=ada.email, passcode=code).ok
        costs.append([statement[:40] for statement in seen])
        wire.post("/logout")
        clock.shift(31)
    assert costs[0] == costs[1]
    assert len(costs[0]) <= 7
