"""The old addresses can undo a change for 72 hours, but a link scanner can't."""

from __future__ import annotations

import pytest

from app.audit import Event
from app.enrollments.models import Enrollment
from app.users import AddressChange
from tests.functional.identities.conftest import ADD, CHANGE, NEW, THIRD
from tests.functional.setup.conftest import app_code, key_in, state_in
from tests.signed_in import sign_in
from tests.sinks import code_in, denial_in

DAY = 24 * 3600


@pytest.fixture
def stranger(hers, ada):
    """Someone who has one of Ada's sessions."""
    return sign_in(hers.elsewhere(address="203.0.113.3", agent="Mozilla/5.0 (X11; Linux) Firefox/150"), ada)


@pytest.fixture
def changed(stranger, prove, undo_in, ada) -> str:
    """The path in the mail to the old address, after the stranger has changed it."""
    assert prove(stranger, NEW).ok
    return undo_in(ada.email)


def test_undo_page_changes_nothing_and_shows_who_made_the_change(hers, changed, emails, ada):
    answer = hers.elsewhere().get(changed)
    assert answer.status == 200
    assert answer.json.get("state", "asked") == "asked"
    assert answer.json or "203.0.113.3" in answer.text
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    assert emails(ada) == [NEW]


def test_undo_restores_the_old_email_and_ends_the_strangers_session(hers, stranger, changed, emails, ada):
    answer = hers.elsewhere().post(changed, sure=True)
    assert answer.status == 200
    assert answer.json.get("state", "undone") == "undone"
    assert emails(ada) == [ada.email]
    assert stranger.signed_in_as() is None


def test_undo_requires_confirmation(hers, changed, emails, ada):
    assert hers.elsewhere().post(changed).codes == ["denial_unsure"]
    assert emails(ada) == [NEW]


@pytest.mark.parametrize("language", ["form"])  # JSON needs none
def test_undo_requires_a_csrf_token(hers, changed, emails, ada):
    there = hers.elsewhere()
    there.get("/us-signin")
    assert there.post(changed, sure=True, csrf=None).status == 400
    assert emails(ada) == [NEW]


def test_undo_is_idempotent(hers, changed, emails, ada, rows):
    for _ in range(2):
        assert hers.elsewhere().post(changed, sure=True).ok
    assert emails(ada) == [ada.email]
    assert len(rows(Event, name="address.change_undone")) == 1


def test_undo_works_for_72_hours(hers, changed, emails, ada, clock):
    clock.shift(3 * DAY - 60)
    assert hers.elsewhere().post(changed, sure=True).ok
    assert emails(ada) == [ada.email]


def test_undo_link_expires_after_72_hours(hers, changed, emails, ada, clock):
    clock.shift(3 * DAY + 1)
    assert hers.elsewhere().get(changed).status == 404
    assert hers.elsewhere().post(changed, sure=True).status == 404
    assert emails(ada) == [NEW]


def test_old_email_is_pruned_after_72_hours(app, changed, rows, clock):
    from app.users.accounts import prune_changes

    clock.shift(3 * DAY + 1)
    with app.app_context():
        assert prune_changes() == 1
    assert rows(AddressChange) == []


def test_both_emails_are_notified_of_an_undo_and_cannot_reverse_it(hers, changed, mail_to, ada):
    hers.elsewhere().post(changed, sure=True)
    for address in (ada.email, NEW):
        mail = mail_to(address)
        assert "were restored" in mail.text.replace("\n", " ")
        assert "/undo/" not in mail.text + mail.html


def test_undo_reverts_later_changes_too(hers, stranger, changed, prove, undo_in, emails, ada):
    assert prove(stranger, THIRD).ok
    assert prove(stranger, "more@third.example", ADD).ok
    last = undo_in(THIRD)
    assert hers.elsewhere().post(changed, sure=True).ok
    assert emails(ada) == [ada.email]
    assert hers.elsewhere().post(last, sure=True).ok
    assert emails(ada) == [ada.email]


def test_undo_removes_methods_set_up_by_that_session(hers, stranger, changed, rows, clock):
    begun = stranger.post("/us-setup", chosen_method="authenticator")
    key = key_in(begun)
    assert stranger.post(f"/us-setup/{state_in(begun)}", passcode=app_code(key)).ok
    hers.elsewhere().post(changed, sure=True)
    assert [row.method for row in rows(Enrollment)] == ["email"]


def test_undo_restores_removed_methods_and_removes_the_strangers(hers, stranger, rows, prove, undo_in, mail_to, ada):
    begun = stranger.post("/us-setup", chosen_method="authenticator")
    assert stranger.post(f"/us-setup/{state_in(begun)}", passcode=app_code(key_in(begun))).ok
    assert stranger.post("/us-setup", delete_method="email").ok
    assert prove(stranger, NEW).ok
    assert hers.elsewhere().post(undo_in(ada.email), sure=True).ok
    assert [row.method for row in rows(Enrollment)] == ["email"]
    there = hers.elsewhere()
    there.post("/us-signin/send-code", identity=ada.email, chosen_method="email")
    assert there.post("/us-signin", identity=ada.email, passcode=code_in(mail_to(ada.email))).ok


def test_undo_invalidates_codes_sent_to_the_new_email(hers, changed, mail_to, clock):
    there = hers.elsewhere()
    there.post("/us-signin/send-code", identity=NEW, chosen_method="email")
    code = code_in(mail_to(NEW))
    hers.elsewhere().post(changed, sure=True)
    assert there.post("/us-signin", identity=NEW, passcode=code).status == 400


def test_undo_removes_an_added_email(hers, stranger, prove, undo_in, emails, ada):
    assert prove(stranger, NEW, ADD).ok
    assert hers.elsewhere().post(undo_in(ada.email), sure=True).ok
    assert emails(ada) == [ada.email]


def test_undo_restores_a_removed_email_as_primary(hers, people, stranger, undo_in, emails, ada):
    people.give(ada, "email", NEW)
    assert stranger.post("/identities/remove", email=ada.email).ok
    assert emails(ada) == [NEW]
    assert hers.elsewhere().post(undo_in(ada.email), sure=True).ok
    assert emails(ada) == [ada.email, NEW]


def test_unconfirmed_account_with_the_old_email_does_not_block_undo(hers, changed, emails, ada):
    hers.elsewhere().post("/register", email=ada.email)
    assert hers.elsewhere().post(changed, sure=True).ok
    assert emails(ada) == [ada.email]


def test_confirmed_account_with_the_old_email_blocks_undo(hers, changed, emails, ada, people):
    people.open(email=ada.email)
    assert hers.elsewhere().post(changed, sure=True).codes == ["undo_taken"]
    assert emails(ada) == [NEW]


def test_denying_the_session_restores_the_old_email_too(hers, stranger, prove, mail_to, emails, ada):
    stranger.post(CHANGE, email=NEW)
    stranger.post("/change-email/confirm", passcode=code_in(mail_to(NEW)))
    denial = denial_in(mail_to(NEW))
    assert hers.elsewhere(address="192.0.2.9").post(denial, sure=True).ok
    assert emails(ada) == [ada.email]


def test_altered_undo_token_returns_404(hers, changed):
    cut = changed[:-1]
    other = cut + ("A" if changed[-1] != "A" else "B")
    assert (hers.get(cut).status, hers.get(other).status) == (404, 404)


@pytest.mark.one_database
def test_undo_token_is_not_stored(changed, rows):
    from app.outbox import Message

    token = changed.rpartition("/")[2]
    kept = str([row.facts for row in rows(Message)]) + str([row.facts for row in rows(Event)])
    assert token not in kept
