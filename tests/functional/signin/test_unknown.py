"""LATCHKEY_MAIL_UNKNOWN, where nobody can open an account: an address without one is told so by mail.

Where people can, the mail opens one (``test_newcomers``).
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
def test_by_default_nobody_is_written_to(wire, deliver):
    ask(wire)
    assert deliver() == []


@telling
def test_who_has_no_account_is_told_so(wire, mail_to):
    ask(wire, "Nobody@Example.com")
    mail = mail_to(NOBODY)
    assert "no Latchkey account" in mail.subject
    with pytest.raises(AssertionError):
        code_in(mail)


@telling
def test_page_and_mail_show_the_same_mark(browser_wire, mail_to):
    page = ask(browser_wire).text
    assert f'<b class="tag">{mail_to(NOBODY).subject[-5:-1]}</b>' in page


@telling
def test_where_accounts_are_opened_by_others_the_mail_does_not_offer_one(wire, mail_to):
    ask(wire)
    assert not any("/register" in link for link in links_in(mail_to(NOBODY)))


@telling
@pytest.mark.parametrize("identity", ["off@example.com", "bare@example.com"])
def test_who_has_an_account_is_told_nothing_false(wire, people, deliver, identity):
    people.open(email="off@example.com", disabled=True)
    people.open(email="bare@example.com", methods=["authenticator"])
    ask(wire, identity)
    assert deliver() == []


@telling
@pytest.mark.parametrize(("identity", "method"), [("+16502530000", "sms"), ("+16502530000", "email"), ("ada", "email")])
def test_only_addresses_are_written_to(wire, deliver, identity, method):
    ask(wire, identity, method)
    assert deliver() == []


@telling
def test_the_budgets_are_those_of_an_account(wire, deliver):
    for _ in range(7):
        ask(wire.elsewhere())
    assert len(deliver()) == 5


@telling
def test_it_costs_what_a_code_costs(wire, people, statements):
    people.open(email="ada@example.com")
    costs = []
    for identity in (NOBODY, "ada@example.com"):
        browser = wire.elsewhere()
        browser.fetch_csrf()
        with statements() as seen:
            ask(browser, identity)
        costs.append(len(seen))
    assert costs[0] == costs[1] <= 6
