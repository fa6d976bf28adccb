"""API clients: the challenge they send back instead of a cookie, and their tokens."""

from __future__ import annotations

import pytest

from app.sessions.models import AuthSession
from tests.functional.signin.conftest import wrong
from tests.sinks import code_in
from tests.wire import Program

SEND = "/us-signin/send-code"


@pytest.fixture
def asked(program, ada, mail_to):
    """The challenge that an API client got for Ada, and the code in her email."""
    answer = program.post(SEND, identity=ada.email, chosen_method="email")
    return answer.json["challenge"], code_in(mail_to(ada.email))


@pytest.fixture
def signed_in(program, ada, asked) -> Program:
    """A program that holds a token of Ada's."""
    challenge, code = asked
    path = "/us-signin?include_auth_token"
    answer = program.post(path, identity=ada.email, passcode=code, challenge=challenge)
    program.token = answer.json["user"]["authentication_token"]
    return program


def test_challenge_replaces_the_browser_cookie(program, ada, asked):
    challenge, code = asked
    answer = program.post("/us-signin", identity=ada.email, passcode=code, challenge=challenge)
    assert answer.status == 200
    assert "authentication_token" not in answer.json["user"]


def test_code_without_its_challenge_is_rejected(program, ada, asked):
    answer = program.post("/us-signin", identity=ada.email, passcode=asked[1])
    assert (answer.status, answer.codes) == (400, ["generic_authn_failed"])


def test_altered_challenge_is_rejected(program, ada, asked):
    challenge, code = asked
    row, mac = challenge.split(".")
    forged = [
        row,
        f"{row}.",
        f"{row}.{mac[:-1]}",
        f"{row}.{'0' * 64}",
        f"{'0' * 32}.{mac}",
        challenge + "0",
        challenge.upper(),
    ]
    for handle in [*forged, "x" * 5000, "\u0661" * 32]:
        assert not program.post("/us-signin", identity=ada.email, passcode=code, challenge=handle).ok
    assert program.post("/us-signin", identity=ada.email, passcode=code, challenge=challenge).ok


def test_challenge_is_rejected_for_another_identity(program, people, asked):
    eve = people.open(email="eve@example.com")
    challenge, code = asked
    assert not program.post("/us-signin", identity=eve.email, passcode=code, challenge=challenge).ok


@pytest.mark.both_databases
def test_challenge_is_limited_to_five_attempts(program, ada, asked):
    challenge, code = asked
    for _ in range(5):
        program.post("/us-signin", identity=ada.email, passcode=wrong(code), challenge=challenge)
    assert not program.post("/us-signin", identity=ada.email, passcode=code, challenge=challenge).ok


@pytest.mark.both_databases
def test_challenge_can_be_used_only_once(program, ada, asked, rows):
    challenge, code = asked
    answers = [program.post("/us-signin", identity=ada.email, passcode=code, challenge=challenge) for _ in range(2)]
    assert [answer.status for answer in answers] == [200, 400]
    assert len(rows(AuthSession)) == 1


def test_resend_with_the_challenge_repeats_the_same_code(program, ada, asked, clock, mail_to, smtp):
    challenge, code = asked
    assert program.post(SEND, identity=ada.email, chosen_method="email", challenge=challenge).ok
    clock.shift(31)
    again = program.post(SEND, identity=ada.email, chosen_method="email", challenge=challenge)
    assert again.json["challenge"] == challenge
    assert code_in(mail_to(ada.email)) == code
    assert len(smtp.mails) == 2


def test_send_code_with_another_identitys_challenge_starts_a_new_one(program, people, asked):
    eve = people.open(email="eve@example.com")
    answer = program.post(SEND, identity=eve.email, chosen_method="email", challenge=asked[0])
    assert answer.ok
    assert answer.json["challenge"] != asked[0]


def test_challenge_of_an_unknown_identity_has_the_same_length(program, asked):
    answer = program.post(SEND, identity="nobody@example.com", chosen_method="email")
    assert len(answer.json["challenge"]) == len(asked[0])


@pytest.mark.parametrize("query", ["?include_auth_token", "?include_auth_token=", "?include_auth_token=no"])
@pytest.mark.one_database
def test_include_auth_token_query_returns_an_access_token(json_wire, ada, code_for, query):
    code = code_for(ada.email, by=json_wire)
    answer = json_wire.post(f"/us-signin{query}", identity=ada.email, passcode=code)
    assert len(answer.json["user"]["authentication_token"]) >= 43
    assert json_wire.signed_in_as() == ada.email


def test_include_auth_token_in_the_body_is_ignored(json_wire, ada, code_for):
    code = code_for(ada.email, by=json_wire)
    answer = json_wire.post("/us-signin", identity=ada.email, passcode=code, include_auth_token=True)
    assert "authentication_token" not in answer.json["user"]


def test_access_token_authenticates_the_api_client(signed_in, ada):
    assert signed_in.signed_in_as() == ada.email
    refused = signed_in.post("/us-signin", identity=ada.email, passcode="00000000")
    assert (refused.status, refused.codes) == (400, ["anonymous_user_required"])


def test_access_token_requests_need_no_csrf_token(signed_in):
    assert signed_in.post("/us-verify/send-code", chosen_method="email").status == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Authentication-Token": "{}x"},
        {"Authentication-Token": "Bearer {}"},
        {"X-Auth-Token": "{}"},
        {"Cookie": "latchkey_session={}"},
    ],
)
@pytest.mark.one_database
def test_access_token_must_be_exact_and_in_the_authentication_token_header(app, signed_in, headers):
    carried = {name: value.format(signed_in.token) for name, value in headers.items()}
    assert Program(app).get("/", **carried).status == 401


def test_access_token_in_query_or_body_is_ignored(app, signed_in):
    stranger = Program(app)
    assert stranger.get(f"/?auth_token={signed_in.token}").status == 401
    assert stranger.post("/us-verify/send-code", auth_token=signed_in.token, chosen_method="email").status == 401


def test_session_cookie_is_not_accepted_as_access_token(app, json_wire, ada, sign_in):
    cookie = sign_in(ada.email, by=json_wire).cookies["latchkey_session"]
    stranger = Program(app)
    stranger.token = cookie
    assert stranger.signed_in_as() is None


@pytest.mark.parametrize(("age", "alive"), [(899, True), (901, False)])
def test_access_token_expires_after_fifteen_minutes(signed_in, ada, clock, age, alive):
    clock.shift(age - 1 if alive else age)
    assert signed_in.signed_in_as() == (ada.email if alive else None)


def test_logout_revokes_the_access_token(signed_in):
    answer = signed_in.post("/logout")
    assert (answer.status, answer.json) == (200, {})
    assert signed_in.signed_in_as() is None


def test_browser_logout_revokes_access_tokens_of_the_session(json_wire, program, ada, code_for):
    code = code_for(ada.email, by=json_wire)
    answer = json_wire.post("/us-signin?include_auth_token", identity=ada.email, passcode=code)
    program.token = answer.json["user"]["authentication_token"]
    assert program.signed_in_as() == ada.email
    json_wire.post("/logout")
    assert program.signed_in_as() is None


def test_access_token_of_a_disabled_account_is_rejected(app, signed_in, ada):
    result = app.test_cli_runner().invoke(args=["users", "disable", ada.email])
    assert result.exit_code == 0, result.output
    assert signed_in.signed_in_as() is None


def test_totp_sign_in_needs_no_challenge(program, people):
    eve = people.open(email="eve@example.com", methods=["authenticator"])
    answer = program.post("/us-signin?include_auth_token", identity=eve.email, passcode=eve.app_code())
    assert answer.json["user"]["authentication_token"]
