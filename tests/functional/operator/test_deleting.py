"""``flask users delete, undelete``."""

from __future__ import annotations

import pytest

from app.audit import Event
from app.privacy.models import Deletion
from app.users import User
from tests.signed_in import sign_in

pytestmark = pytest.mark.both_databases


@pytest.fixture
def ada(people):
    """Someone with an account."""
    return people.open(email="ada@example.com")


def test_delete_closes_the_account_and_notifies_its_owner(operate, browser_wire, ada, rows, mail_to):
    sign_in(browser_wire, ada)
    result = operate("users", "delete", ada.email)
    assert (result.exit_code, "closed, will be erased at" in result.stdout) == (0, True)
    assert browser_wire.signed_in_as() is None
    mail = mail_to(ada.email).text
    assert ("/my-data/undo/" in mail, "An administrator requested the deletion" in mail) == (True, True)
    assert rows(Event, name="account.deletion_requested")[0].facts == {"by": "operator"}


def test_deleting_twice_is_idempotent(operate, ada, rows):
    operate("users", "delete", ada.email)
    result = operate("users", "delete", ada.email)
    assert (result.exit_code, "already" in result.stdout) == (0, True)
    assert len(rows(Event, name="account.deletion_requested")) == 1


def test_undelete_keeps_the_account_even_after_the_deadline(operate, ada, rows, clock):
    operate("users", "delete", ada.email)
    clock.shift(8 * 24 * 3600)
    result = operate("users", "undelete", ada.email)
    assert (result.exit_code, result.stdout) == (0, "ada@example.com: kept.\n")
    assert (rows(User)[0].deletes_at, rows(Deletion)) == (None, [])
    assert operate("users", "undelete", ada.email).stdout == "ada@example.com: wasn't going to be erased.\n"


def test_delete_now_erases_immediately_and_sends_nothing(operate, ada, rows, deliver):
    result = operate("users", "delete", "--now", "--yes", ada.email)
    assert (result.exit_code, result.stdout) == (0, "ada@example.com: erased.\n")
    assert (rows(User), deliver()) == ([], [])
    assert all(event.user_id < 0 for event in rows(Event))


def test_delete_now_asks_for_confirmation(operate, ada, rows):
    result = operate("users", "delete", "--now", ada.email, stdin="n\n")
    assert (result.exit_code, len(rows(User))) == (1, 1)


@pytest.mark.parametrize("command", ["delete", "undelete"])
def test_unknown_identity_is_reported_and_others_are_processed(operate, command, ada, rows):
    result = operate("users", command, "nobody@example.com", ada.email)
    assert (result.exit_code, "nobody@example.com: no account has that." in result.stderr) == (1, True)
    assert ada.email in result.stdout


def test_list_marks_accounts_pending_deletion(operate, ada):
    operate("users", "delete", ada.email)
    assert "deleting" in operate("users", "list").stdout
