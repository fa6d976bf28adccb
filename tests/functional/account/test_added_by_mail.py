"""Someone who reads the owner's mail adds a sign-in method: during its cooldown, it takes nothing away."""

from __future__ import annotations

import pytest

from app.authenticators.models import Passkey, RecoveryCode
from app.enrollments.models import Enrollment
from tests.authenticators import PRESENT, Device
from tests.functional.passkeys.conftest import ASSURED, asked
from tests.functional.setup.conftest import app_code, key_in, state_in
from tests.signed_in import may_change, sign_in
from tests.sinks import code_in, denial_in
from tests.wire import Wire

PHONE, DAY = "+16502530000", 24 * 3600
SIGN_IN = "/us-signin"


@pytest.fixture
def ada(people):
    """Someone with a passkey, who signs in by email elsewhere."""
    return people.open(email="ada@example.com", phone=PHONE, methods=["email"])


@pytest.fixture
def hers(app, ada):
    """Her own browser, which has her passkey."""
    browser = sign_in(Wire(app, "json"), ada)
    options, state = asked(browser.post("/wan-register", usage="first", name="Hers"))
    assert browser.post(f"/wan-register/{state}", credential=Device().make(options)).ok
    return browser


@pytest.fixture
def thief(json_wire, ada, hers, mail_to):
    """Someone who has signed in by a code from her mailbox."""
    browser = json_wire.elsewhere(agent="Mozilla/5.0 (X11; Linux) Firefox/150", address="203.0.113.3")
    browser.post(f"{SIGN_IN}/send-code", identity=ada.email, chosen_method="email")
    assert browser.post(SIGN_IN, identity=ada.email, passcode=code_in(mail_to(ada.email))).ok
    return browser


def add(browser, name: str = "Theirs", device: Device | None = None) -> Device:
    """Add a passkey that can sign in alone."""
    device = device or Device()
    options, state = asked(browser.post("/wan-register", usage="first", name=name))
    assert browser.post(f"/wan-register/{state}", credential=device.make(options)).ok
    return device


def by_passkey(browser, device: Device, path: str = "/wan-signin"):
    """Sign in, or confirm, with a device."""
    options, state = asked(browser.post(path))
    return browser.post(f"{path}/{state}", credential=device.sign(options))


def changes(browser) -> list[str]:
    """Try everything that would take something from the owner; return what was allowed."""
    tries = {
        "remove the passkey": browser.post("/wan-delete", name="Hers"),
        "rename the passkey": browser.post("/wan-rename", name="Hers", new_name="Mine"),
        "remove mail": browser.post("/us-setup", delete_method="email"),
        "create recovery codes": browser.post("/mf-recovery-codes"),
        "switch a second step on": browser.post("/tf-setup", setup="authenticator"),
        "add a passkey as a second step": browser.post("/wan-register"),
        "change the address": browser.post("/change-email", email="eve@example.com"),
        "add an address": browser.post("/identities/add", email="eve@example.com"),
        "remove the number": browser.post("/identities/remove", phone=PHONE),
        "replace the number": browser.post("/us-setup", chosen_method="sms", phone="+16502530009"),
        "make a token": browser.post("/tokens", name="x", scopes=["read"], expires_in_days=1),
        "take the data": browser.post("/my-data/export"),
        "delete the account": browser.post("/my-data/delete", sure=True),
    }
    return [
        what for what, answer in tries.items() if (answer.status, answer.codes) != (401, ["reauthentication_required"])
    ]


def test_email_code_session_may_add_a_passkey_but_change_nothing_else(thief, rows):
    assert changes(thief) == []
    add(thief)
    assert changes(thief) == []
    assert {key.name for key in rows(Passkey)} == {"Hers", "Theirs"}
    assert rows(RecoveryCode) == []


@pytest.mark.parametrize("age", [0, DAY - 60])
def test_passkey_in_cooldown_signs_in_but_authorizes_no_changes(thief, clock, age):
    device = add(thief)
    clock.shift(age)
    there = thief.elsewhere()
    assert by_passkey(there, device).ok
    assert there.get("/").json["aal"] == 1
    assert changes(there) == []
    assert by_passkey(there, device, "/wan-verify").ok
    assert there.get("/").json["aal"] == 1
    assert changes(there) == []


def test_confirming_with_passkey_in_cooldown_does_not_raise_the_aal(thief):
    device = add(thief)
    assert by_passkey(thief, device, "/wan-verify").ok
    assert thief.get("/").json["aal"] == 1
    assert changes(thief) == []


def test_passkey_added_by_a_passkey_in_cooldown_has_a_cooldown_too(thief, rows):
    device = add(thief)
    there = thief.elsewhere()
    assert by_passkey(there, device).ok
    add(there, "Another")
    assert [key.name for key in rows(Passkey) if key.weak_until is None] == ["Hers"]


@pytest.mark.parametrize("path", ["/", "/us-setup", "/sessions", "/activity", "/wan-register", "/nowhere"])
def test_every_account_page_announces_a_new_method_for_a_day(app, thief, hers, ada, clock, path):
    browser = sign_in(Wire(app, "form"), ada, via=ASSURED)
    assert "New sign-in method" not in browser.get(path).text
    add(thief, "Evil name")
    page = browser.get(path)
    assert page.text.count("New sign-in method: Passkey.") == 1
    assert "/us-setup" in page.page.links
    clock.shift(DAY + 1)
    assert "New sign-in method" not in sign_in(browser, ada, via=ASSURED).get(path).text


def test_authenticator_app_in_cooldown_is_announced_to_its_owner_only(app, thief, ada, people):
    begun = thief.post("/us-setup", chosen_method="authenticator")
    assert thief.post(f"/us-setup/{state_in(begun)}", passcode=app_code(key_in(begun))).ok
    hers = sign_in(Wire(app, "form"), ada, via=ASSURED)
    assert "New sign-in method: Authenticator app." in hers.get("/sessions").text
    other = sign_in(Wire(app, "form"), people.open(email="bob@example.com"))
    assert "New sign-in method" not in other.get("/sessions").text


def test_passkey_authorizes_changes_after_its_cooldown(thief, clock):
    device = add(thief)
    clock.shift(DAY + 1)
    there = thief.elsewhere()
    assert by_passkey(there, device).ok
    assert may_change(there)


def test_adding_a_passkey_by_email_code_keeps_the_owners_sessions_and_rights(thief, hers, ada, rows):
    add(thief)
    assert hers.signed_in_as() == ada.email
    assert may_change(hers), "their proof is still enough"
    assert hers.post("/wan-delete", name="Theirs").ok
    assert [key.name for key in rows(Passkey)] == ["Hers"]


def test_stronger_passkey_in_cooldown_does_not_raise_the_required_proof(app, people, wire, json_wire):
    bob = people.open(email="bob@example.com")
    plain = Device(flags=PRESENT)
    first = sign_in(Wire(app, "json"), bob)
    options, state = asked(first.post("/wan-register", usage="secondary", name="Hers"))
    assert first.post(f"/wan-register/{state}", credential=plain.make(options)).ok
    add(sign_in(json_wire, bob, via="email"))
    assert may_change(sign_in(wire, bob, via="webauthn"))


def test_owner_is_notified_by_email_and_sms_and_can_undo_a_new_passkey(thief, hers, ada, mail_to, text_to, rows):
    add(thief)
    mail, text = mail_to(ada.email), text_to(PHONE)
    for told in (mail.text, text.text):
        assert "A passkey was added." in " ".join(told.split())
        assert "it can't change the others until" in " ".join(told.split())
    assert hers.elsewhere(address="192.0.2.9").post(denial_in(mail), sure=True).json["state"] == "denied"
    assert [key.name for key in rows(Passkey)] == ["Hers"]
    assert thief.signed_in_as() is None
    assert hers.elsewhere().get("/").status == 401


def test_authenticator_apps_added_by_email_code_authorize_no_changes(thief, hers, ada, rows):
    for _ in range(2):
        begun = thief.post("/us-setup", chosen_method="authenticator")
        assert thief.post(f"/us-setup/{state_in(begun)}", passcode=app_code(key_in(begun))).ok
        assert changes(thief) == []
    assert [row.weak_until is not None for row in rows(Enrollment, method="authenticator")] == [True, True]
    assert sign_in(thief.elsewhere(), ada, via="authenticator").get("/us-setup").ok
    assert not may_change(sign_in(thief.elsewhere(), ada, via="authenticator"))


def test_pending_app_setup_keeps_the_owners_newer_app_and_gets_a_cooldown(thief, ada, app, rows):
    begun = thief.post("/us-setup", chosen_method="authenticator")
    owner = sign_in(Wire(app, "json"), ada, via="email")  # adding doesn't end what other sessions have begun
    theirs = owner.post("/us-setup", chosen_method="authenticator")
    assert owner.post(f"/us-setup/{state_in(theirs)}", passcode=app_code(key_in(theirs))).ok
    (before,) = rows(Enrollment, method="authenticator")
    assert thief.post(f"/us-setup/{state_in(begun)}", passcode=app_code(key_in(begun))).ok
    kept, late = sorted(rows(Enrollment, method="authenticator"), key=lambda row: row.id != before.id)
    assert (kept.secret, kept.last_step) == (before.secret, before.last_step)
    assert late.weak_until is not None


@pytest.fixture
def twice(people):
    """Someone who is asked for an app code after an email code."""
    return people.open(email="cid@example.com", methods=["email", "authenticator"], second="authenticator")


def test_sign_in_with_passkey_in_cooldown_still_requires_the_second_step(json_wire, twice, rows):
    device = add(sign_in(json_wire, twice, via="email"))
    there = json_wire.elsewhere()
    answer = by_passkey(there, device)
    assert answer.json["tf_required"] is True
    assert answer.json["tf_method"] == "authenticator"
    assert there.signed_in_as() is None


def test_passkey_in_cooldown_is_rejected_as_second_step(app, people, json_wire, mail_to, rows):
    dan = people.open(email="dan@example.com")
    first = sign_in(Wire(app, "json"), dan)
    options, state = asked(first.post("/wan-register", usage="secondary", name="Hers"))
    hers = Device()
    assert first.post(f"/wan-register/{state}", credential=hers.make(options)).ok
    theirs = add(sign_in(json_wire, dan, via="email"))
    there = json_wire.elsewhere()
    there.post(f"{SIGN_IN}/send-code", identity=dan.email, chosen_method="email")
    assert there.post(SIGN_IN, identity=dan.email, passcode=code_in(mail_to(dan.email))).json["tf_required"]
    options, state = asked(there.post("/wan-signin"))
    assert len(options["allowCredentials"]) == 1
    answer = there.post(f"/wan-signin/{state}", credential=theirs.sign(options))
    assert answer.codes == ["webauthn_in_cooldown"]
    there.get("/wan-signin")  # for its CSRF token: fetching one from the sign-in page would drop the sign-in
    options, state = asked(there.post("/wan-signin"))
    assert there.post(f"/wan-signin/{state}", credential=hers.sign(options)).ok


def test_adding_a_passkey_after_app_sign_in_does_not_let_the_app_authorize_changes(wire, device_with_app):
    bob, browser = device_with_app
    add(browser)
    assert not may_change(sign_in(wire, bob, via="authenticator"))
    assert may_change(sign_in(wire, bob, via=ASSURED))


@pytest.fixture
def device_with_app(app, people, json_wire):
    """Someone with a passkey and an app, and a browser that was signed in by the app."""
    bob = people.open(email="bob@example.com", methods=["email", "authenticator"])
    add(sign_in(Wire(app, "json"), bob), "Hers")
    return bob, sign_in(json_wire, bob, via="authenticator")


def test_passkey_added_after_app_sign_in_has_a_cooldown(device_with_app, rows):
    add(device_with_app[1])
    assert {key.name for key in rows(Passkey) if key.weak_until is None} == {"Hers"}


def test_setup_page_shows_methods_in_cooldown_and_until_when(app, browser_wire, ada, thief):
    add(thief)
    page = sign_in(browser_wire, ada, via="email").get("/us-setup")
    assert page.text.count("Can't change your other methods until") == 1
    assert "To change it, confirm with your passkey." in page.text


def test_overview_does_not_link_to_changes_that_would_be_rejected(app, browser_wire, ada, hers):
    page = sign_in(browser_wire, ada, via="email").get("/")
    needed = "To change it, confirm with your passkey. Use a device that has your passkey."
    assert page.text.count(needed) == 2
    assert not {"/tf-setup", "/mf-recovery-codes"} & set(page.page.links)


def test_first_strong_method_added_by_email_code_has_no_cooldown(app, people, rows):
    add(sign_in(Wire(app, "json"), people.open(email="eve@example.com"), via="email"))
    assert [key.weak_until for key in rows(Passkey)] == [None]
