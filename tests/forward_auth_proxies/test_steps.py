"""Steps on the way to an app, in a real browser behind a real proxy: a second factor, reauthentication."""

from __future__ import annotations

import secrets
from datetime import timedelta

import pytest

from tests.forward_auth_proxies.recipes import LOGIN, WIKI
from tests.forward_auth_proxies.test_people import shown
from tests.signed_in import _open

pytestmark = [pytest.mark.one_database, pytest.mark.parametrize("front", ["nginx"], indirect=True)]
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"


class SignedIn:
    """Someone with an authenticator app, whose browser is signed in at Latchkey by email.

    :ivar session_id: of that session
    """

    def __init__(self, app, people_of, page):
        from app.extensions import db
        from app.sessions.models import AuthSession

        self.app, self.page = app, page
        self.person = people_of(f"cy.{secrets.token_hex(4)}@example.com", methods=["email", "authenticator"])
        token = _open(app, self.person, "email", FIREFOX)[0]
        cookie = {"name": "__Host-latchkey_session", "value": token, "url": f"https://{LOGIN}", "secure": True}
        page.context.add_cookies([cookie])
        with app.app_context():
            mine = db.select(AuthSession.session_id).filter_by(user_id=self.person.id, kind="browser")
            self.session_id = db.session.scalars(mine).one()

    def signed_in_for(self, minutes):
        """Let that many minutes pass since the sign-in."""
        from app import clock
        from app.extensions import db
        from app.sessions.models import AuthSession

        with self.app.app_context():
            earlier = {"authenticated_at": clock.now() - timedelta(minutes=minutes)}
            db.session.execute(db.update(AuthSession).filter_by(session_id=self.session_id).values(earlier))
            db.session.commit()

    def confirm(self):
        """Enter the code of the app on the page that asks for it."""
        self.page.wait_for_url(f"https://{LOGIN}/us-verify*")
        assert "Wiki" in self.page.locator("main").inner_text()
        self.page.locator("input[name=passcode]").fill(self.person.app_code())
        self.page.locator("input[name=passcode]").press("Enter")


@pytest.fixture
def cy(latchkey_app, people_of, page):
    return SignedIn(latchkey_app, people_of, page)


def test_aal2_path_takes_user_through_second_factor_and_back(cy, page, reached):
    page.goto(f"https://{WIKI}/vault/x?y=1")
    assert page.get_by_role("heading").inner_text() == "Confirm with a second factor"
    assert WIKI in page.locator("main").inner_text()
    page.get_by_role("link", name="Continue").click()
    cy.confirm()
    page.wait_for_url(f"https://{WIKI}/vault/x?y=1")
    assert shown(page)["environ"]["REMOTE_EMAIL"] == cy.person.email
    assert [each.target for each in reached if "vault" in each.target] == ["/vault/x?y=1"]


def test_path_with_max_age_requires_reauthentication_and_returns(cy, page, reached):
    page.goto(f"https://{WIKI}/bank/x")
    assert page.url == f"https://{WIKI}/bank/x", "it is fresh"
    cy.signed_in_for(6)
    page.goto(f"https://{WIKI}/bank/y")
    cy.confirm()
    page.wait_for_url(f"https://{WIKI}/bank/y")
    assert shown(page)["environ"]["REMOTE_EMAIL"] == cy.person.email


def test_reporting_a_sign_in_ends_app_access_at_once(cy, page, reached, latchkey_app):
    from app import clock
    from app.challenges.notice_links import report_link

    page.goto(f"https://{WIKI}/notes")
    assert shown(page)["environ"]["REMOTE_EMAIL"] == cy.person.email
    with latchkey_app.app_context():
        link = report_link("session", cy.session_id, clock.now())
    own = page.context.browser.new_context(ignore_https_errors=True).new_page()
    own.goto(link)
    own.get_by_role("checkbox").check()
    own.get_by_role("button", name="This wasn't me").click()
    own.get_by_role("heading", name="Canceled").wait_for()
    before = len(reached)
    page.goto(f"https://{WIKI}/notes")
    assert page.url.startswith(f"https://{LOGIN}/us-signin?next=")
    assert len(reached) == before
