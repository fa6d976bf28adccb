"""Who can create an account: everyone, people with an invitation, people with certain mail domains, nobody."""

from __future__ import annotations

import pytest

from app.audit import Event
from app.challenges.models import Challenge
from app.users import Identity, User
from tests.signed_in import sign_in
from tests.sinks import code_in, link_in, links_in
from tests.wire import Wire

SEND, SIGN_IN = "/us-signin/send-code", "/us-signin"
of_company = pytest.mark.settings(registration="domains", registration_domains=["example.com", "*.example.org"])
denying = pytest.mark.settings(registration_denied_domains=["bad.example", "*.worse.example"])


@pytest.mark.parametrize(
    ("mode", "code"), [("invite", "invitation_required"), ("off", "registration_closed")], ids=["invite", "off"]
)
def test_closed_registration_gives_every_email_the_same_response(wire, make_app, people, mode, code, rows):
    people.open(email="ada@example.com")
    closed = Wire(make_app(registration=mode), wire.language)
    known = closed.post("/register", email="ada@example.com")
    unknown = closed.post("/register", email="new@example.com")
    wrong = closed.post("/register", email="no address")
    assert [(each.status, each.codes) for each in (known, unknown, wrong)] == [(403, [code])] * 3
    assert len(rows(User)) == 1


@pytest.mark.one_database
@pytest.mark.parametrize("mode", ["invite", "off"])
def test_page_of_closed_registration_has_no_form(make_app, mode):
    answer = Wire(make_app(registration=mode), "form").get("/register")
    page = answer.page
    assert "email" not in dict(page.inputs)
    assert "/us-signin" in page.links
    text = {"invite": "You need an invitation to create an account here.", "off": "Contact support."}[mode]
    assert text in answer.text.replace("&#39;", "'")


@of_company
@pytest.mark.parametrize(
    "email", ["ada@example.com", "ada@EXAMPLE.com.", "ada@mail.example.org", "ada@a.b.example.org"]
)
def test_email_of_an_allowed_domain_can_register(wire, register, rows, email):
    assert register(email).status == (302 if wire.language == "form" else 200)
    assert len(rows(Identity)) == 1


@of_company
@pytest.mark.parametrize(
    "email", ["ada@mail.example.com", "ada@example.org", "ada@example.com.evil.example", "ada@notexample.com"]
)
def test_email_of_another_domain_is_rejected(wire, register, rows, deliver, email):
    answer = register(email)
    assert (answer.status, answer.codes) == (400, ["email_domain_not_allowed"])
    assert rows(User) == rows(Challenge) == deliver() == []


@of_company
def test_existing_account_of_another_domain_gets_same_error_and_signs_in(wire, people, register, mail_to):
    people.open(email="ada@other.example")
    assert register("ada@other.example").codes == register("new@other.example").codes == ["email_domain_not_allowed"]
    assert wire.post(SEND, identity="ada@other.example", chosen_method="email").ok
    assert wire.post(SIGN_IN, identity="ada@other.example", passcode=code_in(mail_to("ada@other.example"))).ok
    assert wire.signed_in_as() == "ada@other.example"


@of_company
def test_sign_in_creates_accounts_only_for_allowed_domains(wire, mail_to, deliver, rows):
    assert wire.post(SEND, identity="new@other.example", chosen_method="email").ok
    assert deliver() == []
    wire.post(SEND, identity="new@example.com", chosen_method="email")
    assert wire.post(SIGN_IN, identity="new@example.com", passcode=code_in(mail_to("new@example.com"))).ok
    assert [row.value for row in rows(Identity)] == ["new@example.com"]


@pytest.mark.one_database
@of_company
def test_code_page_mentions_account_creation_only_for_allowed_domains(browser_wire):
    def page(identity: str) -> str:
        return str(browser_wire.elsewhere().post(SEND, identity=identity, chosen_method="email").text)

    assert "create your account" in page("new@example.com")
    assert "create your account" not in page("new@other.example")


@pytest.mark.parametrize("rule", [{"registration": "invite"}, {"registration_denied_domains": ["example.com"]}])
def test_code_sent_before_registration_was_restricted_creates_no_account(make_app, wire, mail_to, rows, rule):
    wire.post(SEND, identity="new@example.com", chosen_method="email")
    code = code_in(mail_to("new@example.com"))
    closed = Wire(make_app(**rule), wire.language)
    for name, value in wire.cookies.items():
        closed.client.set_cookie(name, value)
    assert closed.post(SIGN_IN, identity="new@example.com", passcode=code).status == 400
    assert rows(User) == []


@denying
@pytest.mark.parametrize(
    ("email", "is_denied"),
    [
        ("ada@bad.example", True),
        ("ada@BAD.example.", True),
        ("ada@mx.bad.example", True),
        ("ada@notbad.example", False),
        ("ada@worse.example", False),
        ("ada@mx.worse.example", True),
    ],
)
def test_denied_domains_and_subdomains_are_rejected(wire, register, rows, email, is_denied):
    assert register(email).codes == (["email_domain_not_allowed"] if is_denied else [])
    assert (rows(User) == []) is is_denied


@pytest.mark.settings(
    registration="domains", registration_domains=["*.example"], registration_denied_domains=["bad.example"]
)
def test_denied_domains_override_allowed_ones(wire, register):
    assert register("ada@bad.example").codes == ["email_domain_not_allowed"]
    assert register("ada@good.example").codes == []


def test_disposable_domains_are_read_from_a_file(make_app, wire, tmp_path, rows):
    (tmp_path / "domains").write_text("# kept elsewhere\nthrown.example\nBücher.example  # and below\n\n", "utf-8")
    app = Wire(make_app(disposable_domains_file=str(tmp_path / "domains")), wire.language)
    for email in ("a@thrown.example", "a@mx.thrown.example", "a@bücher.example", "a@xn--bcher-kva.example"):
        assert app.post("/register", email=email).codes == ["email_domain_not_allowed"]
    assert rows(User) == []
    assert app.post("/register", email="a@kept.example").codes == []


@denying
def test_sign_in_with_denied_domain_creates_no_account(wire, deliver, rows):
    assert wire.post(SEND, identity="new@bad.example", chosen_method="email").ok
    assert deliver() == []
    assert rows(User) == []


@denying
@pytest.mark.parametrize("path", ["/change-email", "/identities/add"])
def test_email_of_a_denied_domain_cannot_be_added_to_an_account(wire, people, deliver, path):
    sign_in(wire, people.open(email="ada@example.com"))
    assert wire.post(path, email="ada@bad.example").codes == ["email_domain_not_allowed"]
    assert deliver() == []


@of_company
def test_existing_user_may_add_email_outside_allowed_domains(wire, people, mail_to):
    sign_in(wire, people.open(email="ada@example.com"))
    assert wire.post("/identities/add", email="ada@other.example").codes == []
    assert code_in(mail_to("ada@other.example"))


@denying
def test_existing_user_with_denied_domain_signs_in(wire, people, mail_to):
    people.open(email="ada@bad.example")
    wire.post(SEND, identity="ada@bad.example", chosen_method="email")
    assert (
        wire.get(link_in(mail_to("ada@bad.example"), "/us-verify-link").removeprefix("http://localhost")).status == 302
    )


@pytest.mark.settings(registration="domains", registration_domains=["example.com"], mail_unknown=True)
def test_mail_unknown_setting_notifies_ineligible_email_of_missing_account(wire, mail_to, rows):
    wire.post(SEND, identity="new@other.example", chosen_method="email")
    mail = mail_to("new@other.example")
    assert "no Latchkey account" in mail.subject
    assert not any("/register" in link for link in links_in(mail))
    assert "account.created" not in {event.name for event in rows(Event)}
