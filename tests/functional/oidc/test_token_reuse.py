"""A reused refresh token: its owner is notified once at each address, without text chosen by others."""

from __future__ import annotations

import pytest

from app.outbox import Message
from tests.client_rows import SECRET
from tests.client_rows import register as store
from tests.oidc import REDIRECT, RelyingParty
from tests.signed_in import sign_in
from tests.wire import Wire

KIND = "app_token_reused"


def reuse(rp: RelyingParty, wire: Wire) -> tuple[str, str]:
    """Have a refresh token used in two places; return it and the newest one."""
    first = rp.tokens(wire)
    newest = first
    for _ in range(2):
        newest = rp.refresh(newest["refresh_token"]).json
    assert rp.refresh(first["refresh_token"]).json["error"] == "invalid_grant"
    return first["refresh_token"], newest["refresh_token"]


def test_refresh_token_reuse_notifies_the_owner_by_email(grafana, browser, mail_to):
    reuse(grafana, browser)
    mail = mail_to("ada@example.com")
    assert mail.subject == "An app was signed out of your Latchkey account"
    assert "A token of Grafana was used twice, so it may have been copied." in mail.text
    assert "http://localhost/apps" in mail.text


def test_reuse_notice_contains_no_token(grafana, browser, deliver, rows):
    tokens = reuse(grafana, browser)
    (message,) = rows(Message, kind=KIND)
    assert message.facts == {"app": "Grafana"}
    (mail,) = deliver()
    assert not any(token in mail.text + mail.html for token in tokens)


@pytest.mark.both_databases
def test_reuse_notice_is_sent_once_per_grant(grafana, browser, deliver):
    for token in reuse(grafana, browser) * 2:
        assert grafana.refresh(token).json["error"] == "invalid_grant"
    assert len(deliver()) == 1
    reuse(grafana, browser)
    assert len(deliver()) == 1, "another grant"


def test_refresh_retry_sends_no_reuse_notice(grafana, browser, deliver):
    first = grafana.tokens(browser)
    assert [grafana.refresh(first["refresh_token"]).status_code for _ in range(2)] == [200, 200]
    assert deliver() == []


def test_code_reuse_sends_no_reuse_notice(grafana, browser, deliver):
    code = grafana.code(browser)
    assert [grafana.exchange(code).status_code for _ in range(2)] == [200, 400]
    assert deliver() == []


def test_reuse_notice_omits_the_name_of_a_self_registered_app(app, browser, deliver):
    fields = {"name": "Call +1 900 555", "redirect_uris": [REDIRECT], "consent": "trusted"}
    store(app, "stranger", source="registration", **fields)
    reuse(RelyingParty(app, "stranger", SECRET), browser)
    (mail,) = deliver()
    assert "A token of an app was used twice" in mail.text
    assert "900 555" not in mail.subject + mail.text + mail.html


def test_reuse_notice_uses_the_account_language(app, people, grafana, mail_to):
    grete = people.open(email="grete@example.com", methods=["email"])
    _speak(app, grete, "de")
    reuse(grafana, sign_in(Wire(app, "form"), grete))
    assert mail_to("grete@example.com").subject == "Eine App wurde von Ihrem Latchkey-Konto abgemeldet"


def test_user_without_email_gets_the_reuse_notice_by_sms(app, people, grafana, deliver):
    bob = people.open(phone="+16502530000", methods=["sms"])
    reuse(grafana, sign_in(Wire(app, "form"), bob))
    (text,) = deliver()
    assert text.text == (
        "Latchkey: A token of Grafana may have been copied, so we signed the app out. Your apps: http://localhost/apps"
    )


def test_user_with_email_gets_no_reuse_notice_by_sms(app, people, grafana, deliver):
    eve = people.open(email="eve@example.com", phone="+16502530000", methods=["email"])
    reuse(grafana, sign_in(Wire(app, "form"), eve))
    assert [mail.to for mail in deliver()] == [["eve@example.com"]]


def _speak(app, person, language: str) -> None:
    from app.extensions import db
    from app.users import User

    with app.app_context():
        db.session.get(User, person.id).language = language
        db.session.commit()
