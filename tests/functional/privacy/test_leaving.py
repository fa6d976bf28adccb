"""Deleting an account: closed immediately, restorable by an emailed link for a week, then erased."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from app.audit import Event
from app.audit.signals import user_deletion_requested
from app.login.credential_changes import lock_credentials
from app.privacy.models import Deletion, Export
from app.sessions.models import AuthSession
from app.users import User
from tests.signed_in import give_token, sign_in
from tests.sinks import code_in

DAY = 24 * 3600
WEEK = 7 * DAY


def undo_in(mail) -> str:
    """Return the path of an email's link that keeps the account."""
    return re.search(r"http://localhost(/my-data/undo/\S+)", mail.text)[1]


@pytest.fixture
def left(here, ada, mail_to):
    """The link in the mail, once Ada has asked for her account to be deleted."""
    assert here.post("/my-data/delete", sure=True).ok
    return undo_in(mail_to(ada.email))


def test_deletion_request_ends_all_sessions(here, program, ada, rows):
    phone = sign_in(here.elsewhere(), ada)
    give_token(program, ada)
    answer = here.post("/my-data/delete", sure=True)
    assert (answer.location, answer.headers["Clear-Site-Data"]) == (
        "/" if here.language == "form" else None,
        '"cache", "storage"',
    )
    assert (here.signed_in_as(), phone.signed_in_as(), program.signed_in_as()) == (None, None, None)
    assert all(session.revoked_at for session in rows(AuthSession))


@pytest.mark.both_databases
def test_session_ended_during_the_request_cannot_delete_the_account(json_wire, ada, rows, monkeypatch):
    from app.privacy import deletion

    stranger, owner = sign_in(json_wire.elsewhere(), ada), sign_in(json_wire, ada)
    take_turns = lock_credentials

    def ended_first(*given):
        assert ThreadPoolExecutor(1).submit(owner.post, "/sessions/end-others").result().ok
        take_turns(*given)

    monkeypatch.setattr(deletion, "lock_credentials", ended_first)
    assert stranger.post("/my-data/delete", sure=True).codes == ["api_error"]
    assert rows(Deletion) == []


def test_deletion_request_revokes_personal_tokens_permanently(app, here, ada, program, mail_to):
    from app.extensions import db
    from app.sessions import api_tokens

    with app.app_context():
        program.token = api_tokens.issue(ada.id, "Backup", ["read"], timedelta(days=9), "f" * 32)[1]
        db.session.commit()
    assert program.get("/sessions").ok
    here.post("/my-data/delete", sure=True)
    assert program.get("/sessions").status == 401
    here.post(undo_in(mail_to(ada.email)), sure=True)
    assert program.get("/sessions").status == 401


def test_deletion_date_is_shown_and_returned_as_json(here, rows):
    answer = here.post("/my-data/delete", sure=True)
    deletes_at = rows(Deletion)[0].deletes_at
    if here.language == "json":
        assert answer.json == {"deletes_at": deletes_at.isoformat()}
    else:
        assert f"will be deleted on {deletes_at.day} {deletes_at:%b %Y}" in here.follow(here.follow(answer)).text


def test_sign_in_to_a_closed_account_gets_the_generic_error(here, ada, left):
    browser = here.elsewhere()
    answer = browser.post("/us-signin", identity=ada.email, passcode=ada.app_code())
    assert (answer.status, answer.codes) == (400, ["generic_authn_failed"])
    assert browser.signed_in_as() is None


def test_code_sent_before_the_deletion_request_does_not_sign_in(here, ada, mail_to):
    browser = here.elsewhere()
    browser.post("/us-signin/send-code", identity=ada.email, chosen_method="email")
    code = code_in(mail_to(ada.email))
    here.post("/my-data/delete", sure=True)
    assert browser.post("/us-signin", identity=ada.email, passcode=code).status == 400


def test_opening_the_undo_link_changes_nothing(here, left, rows):
    for _ in range(2):
        answer = here.elsewhere().get(left)
        assert answer.ok
        if here.language == "json":
            assert answer.json["state"] == "closed"
    assert here.send("HEAD", left).status == 200
    assert len(rows(Deletion)) == 1


def test_owner_can_undo_deletion_from_any_browser_and_sign_in_again(here, ada, left, rows, mail_to):
    answer = here.elsewhere().post(left, sure=True)
    assert (answer.status, answer.json.get("state", "kept")) == (200, "kept")
    assert (rows(Deletion), rows(User)[0].deletes_at) == ([], None)
    assert "won't be deleted" in mail_to(ada.email).text
    assert here.signed_in_as() is None
    assert here.elsewhere().post("/us-signin", identity=ada.email, passcode=ada.app_code()).ok


def test_undoing_deletion_is_idempotent(here, left, rows):
    assert (here.post(left, sure=True).ok, here.post(left, sure=True).ok) == (True, True)
    assert len(rows(Event, name="account.deletion_undone")) == 1


def test_undo_requires_confirmation(here, left, rows):
    answer = here.elsewhere().post(left)
    assert (answer.status, answer.codes) == (400, ["undo_unsure"])
    assert len(rows(Deletion)) == 1


def test_deletion_requires_confirmation(here, ada, rows):
    answer = here.post("/my-data/delete")
    assert (answer.status, answer.codes) == (400, ["deletion_unsure"])
    assert (rows(Deletion), here.signed_in_as()) == ([], ada.email)


def test_deletion_requires_reauthentication(here, ada, clock, rows):
    clock.shift(301)
    answer = here.post("/my-data/delete", sure=True)
    assert (answer.status, answer.location) == (
        (401, None) if here.language == "json" else (302, "/us-verify?next=%2Fmy-data")
    )
    assert (rows(Deletion), here.signed_in_as()) == ([], ada.email)


@pytest.mark.parametrize("language", ["form"])  # JSON needs none
def test_undo_requires_a_csrf_token(here, left, rows):
    here.fetch_csrf()
    assert here.post(left, sure=True, csrf=None).codes == ["csrf_token_missing"]
    assert len(rows(Deletion)) == 1


def test_deletion_requires_sign_in(wire):
    assert wire.post("/my-data/delete", sure=True).status == (401 if wire.language == "json" else 302)


@pytest.mark.one_database
@pytest.mark.parametrize("change", ["cut", "other handle", "later", "no token", "another link of ours"])
def test_altered_undo_link_returns_404(here, left, people, change):
    path, kid, handle, at, mac = re.fullmatch(r"(.*/)([^.]+)\.([^.]+)\.([^.]+)\.([^.]+)", left).groups()
    tokens = {
        "cut": f"{kid}.{handle}.{at}.{mac[:-1]}",
        "other handle": f"{kid}.{'0' * 32}.{at}.{mac}",
        "later": f"{kid}.{handle}.{int(at) + WEEK}.{mac}",
        "another link of ours": f"c.{kid}.{handle}.{at}.{mac}",
    }
    for answer in (here.get(path + tokens.get(change, "x")), here.post(path + tokens.get(change, "x"), sure=True)):
        assert (answer.status, answer.codes if here.language == "json" else ["undo_invalid"]) == (404, ["undo_invalid"])


def test_undo_link_of_an_earlier_deletion_does_not_undo_a_later_one(here, ada, left, rows, clock, mail_to):
    assert here.post(left, sure=True).ok
    clock.shift(60)
    assert sign_in(here, ada).post("/my-data/delete", sure=True).ok
    assert here.elsewhere().post(left, sure=True).status == 404
    assert len(rows(Deletion)) == 1
    assert here.elsewhere().post(undo_in(mail_to(ada.email)), sure=True).ok


def test_undo_link_is_sent_to_every_confirmed_email(app, here, ada, deliver):
    with app.app_context():
        from app.extensions import db
        from app.users import Identity

        more = {"user_id": ada.id, "kind": "email", "is_primary": False}
        db.session.add(
            Identity(value="ada@example.org", confirmed_at=db.session.get(User, ada.id).confirmed_at, **more)
        )
        db.session.add(Identity(value="unproved@example.org", **more))
        db.session.commit()
    here.post("/my-data/delete", sure=True)
    told = {mail.to[0]: undo_in(mail) for mail in deliver()}
    assert set(told) == {"ada@example.com", "ada@example.org"}
    assert len(set(told.values())) == 1


def test_undo_link_is_sent_to_a_recently_removed_email(here, ada, people, deliver, clock):
    people.give(ada, "email", "mallory@example.org")
    clock.shift(60)
    assert here.post("/identities/primary", email="mallory@example.org").ok
    assert here.post("/identities/remove", email=ada.email).ok
    deliver()
    assert here.post("/my-data/delete", sure=True).ok
    told = {mail.to[0]: undo_in(mail) for mail in deliver() if "will be deleted" in mail.subject}
    assert set(told) == {ada.email, "mallory@example.org"}
    assert here.elsewhere().post(told[ada.email], sure=True).ok


def test_undo_link_is_sent_by_sms_without_an_email(here, people, text_to, rows):
    eve = people.open(phone="+16502530009", methods=["sms"])
    wire = sign_in(here.elsewhere(), eve)
    assert wire.post("/my-data/delete", sure=True).ok
    path = re.search(r"http://localhost(/my-data/undo/\S+)", text_to(eve.phone).text)[1]
    assert wire.post(path, sure=True).ok


def test_owner_is_reminded_once_a_day_before_erasure(app, here, ada, left, clock, mail_to, deliver):
    from app.privacy.deletion import remind

    def sweep() -> list:
        with app.app_context():
            from app.extensions import db

            remind()
            db.session.commit()
        return deliver()

    assert sweep() == []
    clock.shift(6 * DAY + 60)
    [mail] = sweep()
    assert (mail.to, mail.subject) == ([ada.email], "Your Latchkey account will be deleted tomorrow")
    assert undo_in(mail) == left
    assert sweep() == []
    assert here.elsewhere().post(left, sure=True).ok


def test_undo_works_until_the_deadline_only(here, left, clock, rows):
    deletes_at = rows(Deletion)[0].deletes_at
    clock.shift(WEEK - 5)
    assert here.get(left).ok
    clock.shift(10)
    assert clock.now() > deletes_at
    assert (here.get(left).status, here.post(left, sure=True).status) == (404, 404)


def test_deletion_request_and_undo_are_listed_in_activity(here, ada, left):
    here.post(left, sure=True)
    text = sign_in(here, ada).get("/activity").text
    assert ("Account deletion requested" in text, "Account deletion canceled" in text) == (True, True)


def test_deletion_request_sends_a_signal(here, ada, app):
    heard = []
    listener = user_deletion_requested.connect(lambda _app, user, **_: heard.append(user.id), weak=False)
    here.post("/my-data/delete", sure=True)
    user_deletion_requested.disconnect(listener)
    assert heard == [ada.id]


def test_deletion_request_deletes_exports(here, export, rows):
    export(here)
    here.post("/my-data/delete", sure=True)
    assert rows(Export) == []


@pytest.mark.parametrize("path", ["/us-signin/send-code", "/register", "/confirm"])
def test_closed_account_is_sent_no_codes(here, ada, left, deliver, path):
    fields = {"identity": ada.email, "chosen_method": "email", "email": ada.email, "send_again": True}
    assert here.elsewhere().post(path, **fields).ok
    sent = [mail.subject for mail in deliver()]
    assert [subject for subject in sent if "code" in subject.lower()] == []


def test_sign_in_attempt_to_a_closed_account_emails_the_undo_link(here, ada, left, mail_to, rows):
    back = here.elsewhere()
    assert back.post("/us-signin/send-code", identity=ada.email, chosen_method="email").ok
    mail = mail_to(ada.email)
    assert "is closed" in mail.subject
    assert undo_in(mail) == left
    assert re.findall(r"\b\d{4} \d{4}\b", mail.text) == [], "no code, which nothing would answer"
    assert back.post(undo_in(mail), sure=True).ok
    assert rows(User)[0].deletes_at is None


def test_sign_in_attempt_by_username_emails_the_closed_accounts_owner(people, here, mail_to):
    eve = people.open(email="eve@example.com", username="eve", methods=["email"])
    assert sign_in(here.elsewhere(), eve).post("/my-data/delete", sure=True).ok
    here.elsewhere().post("/us-signin/send-code", identity="eve", chosen_method="email")
    assert "is closed" in mail_to(eve.email).subject


@pytest.mark.one_database
def test_closed_account_email_is_not_sent_if_deletion_was_undone(here, ada, left, deliver):
    here.elsewhere().post("/us-signin/send-code", identity=ada.email, chosen_method="email")
    here.elsewhere().post(left, sure=True)
    assert [mail.subject for mail in deliver() if "is closed" in mail.subject] == []


@pytest.mark.one_database
def test_disabled_closed_account_is_sent_no_email(app, here, ada, left, deliver):
    from app import clock
    from app.extensions import db

    with app.app_context():
        db.session.get(User, ada.id).disabled_at = clock.now()
        db.session.commit()
    deliver()
    here.elsewhere().post("/us-signin/send-code", identity=ada.email, chosen_method="email")
    assert deliver() == []
