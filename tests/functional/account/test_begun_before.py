"""A change that one session began can't be completed by another, and keeps one token of its own session."""

from __future__ import annotations

import pytest

from tests.functional.setup.conftest import app_code, key_in, state_in
from tests.second import begin_setup, prove_setup
from tests.signed_in import sign_in
from tests.sinks import code_in, links_in
from tests.wire import Program

NEW = "thief@example.com"


@pytest.fixture
def vic(people):
    """Someone with only a mailbox, which a thief reads as well."""
    return people.open(email="vic@example.com")


@pytest.fixture
def thief(wire, vic):
    """A browser or API client that signed in by email."""
    return sign_in(wire, vic, "email")


@pytest.fixture
def got_stronger(thief, vic):
    """Lets the owner set up an app elsewhere; then the thief signs in by email again."""

    def change() -> None:
        hers = sign_in(thief.elsewhere(), vic, "email")
        begun = hers.post("/us-setup", chosen_method="authenticator")
        assert hers.post(f"/us-setup/{state_in(begun)}", passcode=app_code(key_in(begun))).ok
        sign_in(thief, vic, "email")

    return change


def test_pending_method_setup_cannot_be_finished_from_a_new_session(thief, got_stronger, rows):
    from app.enrollments.models import Enrollment

    begun = thief.post("/us-setup", chosen_method="authenticator")
    key = key_in(begun)  # only the session that began it can see this page
    got_stronger()
    before = [row.id for row in rows(Enrollment)]
    answer = thief.post(f"/us-setup/{state_in(begun)}", passcode=app_code(key))
    assert (answer.status, answer.codes) == (400, ["api_error"])
    assert [row.id for row in rows(Enrollment)] == before


def test_pending_second_step_setup_cannot_be_finished_from_a_new_session(thief, got_stronger, rows):
    from app.enrollments.models import Enrollment

    begun = begin_setup(thief, setup="authenticator")
    key = begun.json.get("tf_authr_b32key") or key_in(begun)
    got_stronger()
    assert not prove_setup(thief, begun, app_code(key)).ok
    assert [row.is_second for row in rows(Enrollment)] == [False, False]


@pytest.mark.parametrize("how", ["code", "link"])
def test_pending_email_change_cannot_be_confirmed_from_a_new_session(thief, vic, got_stronger, mail_to, rows, how):
    from app.users import Identity

    thief.post("/change-email", email=NEW)
    mail = mail_to(NEW)
    got_stronger()
    if how == "code":
        assert thief.post("/change-email/confirm", passcode=code_in(mail)).codes == ["api_error"]
    else:
        [link] = [link for link in links_in(mail) if "/change-email/" in link]
        assert thief.get(link.removeprefix("http://localhost")).location == "/change-email"
    assert [row.value for row in rows(Identity)] == [vic.email]


def test_credential_change_ends_pending_challenges_of_other_sessions(thief, got_stronger, rows):
    from app.challenges.models import Challenge

    thief.post("/us-setup", chosen_method="authenticator")
    got_stronger()
    assert [row for row in rows(Challenge) if row.spent_at is None] == []


def enter(wire, vic, mail_to) -> dict[str, str]:
    """Sign in, and return the tokens in the response."""
    wire.post("/us-signin/send-code", identity=vic.email, chosen_method="email")
    code = code_in(mail_to(vic.email))
    path = "/us-signin?include_auth_token&include_refresh_token"
    return dict(wire.post(path, identity=vic.email, passcode=code).json["user"])


def test_credential_change_revokes_access_and_refresh_tokens(app, json_wire, vic, mail_to):
    user = enter(json_wire, vic, mail_to)
    begun = json_wire.post("/us-setup", chosen_method="authenticator")
    assert json_wire.post(f"/us-setup/{state_in(begun)}", passcode=app_code(key_in(begun))).ok
    program = Program(app)
    program.token = user["authentication_token"]
    assert program.signed_in_as() is None
    assert program.post("/us-refresh", refresh_token=user["refresh_token"]).codes == ["refresh_token_invalid"]
    assert json_wire.signed_in_as() == vic.email


def test_credential_change_by_api_client_keeps_only_its_own_access_token(app, json_wire, vic, mail_to):
    user = enter(json_wire, vic, mail_to)
    program = Program(app)
    program.token = user["authentication_token"]
    begun = program.post("/us-setup", chosen_method="authenticator")
    assert program.post(f"/us-setup/{state_in(begun)}", passcode=app_code(key_in(begun))).ok
    assert program.signed_in_as() == vic.email
    assert json_wire.signed_in_as() is None
    assert not program.post("/us-refresh", refresh_token=user["refresh_token"]).ok
