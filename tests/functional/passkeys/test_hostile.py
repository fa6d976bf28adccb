"""Invalid WebAuthn responses: each is rejected with its error code, and none causes a 500.

They come from a software authenticator.
"""

from __future__ import annotations

import json

import cbor2
import pytest

from tests.authenticators import MAY_SYNC, PRESENT, VERIFIED, Device, encoded
from tests.functional.passkeys.conftest import asked, sign_in

ORIGINS = {
    "another site": "http://evil.example",
    "another port": "http://localhost:8080",
    "a sub-domain": "http://login.localhost",
    "a domain around it": "http://localhost.evil.example",
    "another scheme": "https://localhost",
    "a slash too much": "http://localhost/",
    "capitals": "http://LOCALHOST",
    "somebody in it": "http://localhost@evil.example",
    "none": "null",
    "no text": ["http://localhost"],
    "nothing": None,
}
PAGES = {
    f"origin, {name}": ({"said": {"origin": origin}}, "webauthn_wrong_origin") for name, origin in ORIGINS.items()
} | {
    "in a frame": ({"said": {"crossOrigin": True}}, "webauthn_wrong_origin"),
    "in a frame, said oddly": ({"said": {"crossOrigin": "false"}}, "webauthn_wrong_origin"),
    "in a frame of": ({"said": {"topOrigin": "http://evil.example"}}, "webauthn_wrong_origin"),
    "for another domain": ({"rp_id": "evil.example"}, "webauthn_wrong_origin"),
    "for a sub-domain": ({"rp_id": "login.localhost"}, "webauthn_wrong_origin"),
    "nobody there": ({"flags": VERIFIED}, "webauthn_not_present"),
    "nobody asked": ({"flags": PRESENT}, "webauthn_no_verify"),
    "another challenge": ({"said": {"challenge": "x" * 43}}, "webauthn_wrong_challenge"),
    "a number for a challenge": ({"said": {"challenge": 7}}, "webauthn_wrong_challenge"),
    "no challenge": ({"said": {"challenge": None}}, "webauthn_wrong_challenge"),
    "another ceremony": ({"said": {"type": "payment.get"}}, "webauthn_wrong_ceremony"),
    "synced, and cannot be": ({"flags": PRESENT | VERIFIED | 0x10}, "api_error"),
    "a page that is no JSON": ({"client_data": b"\xff\x00{"}, "api_error"),
    "a page that is a list": ({"client_data": b"[]"}, "api_error"),
    "a page that is deep": ({"client_data": b'{"a":' * 5000}, "api_error"),
    "another type": ({"whole": {"type": "password"}}, "api_error"),
    "two ids": ({"whole": {"rawId": "AAAA"}}, "api_error"),
    "no id": ({"whole": {"id": None, "rawId": None}}, "api_error"),
    "an id of nothing": ({"whole": {"id": "", "rawId": ""}}, "api_error"),
    "an id that is a list": ({"whole": {"id": ["x"]}}, "api_error"),
    "no response": ({"whole": {"response": None}}, "api_error"),
    "an empty response": ({"whole": {"response": {}}}, "api_error"),
}
SIGNED = {
    "made, not used": ({"said": {"type": "webauthn.create"}}, "webauthn_wrong_ceremony"),
    "somebody else's signature": ({"signature": b"0" * 70}, "webauthn_wrong_signature"),
    "no signature": ({"signature": b""}, "webauthn_wrong_signature"),
    "an empty response": ({"whole": {"response": {}}}, "webauthn_mismatch_user_handle"),
    "another handle": ({"user_handle": b"somebody else"}, "webauthn_mismatch_user_handle"),
    "no handle": ({"user_handle": b""}, "webauthn_mismatch_user_handle"),
    "a handle of garbage": ({"user_handle": b"\xff" * 64}, "webauthn_mismatch_user_handle"),
    "of another kind": ({"flags": PRESENT | VERIFIED}, "webauthn_backup_changed"),
}
BIG = {"a": "x" * 3000}
MADE = {
    "used, not made": ({"said": {"type": "webauthn.get"}}, "webauthn_wrong_ceremony"),
    "no attestation": ({"attestation": b""}, "api_error"),
    "an attestation of garbage": ({"attestation": b"\xff" * 200}, "api_error"),
    "an attestation that is a number": ({"attestation": cbor2.dumps(10**12)}, "api_error"),
    "data that is a number": ({"attestation": cbor2.dumps({"authData": 10**12})}, "api_error"),
    "an attestation without end": ({"attestation": b"\x9f" * 2000}, "api_error"),
    "an attestation that claims a gigabyte": ({"attestation": b"\xa1\x68authData\x5a\x40\x00\x00\x00"}, "api_error"),
    "no key": ({"attested": b""}, "api_error"),
    "a key cut short": ({"attested": bytes(16) + b"\x00\x20" + b"x" * 32 + b"\xa5\x01\x02"}, "api_error"),
    "a key of no kind": ({"attested": bytes(16) + b"\x00\x04abcd" + cbor2.dumps({1: 9, 3: -7})}, "api_error"),
    "a key of another algorithm": (
        {"attested": bytes(16) + b"\x00\x04abcd" + cbor2.dumps({1: 2, 3: -47})},
        "api_error",
    ),
    "a key off the curve": (
        {"attested": bytes(16) + b"\x00\x04abcd" + cbor2.dumps({1: 2, 3: -7, -1: 1, -2: b"x" * 32, -3: b"y" * 32})},
        "api_error",
    ),
    "an id longer than any": ({"id": b"x" * 1024}, "api_error"),
    "another id within": ({"whole": {"id": "AAAA", "rawId": "AAAA"}}, "api_error"),
}
BODIES = {
    "nothing": "",
    "no JSON": "{",
    "a list": "[1, 2]",
    "a text": '"credential"',
    "a number": "7",
    "NaN": "NaN",
    "deep": "[" * 20000,
    "an empty object": "{}",
    "surrogates": '{"id": "\\ud800"}',
    "long": json.dumps(BIG),
}


@pytest.fixture
def hers(wire, ada, device, add_passkey):
    """A browser, then a program; Ada's phone has a passkey."""
    add_passkey(ada, device)
    return wire


@pytest.mark.one_database
@pytest.mark.parametrize(("bent", "code"), (PAGES | SIGNED).values(), ids=PAGES | SIGNED)
def test_forged_assertion_is_rejected_at_sign_in(hers, device, bent, code):
    options, state = asked(hers.post("/wan-signin"))
    answer = hers.post(f"/wan-signin/{state}", credential=device.sign(options, **bent))
    assert (answer.status, answer.codes) == (400, [code])
    assert hers.signed_in_as() is None


@pytest.mark.one_database
@pytest.mark.parametrize(("bent", "code"), (PAGES | MADE).values(), ids=PAGES | MADE)
def test_forged_attestation_is_rejected_at_registration(wire, ada, rows, bent, code):
    from app.authenticators.models import Passkey

    options, state = asked(sign_in(wire, ada).post("/wan-register", usage="first"))
    answer = wire.post(f"/wan-register/{state}", credential=Device().make(options, **bent))
    assert (answer.status, answer.codes) == (400, [code])
    assert rows(Passkey) == []


@pytest.mark.one_database
@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_malformed_credential_body_is_rejected_by_every_ceremony(hers, ada, body):
    for path in ("/wan-signin", "/wan-verify", "/wan-register"):
        if path != "/wan-signin":
            sign_in(hers, ada)
        _, state = asked(hers.post(path, usage="first"))
        answer = hers.post(f"{path}/{state}", credential=body)
        too_deep = body.startswith("[[") and hers.language == "json"
        assert (answer.status, answer.codes) == (400, ["json_invalid" if too_deep else "api_error"]), path


@pytest.mark.one_database
@pytest.mark.parametrize("value", [7, True, 1.5, [], [[]], {"id": 7}, None])
def test_non_string_credential_is_rejected(json_wire, value):
    _, state = asked(json_wire.post("/wan-signin"))
    answer = json_wire.post(f"/wan-signin/{state}", credential=value)
    assert (answer.status, answer.codes) == (400, ["api_error"])


@pytest.mark.one_database
@pytest.mark.parametrize("keep", [0, 1, 36, 37, 60, 200, 400])
def test_truncated_credential_is_rejected(hers, device, keep):
    options, state = asked(hers.post("/wan-signin"))
    answer = hers.post(f"/wan-signin/{state}", credential=device.sign(options)[:keep])
    assert (answer.status, answer.codes) == (400, ["api_error"])


@pytest.mark.one_database
@pytest.mark.parametrize("part", ["clientDataJSON", "authenticatorData", "signature", "userHandle"])
@pytest.mark.parametrize("said", ["", "!", "AA", 7, None, {"a": 1}, "A" * 50_000])
def test_malformed_credential_part_is_rejected(hers, device, part, said):
    options, state = asked(hers.post("/wan-signin"))
    whole = json.loads(device.sign(options))
    whole["response"][part] = said
    answer = hers.post(f"/wan-signin/{state}", credential=json.dumps(whole))
    assert answer.status == 400
    assert hers.signed_in_as() is None


@pytest.mark.one_database
def test_oversized_credential_returns_413(hers):
    _, state = asked(hers.post("/wan-signin"))
    answer = hers.post(f"/wan-signin/{state}", credential="x" * 1_000_000)
    assert answer.status == 413


@pytest.mark.one_database
@pytest.mark.parametrize("state", ["x", "%00", "a" * 3000, "0" * 32 + "." + "0" * 64, "%F0%9F%94%91"])
def test_forged_ceremony_state_is_rejected(hers, ada, device, state):
    options, _ = asked(hers.post("/wan-signin"))
    assert hers.post(f"/wan-signin/{state}", credential=device.sign(options)).codes == ["api_error"]
    sign_in(hers, ada)
    for path in ("/wan-verify", "/wan-register"):
        assert hers.post(f"{path}/{state}", credential=device.sign(options)).codes == ["api_error"]


def test_ceremony_states_are_not_interchangeable(hers, ada, device):
    """States for creating, signing in and reauthenticating don't work for one another."""
    begun = {"/wan-signin": asked(hers.post("/wan-signin"))}
    sign_in(hers, ada)
    begun |= {path: asked(hers.post(path, usage="first")) for path in ("/wan-register", "/wan-verify")}
    hers.post("/logout")
    for path in ("/wan-register", "/wan-verify"):
        options = {"rpId": "localhost", "challenge": begun[path][0]["challenge"]}
        assert hers.post(f"/wan-signin/{begun[path][1]}", credential=device.sign(options)).codes == ["api_error"]
    sign_in(hers, ada)
    options, state = begun["/wan-signin"]
    assert hers.post(f"/wan-verify/{state}", credential=device.sign(options)).codes == ["api_error"]
    assert hers.post(f"/wan-register/{state}", credential=device.sign(options)).codes == ["api_error"]


def test_passkey_of_another_user_cannot_sign_in_with_a_forged_user_handle_or_id(hers, people, ada, device, add_passkey):
    theirs = Device()
    add_passkey(people.open(email="eve@example.com"), theirs)
    options, state = asked(hers.post("/wan-signin"))
    handle = device.keys[0].user_handle
    answer = hers.post(f"/wan-signin/{state}", credential=theirs.sign(options, user_handle=handle))
    assert (answer.status, answer.codes) == (400, ["webauthn_mismatch_user_handle"])
    options, state = asked(hers.post("/wan-signin"))
    its_id = {"id": encoded(device.keys[0].id), "rawId": encoded(device.keys[0].id)}
    answer = hers.post(f"/wan-signin/{state}", credential=theirs.sign(options, user_handle=handle, whole=its_id))
    assert (answer.status, answer.codes) == (400, ["webauthn_wrong_signature"])


def test_attestation_statement_is_ignored(wire, ada, rows):
    from app.authenticators.models import Passkey

    options, state = asked(sign_in(wire, ada).post("/wan-register", usage="first"))
    statement = {"alg": -7, "sig": b"\x00" * 8, "x5c": [b"no certificate"]}
    assert wire.post(f"/wan-register/{state}", credential=Device().make(options, fmt="packed", statement=statement)).ok
    assert len(rows(Passkey)) == 1


@pytest.fixture
def counting(ada, add_passkey):
    """A security key that counts its uses."""
    stick = Device(flags=PRESENT | VERIFIED, counts=1)
    add_passkey(ada, stick)
    return stick


def test_increased_sign_count_is_stored(wire, counting, rows):
    from app.authenticators.models import Passkey

    options, state = asked(wire.post("/wan-signin"))
    assert wire.post(f"/wan-signin/{state}", credential=counting.sign(options, count=7)).ok
    assert rows(Passkey)[0].sign_count == 7


@pytest.mark.parametrize("count", [7, 6, 0])
def test_sign_count_that_does_not_increase_is_rejected_and_audited(wire, counting, rows, count):
    from app.audit import Event
    from app.authenticators.models import Passkey

    options, state = asked(wire.post("/wan-signin"))
    wire.post(f"/wan-signin/{state}", credential=counting.sign(options, count=7))
    wire.post("/logout")
    options, state = asked(wire.post("/wan-signin"))
    answer = wire.post(f"/wan-signin/{state}", credential=counting.sign(options, count=count))
    assert (answer.status, answer.codes) == (400, ["webauthn_counter_regressed"])
    assert wire.signed_in_as() is None
    (event,) = rows(Event, name="passkey.counter_regressed")
    assert (event.facts["was"], event.facts["said"], rows(Passkey)[0].sign_count) == (7, count, 7)


@pytest.mark.settings(passkey_counter="note")
def test_regressed_sign_count_is_only_audited_with_passkey_counter_note(wire, counting, rows):
    from app.audit import Event
    from app.authenticators.models import Passkey

    for count in (7, 3):
        options, state = asked(wire.post("/wan-signin"))
        assert wire.post(f"/wan-signin/{state}", credential=counting.sign(options, count=count)).ok
        wire.post("/logout")
    assert len(rows(Event, name="passkey.counter_regressed")) == 1
    assert rows(Passkey)[0].sign_count == 7


def test_synced_passkey_may_have_a_regressed_sign_count(wire, ada, add_passkey, rows):
    """Its devices have counters of their own; copies are what it is for (WebAuthn L3, section 6.1.1)."""
    from app.audit import Event
    from app.authenticators.models import Passkey

    synced = Device(counts=1)
    add_passkey(ada, synced)
    for count in (7, 3):
        options, state = asked(wire.post("/wan-signin"))
        assert wire.post(f"/wan-signin/{state}", credential=synced.sign(options, count=count)).ok
        assert wire.signed_in_as() == ada.email
        wire.post("/logout")
    assert rows(Event, name="passkey.counter_regressed") == []
    (event,) = rows(Event, name="passkey.counter_uneven")
    assert (event.facts["was"], event.facts["said"], rows(Passkey)[0].sign_count) == (7, 3, 7)


@pytest.mark.parametrize(("made", "later"), [(PRESENT | VERIFIED, MAY_SYNC), (PRESENT | VERIFIED | MAY_SYNC, 0)])
def test_changed_backup_eligibility_is_rejected_and_audited(wire, ada, add_passkey, rows, made, later):
    from app.admin.attempts import timeline
    from app.audit import Event

    stick = Device(flags=made)
    add_passkey(ada, stick)
    options, state = asked(wire.post("/wan-signin"))
    answer = wire.post(f"/wan-signin/{state}", credential=stick.sign(options, flags=PRESENT | VERIFIED | later))
    assert (answer.status, answer.codes) == (400, ["webauthn_backup_changed"])
    assert wire.signed_in_as() is None
    (event,) = rows(Event, name="sign_in.failed")
    with wire.app.app_context():
        (moment,) = timeline(event.support_id)
    assert "error webauthn_backup_changed" in moment.detail
