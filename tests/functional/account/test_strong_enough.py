"""Sensitive changes need a verification as strong as the strongest method that is set up."""

from __future__ import annotations

import pytest

from app.sessions.models import AuthSession
from tests.functional.setup.conftest import app_code, key_in, state_in
from tests.signed_in import give_token, may_change, sign_in
from tests.sinks import code_in


@pytest.fixture
def ada(people):
    """Someone who signs in by email and by app."""
    return people.open(email="ada@example.com", methods=["email", "authenticator"])


@pytest.fixture
def prove_by_mail(mail_to):
    """Reauthenticates by email code."""

    def prove(wire) -> None:
        assert wire.post("/us-verify/send-code", chosen_method="email").ok
        assert wire.post("/us-verify", passcode=code_in(mail_to("ada@example.com"))).ok

    return prove


def can_change_methods(wire) -> bool:
    """Return whether ``wire`` can change the sign-in methods."""
    return may_change(wire)


@pytest.mark.parametrize(
    ("via", "open_to"),
    [("email", False), ("password", False), ("confirm", False), ("authenticator", True), ("email,authenticator", True),
     ("webauthn", True), ("webauthn,uv", True), ("recovery_code", True)],
)  # fmt: skip
def test_changes_require_a_sign_in_with_the_strongest_method(wire, ada, via, open_to):
    assert can_change_methods(sign_in(wire, ada, via=via)) is open_to


def test_reauthentication_with_weaker_method_does_not_authorize_changes(wire, ada, prove_by_mail):
    hers = sign_in(wire, ada, via="email")
    prove_by_mail(hers)
    assert not can_change_methods(hers)
    assert hers.post("/us-verify", passcode=ada.app_code()).ok
    assert can_change_methods(hers)


@pytest.mark.parametrize(("age", "open_to"), [(299, True), (301, False)])
def test_strong_proof_expires_after_five_minutes(wire, ada, clock, age, open_to):
    hers = sign_in(wire, ada)
    clock.shift(age)
    assert can_change_methods(hers) is open_to


def test_weaker_proof_neither_extends_nor_ends_a_stronger_one(wire, ada, clock, prove_by_mail):
    hers = sign_in(wire, ada)
    clock.shift(200)
    prove_by_mail(hers)
    assert can_change_methods(hers)
    clock.shift(101)
    assert not can_change_methods(hers)


def test_email_proof_suffices_if_email_is_the_only_method(wire, people, clock, prove_by_mail):
    hers = sign_in(wire, people.open(email="ada@example.com"))
    assert can_change_methods(hers)
    clock.shift(301)
    prove_by_mail(hers)
    assert can_change_methods(hers)


def test_enrolled_method_that_is_disabled_is_not_required(make_app, ada, app):
    from tests.wire import Wire

    hers = sign_in(Wire(make_app(methods=("email",)), "json"), ada, via="email")
    assert can_change_methods(hers)


def test_setting_up_an_authenticator_app_counts_as_fresh_proof(wire, people, clock, rows):
    hers = sign_in(wire, people.open(email="ada@example.com"))
    clock.shift(250)
    begun = hers.post("/us-setup", chosen_method="authenticator")
    clock.shift(100)
    assert hers.post(f"/us-setup/{state_in(begun)}", passcode=app_code(key_in(begun))).ok
    clock.shift(299)
    assert can_change_methods(hers)
    clock.shift(2)
    assert not can_change_methods(hers)
    assert rows(AuthSession, kind="browser")[0].amr == "email,authenticator"


@pytest.mark.settings(methods=("email", "password"))
def test_setting_a_password_does_not_count_as_proof(wire, people, clock):
    hers = sign_in(wire, people.open(email="ada@example.com"))
    begun = hers.post("/us-setup", chosen_method="password")
    clock.shift(301)
    assert hers.post(f"/us-setup/{state_in(begun)}", passcode="a short sentence of mine").ok
    assert not can_change_methods(hers)


def test_json_reauthentication_error_lists_methods_and_reason(json_wire, ada, clock):
    hers = sign_in(json_wire, ada, via="email")
    answer = hers.post("/us-setup", delete_method="authenticator")
    assert (answer.status, answer.codes) == (401, ["reauthentication_required"])
    assert (answer.json["reauth_methods"], answer.json["reauth_reason"]) == (["authenticator"], "too_weak")
    assert hers.get("/us-setup").ok
    clock.shift(301)
    assert hers.post("/us-setup", delete_method="authenticator").json["reauth_reason"] == "too_old"
    looking = hers.get("/us-setup").json
    assert (looking["reauth_methods"], looking["reauth_reason"]) == (["authenticator", "email"], "too_old")
    assert hers.get("/us-verify").json["reauth_methods"] == ["authenticator"]


def test_reauthentication_page_explains_which_method_is_needed(browser_wire, ada):
    hers = sign_in(browser_wire, ada, via="email")
    sent_on = hers.post("/us-setup", delete_method="authenticator")
    assert sent_on.location == "/us-verify?next=%2Fus-setup"
    page = hers.follow(sent_on)
    said = "For this change, confirm with a code from your authenticator app."
    assert [text for _, text in page.page.notices] == [said]
    told = " ".join(page.text.split())
    assert 'confirm with <strong class="breakable">a code from your authenticator app</strong>' in told
    assert told.index("Code from your authenticator app") < told.index("Email me a code")
    assert "Lost it for good?" in told


@pytest.mark.parametrize("path", ["/us-setup", "/wan-register", "/tf-setup", "/mf-recovery-codes", "/change-email"])
@pytest.mark.parametrize("age", [0, 301])
def test_viewing_setup_pages_requires_no_reauthentication(browser_wire, ada, clock, path, age):
    hers = sign_in(browser_wire, ada, via="email")
    clock.shift(age)
    answer = hers.get(path)
    assert answer.status == 200
    assert "a code from your authenticator app" in answer.text, "what a change needs"


def test_pages_offer_no_action_that_would_be_rejected(browser_wire, people):
    bob = people.open(email="bob@example.com", phone="+16502530001", methods=["email", "sms", "authenticator"])
    hers = sign_in(browser_wire, bob, via="email")
    for path in ("/us-setup", "/tf-setup", "/mf-recovery-codes", "/change-email", "/identities", "/tokens", "/my-data"):
        page = hers.get(path)
        assert page.status == 200
        assert "a code from your authenticator app" in page.text, path
        buttons = {name for name, _ in page.page.inputs} - {"csrf_token", "nonce"}
        may_be_added = {"/us-setup": {"chosen_method"}, "/identities": {"name"}}.get(path, set())
        assert buttons <= may_be_added | {"usage", "credential", "remember"}, (path, buttons)
    assert hers.post("/identities/name", name="Bob").ok
    assert hers.post("/us-setup", chosen_method="authenticator").location.startswith("/us-setup/")


def test_email_confirmation_says_which_changes_it_allows(browser_wire, ada):
    hers = sign_in(browser_wire, ada, via="email")
    answer = hers.post("/us-verify/send-code", chosen_method="email", next="/us-setup")
    assert "With this code you can add sign-in methods." in answer.text
    assert "Confirm another way" in answer.text


def test_email_confirmation_shows_one_notice_and_returns_to_setup(browser_wire, ada, mail_to):
    hers = sign_in(browser_wire, ada, via="email")
    hers.follow(hers.post("/us-setup", delete_method="authenticator"))
    hers.post("/us-verify/send-code", chosen_method="email", next="/us-setup")
    done = hers.post("/us-verify", passcode=code_in(mail_to("ada@example.com")), next="/us-setup")
    page = hers.follow(done)
    assert (done.location, page.status) == ("/us-setup", 200)
    said = "Confirmed. You can add sign-in methods now; other changes still need a code from your authenticator app."
    assert [text for _, text in page.page.notices if "Confirmed" in text or "For this change" in text] == [said]


def test_reauthentication_page_mentions_no_stronger_method_without_one(browser_wire, people):
    page = sign_in(browser_wire, people.open(email="ada@example.com")).get("/us-verify").text
    assert "To add a sign-in method" not in page
    assert "I don't have it with me" not in page


@pytest.mark.settings(freshness_strength="any")
def test_any_recent_proof_authorizes_changes_if_configured(wire, ada, clock):
    hers = sign_in(wire, ada, via="email")
    assert can_change_methods(hers)
    clock.shift(301)
    assert not can_change_methods(hers)


@pytest.mark.settings(freshness_grace_period=600)
def test_grace_period_starts_only_with_a_strong_proof(wire, ada, clock):
    hers = sign_in(wire, ada, via="email")
    assert not can_change_methods(hers)
    hers.post("/us-verify", passcode=ada.app_code())
    clock.shift(299)
    assert can_change_methods(hers)
    clock.shift(500)
    assert can_change_methods(hers)


def test_access_token_inherits_the_proof_of_its_session(program, ada):
    assert not can_change_methods(give_token(program, ada, via="email"))
    assert can_change_methods(give_token(program, ada))


@pytest.mark.both_databases
def test_checking_proof_strength_costs_one_query(json_wire, ada, statements):
    hers = sign_in(json_wire, ada, via="email")
    assert not can_change_methods(hers)
    with statements() as seen:
        hers.post("/us-setup", delete_method="authenticator")
    assert len(seen) == 2, "the session, and what is set up"
