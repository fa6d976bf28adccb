"""/admin/people/...: what administrators see of an account, and can do with it."""

from __future__ import annotations

import inspect
import threading

import pytest

from app.audit import Event
from app.sessions.models import AuthSession
from app.users import User
from tests.functional.admin.conftest import make_administrator
from tests.groups import put_in
from tests.signed_in import sign_in


def handle_of(app, person) -> str:
    """Return someone's account ID."""
    from app.extensions import db

    with app.app_context():
        return db.session.get_one(User, person.id).handle


@pytest.fixture
def acts(rows, app, grace):
    """What the administrator is recorded to have done: names and subjects."""
    return lambda: [
        (event.name.removeprefix("admin."), event.facts.get("subject"))
        for event in rows(Event, user_id=grace.id)
        if event.name.startswith("admin.") and event.name != "admin.console_opened"
    ]


def test_account_page_shows_details_but_no_secrets(console, ada, of_ada, wire):
    sign_in(wire.elsewhere(), ada)
    answer = console.get(of_ada)
    assert answer.status == 200
    text = answer.text
    for secret in (ada.authenticator, "secret", "digest"):
        assert secret not in text
    if console.language == "json":
        person = answer.json["person"]
        assert [row["value"] for row in person["identities"]] == ["ada@example.com"]
        assert [row["method"] for row in person["sign_in_methods"]] == ["email", "authenticator"]
        assert [row["methods"] for row in person["sessions"]] == [["authenticator"]]
        assert "sign_in.succeeded" in [row["event"] for row in person["latest"]]
    else:
        assert [word for word in ("ada@example.com", "Authenticator app", "127.0.0.1") if word not in text] == []


def test_disabling_revokes_sessions_and_both_actions_are_idempotent(console, app, ada, of_ada, wire, rows, acts):
    hers, handle = sign_in(wire.elsewhere(), ada), handle_of(app, ada)
    answer = console.post(f"{of_ada}/disable")
    assert answer.ok
    assert console.language == "form" or answer.json["ended"] == 2
    assert hers.get("/sessions").status in (302, 401)
    assert console.post(f"{of_ada}/disable").ok  # twice is the same as once
    assert console.post(f"{of_ada}/enable").ok
    assert console.post(f"{of_ada}/enable").ok
    assert acts() == [("account_disabled", handle), ("account_enabled", handle)]
    by = {event.facts["by"] for event in rows(Event, user_id=ada.id) if event.name.startswith("account.")}
    assert len(by) == 1
    assert by.pop().startswith("admin:")


def test_admin_can_revoke_one_or_all_sessions(console, app, ada, of_ada, wire, rows, acts):
    one, two = sign_in(wire.elsewhere(), ada), sign_in(wire.elsewhere(), ada)
    session_id = rows(AuthSession, user_id=ada.id, kind="browser")[0].session_id
    assert console.post(f"{of_ada}/sessions/{session_id}/end").ok
    assert [client.get("/sessions").status == 200 for client in (one, two)] == [False, True]
    assert console.post(f"{of_ada}/sessions/{session_id}/end").ok
    assert console.post(f"{of_ada}/sessions/nonsense/end").status == 404
    assert console.post(f"{of_ada}/sign-out").ok
    assert two.get("/sessions").status != 200
    assert [act for act, _ in acts()] == ["sessions_ended", "sessions_ended"]
    ended = [event.facts for event in rows(Event, name="session.ended", user_id=ada.id)]
    assert [(facts["reason"], facts["by"].partition(":")[0]) for facts in ended] == [("ended_by_operator", "admin")] * 2


def test_session_cannot_be_revoked_from_another_accounts_page(console, grace, of_ada, rows):
    session_id = rows(AuthSession, user_id=grace.id, kind="browser")[0].session_id
    assert console.post(f"{of_ada}/sessions/{session_id}/end").ok
    assert console.get("/admin").status == 200


def test_sign_out_revokes_api_tokens_only_if_requested(console, app, ada, of_ada, json_wire):
    hers = sign_in(json_wire.elsewhere(), ada)
    token = hers.post("/tokens", name="x", scopes=["read"], expires_in_days=7).json["token"]

    def works() -> bool:
        headers = {"Authentication-Token": token, "Accept": "application/json"}
        return app.test_client().get("/sessions", headers=headers).status_code == 200

    console.post(f"{of_ada}/sign-out")
    assert works()
    console.post(f"{of_ada}/sign-out", tokens=True)
    assert not works()


def test_turning_off_two_step_verification_notifies_the_owner(console, app, people, rows, mail_to, acts):
    sue = people.open(email="sue@example.com", methods=["email", "authenticator"], second="authenticator")
    page = f"/admin/people/{handle_of(app, sue)}"
    assert console.post(f"{page}/second-step/off").ok
    assert "turned off two-step verification" in mail_to("sue@example.com").text
    assert console.post(f"{page}/second-step/off").ok
    assert [act for act, _ in acts()] == ["second_step_off"]


@pytest.mark.parametrize(
    ("kind", "code", "said"),
    [("hard", "5.1.1", "because it came back (5.1.1)."), ("soft", "", "because it came back."),
     ("complaint", "", "because one was reported as spam.")],
)  # fmt: skip
def test_suppressed_address_is_shown_and_mail_can_be_resumed(console, app, ada, of_ada, acts, kind, code, said):
    from app.extensions import db
    from app.outbox import suppressions

    with app.app_context():
        for number in range(app.extensions["latchkey.settings"].soft_bounces):
            suppressions.process_reports([suppressions.Report(ada.email, kind, "postmark", f"{number}", code)])
        db.session.commit()
    shown = console.get(of_ada)
    if console.language == "json":
        [email] = [each for each in shown.json["person"]["identities"] if each["kind"] == "email"]
        assert (email["undelivered"]["kind"], email["undelivered"]["code"]) == (kind, code)
    else:
        assert said in shown.text
    assert console.post(f"{of_ada}/resume-mail").ok
    assert console.post(f"{of_ada}/resume-mail").ok, "it is no fault to do so twice"
    assert [act for act, _ in acts()] == ["mail_resumed"]
    assert "because" not in console.get(of_ada).text
    with app.app_context():
        assert suppressions.reasons_for([ada.email]) == {}


def test_admin_can_unlock_an_account(console, of_ada, acts):
    assert console.post(f"{of_ada}/unlock").ok
    assert [act for act, _ in acts()] == ["account_unlocked"]


def test_account_can_be_deleted_restored_and_erased(console, app, ada, of_ada, mail_to, acts, erase_due):
    assert console.post(f"{of_ada}/delete").ok
    assert "An administrator requested the deletion" in mail_to("ada@example.com").text
    assert console.post(f"{of_ada}/undelete").ok
    refused = console.post(f"{of_ada}/erase")
    assert refused.codes == ["person_unsure"]
    assert console.post(f"{of_ada}/erase", sure=True).ok
    erase_due()
    assert console.get(of_ada).status == 404
    assert [act for act, _ in acts()] == ["account_deleted", "account_kept", "account_erased"]


@pytest.fixture
def erase_due(app):
    """Does what a worker's sweep does for accounts that are due."""

    def once() -> bool:
        from app.extensions import db
        from app.privacy import deletion

        with app.app_context():
            more = deletion.erase_one(threading.Event())
            db.session.commit()
            return more

    def run() -> None:
        while once():
            pass

    return run


def test_group_memberships_are_added_and_removed_idempotently(console, app, grace, of_ada, acts):
    put_in(app, grace, "staff")
    assert console.post(f"{of_ada}/groups", group="staff").ok
    assert console.post(f"{of_ada}/groups", group="staff").ok
    assert "staff" in console.get(of_ada).text
    assert console.post(f"{of_ada}/groups/staff/leave").ok
    assert console.post(f"{of_ada}/groups/staff/leave").ok
    assert console.post(f"{of_ada}/groups", group="nothing").codes == ["unknown_group"]
    assert console.post(f"{of_ada}/groups", group="").codes == ["required"]
    assert console.post(f"{of_ada}/groups/nothing/leave").status == 404
    assert [act for act, _ in acts()] == ["group_member_added", "group_member_removed"]


def test_admin_cannot_disable_delete_or_weaken_their_own_account(console, app, grace, rows):
    mine = f"/admin/people/{handle_of(app, grace)}"
    for act in ("disable", "delete", "erase", "second-step/off"):
        answer = console.post(f"{mine}/{act}", sure=True)
        assert answer.status == 409, act
    assert console.get("/admin").status == 200


def test_admin_can_grant_and_revoke_the_administrator_role(console, app, ada, of_ada, wire, acts):
    hers = sign_in(wire.elsewhere(), ada)
    assert hers.get("/admin").status == 403
    assert console.post(f"{of_ada}/administrator").ok
    assert hers.get("/admin").status == 200
    assert console.post(f"{of_ada}/administrator").ok
    assert console.post(f"{of_ada}/administrator/remove").ok
    assert hers.get("/admin").status == 403
    assert [act for act, _ in acts()] == ["administrator_added", "administrator_removed"]


@pytest.mark.parametrize("handle", ["x", "0" * 32, "0" * 33, "%00", "A" * 5000])
def test_unknown_account_returns_404(console, handle):
    assert console.get(f"/admin/people/{handle}").status == 404
    assert console.post(f"/admin/people/{handle}/disable").status == 404


@pytest.mark.both_databases
def test_every_console_change_records_an_audit_event(app):
    """Reads each handler: one that changes something also records it."""
    silent = [
        rule.endpoint
        for rule in app.url_map.iter_rules()
        if rule.endpoint.startswith("admin.") and "POST" in rule.methods
        if "record_action(" not in inspect.getsource(app.view_functions[rule.endpoint])
    ]
    assert silent == ["admin.become_first"]


def test_administrators_removing_each_other_leave_one(console, app, grace, ada, wire):
    make_administrator(app, ada)
    hers = sign_in(wire.elsewhere(), ada)
    assert console.post(f"/admin/people/{handle_of(app, ada)}/administrator/remove").ok
    assert hers.post(f"/admin/people/{handle_of(app, grace)}/administrator/remove").status == 403


@pytest.mark.parametrize(("act", "sure"), [("disable", None), ("delete", None), ("erase", True)])
def test_administrators_racing_to_disable_each_other_leave_one(app, grace, ada, wire, monkeypatch, act, sure):
    """Ada's request has passed the check when Grace's disables her."""
    from app.admin import account_changes, people, person_views
    from app.extensions import db
    from app.users import administrators

    make_administrator(app, ada)
    hers = sign_in(wire.elsewhere(), ada)
    hers.fetch_csrf()

    def grace_is_first(handle: str) -> User:
        user = people.person_of(handle)
        account_changes.disable(db.session.get_one(User, ada.id), by="operator")
        return user

    monkeypatch.setattr(person_views, "_other", grace_is_first)
    answer = hers.post(f"/admin/people/{handle_of(app, grace)}/{act}", sure=sure)
    assert (answer.status, answer.codes or ["last_administrator"]) == (409, ["last_administrator"])
    with app.app_context():
        assert administrators.is_administrator(grace.id)
        assert db.session.get_one(User, grace.id).is_active


def test_get_of_a_post_only_form_redirects_to_the_account(json_wire, browser_wire, grace, of_ada):
    answer = sign_in(browser_wire, grace).get(f"{of_ada}/groups/staff/leave")
    assert (answer.status, answer.location) == (302, of_ada)
