"""GET /us-setup: what is set up, and what can be added."""

from __future__ import annotations

import pytest

from tests.functional.setup.conftest import PHONE
from tests.signed_in import give_token, sign_in


def test_json_lists_active_and_available_methods(people, json_wire):
    sign_in(json_wire, people.open(email="ada@example.com", phone=PHONE, methods=["sms", "email"]))
    answer = json_wire.get("/us-setup").json
    assert answer.pop("csrf_token")
    assert answer == {
        "active_methods": ["email", "sms"],
        "authenticators": [],
        "available_methods": ["email", "sms", "authenticator"],
        "setup_methods": ["email", "sms", "authenticator"],
        "identity_attributes": ["email", "phone", "username"],
        "phone": PHONE,
    }


@pytest.mark.one_database
def test_json_active_methods_is_list_of_null_without_methods(people, json_wire):
    sign_in(json_wire, people.open(email="ada@example.com", methods=[]))
    assert json_wire.get("/us-setup").json["active_methods"] == [None]


@pytest.mark.one_database
def test_page_offers_methods_not_yet_set_up(ada, browser_wire):
    page = sign_in(browser_wire, ada).get("/us-setup").page
    offered = {attributes.get("value") for name, attributes in page.inputs if name == "chosen_method"}
    assert offered == {"sms", "authenticator"}
    assert "delete_method" not in dict(page.inputs), "the only way in can't be removed"


@pytest.mark.one_database
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_anonymous_user_is_asked_to_sign_in(wire, method):
    answer = wire.send(method, "/us-setup?a=1")
    if wire.language == "json":
        assert (answer.status, answer.codes) == (401, ["unauthenticated"])
        assert "field_errors" not in answer.json
    else:
        assert (answer.status, answer.location) == (302, "/login?next=%2Fus-setup%3Fa%3D1")


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_change_requires_reauthentication_after_300_seconds(hers, clock, method):
    clock.shift(301)
    answer = hers.send(method, "/us-setup?a=1")
    if (hers.language, method) == ("form", "GET"):
        assert answer.status == 200, "looking needs none"
    elif hers.language == "json":
        assert answer.status == 401
        assert answer.codes == ["reauthentication_required"]
        facts = {key: answer.json[key] for key in answer.json if key not in ("errors", "error_codes", "support_id")}
        assert facts == {
            "reauth_required": True,
            "reauth_methods": ["email"],
            "reauth_reason": "too_old",
            "unified_signin_enabled": True,
            "has_webauthn_verify_credential": False,
            "oauth_enabled": False,
            "oauth_providers": [],
        }
    else:
        assert (answer.status, answer.location) == (302, "/us-verify?next=%2Fus-setup%3Fa%3D1")


@pytest.mark.one_database
def test_proof_of_299_seconds_is_accepted(hers, clock):
    clock.shift(299)
    assert hers.get("/us-setup").status == 200


@pytest.mark.one_database
def test_access_token_requires_reauthentication_after_300_seconds(people, program, clock):
    give_token(program, people.open(email="ada@example.com"))
    assert program.get("/us-setup").status == 200
    clock.shift(301)
    assert program.get("/us-setup").codes == ["reauthentication_required"]


@pytest.mark.one_database
def test_head_request_succeeds_without_body(hers):
    answer = hers.client.head("/us-setup")
    assert (answer.status_code, answer.get_data()) == (200, b"")


@pytest.mark.one_database
def test_get_with_unknown_state_redirects_browsers_and_returns_405_for_json(hers):
    assert hers.get("/us-setup/anything").status == (405 if hers.language == "json" else 302)


@pytest.mark.parametrize(("path", "chosen"), [("/us-setup", "chosen_method"), ("/tf-setup", "setup")])
def test_sms_code_page_shows_expiry_and_allows_resending(browser_wire, people, text_to, path, chosen):
    from tests.sinks import code_in

    hers = sign_in(browser_wire, people.open(email="ada@example.com"))
    begun = hers.post(path, phone=PHONE, **{chosen: "sms"})
    shown = hers.get(begun.location)
    assert "This code works for" in shown.text
    assert "5 minutes" in shown.text
    assert "10 minutes" not in shown.text
    buttons = [each for name, each in shown.page.inputs if (name, each.get("formaction")) == (chosen, path)]
    assert "sms" in [button["value"] for button in buttons]
    first = code_in(text_to(PHONE))
    again = hers.post(path, phone=shown.page.value("phone"), **{chosen: "sms"})
    code = code_in(text_to(PHONE))
    assert code != first
    field = "code" if path == "/tf-setup" else "passcode"
    assert hers.post(again.location, **{field: code}).location
