"""The assurance level of a session: two factors count for a day, and for an hour without use."""

from __future__ import annotations

import pytest

from app.sessions.models import AuthSession
from tests.signed_in import give_token, sign_in
from tests.sinks import code_in
from tests.wire import Wire

HOUR, DAY = 3600, 24 * 3600
BOTH = "email,authenticator"


@pytest.fixture
def ada(people):
    """Someone who signs in by email and by app."""
    return people.open(email="ada@example.com", methods=["email", "authenticator"])


def aal(client) -> int:
    """Return the assurance level of the session of ``client``, which both pages must agree on."""
    listed = next(session for session in client.get("/sessions").json["sessions"] if session["current"])
    assert client.get("/").json["aal"] == listed["aal"]
    return listed["aal"]


def by_mail(client, mail_to) -> None:
    """Reauthenticate by email code."""
    client.post("/us-verify/send-code", chosen_method="email")
    assert client.post("/us-verify", passcode=code_in(mail_to("ada@example.com"))).ok


@pytest.mark.parametrize(
    ("via", "level"),
    [("email", 1), ("authenticator", 1), (BOTH, 2), ("webauthn", 1), ("webauthn,uv", 2), ("email,recovery_code", 2)],
)
def test_aal_is_determined_by_the_sign_in_methods(json_wire, ada, via, level):
    assert aal(sign_in(json_wire, ada, via=via)) == level


@pytest.mark.parametrize(("unused", "level"), [(HOUR - 1, 2), (HOUR + 1, 1)])
def test_aal2_expires_after_an_hour_of_inactivity(json_wire, ada, clock, unused, level):
    sign_in(json_wire, ada, via=BOTH)
    clock.shift(unused)
    assert aal(json_wire) == level


@pytest.mark.parametrize(("age", "level"), [(DAY - 1, 2), (DAY + 1, 1)])
def test_aal2_expires_after_a_day_regardless_of_activity(json_wire, ada, clock, age, level):
    sign_in(json_wire, ada, via=BOTH)
    for _ in range(25):
        clock.shift(DAY / 25)
        json_wire.get("/us-signin")
    clock.shift(age - DAY)
    assert aal(json_wire) == level
    assert json_wire.signed_in_as() == ada.email


def test_aal2_expired_by_inactivity_is_not_restored_by_activity(json_wire, ada, clock, rows):
    sign_in(json_wire, ada, via=BOTH)
    clock.shift(HOUR + 1)
    for _ in range(3):
        assert aal(json_wire) == 1
        clock.shift(61)
    assert rows(AuthSession, kind="browser")[0].second_at is None


@pytest.mark.settings(two_factor_idle=120, two_factor_absolute=600)
@pytest.mark.parametrize(("unused", "level"), [(119, 2), (121, 1)])
def test_aal2_idle_and_absolute_timeouts_are_configurable(json_wire, ada, clock, unused, level):
    sign_in(json_wire, ada, via=BOTH)
    clock.shift(unused)
    assert aal(json_wire) == level
    sign_in(json_wire, ada, via=BOTH)
    for _ in range(6):
        clock.shift(100.1)
        json_wire.get("/us-signin")
    assert aal(json_wire) == 1


def test_reauthentication_with_another_factor_raises_aal(json_wire, ada, clock):
    sign_in(json_wire, ada, via="email")
    assert aal(json_wire) == 1
    clock.shift(5 * DAY)
    json_wire.fetch_csrf()
    assert json_wire.post("/us-verify", passcode=ada.app_code()).ok
    assert aal(json_wire) == 2


def test_only_the_stronger_factor_restores_expired_aal2(json_wire, ada, clock, mail_to):
    sign_in(json_wire, ada, via=BOTH)
    clock.shift(DAY + 1)
    by_mail(json_wire, mail_to)
    assert aal(json_wire) == 1
    assert json_wire.post("/us-verify", passcode=ada.app_code()).ok
    assert aal(json_wire) == 2


def test_reauthentication_with_the_same_factor_keeps_aal1(json_wire, ada, mail_to):
    sign_in(json_wire, ada, via="email")
    by_mail(json_wire, mail_to)
    assert aal(json_wire) == 1


@pytest.mark.one_database
def test_access_token_has_the_aal_of_its_session(program, ada, clock):
    assert give_token(program, ada, via=BOTH).get("/").json["aal"] == 2
    assert give_token(program, ada).get("/").json["aal"] == 1


@pytest.mark.one_database
def test_pages_show_two_factors_while_aal2_lasts(browser_wire, ada, clock):
    sign_in(browser_wire, ada, via=BOTH)
    assert "Two factors, until" in browser_wire.get("/").text
    assert "two factors" in browser_wire.get("/sessions").text
    clock.shift(HOUR + 1)
    assert "Two factors" not in browser_wire.get("/").text
    assert "two factors" not in browser_wire.get("/sessions").text


@pytest.mark.one_database
def test_recording_aal2_expiry_costs_no_extra_query(json_wire, ada, clock, statements):
    sign_in(json_wire, ada, via=BOTH)
    clock.shift(HOUR + 1)
    with statements() as seen:
        json_wire.get("/us-signin")
    assert [statement.split()[0] for statement in seen] == ["SELECT", "UPDATE"]


@pytest.mark.parametrize("idle", [30, HOUR])
def test_expired_aal2_is_restored_neither_by_weak_proof_nor_in_its_access_token(
    make_app, ada, program, clock, mail_to, idle
):
    hers = sign_in(Wire(make_app(two_factor_idle=idle), "json"), ada, via=BOTH)
    clock.shift(idle + 1)
    hers.post("/us-verify/send-code", chosen_method="email")
    code = code_in(mail_to(ada.email))
    answer = hers.post("/us-verify?include_auth_token", passcode=code)
    program.token = answer.json["user"]["authentication_token"]
    assert (aal(hers), program.get("/").json["aal"]) == (1, 1)
