"""What a sign-in creates: a session cookie, which ends when it should."""

from __future__ import annotations

import pytest

from app.crypto.secrets import digest
from app.sessions.models import AuthSession

COOKIE = "latchkey_session"
DAY = 24 * 3600


def set_cookies(answer) -> dict[str, str]:
    """Return the attributes of each cookie that an answer sets."""
    found = [header.partition("=") for header in answer.headers.getlist("Set-Cookie")]
    return {name: rest.partition(";")[2] for name, _, rest in found}


def carry(wire, value: str):
    """Return another browser that carries ``value`` as its session cookie."""
    other = wire.elsewhere()
    other.client.set_cookie(COOKIE, value, domain="localhost")
    return other


def test_cookies_are_http_only_same_site_and_host_only(wire, ada, code_for):
    seen = set_cookies(wire.elsewhere().get("/us-signin"))
    answer = wire.post("/us-signin", identity=ada.email, passcode=code_for(ada.email))
    seen |= set_cookies(answer) | set_cookies(wire.post("/logout"))
    assert {COOKIE, "latchkey_browser"} <= set(seen)
    for attributes in seen.values():
        assert {"HttpOnly", "Path=/", "SameSite=Lax"} <= {part.strip() for part in attributes.split(";")}
        assert "Domain" not in attributes
    assert all(len(header) < 4096 for header in answer.headers.getlist("Set-Cookie"))


@pytest.mark.settings(public_url="https://localhost")
def test_https_cookies_are_secure_with_host_prefix(wire, ada):
    answers = [wire.get("/us-signin"), wire.post("/us-signin/send-code", identity=ada.email, chosen_method="email")]
    for answer in answers:
        for name, attributes in set_cookies(answer).items():
            assert name.startswith("__Host-")
            assert "Secure" in attributes
    assert set_cookies(answers[0])


@pytest.mark.one_database
def test_remember_cookie_of_another_app_signs_nobody_out(wire, ada, sign_in):
    """Flask-Login would look up the user by that cookie instead of ours: fails if it no longer calls our override."""
    sign_in(ada.email)
    wire.client.set_cookie("remember_token", "7|abc", domain="localhost")
    assert wire.signed_in_as() is not None


@pytest.mark.parametrize("remember", [True, False, "false"])
@pytest.mark.one_database
def test_session_cookie_is_persistent_only_with_remember(wire, ada, code_for, remember):
    code = code_for(ada.email)
    attributes = set_cookies(wire.post("/us-signin", identity=ada.email, passcode=code, remember=remember))[COOKIE]
    assert ("Max-Age" in attributes) is (remember is True)


def test_session_token_is_stored_only_as_a_digest(wire, ada, sign_in, rows):
    token = sign_in(ada.email).cookies[COOKIE]
    assert len(token) >= 43
    assert rows(AuthSession)[0].digest == digest(token)
    assert carry(wire, rows(AuthSession)[0].digest).signed_in_as() is None
    assert carry(wire, token).signed_in_as() == ada.email


@pytest.mark.parametrize(
    "change", [lambda t: t[:-1], lambda t: t + "A", lambda t: t.swapcase(), lambda t: " " + t + "x"]
)
@pytest.mark.one_database
def test_altered_session_token_is_rejected(wire, ada, sign_in, change):
    token = sign_in(ada.email).cookies[COOKIE]
    assert carry(wire, change(token)).signed_in_as() is None


def test_planted_cookie_never_becomes_the_session(wire, ada, sign_in):
    planted = "planted-by-somebody-else-0123456789-0123456789"
    victim = carry(wire, planted)
    before = dict(victim.cookies)
    sign_in(ada.email, by=victim)
    assert victim.cookies[COOKIE] not in before.values()
    assert carry(wire, planted).signed_in_as() is None


def test_cookies_from_before_sign_in_do_not_authenticate(wire, ada, code_for):
    code = code_for(ada.email)
    before = dict(wire.cookies)
    wire.post("/us-signin", identity=ada.email, passcode=code)
    assert wire.cookies[COOKIE] not in before.values()
    copy = wire.elsewhere()
    for name, value in before.items():
        copy.client.set_cookie(name, value, domain="localhost")
    assert copy.signed_in_as() is None
    assert carry(wire, before["latchkey_browser"]).signed_in_as() is None


def test_each_sign_in_gets_its_own_session_token(wire, ada, sign_in):
    first = sign_in(ada.email).cookies[COOKIE]
    second = sign_in(ada.email, by=wire.elsewhere()).cookies[COOKIE]
    assert first != second
    assert carry(wire, first).signed_in_as() == ada.email


def test_logout_invalidates_copied_session_cookies(wire, ada, sign_in):
    token = sign_in(ada.email).cookies[COOKIE]
    wire.post("/logout")
    assert COOKIE not in wire.cookies
    assert carry(wire, token).signed_in_as() is None


def test_logout_keeps_sessions_of_other_browsers(wire, ada, sign_in):
    other = sign_in(ada.email, by=wire.elsewhere())
    sign_in(ada.email)
    wire.post("/logout")
    assert other.signed_in_as() == ada.email


@pytest.mark.parametrize(("unused", "alive"), [(7 * DAY - 5, True), (7 * DAY + 1, False)])
def test_session_expires_after_seven_idle_days(wire, ada, sign_in, clock, unused, alive):
    sign_in(ada.email)
    clock.shift(unused)
    assert wire.signed_in_as() == (ada.email if alive else None)


def test_session_expires_after_thirty_days_even_if_active(wire, ada, sign_in, clock):
    sign_in(ada.email)
    for _ in range(4):
        clock.shift(7 * DAY - 60)
        assert wire.signed_in_as() == ada.email
    clock.shift(2 * DAY + 239 - 5)
    assert wire.signed_in_as() == ada.email
    clock.shift(6)
    assert wire.signed_in_as() is None


def test_ended_session_stays_ended_when_the_clock_moves_back(wire, ada, sign_in, clock):
    sign_in(ada.email)
    wire.post("/logout")
    token = wire.cookies.get(COOKIE, "")
    clock.shift(-3600)
    assert carry(wire, token).signed_in_as() is None


def test_disabling_an_account_ends_its_sessions_permanently(app, wire, ada, sign_in):
    sign_in(ada.email)
    for command in ("disable", "enable"):
        assert app.test_cli_runner().invoke(args=["users", command, ada.email]).exit_code == 0
        assert wire.signed_in_as() is None


def test_session_last_seen_is_updated_at_most_once_a_minute(wire, ada, sign_in, clock, rows):
    sign_in(ada.email)
    began = rows(AuthSession)[0].seen_at
    clock.shift(30)
    wire.get("/us-signin")
    assert rows(AuthSession)[0].seen_at == began
    clock.shift(40)
    wire.get("/us-signin")
    assert (rows(AuthSession)[0].seen_at - began).total_seconds() >= 69


def test_unauthenticated_request_gets_401_json_or_a_login_redirect(wire):
    answer = wire.get("/us-verify?a=b")
    if wire.language == "form":
        assert (answer.status, answer.location) == (302, "/login?next=%2Fus-verify%3Fa%3Db")
        assert wire.follow(answer).page.value("next") == "/us-verify?a=b"
    else:
        assert (answer.status, answer.codes) == (401, ["unauthenticated"])
        assert "field_errors" not in answer.json


def test_disabled_account_is_rejected_despite_an_open_session(wire, people, database):
    from tests.signed_in import sign_in as give_session

    eve = people.open(email="eve@example.com")
    here = give_session(wire, eve)
    assert here.signed_in_as() == eve.email
    database.query(f'UPDATE "user" SET disabled_at = created_at WHERE id = {eve.id} RETURNING id')
    assert here.signed_in_as() is None
