"""Between disabling or deleting an app and the worker's cleanup: what is rejected, and who is notified."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest
import sqlalchemy as sa

from app import clock as our_clock
from app.crypto import secrets
from app.extensions import db
from app.oidc import client_ends, grant_ends
from app.oidc.models import ClientEnd, Consent, Grant, OAuthClient
from app.outbox import Message
from tests.devices import Device, tv
from tests.devices import decide as decide_on_device
from tests.functional.admin.conftest import make_administrator
from tests.functional.oidc.test_client_ends import console as console
from tests.functional.oidc.test_client_ends import end as end
from tests.functional.oidc.test_client_ends import logout_sids as logout_sids
from tests.functional.oidc.test_client_ends import sid_of
from tests.functional.oidc.test_client_ends import wiki as wiki
from tests.functional.oidc.test_interaction import decide
from tests.functional.oidc.test_lost_access import LASTING, clean_up
from tests.functional.oidc.test_resources import is_active
from tests.functional.operator.conftest import operate as operate
from tests.oidc import RelyingParty, register, work
from tests.signed_in import sign_in
from tests.wire import Wire

pytestmark = pytest.mark.both_databases


@pytest.fixture
def service(app):
    """A client that may ask about any token."""
    return register(app, "gateway", introspects=True)


def refusals(party, service, tokens, code) -> list[object]:
    """Return the endpoints' responses to an app's credentials: userinfo, introspection, refresh, and token."""
    return [
        party.userinfo(tokens["access_token"]).status_code,
        is_active(service, tokens["access_token"]),
        party.refresh(tokens["refresh_token"]).json["error"],
        party.exchange(code).json["error"],
    ]


@pytest.mark.parametrize("scope", ["openid", LASTING])
def test_ended_client_is_rejected_before_the_worker_has_run(wiki, service, browser, rows, end, scope):
    tokens, code = wiki.tokens(browser, scope=scope), wiki.code(browser)
    end()
    assert [grant.ended_at for grant in rows(Grant)] == [None, None]
    assert refusals(wiki, service, tokens, code) == [401, False, "invalid_client", "invalid_client"]


def test_old_tokens_stay_invalid_when_a_client_is_reenabled_before_the_worker_ran(
    wiki, service, browser, operate, logout_sids
):
    tokens, code = wiki.tokens(browser), wiki.code(browser)
    operate("clients", "disable", "wiki")
    operate("clients", "enable", "wiki")
    assert refusals(wiki, service, tokens, code) == [401, False, "invalid_grant", "invalid_grant"]
    assert logout_sids() == [sid_of(wiki, tokens)]
    assert refusals(wiki, service, tokens, code) == [401, False, "invalid_grant", "invalid_grant"]


def test_device_approved_before_its_client_was_disabled_gets_no_tokens(app, browser, operate):
    device = Device(tv(app))
    assert decide_on_device(browser, device).ok
    operate("clients", "disable", "tv")
    operate("clients", "enable", "tv")
    assert device.error() == "invalid_grant"


def test_sign_in_after_reenabling_survives_the_worker(wiki, service, browser, operate, logout_sids, rows):
    wiki.tokens(browser)
    operate("clients", "disable", "wiki")
    operate("clients", "enable", "wiki")
    again = wiki.tokens(browser)
    assert logout_sids() == [], "the app would end the new sign-in of the same session"
    assert rows(ClientEnd) == []
    assert (wiki.userinfo(again["access_token"]).status_code, is_active(service, again["access_token"])) == (200, True)
    assert wiki.refresh(again["refresh_token"]).status_code == 200
    assert browser.post("/logout").ok
    assert logout_sids() == [sid_of(wiki, again)]


def test_offline_access_works_again_once_the_client_is_reenabled(wiki, browser, operate, logout_sids):
    lasting = wiki.tokens(browser, scope=LASTING)
    operate("clients", "disable", "wiki")
    operate("clients", "enable", "wiki")
    renewed = wiki.refresh(lasting["refresh_token"])
    assert (renewed.status_code, len(logout_sids())) == (200, 1)
    assert wiki.userinfo(renewed.json["access_token"]).status_code == 200


@pytest.mark.parametrize("scope", ["openid", LASTING])
def test_recreated_client_id_inherits_no_grants_or_consents(
    app, service, wiki, browser, operate, logout_sids, rows, scope
):
    with app.app_context():
        kept = db.session.get(OAuthClient, "wiki")
        kept.registered = kept.registered | {"consent": "ask"}
        registered, digest = dict(kept.registered), kept.secret_digest
        db.session.commit()
    tokens = wiki.exchange(allowed_code(wiki, browser, scope)).json
    code = wiki.code(browser)
    operate("clients", "delete", "wiki", "--yes")
    with app.app_context():
        db.session.add(OAuthClient(id="wiki", source="command", registered=registered, secret_digest=digest))
        db.session.commit()
    assert refusals(wiki, service, tokens, code) == [401, False, "invalid_grant", "invalid_grant"]
    again = wiki.exchange(allowed_code(wiki, browser, scope)).json
    logout_sids()
    assert wiki.userinfo(again["access_token"]).status_code == 200
    assert (len(rows(Grant)), len(rows(Consent)), rows(ClientEnd)) == (1, 1, [])


def allowed_code(party: RelyingParty, browser: Wire, scope: str) -> str:
    """Return the code after consent; fails if no consent is requested."""
    return party.answer(decide(browser, browser.get(party.request(scope=scope)), "yes"))["code"]


def test_apps_page_omits_a_deleted_client(app, wiki, browser, operate):
    with app.app_context():
        row = db.session.get(OAuthClient, "wiki")
        row.registered = row.registered | {"consent": "ask"}
        db.session.commit()
    allowed_code(wiki, browser, "openid")
    assert "wiki" in browser.get("/apps").text
    operate("clients", "delete", "wiki", "--yes")
    assert "wiki" not in browser.get("/apps").text


# --- a token that is late ------------------------------------------------------------------------


def by_disabling(app, operate, browser):
    operate("clients", "disable", "wiki")
    work(app)
    operate("clients", "enable", "wiki")


def by_removing_its_access(app, operate, browser):
    assert browser.post("/apps/remove", client="wiki").ok


@pytest.mark.parametrize("stop", [by_disabling, by_removing_its_access], ids=lambda each: each.__name__)
def test_retried_logout_token_is_dropped_after_a_new_sign_in(
    app, ada, wiki, browser, operate, endpoint, deliver, clock, rows, stop
):
    other = sign_in(Wire(app, "form"), ada)
    elsewhere = sid_of(wiki, wiki.tokens(other))
    wiki.tokens(browser)
    endpoint.answers = [503, 503]
    stop(app, operate, browser)
    deliver()
    assert len(endpoint.posted) == 2
    again = wiki.tokens(browser)
    clock.shift(2)
    deliver()
    assert [wiki.claims(each.token)["sid"] for each in endpoint.posted[2:]] == [elsewhere]
    assert {message.state for message in rows(Message, channel="logout")} == {"dropped", "sent"}
    assert browser.post("/logout").ok
    deliver()
    assert [wiki.claims(each.token)["sid"] for each in endpoint.posted[3:]] == [sid_of(wiki, again)]


def test_unredeemed_code_does_not_suppress_a_retried_logout_token(
    app, wiki, browser, operate, endpoint, deliver, clock
):
    wiki.tokens(browser)
    endpoint.answers = [503]
    by_disabling(app, operate, browser)
    deliver()
    wiki.code(browser)
    clock.shift(2)
    deliver()
    assert len(endpoint.posted) == 2


# --- very many people ----------------------------------------------------------------------------


@pytest.fixture
def crowd(app, ada, wiki):
    """Signs Ada in to the wiki from that many sessions, twice from each."""

    def fill(sessions: int) -> None:
        now = our_clock.now()
        ids = [secrets.row_id() for _ in range(sessions)]
        same = {"client_id": "wiki", "user_id": ada.id, "scopes": "openid", "claims": {}, "amr": "email", "level": 1}
        same |= {"authenticated_at": now, "created_at": now, "code_used_at": now, "expires_at": now + timedelta(days=9)}
        grants = [same | {"id": secrets.row_id(), "session_id": each} for each in (*ids, *ids)]
        with app.app_context():
            db.session.execute(sa.insert(Grant), grants)
            db.session.commit()

    return fill


def test_ending_a_client_reads_no_grants_in_the_request(wiki, crowd, statements, end):
    crowd(2)
    with statements() as seen:
        end()
    assert seen
    assert [each for each in seen if "oauth_grant" in each] == []


def test_changing_client_groups_reads_no_grants_in_the_request(wiki, crowd, statements, operate):
    operate("groups", "create", "staff")
    crowd(2)
    with statements() as seen:
        assert operate("clients", "change", "wiki", "--group", "staff").exit_code == 0
    assert seen
    assert [each for each in seen if "oauth_grant" in each] == []


def turn(app) -> bool:
    """Run the job once, as a worker does."""
    with app.app_context():
        more = client_ends.end_due(threading.Event())
        db.session.commit()
        return more


SESSIONS = grant_ends.BATCH + 3


def test_worker_ends_grants_in_batches_with_one_logout_token_per_session(app, wiki, crowd, end, rows):
    crowd(SESSIONS)
    end()
    assert turn(app)
    ended = sum(grant.ended_at is not None for grant in rows(Grant))
    assert grant_ends.BATCH <= ended < 2 * SESSIONS
    assert work(app) >= 1
    sids = [message.facts["sid"] for message in rows(Message, channel="logout")]
    assert (len(sids), len(set(sids))) == (SESSIONS, SESSIONS)
    assert rows(ClientEnd) == []


def test_worker_failure_between_batches_loses_and_repeats_no_logout_token(
    app, wiki, crowd, operate, rows, clock, monkeypatch
):
    crowd(SESSIONS)
    operate("clients", "disable", "wiki")
    assert turn(app)
    before = len(rows(Message, channel="logout"))
    with monkeypatch.context() as patch:
        patch.setattr(grant_ends, "enqueue_all", lambda *_, **__: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            turn(app)
    with app.app_context():
        db.session.rollback()
    assert not turn(app), "it is the failed worker's until its lease ends"
    assert len(rows(Message, channel="logout")) == before < SESSIONS
    clock.shift(61)
    work(app)
    sids = {message.facts["sid"] for message in rows(Message, channel="logout")}
    assert len(rows(Message, channel="logout")) == len(sids) == SESSIONS


def test_only_one_worker_processes_an_ended_client(app, wiki, crowd, operate, rows):
    crowd(1)
    operate("clients", "disable", "wiki")
    with app.app_context():
        assert len(client_ends.claim_rows(client_ends._CLAIM)) == 1
    assert not turn(app)
    clean_up(app)
    assert rows(Message, channel="logout") == [], "the cleanup leaves it to the job"


def test_console_deletes_client_at_once_and_worker_deletes_its_grants(app, people, wiki, crowd, rows):
    crowd(2)
    grace = people.open("grace@example.com", methods=["email", "authenticator"])
    console = sign_in(Wire(app, "form"), make_administrator(app, grace))
    assert console.post("/admin/apps/client/delete", client="wiki", sure=True).ok
    assert (rows(OAuthClient), len(rows(Grant))) == ([], 4)
    work(app)
    assert rows(Grant) == []
