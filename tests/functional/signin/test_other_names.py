"""Email and password fields also work for signing in and reauthenticating."""

from __future__ import annotations

import pytest

from tests.signed_in import sign_in

pytestmark = pytest.mark.settings(methods=["password", "email"], generic_responses=False)


@pytest.fixture
def ada(people):
    """Someone with a password and a username."""
    return people.open(
        email="ada@example.com", username="ada_l", password="a sentence to be let in by", methods=["password"]
    )


@pytest.mark.parametrize(("name", "value"), [("email", "ada@example.com"), ("username", "ada_l")])
@pytest.mark.one_database
def test_email_or_username_and_password_fields_sign_in(wire, ada, name, value):
    answer = wire.post("/login", **{name: value}, password=ada.password)
    assert answer.ok, answer
    assert wire.signed_in_as() == ada.email


@pytest.mark.one_database
def test_field_errors_use_the_submitted_alias(json_wire, ada):
    assert json_wire.post("/login", email=ada.email, password="wrong").json["field_errors"].keys() == {"password"}
    unknown = json_wire.post("/login", email="eve@example.com", password="wrong")
    assert (unknown.codes, list(unknown.json["field_errors"])) == (["us_specify_identity"], ["email"])
    assert json_wire.post("/login", email=5, password="wrong").json["field_errors"].keys() == {"email"}


@pytest.mark.one_database
def test_missing_field_errors_use_the_alias_form_field_names(json_wire, ada):
    assert json_wire.post("/login", email=ada.email).json["field_errors"].keys() == {"password"}
    assert json_wire.post("/login", password=ada.password).json["field_errors"].keys() == {"email"}


@pytest.mark.one_database
def test_native_field_names_take_precedence_over_aliases(json_wire, ada):
    answer = json_wire.post("/us-signin", identity=ada.email, passcode=ada.password, email=5, password={})
    assert answer.ok, answer


def test_verify_alias_reauthenticates_by_password(wire, ada):
    hers = sign_in(wire, ada)
    assert hers.post("/verify", password="wrong").codes == ["invalid_password_code"]
    assert hers.post("/verify", password=ada.password).ok


@pytest.mark.one_database
def test_verify_alias_returns_the_user_id(json_wire, ada):
    told = sign_in(json_wire, ada).get("/verify").json
    assert list(told["user"]) == ["id"]
    assert "user" not in json_wire.get("/us-verify").json


@pytest.mark.one_database
def test_empty_login_form_reports_both_missing_fields(json_wire, ada):
    told = json_wire.post("/login")
    assert told.status == 400
    assert told.json["field_errors"].keys() == {"email", "password"}
    assert told.codes == ["email_not_provided", "password_not_provided"]
    assert json_wire.post("/us-signin").json["field_errors"].keys() == {"identity"}


@pytest.mark.settings(methods=["password", "email"], generic_responses=True)
@pytest.mark.one_database
def test_empty_login_form_gets_the_generic_failure_in_generic_mode(json_wire, ada):
    assert json_wire.post("/login").codes == ["generic_authn_failed"]


@pytest.mark.one_database
@pytest.mark.settings(refresh_tokens=True)
def test_refresh_token_alias_exchanges_refresh_tokens(program, people):
    bob = people.open(email="bob@example.com", password="a sentence to be let in by", methods=["password"])
    path = "/us-signin?include_auth_token&include_refresh_token"
    first = program.post(path, identity=bob.email, passcode=bob.password).json["user"]["refresh_token"]
    second = program.post("/refresh-token", refresh_token=first)
    assert second.ok
    assert program.post("/us-refresh", refresh_token=second.json["user"]["refresh_token"]).ok
