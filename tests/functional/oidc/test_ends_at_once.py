"""A sign-in to an app that ends twice, or while something else happens: the app is notified, and only once."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from app.extensions import db
from app.oidc import client_ends, grant_ends
from app.oidc.models import Grant, OAuthClient
from app.outbox import Message
from app.sessions.models import AuthSession
from app.sessions.store import revoke_session
from tests.functional.oidc.test_client_ends import console as console
from tests.functional.oidc.test_client_ends import end as end
from tests.functional.oidc.test_client_ends import logout_sids as logout_sids
from tests.functional.oidc.test_client_ends import service as service
from tests.functional.oidc.test_client_ends import sid_of
from tests.functional.oidc.test_client_ends import tokens as tokens
from tests.functional.oidc.test_client_ends import wiki as wiki
from tests.functional.oidc.test_lost_access import LASTING, clean_up
from tests.functional.operator.conftest import operate as operate
from tests.oidc import register, work
from tests.signed_in import sign_in
from tests.wire import Wire

pytestmark = pytest.mark.both_databases


def states(rows) -> list[str]:
    """Return the states of the logout tokens, oldest first."""
    return [each.state for each in sorted(rows(Message, channel="logout"), key=lambda each: each.created_at)]


def disable_and_enable(operate) -> None:
    operate("clients", "disable", "wiki")
    operate("clients", "enable", "wiki")


# --- twice --------------------------------------------------------------------------------------


def test_session_that_ends_again_before_delivery_sends_one_logout_token(app, wiki, browser, operate, logout_sids, rows):
    wiki.tokens(browser)
    disable_and_enable(operate)
    work(app)
    again = wiki.tokens(browser)
    assert browser.post("/logout").ok
    assert logout_sids() == [sid_of(wiki, again)]
    assert states(rows) == ["dropped", "sent"]


def test_logout_racing_with_the_worker_sends_one_logout_token(app, wiki, browser, operate, logout_sids, rows):
    wiki.tokens(browser)
    disable_and_enable(operate)
    again = wiki.tokens(browser)
    with app.app_context(), ThreadPoolExecutor(1) as pool:
        assert client_ends.end_due(threading.Event())
        out = pool.submit(browser.post, "/logout")
        time.sleep(0.5)  # it waits for the first grant, which the worker has ended
        assert not out.done()
        db.session.commit()
        assert out.result(10).ok
    assert len(rows(Message, channel="logout")) == 2
    assert logout_sids() == [sid_of(wiki, again)]


def test_messages_of_one_session_that_are_sent_together_become_one_logout_token(app, wiki, browser, operate, rows):
    wiki.tokens(browser)
    disable_and_enable(operate)
    work(app)
    wiki.tokens(browser)
    assert browser.post("/logout").ok
    with app.app_context():
        messages = sorted(rows(Message, channel="logout"), key=lambda each: each.created_at)
        recipients = grant_ends.read(messages)
        rendered = [grant_ends.render(each, recipients[each.id]) is not None for each in messages]
    assert rendered == [False, True]


def test_failed_logout_token_is_dropped_once_a_later_one_was_sent(
    app, wiki, browser, operate, endpoint, logout_sids, clock, rows
):
    wiki.tokens(browser)
    endpoint.answers = [503]
    disable_and_enable(operate)
    assert len(logout_sids()) == 1
    wiki.tokens(browser)
    assert browser.post("/logout").ok
    assert len(logout_sids()) == 2
    clock.shift(2)
    assert len(logout_sids()) == 2
    assert states(rows) == ["dropped", "sent"]


def test_sessions_and_apps_are_told_apart(app, ada, wiki, browser, endpoint, logout_sids):
    blog = register(app, "blog", backchannel_logout_uri=endpoint.url)
    other = sign_in(Wire(app, "form"), ada)
    sids = {sid_of(party, party.tokens(wire)) for party in (wiki, blog) for wire in (browser, other)}
    assert browser.post("/logout").ok
    assert other.post("/logout").ok
    assert set(logout_sids()) == sids
    assert len(logout_sids()) == 4


# --- never --------------------------------------------------------------------------------------


def test_logout_before_the_worker_ends_the_client_sends_a_logout_token(wiki, browser, end, logout_sids):
    signed_in = wiki.tokens(browser)
    end()
    assert browser.post("/logout").ok
    assert logout_sids() == [sid_of(wiki, signed_in)]


def test_logout_before_the_cleanup_finds_a_removed_file_client_sends_a_logout_token(
    service, ada, wiki, logout_sids, tokens, rows
):
    second = service("blog")
    with second.app_context():
        revoke_session(rows(AuthSession)[0].session_id)
        db.session.commit()
    assert logout_sids() == [sid_of(wiki, tokens)]
    clean_up(second)
    assert len(logout_sids()) == 1


def test_logout_of_a_client_without_valid_registration_sends_nothing(app, wiki, browser, logout_sids, rows):
    wiki.tokens(browser)
    with app.app_context():
        db.session.get(OAuthClient, "wiki").registered = {"name": ""}
        db.session.commit()
    assert browser.post("/logout").ok
    assert logout_sids() == []


@pytest.mark.parametrize("scope", ["openid", LASTING])
def test_code_exchanged_while_its_session_ends_is_rejected(app, wiki, browser, rows, scope):
    code = wiki.code(browser, scope=scope)
    with app.app_context(), ThreadPoolExecutor(1) as pool:
        revoke_session(rows(AuthSession)[0].session_id)
        exchanged = pool.submit(wiki.exchange, code)
        time.sleep(0.5)
        assert not exchanged.done()
        db.session.commit()
        assert exchanged.result(10).json["error"] == "invalid_grant"
    assert rows(Grant)[0].code_used_at is None


@pytest.mark.parametrize("has_worked", [False, True])
@pytest.mark.parametrize("scope", ["openid", LASTING])
def test_code_issued_before_its_client_was_disabled_is_rejected(
    app, wiki, browser, operate, rows, logout_sids, scope, has_worked
):
    code = wiki.code(browser, scope=scope)
    disable_and_enable(operate)
    if has_worked:
        work(app)
    assert wiki.exchange(code).json["error"] == "invalid_grant"
    assert logout_sids() == []
