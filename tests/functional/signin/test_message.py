"""The contents of sign-in emails and text messages, as delivered."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest

from app.challenges.models import Challenge
from tests.sinks import code_in, link_in, links_in

PHONE = "+16502530000"
FORGED = {
    "X-Forwarded-Host": "evil.example",
    "X-Forwarded-Proto": "gopher",
    "X-Forwarded-Port": "1",
    "X-Forwarded-Prefix": "/evil",
    "X-Forwarded-For": "203.0.113.9",
    "X-Original-URL": "http://evil.example/",
    "X-Host": "evil.example",
    "Forwarded": "host=evil.example;proto=gopher",
}


@pytest.fixture
def mail(wire, ada, code_for, smtp):
    """The mail of a sign-in."""
    code_for(ada.email)
    return smtp.mails[0]


def test_email_has_exactly_one_recipient(mail, ada):
    assert mail.to == [ada.email]
    assert mail.message.get_all("To") == [ada.email]
    assert mail.message["Cc"] is None
    assert mail.sender == "no-reply@latchkey.test"


def test_text_and_html_parts_carry_the_same_code_link_and_expiry(mail, rows):
    code, link = code_in(mail), link_in(mail)
    assert mail.message.get_content_type() == "multipart/alternative"
    for part in (mail.text, mail.html):
        assert f"{code[:4]} {code[4:]}" in part
        assert link in part
        assert f"until {rows(Challenge)[0].passcode_expires_at:%H:%M} UTC" in part


def test_subject_contains_the_request_tag_but_not_the_code(mail, rows):
    code = code_in(mail)
    assert f"(request {rows(Challenge)[0].tag})" in mail.subject
    assert code not in mail.subject
    assert code[:4] not in mail.subject


def test_email_names_the_requesting_browser_ip_address_and_time(browser_wire, ada, code_for, smtp):
    code_for(ada.email, by=browser_wire)
    assert "\nRequested from\n  Browser: Firefox on Linux\n  Time: " in smtp.mails[0].text
    for part in (smtp.mails[0].text, smtp.mails[0].html):
        assert "Firefox on Linux" in part
        assert "127.0.0.1" in part
        assert "UTC" in part


def test_email_links_point_only_to_the_service(mail):
    assert {urlsplit(link).netloc for link in links_in(mail)} == {"localhost"}


@pytest.mark.settings(public_url="http://localhost:8443")
def test_email_links_use_public_url_regardless_of_forwarded_headers(wire, ada, mail_to):
    answer = wire.post("/us-signin/send-code", headers=FORGED, identity=ada.email, chosen_method="email")
    assert answer.ok
    mail = mail_to(ada.email)
    assert link_in(mail).startswith("http://localhost:8443/us-verify-link?token=")
    assert "evil" not in mail.raw.decode(errors="replace")
    assert "203.0.113.9" not in mail.text


@pytest.mark.parametrize(
    "host", ["evil.example", "localhost.evil.example", "evil.example:80", "localhost@evil.example", ""]
)
@pytest.mark.one_database
def test_foreign_host_header_is_rejected_and_sends_nothing(wire, ada, deliver, host):
    wire.fetch_csrf()
    answer = wire.post("/us-signin/send-code", headers={"Host": host}, identity=ada.email, chosen_method="email")
    assert answer.status == 400
    assert deliver() == []


@pytest.mark.parametrize("header", ["Origin", "Referer"])
@pytest.mark.one_database
def test_cross_site_send_code_request_is_rejected_and_sends_nothing(wire, ada, deliver, header):
    headers = {header: "https://evil.example/"}
    answer = wire.post("/us-signin/send-code", headers=headers, identity=ada.email, chosen_method="email")
    assert (answer.status, answer.codes) == (400, ["csrf_origin_foreign"])
    assert deliver() == []


def test_user_agent_cannot_inject_links_or_markup_into_the_email(wire, ada, mail_to):
    agent = "<a href=https://evil.example>x</a> https://evil.example\t"
    browser = wire.elsewhere(agent=agent)
    browser.post("/us-signin/send-code", identity=ada.email, chosen_method="email")
    mail = mail_to(ada.email)
    assert "evil.example" not in mail.text + mail.html


def test_sms_ends_with_the_origin_bound_code_line(wire, people, text_to):
    people.open(phone=PHONE)
    wire.post("/us-signin/send-code", identity=PHONE, chosen_method="sms")
    text = text_to(PHONE).text
    assert text.splitlines()[-1] == f"@localhost #{code_in(text_to(PHONE))}"
    assert "http" not in text
    assert len(text) <= 160


def test_reauthentication_email_has_a_code_but_no_sign_in_link(wire, ada, sign_in, clock, mail_to):
    sign_in(ada.email)
    wire.post("/us-verify/send-code", chosen_method="email")
    mail = mail_to(ada.email)
    assert not [link for link in links_in(mail) if "token" in link]
    assert len(code_in(mail)) == 8


def test_expired_code_email_is_not_sent(wire, ada, deliver, smtp, clock):
    wire.post("/us-signin/send-code", identity=ada.email, chosen_method="email")
    clock.shift(601)
    assert deliver() == []


@pytest.mark.parametrize("mode", ["busy", "refuse", "down"])
def test_mail_server_failure_does_not_affect_the_send_code_response(wire, ada, smtp, mode, deliver):
    smtp.down() if mode == "down" else setattr(smtp, "mode", mode)
    answer = wire.post("/us-signin/send-code", identity=ada.email, chosen_method="email")
    assert answer.status == (200 if wire.language == "json" else 303)
    assert answer.errors == {}
