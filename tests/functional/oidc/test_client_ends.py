"""An app that is disabled, deleted or removed from the clients file gets logout tokens for all sessions."""

from __future__ import annotations

import itertools
import json

import pytest

from app.clock import now
from app.crypto import secrets
from app.extensions import db
from app.oidc.models import FileClient, Grant, OAuthClient
from app.outbox import Message
from tests.functional.admin.conftest import make_administrator
from tests.functional.oidc.test_lost_access import LASTING, clean_up
from tests.functional.operator.conftest import operate as operate
from tests.oidc import register, work
from tests.signed_in import sign_in
from tests.wire import Wire

pytestmark = pytest.mark.both_databases


@pytest.fixture
def wiki(app, endpoint):
    """An app with back-channel logout."""
    return register(app, "wiki", backchannel_logout_uri=endpoint.url)


@pytest.fixture
def logout_sids(app, wiki, endpoint, deliver):
    """Runs the worker's job and the outbox, and returns the sids in the app's logout tokens."""

    def read():
        work(app)
        deliver()
        return [wiki.claims(each.token)["sid"] for each in endpoint.posted]

    return read


@pytest.fixture
def console(app, people):
    """An administrator in the console."""
    grace = people.open("grace@example.com", methods=["email", "authenticator"])
    return sign_in(Wire(app, "json"), make_administrator(app, grace))


def sid_of(party, tokens) -> str:
    return party.claims(tokens["id_token"])["sid"]


WAYS = ("flask clients disable", "flask clients delete", "/admin/apps/client/disable", "/admin/apps/client/delete")


@pytest.fixture(params=WAYS)
def end(request, operate, console):
    """Ends the app, in one of the ways that an operator has."""
    way = request.param

    def run():
        if way.startswith("flask"):
            done = operate(*way.split()[1:], "wiki", *(["--yes"] if "delete" in way else []))
            assert done.exit_code == 0, done.output
        else:
            assert console.post(way, client="wiki", **({"sure": True} if "delete" in way else {})).ok

    return run


@pytest.mark.parametrize("scope", ["openid", LASTING])
def test_disabling_or_deleting_a_client_sends_one_logout_token_per_session(
    app, ada, wiki, browser, end, logout_sids, scope
):
    tokens = wiki.tokens(browser, scope=scope)
    wiki.tokens(browser, scope=scope)
    other = wiki.tokens(sign_in(Wire(app, "form"), ada), scope=scope)
    end()
    assert sorted(logout_sids()) == sorted([sid_of(wiki, tokens), sid_of(wiki, other)])
    assert wiki.userinfo(tokens["access_token"]).status_code == 401
    assert browser.post("/logout").ok
    assert len(logout_sids()) == 2


def test_ending_a_client_does_not_affect_other_clients(app, wiki, browser, end, logout_sids, endpoint):
    blog = register(app, "blog", backchannel_logout_uri=endpoint.url)
    tokens = blog.tokens(browser)
    end()
    assert logout_sids() == []
    assert blog.userinfo(tokens["access_token"]).status_code == 200


def test_pending_logout_token_is_sent_after_the_client_ended(wiki, browser, end, logout_sids):
    tokens = wiki.tokens(browser)
    assert browser.post("/logout").ok
    end()
    assert logout_sids() == [sid_of(wiki, tokens)]


def test_logout_token_is_retried_after_the_client_was_deleted(operate, wiki, browser, logout_sids, endpoint, clock):
    tokens = wiki.tokens(browser)
    endpoint.answers = [503]
    operate("clients", "disable", "wiki")
    assert len(logout_sids()) == 1
    operate("clients", "delete", "wiki", "--yes")
    clock.shift(2)
    assert logout_sids() == [sid_of(wiki, tokens)] * 2


@pytest.mark.settings(client_documents=("everyone",))
def test_disabling_an_unvetted_client_sends_nothing_to_private_networks(app, operate, browser, endpoint, deliver, rows):
    evil = register(app, "https://evil.example.com/client", public=True, backchannel_logout_uri=endpoint.url)
    evil.tokens(browser)
    with app.app_context():
        db.session.get(OAuthClient, evil.id).source = "document"
        db.session.commit()
    operate("clients", "disable", evil.id)
    work(app)
    deliver()
    assert endpoint.posted == []
    (message,) = rows(Message, channel="logout")
    assert (message.state, message.last_error) == ("abandoned", "app's address is in a private network")


def test_reenabled_client_keeps_offline_tokens_and_accepts_new_sign_ins(operate, wiki, browser, logout_sids):
    tokens, lasting = wiki.tokens(browser), wiki.tokens(browser, scope=LASTING)
    operate("clients", "disable", "wiki")
    operate("clients", "enable", "wiki")
    assert wiki.refresh(tokens["refresh_token"]).json["error"] == "invalid_grant"
    assert wiki.userinfo(tokens["access_token"]).status_code == 401
    assert wiki.refresh(lasting["refresh_token"]).status_code == 200, "it is for when nobody is signed in"
    assert len(logout_sids()) == 1
    again = wiki.tokens(browser)
    assert browser.post("/logout").ok
    assert logout_sids()[1:] == [sid_of(wiki, again)]


def test_disabling_a_client_without_logout_uri_sends_no_logout_token(app, operate, browser, grafana, rows):
    grafana.tokens(browser)
    operate("clients", "disable", "grafana")
    work(app)
    assert rows(Message, channel="logout") == []
    assert rows(Grant)[0].ended_at is not None


def test_client_with_unreadable_registration_can_be_disabled(app, operate, wiki, browser, rows):
    wiki.tokens(browser)
    with app.app_context():
        db.session.get(OAuthClient, "wiki").registered = {"name": ""}
        db.session.commit()
    assert operate("clients", "disable", "wiki").exit_code == 0
    work(app)
    assert rows(Message, channel="logout") == []
    assert rows(Grant)[0].ended_at is not None


def test_cleanup_sends_logout_token_for_grants_missed_when_client_was_disabled(
    app, operate, wiki, browser, logout_sids
):
    tokens = wiki.tokens(browser)
    with app.app_context():
        db.session.get(OAuthClient, "wiki").disabled_at = now()
        db.session.commit()
    assert logout_sids() == []
    clean_up(app)
    assert logout_sids() == [sid_of(wiki, tokens)]
    clean_up(app)
    assert len(logout_sids()) == 1


@pytest.mark.settings(client_documents=("everyone",))
@pytest.mark.parametrize("accepted", [(), ("elsewhere.example.com",), ("good.example.com",)])
def test_client_document_no_longer_accepted_gets_logout_token_from_cleanup(app, make_app, browser, rows, accepted):
    address = "https://good.example.com/client"
    good = register(app, address, public=True, backchannel_logout_uri="https://good.example.com/logout")
    good.tokens(browser)
    with app.app_context():
        row = db.session.get(OAuthClient, address)
        row.source, row.fetched_at = "document", row.created_at
        db.session.commit()
    everyone = ("everyone",) if accepted else ()
    clean_up(make_app(client_documents=everyone, client_document_hosts=accepted))
    left = accepted == ("good.example.com",)
    assert [message.facts["uri"] for message in rows(Message, channel="logout")] == (
        [] if left else ["https://good.example.com/logout"]
    )


# --- the clients file ---------------------------------------------------------------------------


@pytest.fixture
def service(make_app, tmp_path, wiki, endpoint, clock):
    """Returns a service that reads a clients file with these clients now."""
    fields = {"redirect_uris": [wiki.redirect_uri], "consent": "trusted", "backchannel_logout_uri": endpoint.url}
    fields |= {"name": "Wiki", "secret_digest": f"sha256:{secrets.digest(wiki.secret)}", "subject": "pairwise"}
    lines = [f"{name} = {json.dumps(value)}" for name, value in fields.items()]
    numbers = itertools.count()

    def make(*ids: str):
        path = tmp_path / f"{next(numbers)}.toml"
        path.write_text("\n".join(line for each in ids for line in (f"[clients.{each}]", *lines, "")))
        clock.shift(1)
        return make_app(clients_file=str(path))

    return make


@pytest.fixture
def tokens(app, ada, service, wiki):
    """Tokens of Ada, who is signed in to an app in a clients file."""
    with app.app_context():
        db.session.delete(db.session.get(OAuthClient, "wiki"))
        db.session.commit()
    first = service("wiki", "blog")
    clean_up(first)
    wiki.http = first.test_client(use_cookies=False)
    return wiki.tokens(sign_in(Wire(first, "form"), ada))


def test_client_removed_from_the_clients_file_gets_one_logout_token(service, wiki, tokens, logout_sids, endpoint):
    second = service("blog")
    clean_up(second)
    assert logout_sids() == [sid_of(wiki, tokens)]
    assert wiki.claims(endpoint.posted[0].token)["sub"] == wiki.claims(tokens["id_token"])["sub"]
    clean_up(second)
    assert len(logout_sids()) == 1


def test_client_still_in_the_clients_file_gets_no_logout_token(service, tokens, logout_sids):
    clean_up(service("wiki"))
    assert logout_sids() == []


def test_server_with_an_older_clients_file_ends_no_sessions(service, tokens, logout_sids, rows):
    older, newer = service("blog"), service("blog", "wiki")
    clean_up(newer)
    clean_up(older)
    assert logout_sids() == []
    assert {row.id for row in rows(FileClient)} == {"wiki", "blog"}


def test_disabled_database_client_shadowed_by_the_file_ends_no_sessions(app, service, wiki, ada, logout_sids):
    first = service("wiki")
    wiki.http = first.test_client(use_cookies=False)
    assert wiki.tokens(sign_in(Wire(first, "form"), ada))
    with app.app_context():
        db.session.get(OAuthClient, "wiki").disabled_at = now()
        db.session.commit()
    clean_up(first)
    assert logout_sids() == []


def test_server_without_clients_file_ends_no_sessions(make_app, tokens, logout_sids):
    clean_up(make_app())
    assert logout_sids() == []


def test_client_moved_from_file_to_database_gets_no_logout_token(app, service, tokens, logout_sids, endpoint):
    register(app, "wiki", backchannel_logout_uri=endpoint.url)
    clean_up(service("blog"))
    assert logout_sids() == []


def test_removed_file_client_is_forgotten_once_its_last_grant_is_gone(app, service, tokens, rows):
    second = service("blog")
    clean_up(second)
    assert {row.id for row in rows(FileClient)} == {"wiki", "blog"}
    with app.app_context():
        db.session.execute(db.delete(Grant))
        db.session.commit()
    clean_up(second)
    assert {row.id for row in rows(FileClient)} == {"blog"}
