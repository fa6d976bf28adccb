"""/register with a phone number: if the operator allows it, a texted code creates an account."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from app.audit import Event
from app.challenges.models import Challenge
from app.enrollments.models import Enrollment
from app.groups.models import GroupMembership
from app.invitations.models import Invitation
from app.sessions.models import AuthSession
from app.users import Identity, User
from tests.functional.setup.conftest import state_in
from tests.groups import put_in
from tests.invitations import invite
from tests.signed_in import sign_in
from tests.sinks import code_in
from tests.wire import Wire

NUMBER, OTHER = "+447400123456", "+447400123457"
SEND, SIGN_IN = "/us-signin/send-code", "/us-signin"

pytestmark = pytest.mark.settings(registration_by_phone=True)
explicit = pytest.mark.settings(generic_responses=False)


def numbers(rows) -> list[str]:
    return [row.value for row in rows(Identity, kind="phone")]


@pytest.fixture
def text(wire, text_to):
    """The text message to someone new, whose browser is ``wire``."""
    assert wire.post("/register", phone="+44 7400 123 456", next="/sessions").status in (200, 302)
    return text_to(NUMBER)


@pytest.mark.settings(registration_by_phone=False)
def test_phone_registration_is_off_by_default(wire, rows, deliver):
    assert wire.post("/register", phone=NUMBER).codes == ["email_not_provided"]
    assert wire.post("/register", email=NUMBER).codes == ["invalid_email_address"]
    assert wire.post("/register", identity=NUMBER).codes == ["email_not_provided"]
    assert rows(User) == deliver() == []


@pytest.mark.one_database
@pytest.mark.parametrize("missing", [{"methods": ["email"]}, {"identity_attributes": ["email"]}])
def test_phone_registration_requires_sms_method_and_phone_identity(make_app, missing):
    browser = Wire(make_app(registration_by_phone=True, **missing), "json")
    assert browser.post("/register", phone=NUMBER).codes == ["email_not_provided"]


def test_account_is_unconfirmed_before_the_code(wire, text, rows):
    (user,) = rows(User)
    assert user.confirmed_at is None
    assert [(row.kind, row.value, row.confirmed_at) for row in rows(Identity)] == [("phone", NUMBER, None)]
    assert "confirms your phone number" in text.text
    assert wire.signed_in_as() is None


def test_code_confirms_the_number_and_signs_in(wire, text, rows, deliver):
    answer = wire.post("/confirm", phone=NUMBER, passcode=code_in(text))
    assert answer.ok, answer
    assert answer.location == ("/sessions" if wire.language == "form" else None)
    assert wire.signed_in_as() == NUMBER
    (user,) = rows(User)
    assert user.confirmed_at is not None
    assert rows(Identity)[0].confirmed_at is not None
    assert [row.method for row in rows(Enrollment)] == ["sms"]
    assert [row.amr for row in rows(AuthSession)] == ["sms"]
    assert {"account.created", "address.confirmed", "sign_in.succeeded"} <= {event.name for event in rows(Event)}
    assert deliver() == [], "nothing is told of the first session"


def test_registered_number_signs_in_later(wire, text, text_to, clock):
    wire.post("/confirm", phone=NUMBER, passcode=code_in(text))
    wire.post("/logout")
    clock.shift(61)
    assert wire.post(SEND, identity="+44 7400 123456", chosen_method="sms").ok
    assert wire.post(SIGN_IN, identity=NUMBER, passcode=code_in(text_to(NUMBER))).ok
    assert wire.signed_in_as() == NUMBER


@pytest.mark.settings(phone_region_default="GB")
@pytest.mark.parametrize("typed", ["07400 123456", "tel:+447400123456", "(07400) 123-456", " +44 7400 123456 "])
def test_one_field_accepts_email_or_phone(wire, rows, deliver, typed):
    assert wire.post("/register", identity=typed).status in (200, 302)
    assert numbers(rows) == [NUMBER]
    assert wire.elsewhere().post("/register", identity="Ada@example.com").status in (200, 302)
    assert [row.value for row in rows(Identity, kind="email")] == ["ada@example.com"]
    assert len(deliver()) == 2


def test_pages_mention_the_phone_after_a_number_was_entered(browser_wire, text_to):
    page = browser_wire.get("/register").page
    assert "email" not in dict(page.inputs)
    assert page.attributes("identity")["autocomplete"] == "username"
    page = browser_wire.follow(browser_wire.post("/register", identity="+44 7400 123456")).page
    assert page.heading == "Check your phone"
    assert page.value("identity") == NUMBER
    again = browser_wire.post("/confirm", identity=NUMBER, passcode="000000")
    assert (again.page.heading, again.codes) == ("Check your phone", ["invalid_password_code"])
    assert browser_wire.post("/confirm", identity=NUMBER, passcode=code_in(text_to(NUMBER))).ok
    assert browser_wire.signed_in_as() == NUMBER
    home = browser_wire.get("/identities")
    assert NUMBER in home.text
    assert "/identities/add" in home.text


@pytest.mark.parametrize("field", ["identity", "phone"])
def test_phone_number_is_parsed_for_the_chosen_country(wire, rows, text_to, field):
    assert wire.post("/register", **{field: "07400 123456", "phone_country": "GB"}).status in (200, 302)
    assert numbers(rows) == [NUMBER]
    assert code_in(text_to(NUMBER))


def test_code_is_resent_to_a_national_number(wire, text, text_to, clock):
    clock.shift(61)
    again = wire.post("/confirm", identity="07400 123456", phone_country="GB", send_again=True)
    assert again.ok
    assert code_in(text_to(NUMBER)) == code_in(text), "the same code"


def test_invitation_accepts_the_country(wire, app, rows):
    link = invite(app)
    assert wire.post(link, identity="07400 123456", phone_country="GB").status in (200, 302)
    assert numbers(rows) == [NUMBER]


@pytest.mark.parametrize("path", ["/register", "/confirm"])
def test_unknown_country_is_rejected(wire, rows, deliver, path):
    answer = wire.post(path, identity=NUMBER, phone_country="XX")
    assert (answer.status, answer.codes, list(answer.errors)) == (400, ["phone_country_invalid"], ["phone_country"])
    assert rows(User) == deliver() == []


def test_country_is_ignored_for_emails(wire, rows):
    assert wire.post("/register", identity="ada@example.com", phone_country="GB").status in (200, 302)
    assert [row.value for row in rows(Identity, kind="email")] == ["ada@example.com"]


def test_code_page_groups_the_phone_number(browser_wire):
    begun = browser_wire.post("/register", identity="07400 123456", phone_country="GB")
    page = browser_wire.follow(begun)
    assert "+44 7400 123456" in page.text
    assert page.page.value("identity") == NUMBER


@pytest.mark.settings(limits=False)
def test_invalid_phone_number_is_rejected(wire, rows, deliver):
    for field, typed, code in (
        ("phone", "ada@example.com", "phone_invalid"),
        ("phone", "+44 7400", "phone_invalid"),
        ("phone", "07400 123456", "phone_invalid"),  # no country, none is the default
        ("phone", "+447400123456 ext. 5", "phone_invalid"),
        ("phone", "+4474001234567890", "phone_invalid"),
        ("phone", "+44" + "7" * 200, "phone_invalid"),
        ("phone", "1", "phone_invalid"),
        ("identity", "12", "phone_invalid"),
        ("identity", "ada", "identity_invalid"),
        ("identity", "ada@", "invalid_email_address"),
        ("phone", "+44 20 7946 0958", "phone_not_mobile"),  # a landline in London
        ("identity", "+49 30 123456", "phone_not_mobile"),
        ("phone", "+1 900 253 0000", "phone_not_mobile"),  # premium
        ("phone", "", "contact_not_provided"),
        ("identity", "  ", "contact_not_provided"),
    ):
        answer = wire.post("/register", **{field: typed})
        assert (answer.status, answer.codes) == (400, [code]), typed
    assert rows(User) == rows(Challenge) == deliver() == []


def test_email_and_phone_together_are_rejected(wire, rows, deliver):
    for given in ({"email": "ada@example.com", "phone": NUMBER}, {"identity": NUMBER, "phone": NUMBER}):
        answer = wire.post("/register", **given)
        assert (answer.status, answer.codes) == (400, ["email_or_phone"])
    assert wire.post("/confirm", email="ada@example.com", phone=NUMBER, passcode="000000").codes == ["email_or_phone"]
    assert rows(User) == deliver() == []


@pytest.mark.one_database
@pytest.mark.parametrize("value", [5, True, {"a": 1}, [["a"]]])
def test_phone_of_the_wrong_type_is_rejected(json_wire, value):
    assert json_wire.post("/register", phone=value).codes == ["api_error"]


@pytest.mark.settings(sms_countries="DE")
def test_number_of_an_unlisted_country_is_rejected_even_if_known(wire, people, rows, deliver):
    people.open(phone=NUMBER)
    for number in (NUMBER, OTHER):
        answer = wire.post("/register", phone=number)
        assert (answer.status, answer.codes) == (400, ["phone_country_unavailable"])
    assert wire.post("/register", phone="+4915112345678").status in (200, 302)
    assert [each.to for each in deliver()] == ["+4915112345678"]


def test_existing_account_is_revealed_only_by_sms(wire, people, text_to, rows):
    people.open(phone=NUMBER)
    known = wire.post("/register", phone=NUMBER)
    unknown = wire.elsewhere().post("/register", phone=OTHER)
    assert known.status == unknown.status
    assert set(known.json) == set(unknown.json)
    assert "already have an account" in text_to(NUMBER).text
    assert len(rows(User)) == 2
    assert wire.post("/confirm", phone=NUMBER, passcode="000000").codes == ["invalid_password_code"]


def test_confirmation_page_is_the_same_for_a_taken_number(browser_wire, people):
    people.open(phone=NUMBER)
    seen = []
    for number in (NUMBER, OTHER):
        browser = browser_wire.elsewhere()
        page = browser.follow(browser.post("/register", identity=number)).page
        seen.append((page.heading, [name for name, _ in page.inputs], page.value("identity") == number))
    assert seen[0] == seen[1]


@explicit
def test_explicit_mode_reports_taken_confirmed_and_unknown_numbers(wire, people):
    people.open(phone=NUMBER)
    assert wire.post("/register", phone=NUMBER).codes == ["identity_already_associated"]
    assert wire.post("/confirm", phone=NUMBER, send_again=True).codes == ["phone_already_confirmed"]
    assert wire.post("/confirm", phone=OTHER, send_again=True).codes == ["phone_unknown"]


def test_unconfirmed_account_belongs_to_the_first_to_confirm_its_number(wire, text, text_to, rows):
    other = wire.elsewhere()
    assert other.post("/register", phone=NUMBER).status in (200, 302)
    assert len(rows(User)) == 1
    assert other.post("/confirm", phone=NUMBER, passcode=code_in(text_to(NUMBER))).ok
    assert other.signed_in_as() == NUMBER
    assert wire.signed_in_as() is None


def test_number_of_an_unconfirmed_account_can_be_added_by_its_owner(wire, people, text, text_to, rows, clock):
    ada = people.open(email="ada@example.com", methods=["email"])
    clock.shift(61)
    owner = sign_in(wire.elsewhere(), ada)
    begun = owner.post("/us-setup", chosen_method="sms", phone=NUMBER)
    answer = owner.post(f"/us-setup/{state_in(begun)}", passcode=code_in(text_to(NUMBER)))
    assert answer.ok, answer
    assert [row.user_id for row in rows(Identity, kind="phone")] == [ada.id]
    assert len(rows(User)) == 1


@pytest.mark.every_pair
def test_concurrent_requests_create_one_account(wire, rows):
    browsers = [wire.elsewhere() for _ in range(3)]
    for browser in browsers:
        browser.fetch_csrf()
    with ThreadPoolExecutor(3) as threads:
        answers = list(threads.map(lambda browser: browser.post("/register", phone=NUMBER), browsers))
    assert {answer.status for answer in answers} == {302 if wire.language == "form" else 200}
    assert len(rows(User)) == len(rows(Identity)) == len(rows(Enrollment)) == 1


def test_repeated_idempotency_key_sends_one_sms(wire, deliver, rows):
    key = {"Idempotency-Key": "11111111-2222-4333-8444-555555555555"}
    for _ in range(2):
        assert wire.post("/register", phone=NUMBER, headers=key).status in (200, 302)
    assert wire.post("/register", phone=NUMBER).status in (200, 302), "within the wait"
    assert len(deliver()) == len(rows(User)) == 1


def test_code_works_only_for_its_number_and_browser(wire, text, text_to, rows):
    assert wire.post("/register", phone=OTHER).status in (200, 302)
    assert wire.post("/confirm", phone=OTHER, passcode=code_in(text)).codes == ["invalid_password_code"]
    assert wire.elsewhere().post("/confirm", phone=NUMBER, passcode=code_in(text)).codes == ["invalid_password_code"]
    assert [row.confirmed_at for row in rows(User)] == [None, None]


def test_code_works_once(wire, text, rows):
    assert wire.post("/confirm", phone=NUMBER, passcode=code_in(text)).ok
    wire.post("/logout")
    assert wire.post("/confirm", phone=NUMBER, passcode=code_in(text)).codes == ["invalid_password_code"]
    assert wire.signed_in_as() is None


@pytest.mark.settings(sms_code_lifetime=timedelta(minutes=4))
@pytest.mark.parametrize(("later", "codes"), [(239, []), (241, ["invalid_password_code"])])
def test_code_expires_after_the_sms_code_lifetime(wire, text, clock, rows, later, codes):
    assert [row.expires_at - row.created_at for row in rows(Challenge)] == [timedelta(minutes=4)], "it has no link"
    clock.shift(later)
    assert wire.post("/confirm", phone=NUMBER, passcode=code_in(text)).codes == codes


def test_sms_limit_holds_when_the_clock_goes_back(wire, text, clock, deliver):
    clock.shift(-600)
    for _ in range(4):
        wire.elsewhere().post("/register", phone=NUMBER)
    assert len(deliver()) <= 2


@pytest.mark.settings(sms_per_hour=2)
def test_sms_are_rate_limited_per_number_across_ip_addresses(wire, rows, deliver, clock):
    answers = [
        wire.elsewhere(address=f"192.0.2.{number}").post("/register", phone=NUMBER, identity=None)
        for number in range(4)
    ]
    assert [answer.codes for answer in answers][2:] == [["too_many_messages"]] * 2
    assert len(deliver()) == 2
    clock.shift(3601)
    assert wire.post("/register", phone=NUMBER).status in (200, 302)


@pytest.mark.settings(starts_per_address=3)
def test_phone_registration_is_rate_limited_per_ip_address(wire, deliver):
    answers = [wire.elsewhere().post("/register", phone=f"+4474001234{number}") for number in range(50, 55)]
    assert [answer.codes for answer in answers][3:] == [["too_many_requests"]] * 2
    assert len(deliver()) == 3


@pytest.mark.settings(sms_per_day_overall=4, limits=True)
def test_new_numbers_get_only_half_of_the_daily_sms_budget(wire, people, deliver, rows):
    for number in range(50, 56):
        assert wire.elsewhere().post("/register", phone=f"+4474001234{number}").status in (200, 302)
    assert len(deliver()) == 2, "half of it is kept for people who have an account"
    person = people.open(phone="+447400123499")
    assert wire.post(SEND, identity=person.phone, chosen_method="sms").ok
    assert len(deliver()) == 1


@pytest.mark.settings(registration="domains", registration_domains=["example.com"])
def test_phone_registration_requires_an_invitation_if_domains_are_restricted(wire, app, rows, deliver, text_to):
    for field in ("phone", "identity"):
        answer = wire.post("/register", **{field: NUMBER})
        assert (answer.status, answer.codes) == (400, ["phone_needs_invitation"])
    assert rows(User) == deliver() == []
    assert wire.post(invite(app, uses=2), phone=NUMBER).status in (200, 302)
    assert wire.post("/confirm", phone=NUMBER, passcode=code_in(text_to(NUMBER))).ok
    assert wire.signed_in_as() == NUMBER


@pytest.mark.one_database
@pytest.mark.settings(registration="domains", registration_domains=["example.com"])
def test_page_asks_only_for_an_email_if_domains_are_restricted(browser_wire):
    assert [name for name, _ in browser_wire.get("/register").page.inputs if name in ("email", "identity")] == ["email"]


@pytest.mark.settings(registration="invite")
def test_shared_invitation_accepts_a_phone_number(wire, app, people, rows, text_to):
    assert wire.post("/register", phone=NUMBER).codes == ["invitation_required"]
    put_in(app, people.open(email="boss@example.com"), "staff")
    link = invite(app, groups=["staff"], uses=1)
    assert wire.post(link, phone=NUMBER).status in (200, 302)
    assert rows(Invitation)[0].used == 0, "nothing is counted before the proof"
    assert wire.post("/confirm", phone=NUMBER, passcode=code_in(text_to(NUMBER))).ok
    assert rows(Invitation)[0].used == 1
    assert len(rows(GroupMembership)) == 2


@pytest.mark.settings(registration="invite")
def test_used_up_invitation_is_rejected_at_confirmation(wire, app, rows, text_to):
    link, late = invite(app, uses=1), wire.elsewhere()
    for browser, number in ((wire, NUMBER), (late, OTHER)):
        assert browser.post(link, phone=number).status in (200, 302)
    assert wire.post("/confirm", phone=NUMBER, passcode=code_in(text_to(NUMBER))).ok
    assert late.post("/confirm", phone=OTHER, passcode=code_in(text_to(OTHER))).codes == ["invitation_used"]
    assert late.signed_in_as() is None


@pytest.mark.settings(registration="invite")
def test_emailed_invitation_does_not_accept_a_phone_number(wire, app, rows, deliver):
    link = invite(app, email="ada@example.com")
    wire.post(link, phone=NUMBER)
    assert numbers(rows) == []


@pytest.mark.settings(registration="off")
def test_phone_registration_is_rejected_when_registration_is_off(wire, app, rows, deliver):
    assert wire.post("/register", phone=NUMBER).codes == ["registration_closed"]
    assert wire.post(invite(app, uses=2), phone=NUMBER).codes == ["registration_closed"]
    assert rows(User) == deliver() == []


@pytest.mark.settings(methods=["email", "sms", "password"])
def test_password_chosen_at_phone_registration_signs_in(wire, rows, text_to):
    secret = "correct horse battery staple"
    assert wire.post("/register", phone=NUMBER, password=secret, password_confirm=secret).status in (200, 302)
    assert wire.post("/confirm", phone=NUMBER, passcode=code_in(text_to(NUMBER))).ok
    wire.post("/logout")
    assert wire.post(SIGN_IN, identity=NUMBER, passcode=secret).ok
