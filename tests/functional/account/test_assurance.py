"""How strong a session is: two factors count for a day, and no longer than an hour without use."""

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
    """Somebody who signs in by mail and by app."""
    return people.open(email="ada@example.com", methods=["email", "authenticator"])


def aal(client) -> int:
    """Return how strong the session of ``client`` is, as it tells, alike on both of its pages."""
    listed = next(session for session in client.get("/sessions").json["sessions"] if session["current"])
    assert client.get("/").json["aal"] == listed["aal"]
    return listed["aal"]


def by_mail(client, mail_to) -> None:
    """Prove again by a mailed code."""
    client.post("/us-verify/send-code", chosen_method="email")
    assert client.post("/us-verify", passcode=code_in(mail_to("ada@example.com"))).ok


@pytest.mark.parametrize(
    ("via", "level"),
    [("email", 1), ("authenticator", 1), (BOTH, 2), ("webauthn", 1), ("webauthn,uv", 2), ("email,recovery_code", 2)],
)
def test_what_was_proved_at_the_sign_in_decides(json_wire, ada, via, level):
    assert aal(sign_in(json_wire, ada, via=via)) == level


@pytest.mark.parametrize(("unused", "level"), [(HOUR - 1, 2), (HOUR + 1, 1)])
def test_two_factors_count_until_an_hour_without_use(json_wire, ada, clock, unused, level):
    sign_in(json_wire, ada, via=BOTH)
    clock.shift(unused)
    assert aal(json_wire) == level


@pytest.mark.parametrize(("age", "level"), [(DAY - 1, 2), (DAY + 1, 1)])
def test_two_factors_count_for_a_day_however_much_they_are_used(json_wire, ada, clock, age, level):
    sign_in(json_wire, ada, via=BOTH)
    for _ in range(25):
        clock.shift(DAY / 25)
        json_wire.get("/us-signin")
    clock.shift(age - DAY)
    assert aal(json_wire) == level
    assert json_wire.signed_in_as() == ada.email


def test_what_ended_by_not_being_used_stays_ended(json_wire, ada, clock, rows):
    sign_in(json_wire, ada, via=BOTH)
    clock.shift(HOUR + 1)
    for _ in range(3):
        assert aal(json_wire) == 1
        clock.shift(61)
    assert rows(AuthSession, kind="browser")[0].second_at is None


@pytest.mark.settings(two_factor_idle=120, two_factor_absolute=600)
@pytest.mark.parametrize(("unused", "level"), [(119, 2), (121, 1)])
def test_the_operator_sets_both_figures(json_wire, ada, clock, unused, level):
    sign_in(json_wire, ada, via=BOTH)
    clock.shift(unused)
    assert aal(json_wire) == level
    sign_in(json_wire, ada, via=BOTH)
    for _ in range(6):
        clock.shift(100.1)
        json_wire.get("/us-signin")
    assert aal(json_wire) == 1


def test_a_second_kind_of_proof_steps_up(json_wire, ada, clock):
    sign_in(json_wire, ada, via="email")
    assert aal(json_wire) == 1
    clock.shift(5 * DAY)
    json_wire.fetch_csrf()
    assert json_wire.post("/us-verify", passcode=ada.app_code()).ok
    assert aal(json_wire) == 2


def test_only_a_proof_as_strong_as_the_best_makes_them_count_anew(json_wire, ada, clock, mail_to):
    sign_in(json_wire, ada, via=BOTH)
    clock.shift(DAY + 1)
    by_mail(json_wire, mail_to)
    assert aal(json_wire) == 1
    assert json_wire.post("/us-verify", passcode=ada.app_code()).ok
    assert aal(json_wire) == 2


def test_the_same_proof_twice_is_one(json_wire, ada, mail_to):
    sign_in(json_wire, ada, via="email")
    by_mail(json_wire, mail_to)
    assert aal(json_wire) == 1


@pytest.mark.one_database
def test_a_programs_token_is_as_strong_as_the_session_that_gave_it(program, ada, clock):
    assert give_token(program, ada, via=BOTH).get("/").json["aal"] == 2
    assert give_token(program, ada).get("/").json["aal"] == 1


@pytest.mark.one_database
def test_a_page_says_it_in_words(browser_wire, ada, clock):
    sign_in(browser_wire, ada, via=BOTH)
    assert "Two factors, until" in browser_wire.get("/").text
    assert "two factors" in browser_wire.get("/sessions").text
    clock.shift(HOUR + 1)
    assert "Two factors" not in browser_wire.get("/").text
    assert "two factors" not in browser_wire.get("/sessions").text


@pytest.mark.one_database
def test_noting_that_they_ended_costs_no_statement_more(json_wire, ada, clock, statements):
    sign_in(json_wire, ada, via=BOTH)
    clock.shift(HOUR + 1)
    with statements() as seen:
        json_wire.get("/us-signin")
    assert [statement.split()[0] for statement in seen] == ["SELECT", "UPDATE"]


@pytest.mark.parametrize("idle", [30, HOUR])
def test_what_has_ended_comes_back_neither_by_a_weak_proof_nor_in_a_token_it_gives(
    make_app, ada, program, clock, mail_to, idle
):
    hers = sign_in(Wire(make_app(two_factor_idle=idle), "json"), ada, via=BOTH)
    clock.shift(idle + 1)
    hers.post("/us-verify/send-code", chosen_method="email")
    code = code_in(mail_to(ada.email))
    answer = hers.post("/us-verify?include_auth_token", passcode=code)
    program.token = answer.json["user"]["authentication_token"]
    assert (aal(hers), program.get("/").json["aal"]) == (1, 1)
