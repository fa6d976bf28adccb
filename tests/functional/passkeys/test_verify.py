"""/wan-verify: reauthenticating with a passkey."""

from __future__ import annotations

import pytest

from tests.authenticators import PRESENT, VERIFIED, Device
from tests.functional.passkeys.conftest import asked
from tests.signed_in import give_token, may_change, sign_in

VERIFYING = PRESENT | VERIFIED


@pytest.fixture
def hers(wire, ada, device, add_passkey, clock):
    """Ada's browser, then her API client, signed in for a while; her phone has a passkey."""
    add_passkey(ada, device)
    sign_in(wire, ada)
    clock.shift(301)
    return wire


def test_passkey_reauthenticates_the_session(hers, device, rows, language):
    from app.audit import Event

    assert not may_change(hers)
    before = hers.cookies["latchkey_session"]
    options, state = asked(hers.post("/wan-verify"))
    answer = hers.post(f"/wan-verify/{state}", credential=device.sign(options), next="/us-setup")
    assert answer.ok
    assert answer.location == ("/us-setup" if language == "form" else None)
    assert may_change(hers)
    assert hers.cookies["latchkey_session"] != before
    assert rows(Event, name="sign_in.step_up")[0].facts["method"] == "webauthn"


def test_reauthentication_adds_to_the_sessions_amr(hers, device):
    options, state = asked(hers.post("/wan-verify"))
    hers.post(f"/wan-verify/{state}", credential=device.sign(options))
    home = hers.get("/", headers={"Accept": "application/json"}).json
    assert (home["amr"], home["aal"]) == (["email", "webauthn", "uv"], 2)


def test_options_list_only_the_users_own_passkeys(hers, ada, device, people, add_passkey):
    add_passkey(people.open(), Device())
    options, _ = asked(hers.post("/wan-verify"))
    assert len(options["allowCredentials"]) == 1
    assert options["allowCredentials"][0]["transports"] == ["hybrid", "internal"]


def test_api_client_gets_a_new_access_token_replacing_the_old_one(program, ada, device, add_passkey, clock):
    add_passkey(ada, device)
    give_token(program, ada)
    clock.shift(301)
    begun = program.post("/wan-verify").json
    signed = device.sign(begun["credential_options"])
    answer = program.post(f"/wan-verify/{begun['wan_state']}?include_auth_token", credential=signed)
    assert not program.get("/us-setup").ok, "the new token takes the old one's place"
    program.token = answer.json["user"]["authentication_token"]
    assert program.get("/us-setup").ok


def test_passkey_of_another_user_cannot_reauthenticate(hers, people, add_passkey, language):
    theirs = Device()
    add_passkey(people.open(email="eve@example.com"), theirs)
    options, state = asked(hers.post("/wan-verify"))
    answer = hers.post(f"/wan-verify/{state}", credential=theirs.sign(options))
    assert (answer.status, answer.codes, list(answer.errors)) == (400, ["webauthn_mismatch_user_handle"], [""])
    assert not may_change(hers)


def test_ceremony_of_another_session_is_rejected(hers, ada, device, people):
    options, state = asked(hers.post("/wan-verify"))
    elsewhere = sign_in(hers.elsewhere(), ada)
    assert elsewhere.post(f"/wan-verify/{state}", credential=device.sign(options)).codes == ["api_error"]


def test_assertion_can_be_used_only_once(hers, device):
    options, state = asked(hers.post("/wan-verify"))
    signed = device.sign(options)
    assert hers.post(f"/wan-verify/{state}", credential=signed).ok
    assert hers.post(f"/wan-verify/{state}", credential=signed).codes == ["api_error"]


def test_second_factor_passkey_can_reauthenticate(wire, ada, add_passkey):
    stick = Device(flags=PRESENT)
    add_passkey(ada, stick, usage="secondary")
    options, state = asked(sign_in(wire, ada).post("/wan-verify"))
    assert wire.post(f"/wan-verify/{state}", credential=stick.sign(options, user_handle=b"")).ok
    home = wire.get("/", headers={"Accept": "application/json"}).json
    assert home["amr"] == ["email", "webauthn"]


def test_repeated_sign_count_cannot_reauthenticate(wire, ada, add_passkey):
    stick = Device(flags=PRESENT, counts=1)
    add_passkey(ada, stick, usage="secondary")
    sign_in(wire, ada)
    for count, codes in ((5, []), (5, ["webauthn_counter_regressed"])):
        options, state = asked(wire.post("/wan-verify"))
        assert wire.post(f"/wan-verify/{state}", credential=stick.sign(options, count=count)).codes == codes


@pytest.mark.one_database
def test_user_without_passkey_cannot_reauthenticate_by_passkey(wire, ada):
    answer = sign_in(wire, ada).post("/wan-verify")
    assert (answer.status, answer.codes) == (400, ["us_method_not_available"])


@pytest.mark.one_database
def test_reauthentication_requires_a_session(wire, language):
    for path in ("/wan-verify", "/wan-verify/x"):
        assert wire.post(path, credential="{}").status == (401 if language == "json" else 302)
    assert wire.get("/wan-verify").status == (401 if language == "json" else 302)


@pytest.mark.one_database
@pytest.mark.parametrize(("flags", "via", "open_to"), [
    (VERIFYING, "webauthn", False),
    (VERIFYING, "webauthn,uv", True),
    (VERIFYING, "recovery_code", True),
    (PRESENT, "webauthn", True),
    (PRESENT, "email", False),
])  # fmt: skip
def test_changes_require_reauthentication_as_strong_as_the_passkey(
    wire, ada, add_passkey, flags, via, open_to, language
):
    add_passkey(ada, Device(flags=flags), usage="secondary")
    answer = sign_in(wire, ada, via=via).post("/us-setup", delete_method="pigeon")
    assert (answer.status == 400) is open_to
    if language == "json" and not open_to:
        assert (answer.json["reauth_methods"], answer.json["has_webauthn_verify_credential"]) == (["webauthn"], True)


def test_totp_session_cannot_change_methods_if_a_user_verified_passkey_exists(wire, people, device, add_passkey):
    bob = people.open(email="bob@example.com", methods=["email", "authenticator"])
    add_passkey(bob, device)
    assert not may_change(sign_in(wire, bob))


def test_registering_a_passkey_counts_as_reauthentication(wire, ada, device, clock):
    sign_in(wire, ada)
    options, state = asked(wire.post("/wan-register", usage="first"))
    assert wire.post(f"/wan-register/{state}", credential=device.make(options)).ok
    clock.shift(299)
    assert may_change(wire)


def test_page_offers_the_passkey_first_with_an_explanation(hers, language):
    if language == "form":
        page = hers.get("/us-verify?next=/us-setup").text
        assert 'confirm with <strong class="breakable">your passkey</strong>' in " ".join(page.split())
        assert page.index("Use my passkey") < page.index("Email me a code")
