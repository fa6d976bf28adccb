"""/wan-rename and /wan-delete, the last passkey, and passkeys removed by a report."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.authenticators import Device
from tests.functional.passkeys.conftest import ASSURED, asked, sign_in
from tests.signed_in import give_token
from tests.wire import Program


def names(rows, **of):
    """Return the names of the passkeys that are stored."""
    from app.authenticators.models import Passkey

    return sorted(key.name for key in rows(Passkey, **of))


def passkey_rows(rows, person):
    """Return how many ``enrolled_method`` rows represent passkeys."""
    from app.enrollments.models import Enrollment

    return len(rows(Enrollment, user_id=person.id, method="webauthn"))


def test_passkey_can_be_renamed(wire, ada, device, add_passkey, rows):
    add_passkey(ada, device, name="Phone")
    assert sign_in(wire, ada).post("/wan-rename", name="Phone", new_name="  Old   phone ").ok
    assert names(rows) == ["Old phone"]


@pytest.mark.one_database
@pytest.mark.parametrize(
    ("new_name", "code"),
    [("Stick", "webauthn_name_inuse"), ("", "webauthn_name_required"), ("<i>", "invalid_input")],
)
def test_invalid_new_name_is_rejected(wire, ada, add_passkey, rows, new_name, code):
    add_passkey(ada, Device(), name="Phone")
    add_passkey(ada, Device(), name="Stick")
    answer = sign_in(wire, ada).post("/wan-rename", name="Phone", new_name=new_name)
    assert (answer.status, answer.codes, names(rows)) == (400, [code], ["Phone", "Stick"])


def test_deleting_a_passkey_ends_other_sessions_and_notifies_the_owner(wire, ada, device, add_passkey, rows, mail_to):
    add_passkey(ada, device, name="Phone")
    assert passkey_rows(rows, ada) == 1
    elsewhere = sign_in(wire.elsewhere(), ada)
    answer = sign_in(wire, ada).post("/wan-delete", name="Phone")
    assert answer.ok
    assert set(answer.json) <= {"csrf_token"}
    assert (names(rows), passkey_rows(rows, ada)) == ([], 0)
    assert elsewhere.signed_in_as() is None
    assert wire.signed_in_as() == ada.email
    assert "A passkey was removed." in mail_to(ada.email).text


def test_deleting_a_passkey_keeps_the_others(wire, ada, add_passkey, rows):
    for name in ("Phone", "Stick"):
        add_passkey(ada, Device(), name=name)
    assert sign_in(wire, ada).post("/wan-delete", name="Phone").ok
    assert (names(rows), passkey_rows(rows, ada)) == (["Stick"], 1)


@pytest.mark.one_database
def test_unknown_passkey_name_is_rejected(wire, ada, people, device, add_passkey, rows):
    add_passkey(ada, device, name="Phone")
    sign_in(wire, people.open(email="bob@example.com"))
    for path, more in (("/wan-delete", {}), ("/wan-rename", {"new_name": "Mine"})):
        answer = wire.post(path, name="Phone", **more)
        assert (answer.status, answer.codes) == (400, ["webauthn_name_not_found"])
    assert names(rows) == ["Phone"]


@pytest.mark.one_database
def test_deleting_or_renaming_requires_reauthentication(wire, ada, device, add_passkey, rows, clock, language):
    add_passkey(ada, device, name="Phone")
    sign_in(wire, ada)
    clock.shift(301)
    for path, more in (("/wan-delete", {}), ("/wan-rename", {"new_name": "Mine"})):
        assert wire.post(path, name="Phone", **more).status == (401 if language == "json" else 302)
    assert names(rows) == ["Phone"]


def test_last_sign_in_method_passkey_cannot_be_deleted(wire, ada, device, add_passkey, rows):
    from app.enrollments.models import Enrollment

    add_passkey(ada, device, name="Phone")
    assert sign_in(wire, ada).post("/us-setup", delete_method="email").ok, "a passkey is a way in"
    answer = wire.post("/wan-delete", name="Phone")
    assert (answer.status, answer.codes) == (400, ["last_method"])
    assert [row.method for row in rows(Enrollment, user_id=ada.id)] == ["webauthn"]


def test_second_factor_passkey_does_not_count_as_a_sign_in_method(wire, ada, device, add_passkey, rows):
    add_passkey(ada, device, usage="secondary")
    assert sign_in(wire, ada).post("/us-setup", delete_method="email").codes == ["last_method"]


@pytest.mark.both_databases
def test_concurrent_removals_leave_one_sign_in_method(app, ada, device, add_passkey, rows):
    from app.enrollments.models import Enrollment

    add_passkey(ada, device, name="Phone")
    programs = [give_token(Program(app), ada, via=ASSURED), give_token(Program(app), ada, via=ASSURED)]
    asks = [("/wan-delete", {"name": "Phone"}), ("/us-setup", {"delete_method": "email"})]
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda pair: pair[0].post(pair[1][0], **pair[1][1]), zip(programs, asks, strict=True)))
    assert len(names(rows)) + len(rows(Enrollment, user_id=ada.id, method="email")) == 1


@pytest.mark.one_database
def test_get_wan_delete_redirects_browsers_to_the_passkey_list(hers, language):
    answer = hers.get("/wan-delete")
    assert answer.location == ("/wan-register" if language == "form" else None)
    assert set(answer.json) <= {"csrf_token"}


def test_rolling_back_a_reported_session_deletes_its_passkeys(wire, ada, device, people, rows, app):
    from app.login.rollback import roll_back
    from app.sessions.models import AuthSession

    sign_in(wire, ada)
    options, state = asked(wire.post("/wan-register", usage="first", name="Stranger's"))
    assert wire.post(f"/wan-register/{state}", credential=device.make(options)).ok
    (session,) = [row for row in rows(AuthSession, kind="browser") if row.revoked_at is None]
    with app.app_context():
        from app.extensions import db

        assert roll_back(ada.id, [session.session_id], "") == 1
        db.session.commit()
    assert (names(rows), passkey_rows(rows, ada)) == ([], 0)


@pytest.mark.both_databases
def test_deleting_a_user_deletes_their_passkeys(app, ada, device, add_passkey, rows):
    from app.extensions import db
    from app.users import User

    add_passkey(ada, device)
    with app.app_context():
        db.session.delete(db.session.get(User, ada.id))
        db.session.commit()
    assert names(rows) == []


@pytest.mark.one_database
def test_activity_page_lists_passkey_changes(wire, ada, device, add_passkey):
    add_passkey(ada, device, name="Phone")
    sign_in(wire, ada).post("/wan-rename", name="Phone", new_name="Mobile")
    told = wire.get("/activity").text
    assert "Sign-in method added" in told
    assert "Passkey renamed" in told


@pytest.mark.settings(second_factor="required")
def test_last_second_factor_passkey_cannot_be_deleted_when_required(wire, ada, add_passkey, rows):
    add_passkey(ada, Device(), usage="secondary", name="Stick")
    answer = sign_in(wire, ada, via="webauthn,uv").post("/wan-delete", name="Stick")
    assert (answer.status, answer.codes, names(rows)) == (400, ["last_second_factor"], ["Stick"])


def test_first_email_confirmation_deletes_passkeys_added_before_it(wire, ada, add_passkey, rows, app, mail_to):
    """They may belong to someone other than the owner."""
    from app.extensions import db
    from app.users import User
    from tests.sinks import code_in

    add_passkey(ada, Device())
    with app.app_context():
        db.session.get(User, ada.id).confirmed_at = None
        db.session.commit()
    wire.post("/us-signin/send-code", identity=ada.email, chosen_method="email")
    assert wire.post("/us-signin", identity=ada.email, passcode=code_in(mail_to(ada.email))).ok
    assert (names(rows), passkey_rows(rows, ada)) == ([], 0)


def test_passkey_cannot_be_deleted_if_sms_would_remain_as_both_factors(wire, people, add_passkey, text_to, rows):
    from tests.second import begin_setup, prove_setup
    from tests.sinks import code_in

    sue = people.open(email="sue@example.com", phone="+16502530000", methods=["sms"])
    add_passkey(sue, Device(), name="Phone")
    begun = begin_setup(sign_in(wire, sue), setup="sms", existing=True)
    assert prove_setup(wire, begun, code_in(text_to("+16502530000"))).ok
    answer = sign_in(wire, sue).post("/wan-delete", name="Phone")
    assert (answer.status, answer.codes, names(rows)) == (400, ["last_method"], ["Phone"])
