"""LATCHKEY_MAIL_UNKNOWN, if nobody can create an account: an address without one gets an email that says so.

If people can, the email creates one (``test_newcomers``).
"""

from __future__ import annotations

import pytest

from tests.sinks import code_in, links_in

SEND = "/us-signin/send-code"
NOBODY = "nobody@example.com"
telling = pytest.mark.settings(mail_unknown=True, registration=False)


def ask(wire, identity: str = NOBODY, method: str = "email"):
    answer = wire.post(SEND, identity=identity, chosen_method=method)
    assert answer.ok, answer
    return answer


@pytest.mark.settings(registration=False)
def test_unknown_email_is_sent_nothing_by_default(wire, deliver):
    ask(wire)
    assert deliver() == []


@telling
def test_mail_unknown_setting_informs_an_email_without_account(wire, mail_to):
    ask(wire, "Nobody@Example.com")
    mail = mail_to(NOBODY)
    assert "no Latchkey account" in mail.subject
    with pytest.raises(AssertionError):
        code_in(mail)


@telling
def test_page_and_email_show_the_same_request_tag(browser_wire, mail_to):
    page = ask(browser_wire).text
    assert f'<b class="tag">{mail_to(NOBODY).subject[-5:-1]}</b>' in page


@telling
def test_unknown_account_email_does_not_link_to_registration(wire, mail_to):
    ask(wire)
    assert not any("/register" in link for link in links_in(mail_to(NOBODY)))


@telling
@pytest.mark.parametrize("identity", ["off@example.com", "bare@example.com"])
def test_account_that_cannot_sign_in_by_email_is_sent_nothing(wire, people, deliver, identity):
    people.open(email="off@example.com", disabled=True)
    people.open(email="bare@example.com", methods=["authenticator"])
    ask(wire, identity)
    assert deliver() == []


@telling
@pytest.mark.parametrize(("identity", "method"), [("+16502530000", "sms"), ("+16502530000", "email"), ("ada", "email")])
def test_unknown_phone_number_or_username_is_sent_nothing(wire, deliver, identity, method):
    ask(wire, identity, method)
    assert deliver() == []


@telling
def test_emails_to_an_unknown_address_are_limited_like_those_to_an_account(wire, deliver):
    for _ in range(7):
        ask(wire.elsewhere())
    assert len(deliver()) == 5


@telling
def test_unknown_email_takes_as_many_statements_as_a_known_one(wire, people, statements):
    people.open(email="ada@example.com")
    costs = []
    for identity in (NOBODY, "ada@example.com"):
        browser = wire.elsewhere()
        browser.fetch_csrf()
        with statements() as seen:
            ask(browser, identity)
        costs.append(len(seen))
    assert costs[0] == costs[1] <= 6
