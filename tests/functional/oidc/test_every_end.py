"""However a session ends, its apps are notified and lose access; offline access ends only for security reasons."""

from __future__ import annotations

import threading

import pytest

from app import clock as time_of
from app.extensions import db
from app.oidc.models import Grant
from app.privacy.deletion import erase_one
from app.sessions.models import AuthSession
from tests.functional.identities.conftest import path_in
from tests.functional.operator.conftest import operate as operate
from tests.functional.recovery.conftest import WAIT, proof_in
from tests.functional.recovery.conftest import proves as proves
from tests.functional.recovery.conftest import starts as starts
from tests.functional.setup.conftest import app_code, key_in, state_in
from tests.oidc import register
from tests.signed_in import sign_in
from tests.sinks import code_in
from tests.wire import Program, Wire

pytestmark = pytest.mark.both_databases

LASTING = "openid offline_access"


class Given:
    """What the ways of ending a session need.

    :ivar browser: the one whose session they end; ``mine`` is another one of the same person
    """

    def __init__(self, app, ada, browser, session, operate, mail_to):
        self.app, self.ada, self.browser, self.session = app, ada, browser, session
        self.operate, self.mail_to = operate, mail_to
        self.mine = Wire(app, "form")

    def users(self, *words):
        assert self.operate("users", *words).exit_code == 0


def sign_out(given):
    assert given.browser.post("/logout").status == 302


def end_it_on_the_devices_page(given):
    assert given.mine.post(f"/sessions/{given.session}/end").status == 302


def end_ones_own_on_the_devices_page(given):
    assert given.browser.post(f"/sessions/{given.session}/end").status == 302


def sign_out_everywhere_else(given):
    assert given.mine.post("/sessions/end-others").status == 302


def operator_ends_it(given):
    given.users("sessions", "end", given.ada.email, given.session)


def operator_ends_all(given):
    given.users("sessions", "end", given.ada.email, "--all")


def sign_in_as_somebody_else_in_the_same_browser(given):
    fresh = Wire(given.app, "form")
    fresh.post("/register", email="eve@example.com")
    code = code_in(given.mail_to("eve@example.com"))
    fresh.client.set_cookie("latchkey_session", given.browser.client.get_cookie("latchkey_session").value)
    assert fresh.signed_in_as() == given.ada.email
    assert fresh.post("/confirm", email="eve@example.com", passcode=code).ok
    assert fresh.signed_in_as() == "eve@example.com"


def change_a_method_elsewhere(given):
    begun = given.mine.post("/us-setup", chosen_method="authenticator")
    assert given.mine.post(f"/us-setup/{state_in(begun)}", passcode=app_code(key_in(begun))).ok


def operator_ends_all_with_tokens(given):
    given.users("sessions", "end", given.ada.email, "--all", "--tokens")


def say_it_was_not_me(given):
    from app.challenges.notice_links import report_link

    with given.app.app_context():
        path = report_link("session", given.session, time_of.now()).removeprefix("http://localhost")
    assert Wire(given.app, "form").post(path, sure="y").status == 200


def disable(given):
    given.users("disable", given.ada.email)


def close_it_oneself(given):
    assert given.mine.post("/my-data/delete", sure="y").status == 302


def operator_closes(given):
    given.users("delete", given.ada.email)


def erase(given):
    given.users("delete", given.ada.email, "--now", "--yes")


SURVIVED = (
    sign_out, end_it_on_the_devices_page, end_ones_own_on_the_devices_page, sign_out_everywhere_else, operator_ends_it,
    operator_ends_all, sign_in_as_somebody_else_in_the_same_browser, change_a_method_elsewhere,
)  # fmt: skip
PROTECTED = (
    operator_ends_all_with_tokens, say_it_was_not_me, disable, close_it_oneself, operator_closes, erase,
)  # fmt: skip


@pytest.fixture
def wiki(app, endpoint):
    """An app with back-channel logout and offline access."""
    return register(app, "wiki", backchannel_logout_uri=endpoint.url)


@pytest.fixture
def given(app, ada, browser, rows, operate, mail_to):
    """Ada, signed in in two browsers."""
    session = next(row.session_id for row in rows(AuthSession) if row.kind == "browser")
    given = Given(app, ada, browser, session, operate, mail_to)
    sign_in(given.mine, ada)
    return given


@pytest.fixture
def logout_sids(wiki, endpoint, deliver):
    """Runs the outbox and returns the sids in the app's logout tokens."""

    def read():
        deliver()
        return [wiki.claims(each.token)["sid"] for each in endpoint.posted]

    return read


@pytest.mark.parametrize("end", [*SURVIVED, *PROTECTED], ids=lambda each: each.__name__)
def test_ending_a_session_sends_a_logout_token_and_revokes_tokens(given, wiki, logout_sids, end):
    tokens = wiki.tokens(given.browser)
    end(given)
    assert wiki.userinfo(tokens["access_token"]).status_code == 401
    assert wiki.refresh(tokens["refresh_token"]).json["error"] == "invalid_grant"
    assert logout_sids() == [wiki.claims(tokens["id_token"])["sid"]]


@pytest.mark.parametrize("end", SURVIVED, ids=lambda each: each.__name__)
def test_offline_access_survives_the_end_of_the_session(given, wiki, logout_sids, end):
    tokens = wiki.tokens(given.browser, scope=LASTING)
    end(given)
    assert logout_sids() == [wiki.claims(tokens["id_token"])["sid"]]
    assert wiki.refresh(tokens["refresh_token"]).status_code == 200
    assert logout_sids() == [wiki.claims(tokens["id_token"])["sid"]]


@pytest.mark.parametrize("end", PROTECTED, ids=lambda each: each.__name__)
def test_offline_access_is_revoked_when_the_account_is_secured_or_closed(given, wiki, logout_sids, end):
    tokens = wiki.tokens(given.browser, scope=LASTING)
    end(given)
    assert wiki.userinfo(tokens["access_token"]).status_code == 401
    assert wiki.refresh(tokens["refresh_token"]).json["error"] == "invalid_grant"
    assert logout_sids() == [wiki.claims(tokens["id_token"])["sid"]]


@pytest.mark.parametrize("end", PROTECTED, ids=lambda each: each.__name__)
def test_securing_the_account_revokes_offline_access_of_ended_sessions(given, wiki, end):
    tokens = wiki.tokens(given.browser, scope=LASTING)
    sign_out(given)
    end(given)
    assert wiki.refresh(tokens["refresh_token"]).json["error"] == "invalid_grant"


def test_offline_access_stays_revoked_after_the_account_is_reenabled(given, wiki):
    tokens = wiki.tokens(given.browser, scope=LASTING)
    disable(given)
    given.users("enable", given.ada.email)
    assert wiki.refresh(tokens["refresh_token"]).json["error"] == "invalid_grant"


@pytest.mark.parametrize("end", [sign_out, sign_out_everywhere_else, say_it_was_not_me], ids=lambda each: each.__name__)
def test_ending_one_session_keeps_app_tokens_of_another(given, wiki, logout_sids, end):
    tokens = wiki.tokens(given.mine)
    wiki.tokens(given.browser)
    end(given)
    assert wiki.userinfo(tokens["access_token"]).status_code == 200
    assert wiki.refresh(tokens["refresh_token"]).status_code == 200
    assert len(logout_sids()) == 1
    assert wiki.claims(tokens["id_token"])["sid"] not in logout_sids()


def test_disabling_an_account_sends_logout_token_for_an_expired_session(given, wiki, logout_sids):
    tokens = wiki.tokens(given.browser)
    with given.app.app_context():
        db.session.execute(db.delete(AuthSession).where(AuthSession.session_id == given.session))
        db.session.commit()
    disable(given)
    assert logout_sids() == [wiki.claims(tokens["id_token"])["sid"]]


def test_session_ended_several_times_sends_one_logout_token(given, wiki, logout_sids):
    wiki.tokens(given.browser, scope=LASTING)
    sign_out(given)
    operator_ends_all(given)
    disable(given)
    assert len(logout_sids()) == 1


def test_api_refresh_token_reuse_sends_logout_tokens_to_apps(app, people, wiki, logout_sids):
    eve = people.open("eve@example.com", methods=["authenticator"])
    browser, program = Wire(app, "json"), Program(app)
    path = "/us-signin?include_auth_token&include_refresh_token"
    first = browser.post(path, identity=eve.email, passcode=eve.app_code()).json["user"]["refresh_token"]
    tokens = wiki.tokens(browser)
    assert program.post("/us-refresh", refresh_token=first).ok
    assert program.post("/us-refresh", refresh_token=first).codes == ["refresh_token_reused"]
    assert logout_sids() == [wiki.claims(tokens["id_token"])["sid"]]


def test_account_recovery_revokes_all_app_access(app, people, wiki, logout_sids, proves, starts, clock):
    bob = people.open("bob@example.com", methods=["email", "authenticator"], second="authenticator")
    browser, lost = sign_in(Wire(app, "form"), bob), Wire(app, "form")
    starts(lost, bob.email)
    clock.shift(WAIT + 1)
    tokens, lasting = wiki.tokens(browser), wiki.tokens(browser, scope=LASTING)
    assert lost.post("/recover/complete", proof=proof_in(proves(lost, bob.email)), lost=["authenticator"]).ok
    for each in (tokens, lasting):
        assert wiki.refresh(each["refresh_token"]).json["error"] == "invalid_grant"
    assert logout_sids() == [wiki.claims(tokens["id_token"])["sid"]]


def test_undoing_an_email_change_revokes_all_app_access(given, wiki, logout_sids):
    new = "ada@new.example"
    given.browser.post("/change-email", email=new)
    assert given.browser.post("/change-email/confirm", passcode=code_in(given.mail_to(new))).ok
    lasting = wiki.tokens(given.browser, scope=LASTING)
    path = path_in(given.mail_to(given.ada.email), "/change-email/undo/")
    assert Wire(given.app, "form").post(path, sure="y").status == 200
    assert wiki.refresh(lasting["refresh_token"]).json["error"] == "invalid_grant"
    assert logout_sids() == [wiki.claims(lasting["id_token"])["sid"]]


def test_erasing_an_unconfirmed_account_sends_a_logout_token(app, people, wiki, logout_sids, clock):
    eve = people.open("eve@example.com", phone="+16502530001", methods=["sms"], confirmed=False)
    tokens = wiki.tokens(sign_in(Wire(app, "form"), eve, via="sms"))
    clock.shift(400 * 24 * 3600)
    with app.app_context():
        while erase_one(threading.Event()):
            db.session.commit()
    assert logout_sids() == [wiki.claims(tokens["id_token"])["sid"]]


def test_revoking_api_tokens_keeps_offline_access_of_apps(given, wiki):
    tokens = wiki.tokens(given.browser, scope=LASTING)
    assert given.browser.post("/tokens/revoke-all").status == 302
    assert wiki.refresh(tokens["refresh_token"]).status_code == 200


def test_logout_ends_all_grants_but_revokes_only_online_ones(given, wiki, rows):
    wiki.tokens(given.browser)
    wiki.tokens(given.browser, scope=LASTING)
    sign_out(given)
    ended = {grant.offline: (grant.ended_at is not None, grant.revoked_at is not None) for grant in rows(Grant)}
    assert ended == {False: (True, True), True: (True, False)}
