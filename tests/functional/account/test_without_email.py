"""An account with only a phone number: pages, notifications, exports and claims work without an email."""

from __future__ import annotations

import pytest

from app.enrollments.models import Enrollment
from app.users import Identity
from tests.functional.admin.conftest import make_administrator
from tests.functional.privacy.conftest import export, exported, work  # noqa: F401 - fixtures
from tests.signed_in import sign_in
from tests.sinks import code_in

pytestmark = pytest.mark.settings(registration_by_phone=True)
NUMBER, GROUPED = "+447400123456", "+44 7400 123456"
PAGES = ("/", "/us-setup", "/identities", "/sessions", "/activity", "/my-data", "/tokens", "/change-email", "/tf-setup",
         "/mf-recovery-codes", "/wan-register", "/apps", "/verify")  # fmt: skip


@pytest.fixture
def ada(wire, text_to):
    """The browser of someone who has just registered with a phone number."""
    wire.post("/register", phone=NUMBER)
    assert wire.post("/confirm", phone=NUMBER, passcode=code_in(text_to(NUMBER))).ok
    return wire


@pytest.mark.one_database
@pytest.mark.parametrize("language", ["form"])
def test_pages_of_account_without_email_do_not_mention_email(ada):
    for path in PAGES:
        answer = ada.get(path)
        assert answer.status == 200, path
        assert GROUPED in answer.text, path
        for wrong in ("ll email you", "We send a code to your email", "read your email", "each of your email"):
            assert wrong not in answer.text, (path, wrong)
    assert "since your account has no email" in ada.get("/sessions").text
    assert "recover your account if you lose your number" in ada.get("/identities").text.replace("&#39;", "'")


def test_adding_an_email_enrolls_the_email_method(ada, mail_to, rows):
    assert ada.post("/identities/add", email="ada@example.com").ok
    assert ada.post("/change-email/confirm", passcode=code_in(mail_to("ada@example.com"))).ok
    assert {row.method for row in rows(Enrollment)} == {"sms", "email"}
    assert [row.is_primary for row in rows(Identity, kind="email")] == [True]


def test_changes_are_announced_by_sms_within_rate_limits(ada, deliver, rows):
    for number in range(5):
        assert ada.post("/identities/username", username=f"ada-{number}xyz").ok
    texts = deliver()
    assert {each.to for each in texts} == {NUMBER}
    assert 1 <= len(texts) <= 3


def test_only_phone_number_cannot_be_removed(ada, rows):
    assert not ada.post("/identities/remove", phone=NUMBER).ok
    assert len(rows(Identity)) == 1


def test_recovery_of_account_without_email_sends_nothing(ada, deliver):
    deliver()
    assert ada.elsewhere().post("/recover", identity=NUMBER).ok
    assert deliver() == []


def test_email_codes_are_not_available_without_an_email(ada, deliver):
    assert ada.post("/us-setup", chosen_method="email").codes == ["us_method_not_available"]
    assert ada.elsewhere().post("/us-signin/send-code", identity=NUMBER, chosen_method="email").ok
    assert deliver() == []


def test_admin_console_shows_the_phone_number(ada, app, people):
    grace = make_administrator(app, people.open(email="grace@example.com", methods=["email", "authenticator"]))
    console = sign_in(ada.elsewhere(), grace)
    listed = console.get("/admin/people?q=%2B447400")
    assert GROUPED in listed.text or NUMBER in str(listed.json)
    assert "None" not in listed.text


def test_data_export_contains_the_phone_number_and_sends_no_email(ada, export, deliver):  # noqa: F811
    row = export(ada)
    kept = exported(ada.get(f"/my-data/export/{row.id}"))
    assert [(each["kind"], each["value"]) for each in kept["identities"]] == [("phone", NUMBER)]
    assert deliver() == []


def test_account_deletion_is_announced_by_sms_with_undo_link(ada, text_to):
    assert ada.post("/my-data/delete", sure=True).ok
    assert "/my-data/undo/" in text_to(NUMBER).text
