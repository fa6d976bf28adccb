"""Several email addresses, a phone number and a username: list, add, make primary, remove."""

from __future__ import annotations

import pytest

from app.enrollments.models import Enrollment
from app.users import Identity
from tests.functional.identities.conftest import ADD, CONFIRM, NEW, THIRD
from tests.signed_in import sign_in
from tests.sinks import code_in

PHONE = "+16502530000"
LIST, PRIMARY, REMOVE, USERNAME = "/identities", "/identities/primary", "/identities/remove", "/identities/username"


def values(rows, kind: str) -> list[str]:
    """Return the stored identities of a kind."""
    return [row.value for row in rows(Identity, kind=kind)]


def test_list_shows_all_identities(hers, people, ada):
    people.give(ada, "email", NEW)
    people.give(ada, "phone", PHONE)
    people.give(ada, "username", "ada")
    answer = hers.get(LIST)
    for value in (ada.email, NEW, PHONE, "ada"):
        assert value in answer.text
    told = [(one["kind"], one["value"], one["primary"]) for one in answer.json.get("identities", [])]
    mine = [("email", ada.email, True), ("email", NEW, False), ("phone", PHONE, True), ("username", "ada", True)]
    assert told == (mine if answer.json else [])


def test_additional_email_is_added_by_its_code(hers, ada, emails, prove, clock):
    assert prove(hers, NEW, ADD).ok
    assert emails(ada) == [ada.email, NEW]
    assert hers.signed_in_as() == ada.email


def test_both_emails_are_notified_of_the_addition(hers, ada, prove, mail_to):
    prove(hers, NEW, ADD)
    for address, shown in ((ada.email, "a...@new.example"), (NEW, NEW)):
        assert f"The email {shown} was added." in mail_to(address).text.replace("\n", " ")


@pytest.mark.settings(emails_per_account=2)
def test_number_of_emails_is_limited(hers, ada, people, emails):
    people.give(ada, "email", NEW)
    assert hers.post(ADD, email=THIRD).codes == ["too_many_addresses"]
    assert "too_many" not in hers.get(LIST).text


@pytest.mark.settings(emails_per_account=2)
def test_email_limit_holds_for_pending_requests(hers, ada, emails, mail_to):
    codes = []
    for email in (NEW, THIRD):
        hers.post(ADD, email=email)
        codes.append(code_in(mail_to(email)))
    assert hers.post(CONFIRM, passcode=codes[1]).ok
    hers.post(CONFIRM, passcode=codes[0])
    assert emails(ada) == [ada.email, THIRD]


def test_another_email_can_become_primary(hers, ada, people, emails, mail_to):
    people.give(ada, "email", NEW)
    elsewhere = sign_in(hers.elsewhere(), ada)
    assert hers.post(PRIMARY, email=" ADA@new.example").ok
    assert emails(ada) == [NEW, ada.email]
    assert elsewhere.signed_in_as() is None
    for address in (ada.email, NEW):
        assert "Your primary email is no longer" in mail_to(address).text.replace("\n", " ")


@pytest.mark.settings(starts_per_address=3)
def test_switching_the_primary_email_is_rate_limited(hers, ada, people, deliver):
    people.give(ada, "email", NEW)
    answers = [hers.post(PRIMARY, email=email).status for email in (NEW, ada.email) * 2]
    assert answers[3] == 429
    assert len(deliver()) == 3 * 2


@pytest.mark.parametrize("email", ["bob@example.com", "nothing", "nobody@example.com"])
@pytest.mark.parametrize("path", [PRIMARY, REMOVE])
def test_email_of_another_user_or_an_unknown_one_is_rejected(hers, ada, people, emails, path, email):
    bob = people.open(email="bob@example.com")
    assert hers.post(path, email=email).codes == ["not_yours"]
    assert (emails(ada), emails(bob)) == ([ada.email], [bob.email])


def test_unconfirmed_email_cannot_become_primary(hers, ada, people, emails):
    people.give(ada, "email", NEW, confirmed=False)
    assert hers.post(PRIMARY, email=NEW).codes == ["not_yours"]
    assert emails(ada) == [ada.email, NEW]


def test_removed_email_is_notified_and_no_longer_identifies_the_account(
    hers, ada, people, emails, deliver, finds_nobody
):
    people.give(ada, "email", NEW)
    assert hers.post(REMOVE, email=NEW).ok
    assert emails(ada) == [ada.email]
    assert sorted(mail.to for mail in deliver()) == [[ada.email], [NEW]]
    finds_nobody(NEW)


def test_oldest_email_becomes_primary_when_the_primary_is_removed(hers, ada, people, emails):
    people.give(ada, "email", NEW)
    people.give(ada, "email", THIRD)
    assert hers.post(REMOVE, email=ada.email).ok
    assert emails(ada) == [NEW, THIRD]


def test_last_email_cannot_be_removed_while_email_codes_are_enrolled(hers, ada, emails):
    assert hers.post(REMOVE, email=ada.email).codes == ["address_needed"]
    assert emails(ada) == [ada.email]


def test_last_email_cannot_be_removed_without_another_contact(people, wire, emails):
    bob = people.open(email="bob@example.com", username="bob", methods=["authenticator"])
    assert sign_in(wire, bob, "authenticator").post(REMOVE, email=bob.email).codes == ["last_address"]
    assert emails(bob) == [bob.email]


def test_last_email_can_be_removed_if_a_phone_remains(people, wire, emails, rows):
    bob = people.open(email="bob@example.com", phone=PHONE, methods=["sms"])
    assert sign_in(wire, bob).post(REMOVE, email=bob.email).ok
    assert emails(bob) == []


def test_removing_the_phone_removes_sms_codes_and_notifies_it(people, wire, rows, text_to, mail_to):
    bob = people.open(email="bob@example.com", phone=PHONE)
    assert sign_in(wire, bob).post(REMOVE, phone=PHONE).ok
    assert values(rows, "phone") == []
    assert [row.method for row in rows(Enrollment)] == ["email"]
    assert "was removed" in text_to(PHONE).text
    assert "The phone number ...0000 was removed." in mail_to(bob.email).text


def test_last_phone_number_cannot_be_removed(people, wire, rows):
    bob = people.open(phone=PHONE)
    assert sign_in(wire, bob, "sms").post(REMOVE, phone=PHONE).codes == ["last_address"]
    assert values(rows, "phone") == [PHONE]


def test_phone_number_of_the_last_method_cannot_be_removed(people, wire, rows):
    bob = people.open(email="bob@example.com", phone=PHONE, methods=["sms"])
    assert sign_in(wire, bob, "sms").post(REMOVE, phone=PHONE).codes == ["last_method"]
    assert values(rows, "phone") == [PHONE]


@pytest.mark.parametrize("fields", [{}, {"email": "a@example.com", "phone": PHONE}])
def test_remove_requires_exactly_one_identity(hers, fields):
    assert hers.post(REMOVE, **fields).codes == ["api_error"]


@pytest.mark.parametrize("fields", [{"phone": PHONE}, {"username": "ada"}])
def test_removing_an_unknown_phone_or_username_is_rejected(hers, fields):
    assert hers.post(REMOVE, **fields).codes == ["not_yours"]


def test_first_email_of_a_phone_account_can_sign_in_at_once(people, wire, prove, mail_to, rows, clock, text_to):
    bob = people.open(phone=PHONE)
    assert prove(sign_in(wire, bob, "sms"), NEW, ADD).ok
    assert "was added" in text_to(PHONE).text
    clock.shift(60)
    there = wire.elsewhere()
    there.post("/us-signin/send-code", identity=NEW, chosen_method="email")
    assert there.post("/us-signin", identity=NEW, passcode=code_in(mail_to(NEW))).ok


def test_username_can_be_set_changed_and_removed(hers, ada, rows, mail_to):
    assert hers.post(USERNAME, username="Ada.L").ok
    assert values(rows, "username") == ["ada.l"]
    assert hers.post(USERNAME, username="\uff21da").ok
    assert values(rows, "username") == ["ada"]
    assert hers.post(REMOVE, username="ada").ok
    assert values(rows, "username") == []
    assert "Your username was removed." in mail_to(ada.email).text


def test_username_signs_in(hers, ada, mail_to):
    hers.post(USERNAME, username="ada-l")
    there = hers.elsewhere()
    there.post("/us-signin/send-code", identity="ADA-L", chosen_method="email")
    assert there.post("/us-signin", identity="ada-l", passcode=code_in(mail_to(ada.email))).ok


@pytest.mark.one_database
@pytest.mark.parametrize(
    "name", ["ab", "a" * 33, "admin", "Admin", "s.u.p.p.o.r.t", "123456", "a@b.example", "+16502530000", "m\u0131ke",
             "a b", "-ada", "ada.", "a__b", "\u0430da"],
)  # fmt: skip
def test_invalid_or_reserved_username_is_rejected(hers, name, rows):
    assert hers.post(USERNAME, username=name).codes == ["username_invalid"]
    assert values(rows, "username") == []


def test_taken_username_is_rejected(hers, people, rows):
    people.open(username="bob")
    hers.post(USERNAME, username="ada")
    assert hers.post(USERNAME, username="BOB").codes == ["identity_already_associated"]
    assert sorted(values(rows, "username")) == ["ada", "bob"]


@pytest.mark.settings(identity_attributes=("email", "phone"))
def test_username_is_rejected_when_disabled(hers, rows):
    assert hers.post(USERNAME, username="ada").codes == ["usernames_off"]
    assert "Username" not in hers.get(LIST).text
