"""Several authenticator apps: each has its own name, secret and used codes, and is removed separately."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from app.authenticators import totp
from app.enrollments.models import Enrollment
from app.login.credential_changes import lock_credentials
from tests.factories import Person
from tests.functional.setup.conftest import app_code, key_in, state_in
from tests.signed_in import give_token, sign_in
from tests.wire import Program, Wire

SETUP, RENAME, DELETE = "/us-setup", "/us-authenticator-rename", "/us-authenticator-delete"


@pytest.fixture
def eve(people) -> Person:
    """Someone who signs in by email and by an app, which was created with the account."""
    return people.open(email="eve@example.com", methods=["email", "authenticator"])


@pytest.fixture
def hers(wire, eve) -> Wire:
    """Eve's browser, then her API client, signed in."""
    return sign_in(wire, eve)


def add_app(wire: Wire, name: str = "", steps: int = 0) -> str:
    """Add an app and return its key."""
    begun = wire.post(SETUP, chosen_method="authenticator")
    key = key_in(begun)
    fields = {"name": name} if name else {}
    answer = wire.post(f"{SETUP}/{state_in(begun)}", passcode=app_code(key, steps), **fields)
    assert answer.ok, answer
    return key


def apps(rows) -> dict[str, Enrollment]:
    """Return the apps that are stored, by what their owner calls them, the oldest first."""
    found = sorted(rows(Enrollment, method="authenticator"), key=lambda row: row.created_at)
    return {totp.name_of(row): row for row in found}


def signs_in(wire: Wire, person: Person, code: str) -> bool:
    """Return whether this app code signs in elsewhere."""
    other = wire.elsewhere()
    other.post("/us-signin", identity=person.email, passcode=code)
    return other.signed_in_as() == person.email


@pytest.mark.every_pair
def test_two_apps_both_sign_in_and_are_listed(hers, eve, rows, clock):
    key = add_app(hers, "  Work   phone ")
    clock.shift(60)
    assert signs_in(hers, eve, eve.app_code())
    assert signs_in(hers, eve, app_code(key))
    page = hers.get(SETUP)
    if hers.language == "json":
        listed = page.json["authenticators"]
        assert [(app["name"], app["usage"]) for app in listed] == [
            ("Authenticator app", "first"),
            ("Work phone", "first"),
        ]
        assert [app["id"] for app in listed] == [row.id for row in apps(rows).values()]
        assert all(app["last_used"] >= app["created"] for app in listed)
        assert page.json["active_methods"] == ["email", "authenticator"]
    else:
        assert "Authenticator apps" in page.text
        assert [name in page.text for name in apps(rows)] == [True, True]


def test_unnamed_apps_are_numbered(hers, rows):
    add_app(hers)
    add_app(hers)
    assert list(apps(rows)) == ["Authenticator app", "Authenticator app 2", "Authenticator app 3"]


@pytest.mark.one_database
@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("Authenticator app", "authenticator_name_inuse"),
        ("Work", "authenticator_name_inuse"),
        ("Ｗｏｒｋ", "authenticator_name_inuse"),
        ("<b>", "invalid_input"),
        ("a\u202eb", "authenticator_name_disallowed_characters"),
        ("a\x07b", "authenticator_name_disallowed_characters"),
        ("Work\u034f", "authenticator_name_disallowed_characters"),
        ("x" * 65, "invalid_input_length"),
    ],
)
def test_invalid_app_name_is_rejected_without_counting_an_attempt(hers, rows, name, code):
    from app.challenges.models import Challenge

    add_app(hers, "Work")
    begun = hers.post(SETUP, chosen_method="authenticator")
    path, right = f"{SETUP}/{state_in(begun)}", app_code(key_in(begun))
    answer = hers.post(path, passcode=right, name=name)
    assert (answer.status, answer.codes, "name" in answer.errors) == (400, [code], True)
    assert [each.tries for each in rows(Challenge) if each.spent_at is None] == [0]
    assert hers.post(path, passcode=right, name="x" * 64).ok
    assert list(apps(rows)) == ["Authenticator app", "Work", "x" * 64]


@pytest.mark.one_database
@pytest.mark.parametrize(("via", "offered"), [("", True), ("email", False)])
def test_page_offers_app_as_second_step_and_method_only_after_strong_sign_in(browser_wire, people, via, offered):
    ada = people.open(email="ada@example.com", methods=["email", "authenticator"], second="authenticator")
    page = sign_in(browser_wire, ada, via=via).get(SETUP).page
    values = [(name, attributes.get("value")) for name, attributes in page.inputs]
    assert (("setup", "authenticator") in values) is offered
    assert (("chosen_method", "authenticator") in values) is offered


@pytest.mark.parametrize("step", ["first", "second"])
def test_second_step_setup_accepts_an_app_name(json_wire, eve, rows, step):
    here = sign_in(json_wire, eve)
    begun = here.post("/tf-setup", setup="authenticator").json
    path, code = f"/tf-setup/{begun['tf_state_token']}", app_code(begun["tf_authr_b32key"])
    if step == "second":
        assert here.post(path, code=code, name="<i>").codes == ["invalid_input"]
    assert here.post(path, code=code, name="Work").ok
    assert {name: (row.is_second, row.signs_in) for name, row in apps(rows).items()} == {
        "Authenticator app": (True, None),
        "Work": (True, False),
    }


def test_each_code_of_each_app_works_once(hers, eve, clock):
    key = add_app(hers)
    clock.shift(60)
    mine, its = eve.app_code(), app_code(key)
    assert [signs_in(hers, eve, code) for code in (mine, mine, its, its)] == [True, False, True, False]
    assert signs_in(hers, eve, app_code(key, 1))
    assert signs_in(hers, eve, eve.app_code(1))


@pytest.mark.every_pair
def test_sixth_app_is_rejected_before_a_key_is_shown(hers, rows):
    for _ in range(totp.MAX_APPS - 1):
        add_app(hers)
    answer = hers.post(SETUP, chosen_method="authenticator")
    assert (answer.status, answer.codes, key_in(answer)) == (400, ["authenticator_too_many"], "")
    assert len(apps(rows)) == totp.MAX_APPS == 5


@pytest.mark.both_databases
def test_replacing_all_apps_is_allowed_at_the_limit(json_wire, eve, rows):
    here = sign_in(json_wire, eve)
    for _ in range(totp.MAX_APPS - 1):
        add_app(here)
    begun = here.post(SETUP, chosen_method="authenticator", delete_method="authenticator")
    assert apps(rows) == {}
    assert here.post(f"{SETUP}/{state_in(begun)}", passcode=app_code(key_in(begun))).ok
    assert list(apps(rows)) == ["Authenticator app"]


@pytest.mark.both_databases
def test_concurrent_additions_at_the_limit_add_only_one_app(app, eve, rows):
    program = give_token(Program(app), eve)
    for _ in range(totp.MAX_APPS - 2):
        add_app(program)
    begun = [program.post(SETUP, chosen_method="authenticator") for _ in range(2)]

    def confirm(answer) -> list[str]:
        done = program.post(f"{SETUP}/{state_in(answer)}", passcode=app_code(key_in(answer)))
        return [] if done.ok else done.codes

    with ThreadPoolExecutor(2) as pool:
        assert sorted(pool.map(confirm, begun)) == [[], ["authenticator_too_many"]]
    assert len(apps(rows)) == totp.MAX_APPS


@pytest.mark.both_databases
def test_concurrent_additions_with_the_same_name_add_only_one_app(app, eve, rows):
    program = give_token(Program(app), eve)
    begun = [program.post(SETUP, chosen_method="authenticator") for _ in range(2)]

    def confirm(answer) -> list[str]:
        done = program.post(f"{SETUP}/{state_in(answer)}", passcode=app_code(key_in(answer)), name="Work")
        return [] if done.ok else done.codes

    with ThreadPoolExecutor(2) as pool:
        assert sorted(pool.map(confirm, begun)) == [[], ["authenticator_name_inuse"]]
    assert list(apps(rows)) == ["Authenticator app", "Work"]


@pytest.mark.parametrize("name", ["", "Work"])
def test_app_added_while_apps_become_second_step_is_a_second_step_too(
    json_wire, eve, database, rows, monkeypatch, name
):
    from app.setup import service as flow

    here, real = sign_in(json_wire, eve), lock_credentials
    begun = here.post(SETUP, chosen_method="authenticator")

    def after_another(user, session) -> None:
        database._connection.execute("UPDATE enrolled_method SET is_second = true WHERE method = 'authenticator'")
        database.disconnect()
        real(user, session)

    monkeypatch.setattr(flow, "lock_credentials", after_another)
    assert here.post(f"{SETUP}/{state_in(begun)}", passcode=app_code(key_in(begun)), name=name).ok
    assert [(row.is_second, row.signs_in) for row in apps(rows).values()] == [(True, None), (True, True)]


@pytest.mark.both_databases
def test_database_rejects_duplicate_app_names(app, eve):
    import sqlalchemy as sa

    from app.authenticators.enrollments import enroll
    from app.extensions import db

    with app.app_context():
        enroll(eve.id, "authenticator", name="Work")
        with pytest.raises(sa.exc.IntegrityError):
            enroll(eve.id, "authenticator", name="Work")
        db.session.rollback()


@pytest.mark.every_pair
def test_removing_one_app_keeps_the_other(hers, eve, rows, clock, mail_to):
    key = add_app(hers, "Work")
    elsewhere = sign_in(hers.elsewhere(), eve)
    answer = hers.post(DELETE, id=apps(rows)["Authenticator app"].id)
    assert answer.ok
    assert set(answer.json) <= {"csrf_token"}
    assert list(apps(rows)) == ["Work"]
    assert (elsewhere.signed_in_as(), hers.signed_in_as()) == (None, eve.email)
    assert "An authenticator app was removed." in mail_to(eve.email).text
    clock.shift(60)
    assert not signs_in(hers, eve, eve.app_code())
    assert signs_in(hers, eve, app_code(key))


def test_removing_the_method_removes_all_apps(hers, rows):
    add_app(hers)
    assert hers.post(SETUP, delete_method="authenticator").ok
    assert apps(rows) == {}


def test_last_app_that_is_the_only_method_cannot_be_removed(wire, people, rows):
    ada = people.open(email="ada@example.com", methods=["authenticator"])
    here = sign_in(wire, ada)
    add_app(here, "Work")
    first, last = apps(rows).values()
    assert here.post(DELETE, id=first.id).ok
    answer = here.post(DELETE, id=last.id)
    assert (answer.status, answer.codes) == (400, ["last_method"])
    assert list(apps(rows)) == ["Work"]


def test_only_app_that_signs_in_cannot_be_removed(app, wire, people, rows):
    from app.authenticators.enrollments import enroll
    from app.extensions import db

    ada = people.open(email="ada@example.com", methods=["authenticator"])
    with app.app_context():
        enroll(ada.id, "authenticator", name="Second", signs_in=False)
        db.session.commit()
    here = sign_in(wire, ada)
    assert here.post(DELETE, id=apps(rows)["Authenticator app"].id).codes == ["last_method"]
    assert here.post(DELETE, id=apps(rows)["Second"].id).ok


@pytest.mark.settings(second_factor="required")
def test_last_app_cannot_be_removed_if_second_factor_is_required(wire, people, rows):
    ada = people.open(email="ada@example.com", methods=["email", "authenticator"], second="authenticator")
    here = sign_in(wire, ada)
    add_app(here, "Work")
    first, last = apps(rows).values()
    assert here.post(DELETE, id=first.id).ok
    assert here.post(DELETE, id=last.id).codes == ["last_second_factor"]


def test_removing_the_last_app_disables_the_second_step(wire, people, rows):
    ada = people.open(email="ada@example.com", methods=["email", "authenticator"], second="authenticator")
    here = sign_in(wire, ada)
    assert here.post(DELETE, id=next(iter(apps(rows).values())).id).ok
    assert [row.is_second for row in rows(Enrollment)] == [False]


@pytest.mark.every_pair
def test_app_can_be_renamed(hers, rows):
    add_app(hers, "Work")
    ids = {name: row.id for name, row in apps(rows).items()}
    assert hers.post(RENAME, id=ids["Authenticator app"], name=" My   tablet").ok
    assert {name: row.id for name, row in apps(rows).items()} == {
        "My tablet": ids["Authenticator app"],
        "Work": ids["Work"],
    }
    assert "Authenticator app renamed" in hers.get("/activity").text


@pytest.mark.one_database
@pytest.mark.parametrize(
    ("name", "code"),
    [("Authenticator app", "authenticator_name_inuse"), (" ", "authenticator_name_required"), ("<", "invalid_input")],
)
def test_invalid_new_app_name_is_rejected(hers, rows, name, code):
    add_app(hers, "Work")
    answer = hers.post(RENAME, id=apps(rows)["Work"].id, name=name)
    assert (answer.status, answer.codes) == (400, [code])
    assert list(apps(rows)) == ["Authenticator app", "Work"]


def test_concurrent_rename_to_the_same_name_is_rejected(hers, database, rows, monkeypatch):
    from app.setup import service as flow

    add_app(hers, "Work")
    first, second = apps(rows).values()
    real = lock_credentials

    def after_another(user, session) -> None:
        database._connection.execute(f"UPDATE enrolled_method SET name = 'Tablet' WHERE id = '{second.id}'")
        database.disconnect()
        real(user, session)

    monkeypatch.setattr(flow, "lock_credentials", after_another)
    assert hers.post(RENAME, id=first.id, name="Tablet").codes == ["authenticator_name_inuse"]


def test_app_can_be_renamed_to_its_own_name(hers, rows):
    assert hers.post(RENAME, id=apps(rows)["Authenticator app"].id, name="Authenticator app").ok


@pytest.mark.one_database
@pytest.mark.parametrize("which", ["another's", "mail", "none", ""])
def test_app_of_another_user_or_an_unknown_one_is_not_found(hers, people, rows, which):
    bob = people.open(email="bob@example.com", methods=["email", "authenticator"])
    its_id = {
        "another's": rows(Enrollment, user_id=bob.id, method="authenticator")[0].id,
        "mail": rows(Enrollment, user_id=bob.id, method="email")[0].id,
        "none": "0" * 32,
        "": "",
    }[which]
    for path, more in ((DELETE, {}), (RENAME, {"name": "Mine"})):
        answer = hers.post(path, id=its_id, **more)
        assert (answer.status, answer.codes) == (400, ["authenticator_not_found"])
    assert len(rows(Enrollment)) == 4
    assert {row.name for row in rows(Enrollment)} == {""}


@pytest.mark.one_database
def test_email_code_session_cannot_rename_or_remove_apps(wire, eve, rows, language):
    here = sign_in(wire, eve, via="email")
    app_id = apps(rows)["Authenticator app"].id
    for path, more in ((DELETE, {}), (RENAME, {"name": "Mine"})):
        assert here.post(path, id=app_id, **more).status == (401 if language == "json" else 302)
    assert list(apps(rows)) == ["Authenticator app"]


def test_email_code_session_cannot_add_apps_if_apps_are_the_second_step(json_wire, people, rows):
    ada = people.open(email="ada@example.com", methods=["email", "authenticator"], second="authenticator")
    here = sign_in(json_wire, ada, via="email")
    assert here.post(SETUP, chosen_method="authenticator").codes == ["reauthentication_required"]


def test_pending_app_setup_is_rejected_once_apps_became_second_step(json_wire, app, eve, rows):
    import sqlalchemy as sa

    from app.extensions import db

    here = sign_in(json_wire, eve, via="email")
    begun = here.post(SETUP, chosen_method="authenticator")
    with app.app_context():
        db.session.execute(sa.update(Enrollment).filter_by(method="authenticator").values(is_second=True))
        db.session.commit()
    assert here.post(f"{SETUP}/{state_in(begun)}", passcode=app_code(key_in(begun))).codes == ["api_error"]
    assert len(apps(rows)) == 1


@pytest.mark.parametrize("methods", [["email", "authenticator"], ["authenticator"]])
def test_denying_a_session_removes_only_the_app_it_added(wire, app, people, rows, methods):
    from app.extensions import db
    from app.login.rollback import roll_back
    from app.sessions.models import AuthSession

    ada = people.open(email="ada@example.com", methods=methods)
    add_app(sign_in(wire, ada), "Stranger's")
    (session,) = [row for row in rows(AuthSession, kind="browser") if row.revoked_at is None]
    with app.app_context():
        assert roll_back(ada.id, [session.session_id], "") == 1
        db.session.commit()
    assert list(apps(rows)) == ["Authenticator app"]


@pytest.mark.both_databases
def test_first_address_confirmation_removes_app_named_like_a_browser(app, eve, rows):
    """Only the password chosen in this browser is kept, whose row has the browser's digest as its name."""
    from app.challenges.models import Challenge
    from app.extensions import db
    from app.login.initial_verification import verify_address
    from app.users import User

    with app.app_context():
        user = db.session.get(User, eve.id)
        user.confirmed_at = None
        db.session.execute(Enrollment.__table__.update().values(name="digest"))
        db.session.commit()
        assert verify_address(user, Challenge(method="email", destination=eve.email), browsers=["digest"])
        db.session.commit()
    assert [row.method for row in rows(Enrollment)] == ["email"]


def test_secret_moved_between_apps_is_rejected(app, hers, eve, rows, clock):
    from app.audit import Event
    from app.extensions import db

    key = add_app(hers, "Work")
    first, second = apps(rows).values()
    with app.app_context():
        db.session.get(Enrollment, first.id).secret = second.secret
        db.session.commit()
    clock.shift(60)
    code = app_code(key)
    assert [signs_in(hers, eve, each) for each in (code, code, eve.app_code())] == [True, False, False]
    assert {event.facts["method"] for event in rows(Event, name="crypto.mismatch")} == {"authenticator"}
