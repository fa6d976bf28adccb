"""/wan-register: creating and storing a passkey."""

from __future__ import annotations

import json

import pytest

from tests.authenticators import MAY_SYNC, PRESENT, SYNCED, VERIFIED, Device
from tests.functional.passkeys.conftest import asked, sign_in
from tests.signed_in import give_token


def test_passkey_is_stored_after_the_browser_created_it(hers, ada, device, rows):
    from app.authenticators.models import Passkey

    options, state = asked(hers.post("/wan-register", usage="first"))
    assert rows(Passkey) == []
    assert hers.post(f"/wan-register/{state}", credential=device.make(options)).ok
    (key,) = rows(Passkey)
    assert (key.user_id, key.usage, key.name, key.sign_count) == (ada.id, "first", "Passkey", 0)
    assert (key.backup_eligible, key.backup_state, key.discoverable, key.verified) == (True, True, True, True)
    assert key.transports == "hybrid,internal"


def test_options_require_a_discoverable_passkey_with_user_verification(json_wire, ada, rows):
    from app.users import User

    options, state = asked(sign_in(json_wire, ada).post("/wan-register", usage="first"))
    assert options["rp"] == {"id": "localhost", "name": "Latchkey"}
    assert options["user"]["name"] == options["user"]["displayName"] == "ada@example.com"
    assert "ada" not in options["user"]["id"]
    assert len(options["challenge"]) == 43
    assert options["authenticatorSelection"] == {
        "residentKey": "required", "requireResidentKey": True, "userVerification": "required",
    }  # fmt: skip
    assert (options["attestation"], options["extensions"], options["timeout"]) == ("none", {"credProps": True}, 300000)
    assert rows(User)[0].handle not in state


def test_second_factor_options_discourage_resident_key_and_user_verification(json_wire, ada):
    options, _ = asked(sign_in(json_wire, ada).post("/wan-register", name="Stick"))
    assert options["authenticatorSelection"] == {
        "residentKey": "discouraged", "requireResidentKey": False, "userVerification": "discouraged",
    }  # fmt: skip


def test_json_lists_registered_passkeys(json_wire, ada, device, add_passkey):
    add_passkey(ada, device, name="My phone")
    (told,) = sign_in(json_wire, ada).get("/wan-register").json["registered_credentials"]
    assert told["name"] == "My phone"
    assert (told["usage"], told["device_type"], told["backup_state"]) == ("first", "multi_device", True)
    assert (told["transports"], told["discoverable"]) == (["hybrid", "internal"], True)


def test_page_lists_registered_passkeys(browser_wire, ada, device, add_passkey):
    add_passkey(ada, device, name="My phone")
    page = sign_in(browser_wire, ada).get("/wan-register")
    assert "My phone" in page.text
    assert "Synced" in page.text


@pytest.mark.both_databases
def test_existing_passkey_is_excluded_and_rejected(json_wire, ada, device, add_passkey):
    add_passkey(ada, device)
    options, state = asked(sign_in(json_wire, ada).post("/wan-register", usage="first"))
    (known,) = options["excludeCredentials"]
    made = device.make(options, id=device.keys[0].id)
    answer = json_wire.post(f"/wan-register/{state}", credential=made)
    assert known["id"] == json.loads(made)["id"]
    assert (answer.status, answer.codes) == (400, ["webauthn_credential_id_inuse"])


@pytest.mark.parametrize("algorithm", [-8, -7, -257])
def test_keys_of_every_offered_algorithm_are_accepted(hers, rows, algorithm):
    from app.authenticators.models import Passkey

    options, state = asked(hers.post("/wan-register", usage="first"))
    assert {"type": "public-key", "alg": algorithm} in options["pubKeyCredParams"]
    assert hers.post(f"/wan-register/{state}", credential=Device(algorithm=algorithm).make(options)).ok
    assert len(rows(Passkey)) == 1


def test_credential_may_be_sent_as_a_json_object(program, ada, device, rows):
    from app.authenticators.models import Passkey

    options, state = asked(give_token(program, ada).post("/wan-register", usage="first"))
    assert program.post(f"/wan-register/{state}", credential=json.loads(device.make(options))).ok
    assert len(rows(Passkey)) == 1


@pytest.mark.parametrize(
    ("aaguid", "name"),
    [("ea9b8d66-4d01-1d21-3ce4-b6b48cb575d4", "Google Password Manager"), ("0" * 32, "Passkey")],
)
@pytest.mark.one_database
def test_default_name_comes_from_the_aaguid_and_is_numbered(ada, add_passkey, aaguid, name):
    its_kind = bytes.fromhex(aaguid.replace("-", ""))
    assert add_passkey(ada, Device(aaguid=its_kind)) == name
    assert add_passkey(ada, Device(aaguid=its_kind)) == f"{name} 2"


@pytest.mark.one_database
@pytest.mark.parametrize(
    ("name", "code"),
    [
        (" ", "webauthn_name_required"),
        ("<b>", "invalid_input"),
        ("a\u202eb", "webauthn_name_disallowed_characters"),
        ("\u3164", "webauthn_name_disallowed_characters"),
        ("\ufe0f", "webauthn_name_disallowed_characters"),
        ("x" * 65, "invalid_input_length"),
    ],
)
def test_invalid_name_is_rejected(hers, name, code, rows):
    from app.authenticators.models import WebauthnChallenge

    answer = hers.post("/wan-register", name=name)
    assert (answer.status, answer.codes) == (400, [code])
    assert rows(WebauthnChallenge) == []


@pytest.mark.one_database
def test_duplicate_name_is_rejected(hers, ada, device, add_passkey):
    add_passkey(ada, device, name="Phone")
    assert sign_in(hers, ada).post("/wan-register", name="Phone").codes == ["webauthn_name_inuse"]


@pytest.mark.one_database
def test_unknown_usage_is_rejected(hers):
    assert hers.post("/wan-register", usage="third").codes == ["invalid_choice"]


@pytest.mark.one_database
def test_registration_requires_reauthentication(hers, clock, language):
    clock.shift(301)
    assert hers.get("/wan-register").status == (401 if language == "json" else 200)
    assert hers.post("/wan-register", usage="first").status == (401 if language == "json" else 302)


def test_completing_registration_requires_no_further_reauthentication(hers, device, clock):
    clock.shift(280)
    options, state = asked(hers.post("/wan-register", usage="first"))
    clock.shift(60)
    assert hers.post(f"/wan-register/{state}", credential=device.make(options)).ok


def test_registration_expires_after_five_minutes(hers, device, clock, rows):
    from app.authenticators.models import Passkey

    options, state = asked(hers.post("/wan-register", usage="first"))
    clock.shift(301)
    answer = hers.post(f"/wan-register/{state}", credential=device.make(options))
    assert (answer.status, answer.codes, rows(Passkey)) == (400, ["webauthn_expired"], [])


def test_state_can_be_used_only_once(hers, device, rows):
    from app.authenticators.models import Passkey

    options, state = asked(hers.post("/wan-register", usage="first"))
    assert hers.post(f"/wan-register/{state}", credential=device.make(options)).ok
    answer = hers.post(f"/wan-register/{state}", credential=device.make(options))
    assert (answer.status, answer.codes, len(rows(Passkey))) == (400, ["api_error"], 1)


def test_rejected_credential_consumes_the_state(hers, device, rows):
    from app.authenticators.models import Passkey

    options, state = asked(hers.post("/wan-register", usage="first"))
    assert not hers.post(f"/wan-register/{state}", credential=device.make(options, flags=0)).ok
    assert hers.post(f"/wan-register/{state}", credential=device.make(options)).codes == ["api_error"]
    assert rows(Passkey) == []


def test_state_of_another_browser_is_rejected(hers, ada, device, rows):
    from app.authenticators.models import Passkey

    options, state = asked(hers.post("/wan-register", usage="first"))
    elsewhere = sign_in(hers.elsewhere(), ada)
    answer = elsewhere.post(f"/wan-register/{state}", credential=device.make(options))
    assert (answer.status, answer.codes, rows(Passkey)) == (400, ["api_error"], [])


def test_state_of_another_user_is_rejected(hers, people, device, rows):
    from app.authenticators.models import Passkey

    options, state = asked(hers.post("/wan-register", usage="first"))
    sign_in(hers, people.open(email="bob@example.com"))
    answer = hers.post(f"/wan-register/{state}", credential=device.make(options))
    assert (answer.status, answer.codes, rows(Passkey)) == (400, ["api_error"], [])


def test_adding_a_passkey_notifies_the_owner_and_ends_other_sessions(hers, ada, device, mail_to, rows):
    from app.audit import Event

    elsewhere = sign_in(hers.elsewhere(), ada)
    options, state = asked(hers.post("/wan-register", name="My phone"))
    before = hers.cookies["latchkey_session"]
    hers.post(f"/wan-register/{state}", credential=device.make(options))
    assert "A passkey was added." in mail_to(ada.email).text
    assert rows(Event, name="factor.added")[0].facts["method"] == "webauthn"
    assert elsewhere.signed_in_as() is None
    assert hers.signed_in_as() == ada.email
    assert hers.cookies["latchkey_session"] != before


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (PRESENT | VERIFIED, (False, False, "single_device")),
        (PRESENT | VERIFIED | MAY_SYNC, (True, False, "multi_device")),
        (PRESENT | VERIFIED | MAY_SYNC | SYNCED, (True, True, "multi_device")),
    ],
)
@pytest.mark.one_database
def test_backup_flags_are_stored(ada, add_passkey, rows, flags, said):
    from app.authenticators.models import Passkey

    add_passkey(ada, Device(flags=flags))
    (key,) = rows(Passkey)
    assert (key.backup_eligible, key.backup_state, key.device_type) == said


@pytest.mark.one_database
@pytest.mark.settings(limits=False)
def test_passkeys_are_limited_to_twenty_five_per_account(ada, add_passkey, json_wire):
    for _ in range(25):
        add_passkey(ada, Device())
    sign_in(json_wire, ada)
    assert json_wire.post("/wan-register", usage="first").codes == ["webauthn_too_many"]


@pytest.mark.one_database
@pytest.mark.settings(passkeys=False)
def test_registration_is_rejected_when_passkeys_are_disabled(hers):
    answer = hers.post("/wan-register", usage="first")
    assert (answer.status, answer.codes) == (400, ["us_method_not_available"])


@pytest.mark.one_database
@pytest.mark.settings(public_url="http://127.0.0.1:8000", allowed_hosts=("localhost",))
def test_registration_is_rejected_when_public_url_is_an_ip_address(hers):
    assert hers.post("/wan-register", usage="first").codes == ["us_method_not_available"]


@pytest.mark.one_database
def test_passkey_management_requires_a_session(wire, language):
    for path in ("/wan-register", "/wan-register/x", "/wan-rename", "/wan-delete"):
        assert wire.post(path, name="x").status == (401 if language == "json" else 302)


@pytest.mark.one_database
@pytest.mark.parametrize("as_sent", [dict, json.dumps], ids=["object", "text"])
def test_extension_results_are_read_from_the_extensions_field(json_wire, ada, device, rows, as_sent):
    """Its script sends ``extensions``, and in it JSON text."""
    from app.authenticators.models import Passkey

    options, state = asked(sign_in(json_wire, ada).post("/wan-register", name="Stick"))
    credential = json.loads(device.make(options))
    del credential["clientExtensionResults"]
    said = as_sent({"credProps": {"rk": False}})
    assert json_wire.post(f"/wan-register/{state}", credential=json.dumps(credential | {"extensions": said})).ok
    assert rows(Passkey)[0].discoverable is False
