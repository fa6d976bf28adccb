"""When a session ends, it ends in every app signed in to from it (OpenID Connect Back-Channel Logout 1.0)."""

from __future__ import annotations

import json
import threading
import time

import pytest
import structlog
from joserfc.util import urlsafe_b64decode

from app.outbox import Message
from app.outbox.channels import logout
from app.outbox.worker import run as run_worker
from tests.logout_sink import LogoutSink
from tests.oidc import ISSUER, register
from tests.signed_in import sign_in
from tests.wire import Wire

pytestmark = pytest.mark.both_databases

EVENT = "http://schemas.openid.net/event/backchannel-logout"


@pytest.fixture
def wiki(app, endpoint):
    """An app with back-channel logout."""
    return register(app, "wiki", backchannel_logout_uri=endpoint.url)


@pytest.fixture
def slow_endpoint():
    """The endpoint of another app."""
    sink = LogoutSink()
    yield sink
    sink.close()


def header_of(token: str) -> dict[str, str]:
    return json.loads(urlsafe_b64decode(token.partition(".")[0].encode()))


def sign_out(wire: Wire) -> None:
    assert wire.post("/logout").status == 302


@pytest.mark.parametrize("alg", ["RS256", "ES256", "EdDSA"])
def test_logout_token_is_signed_with_the_clients_algorithm_and_has_its_claims(
    app, browser, endpoint, deliver, clock, alg
):
    wiki = register(app, "wiki", backchannel_logout_uri=endpoint.url, id_token_alg=alg)
    signed_in = wiki.claims(wiki.tokens(browser)["id_token"])
    sign_out(browser)
    deliver()
    posted = endpoint.posted
    assert [(each.path, each.headers["Content-Type"]) for each in posted] == [
        ("/logout?from=latchkey", "application/x-www-form-urlencoded")
    ]
    claims = wiki.claims(posted[0].token)
    now = int(clock.unix())
    assert claims.pop("jti")
    assert abs(claims.pop("iat") - now) <= 2
    assert abs(claims.pop("exp") - now - 120) <= 2
    assert claims == {
        "iss": ISSUER, "aud": "wiki", "events": {EVENT: {}}, "sub": signed_in["sub"], "sid": signed_in["sid"]
    }  # fmt: skip
    assert header_of(posted[0].token)["typ"] == "logout+jwt"
    assert header_of(posted[0].token)["alg"] == alg


def test_outbox_message_stores_no_logout_token(wiki, browser, rows):
    wiki.tokens(browser)
    sign_out(browser)
    (message,) = rows(Message, channel="logout")
    assert set(message.facts) == {"client", "sub", "sid", "uri", "alg", "public_only"}


def test_each_app_gets_one_logout_token_per_session(app, wiki, browser, endpoint, deliver):
    blog = register(app, "blog", backchannel_logout_uri=endpoint.url)
    for _ in range(3):
        wiki.tokens(browser)
    blog.tokens(browser)
    sign_out(browser)
    deliver()
    told = [wiki.claims(each.token) for each in endpoint.posted]
    assert sorted(claims["aud"] for claims in told) == ["blog", "wiki"]
    assert len({claims["sid"] for claims in told}) == 2
    assert len({claims["jti"] for claims in told}) == 2


def test_apps_without_logout_uri_or_in_another_session_get_no_logout_token(
    app, ada, wiki, grafana, browser, endpoint, deliver, rows
):
    grafana.tokens(browser)
    other = sign_in(Wire(app, "form"), ada)
    wiki.tokens(other)
    sign_out(browser)
    deliver()
    assert endpoint.posted == []
    assert rows(Message, channel="logout") == []


def test_unredeemed_code_causes_no_logout_token_and_dies_with_the_session(wiki, browser, endpoint, deliver):
    code = wiki.code(browser)
    sign_out(browser)
    deliver()
    assert endpoint.posted == []
    assert wiki.exchange(code).json["error"] == "invalid_grant"


def test_rolled_back_session_revocation_sends_no_logout_token(app, wiki, browser, endpoint, deliver, rows):
    from app.extensions import db
    from app.sessions.models import AuthSession
    from app.sessions.store import revoke_session

    wiki.tokens(browser)
    with app.app_context():
        revoke_session(rows(AuthSession)[0].session_id)
        db.session.rollback()
    deliver()
    assert endpoint.posted == []


@pytest.mark.parametrize("answer", [500, 503, 404, 302, 429, None], ids=str)
def test_transient_failure_is_retried_with_a_new_logout_token(wiki, browser, endpoint, deliver, clock, answer):
    wiki.tokens(browser)
    endpoint.answers = [answer]
    sign_out(browser)
    deliver()
    clock.shift(2)
    deliver()
    first, second = [wiki.claims(each.token) for each in endpoint.posted]
    assert first["jti"] != second["jti"]
    assert (first["sid"], first["sub"]) == (second["sid"], second["sub"])
    deliver()
    clock.shift(60)
    deliver()
    assert len(endpoint.posted) == 2


def test_rejected_logout_token_is_not_retried_and_the_log_has_a_remedy(wiki, browser, endpoint, deliver, clock, rows):
    wiki.tokens(browser)
    endpoint.answers = [400]
    sign_out(browser)
    with structlog.testing.capture_logs() as lines:
        deliver()
    line = next(line for line in lines if line["event"] == "message.failed")
    assert (line["to"], line["gives_up"]) == ("wiki", True)
    assert "id_token_alg" in line["remedy"]
    assert endpoint.posted[0].token not in str(lines)
    (message,) = rows(Message, channel="logout")
    assert (message.state, message.last_error) == ("abandoned", "app refused the logout token (400)")
    clock.shift(3600)
    deliver()
    assert len(endpoint.posted) == 1


def test_delivery_is_abandoned_after_two_hours(wiki, browser, endpoint, deliver, clock, rows):
    wiki.tokens(browser)
    endpoint.answers = [500] * 1000
    sign_out(browser)
    for _ in range(60):
        deliver()
        clock.shift(180)
    (message,) = rows(Message, channel="logout")
    assert message.state == "abandoned"
    assert 8 <= len(endpoint.posted) < 40


def test_redirect_from_logout_endpoint_is_not_followed(app, wiki, browser, endpoint, deliver, clock):
    wiki.tokens(browser)
    endpoint.answers, endpoint.location = [307] * 3, endpoint.url.replace("/logout", "/elsewhere")
    sign_out(browser)
    for _ in range(3):
        deliver()
        clock.shift(20)
    assert {each.path for each in endpoint.posted} == {"/logout?from=latchkey"}


def test_logout_token_is_dropped_when_the_client_removed_its_logout_uri(app, wiki, browser, endpoint, deliver, rows):
    from app.extensions import db
    from app.oidc.models import OAuthClient

    wiki.tokens(browser)
    sign_out(browser)
    with app.app_context():
        row = db.session.get(OAuthClient, "wiki")
        row.registered = row.registered | {"backchannel_logout_uri": ""}
        db.session.commit()
    deliver()
    assert endpoint.posted == []
    assert [message.state for message in rows(Message, channel="logout")] == ["dropped"]


def test_unreachable_logout_endpoint_is_retried(wiki, browser, endpoint, deliver, rows):
    wiki.tokens(browser)
    endpoint.close()
    sign_out(browser)
    deliver()
    (message,) = rows(Message, channel="logout")
    assert (message.state, message.last_error) == ("waiting", "app unreachable (ConnectionRefusedError)")


@pytest.mark.settings(client_documents=("everyone",))
@pytest.mark.parametrize("source", ["registration", "document"])
def test_logout_token_of_an_unvetted_client_is_not_sent_to_private_networks(
    app, browser, endpoint, deliver, rows, source
):
    from app.extensions import db
    from app.oidc.models import OAuthClient

    evil = register(app, "https://evil.example.com/client", public=True, backchannel_logout_uri=endpoint.url)
    evil.tokens(browser)
    with app.app_context():
        db.session.get(OAuthClient, evil.id).source = source
        db.session.commit()
    sign_out(browser)
    deliver()
    assert endpoint.posted == []
    (message,) = rows(Message, channel="logout")
    assert (message.state, message.last_error) == ("abandoned", "app's address is in a private network")


def test_logout_token_for_a_pairwise_client_has_its_pairwise_sub_and_sid(app, browser, endpoint, deliver):
    wiki = register(app, "wiki", backchannel_logout_uri=endpoint.url, subject="pairwise")
    signed_in = wiki.claims(wiki.tokens(browser)["id_token"])
    sign_out(browser)
    deliver()
    told = wiki.claims(endpoint.posted[0].token)
    assert (told["sub"], told["sid"]) == (signed_in["sub"], signed_in["sid"])


def test_logout_token_has_no_nonce_and_is_not_an_access_token(wiki, browser, endpoint, deliver, ada, app):
    wiki.tokens(browser)
    sign_out(browser)
    deliver()
    assert "nonce" not in wiki.claims(endpoint.posted[0].token)
    assert wiki.userinfo(endpoint.posted[0].token).status_code == 401


def test_logout_without_apps_runs_one_oauth_query(app, ada, statements):
    wire = sign_in(Wire(app, "form"), ada)
    wire.get("/sessions")
    with statements() as seen:
        sign_out(wire)
    assert sum("oauth" in each for each in seen) == 1


@pytest.fixture
def worker(app):
    """A worker in a thread, until the test is over."""
    stop = threading.Event()
    thread = threading.Thread(target=run_worker, args=(app, stop), daemon=True)
    thread.start()
    yield thread
    stop.set()
    thread.join(10)
    assert not thread.is_alive()


def test_logout_token_is_delivered_within_a_second_of_logout(wiki, browser, endpoint, worker):
    wiki.tokens(browser)
    time.sleep(1.5)  # the worker has looked and sleeps
    began = time.monotonic()
    sign_out(browser)
    assert endpoint.wait(1, seconds=5)[0].at - began < 1


def test_slow_logout_endpoint_delays_no_other_messages(app, ada, browser, endpoint, slow_endpoint, worker, wiki, smtp):
    slow_endpoint.delay = 30
    slow = register(app, "slow", backchannel_logout_uri=slow_endpoint.url)
    for _ in range(4):
        other = sign_in(Wire(app, "form"), ada)
        slow.tokens(other)
        sign_out(other)
    slow_endpoint.wait(1)
    wiki.tokens(browser)
    began = time.monotonic()
    sign_out(browser)
    assert endpoint.wait(1, seconds=5)[0].at - began < 1
    Wire(app, "form").post("/us-signin/send-code", identity=ada.email, chosen_method="email")
    assert smtp.wait(1, seconds=3)
    assert len(slow_endpoint.posted) == 1, "the rest of its messages wait for it"


@pytest.mark.parametrize("drips", [False, True])
def test_slow_logout_endpoint_times_out_and_is_retried(app, browser, slow_endpoint, deliver, rows, monkeypatch, drips):
    monkeypatch.setattr(logout, "TOTAL_TIMEOUT", 0.5)
    slow_endpoint.delay, slow_endpoint.drips = 0 if drips else 30, drips
    slow = register(app, "slow", backchannel_logout_uri=slow_endpoint.url)
    slow.tokens(browser)
    sign_out(browser)
    began = time.monotonic()
    deliver()
    assert time.monotonic() - began < 3
    (message,) = rows(Message, channel="logout")
    assert (message.state, message.last_error) == ("waiting", "timed out")
