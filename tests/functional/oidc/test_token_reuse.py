"""A refresh token that is used again: its owner is told, once, at each address, without a stranger's words."""

from __future__ import annotations

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


def test_the_owner_is_told_by_email_which_app_was_signed_out(grafana, browser, mail_to):
    reuse(grafana, browser)
    mail = mail_to("ada@example.com")
    assert mail.subject == "An app was signed out of your Latchkey account"
    assert "A token of Grafana was used twice, so it may have been copied." in mail.text
    assert "http://localhost/apps" in mail.text


def test_no_token_is_in_the_message(grafana, browser, deliver, rows):
    tokens = reuse(grafana, browser)
    (message,) = rows(Message, kind=KIND)
    assert message.facts == {"app": "Grafana"}
    (mail,) = deliver()
    assert not any(token in mail.text + mail.html for token in tokens)


def test_one_grant_is_told_of_once(grafana, browser, deliver):
    for token in reuse(grafana, browser) * 2:
        assert grafana.refresh(token).json["error"] == "invalid_grant"
    assert len(deliver()) == 1
    reuse(grafana, browser)
    assert len(deliver()) == 1, "another grant"


def test_a_lost_answer_is_no_news(grafana, browser, deliver):
    first = grafana.tokens(browser)
    assert [grafana.refresh(first["refresh_token"]).status_code for _ in range(2)] == [200, 200]
    assert deliver() == []


def test_a_code_that_is_used_again_is_no_news(grafana, browser, deliver):
    code = grafana.code(browser)
    assert [grafana.exchange(code).status_code for _ in range(2)] == [200, 400]
    assert deliver() == []


def test_an_app_that_named_itself_is_not_named(app, browser, deliver):
    fields = {"name": "Call +1 900 555", "redirect_uris": [REDIRECT], "consent": "trusted"}
    store(app, "stranger", source="registration", **fields)
    reuse(RelyingParty(app, "stranger", SECRET), browser)
    (mail,) = deliver()
    assert "A token of an app was used twice" in mail.text
    assert "900 555" not in mail.subject + mail.text + mail.html


def test_it_is_in_the_language_of_the_account(app, people, grafana, mail_to):
    grete = people.open(email="grete@example.com", methods=["email"])
    _speak(app, grete, "de")
    reuse(grafana, sign_in(Wire(app, "form"), grete))
    assert mail_to("grete@example.com").subject == "Eine App wurde von Ihrem Latchkey-Konto abgemeldet"


def test_who_has_no_email_gets_a_text(app, people, grafana, deliver):
    bob = people.open(phone="+16502530000", methods=["sms"])
    reuse(grafana, sign_in(Wire(app, "form"), bob))
    (text,) = deliver()
    assert text.text == (
        "Latchkey: A token of Grafana may have been copied, so we signed the app out. Your apps: http://localhost/apps"
    )


def test_who_has_an_email_gets_no_text_besides(app, people, grafana, deliver):
    eve = people.open(email="eve@example.com", phone="+16502530000", methods=["email"])
    reuse(grafana, sign_in(Wire(app, "form"), eve))
    assert [mail.to for mail in deliver()] == [["eve@example.com"]]


def _speak(app, person, language: str) -> None:
    from app.extensions import db
    from app.users import User

    with app.app_context():
        db.session.get(User, person.id).language = language
        db.session.commit()
