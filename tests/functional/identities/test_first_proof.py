"""Someone who creates an account with another person's address gains nothing when its owner verifies it."""

from __future__ import annotations

import pytest

from app.audit import Event
from app.challenges.models import Challenge
from app.users import Identity, User
from tests.functional.identities.conftest import ADD, CHANGE, CONFIRM, NEW, path_in
from tests.signed_in import sign_in
from tests.sinks import code_in

PASSWORD = "a sentence that nobody knows"
passwords = pytest.mark.settings(methods=("email", "sms", "authenticator", "password"))


@pytest.fixture
def squatter(wire):
    """A browser in which someone creates an account with the address that Ada is about to verify."""
    browser = wire.elsewhere(address="203.0.113.3")
    fields = {"email": NEW, "password": PASSWORD, "password_confirm": PASSWORD}
    assert browser.post("/register", **fields).ok
    return browser


@passwords
@pytest.mark.parametrize("path", [CHANGE, ADD])
def test_confirming_an_email_deletes_the_squatters_unconfirmed_account(squatter, hers, ada, prove, rows, path, emails):
    assert prove(hers, NEW, path).ok
    assert NEW in emails(ada)
    assert [user.id for user in rows(User)] == [ada.id]
    assert squatter.post("/login", email=NEW, password=PASSWORD).status == 400
    assert squatter.post("/us-signin", identity=NEW, passcode=PASSWORD).status == 400


@passwords
def test_confirming_an_email_invalidates_the_squatters_code_and_link(squatter, hers, ada, mail_to, smtp, emails):
    theirs = mail_to(NEW)
    link, code = path_in(theirs, "/confirm/"), code_in(theirs)
    hers.post(ADD, email=NEW)
    assert hers.post(CONFIRM, passcode=code_in(mail_to(NEW))).ok
    assert squatter.get(link).location == "/confirm"
    assert squatter.post("/confirm", email=NEW, passcode=code).status == 400
    assert squatter.signed_in_as() is None
    assert emails(ada) == [ada.email, NEW]


@passwords
def test_requesting_an_email_does_not_delete_the_unconfirmed_account(squatter, hers, ada, rows):
    assert hers.post(ADD, email=NEW).ok
    assert len(rows(User)) == 2


@passwords
def test_pending_email_does_not_identify_an_account(squatter, hers, deliver, finds_nobody):
    hers.post(ADD, email="waits@example.com")
    deliver()
    finds_nobody("waits@example.com")


def test_unconfirmed_account_keeps_its_other_identities(people, hers, ada, prove, emails, rows):
    other = people.open(email=NEW, phone="+16502530000", confirmed=False)
    assert prove(hers, NEW, ADD).ok
    assert emails(ada) == [ada.email, NEW]
    assert [row.kind for row in rows(Identity, user_id=other.id)] == ["phone"]


def test_confirmed_email_of_another_account_cannot_be_taken(people, hers, ada, mail_to, emails):
    hers.post(ADD, email=NEW)
    code = code_in(mail_to(NEW))
    bob = people.open(email=NEW)
    answer = hers.post(CONFIRM, passcode=code)
    assert answer.codes == ["identity_already_associated"]
    assert (emails(ada), emails(bob)) == ([ada.email], [NEW])


def test_rejected_change_keeps_the_old_email(people, hers, ada, mail_to, emails):
    hers.post(CHANGE, email=NEW)
    link = path_in(mail_to(NEW), "/change-email/")
    people.open(email=NEW)
    assert hers.get(link).location == "/change-email"
    assert emails(ada) == [ada.email]


def test_first_of_two_users_to_confirm_an_email_gets_it(people, hers, ada, mail_to, smtp, emails):
    bob = people.open(email="bob@example.com")
    his = sign_in(hers.elsewhere(address="192.0.2.9"), bob)
    codes = []
    for browser in (hers, his):
        browser.post(ADD, email=NEW)
        codes.append(code_in(mail_to(NEW)))
    assert his.post(CONFIRM, passcode=codes[1]).ok
    assert hers.post(CONFIRM, passcode=codes[0]).codes == ["identity_already_associated"]
    assert (emails(ada), emails(bob)) == ([ada.email], ["bob@example.com", NEW])


@pytest.mark.one_database
def test_email_is_not_stored_in_clear_in_events_or_challenges(hers, prove, rows):
    prove(hers, NEW)
    assert NEW not in str([row.facts for row in rows(Event)])
    assert all(row.secret.count(".") >= 1 for row in rows(Challenge, purpose="change_email"))
