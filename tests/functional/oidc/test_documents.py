"""Apps with a metadata document at their own URL (draft-ietf-oauth-client-id-metadata-document-02)."""

from __future__ import annotations

import json
import threading
import time
from datetime import timedelta
from urllib.parse import urlsplit

import pytest
import sqlalchemy as sa

from app.audit import Event
from app.extensions import db
from app.oidc import client_documents
from app.oidc.clients import client_of, find_client
from app.oidc.models import AuthorizationRequest, ClientDocument, Grant, OAuthClient
from config.settings import Settings
from tests.client_rows import Signer
from tests.client_rows import register as store
from tests.devices import GRANT, Device
from tests.functional.oidc.test_interaction import decide
from tests.oidc import RelyingParty
from tests.signed_in import sign_in
from tests.wire import Wire

ON = {"client_documents": ("everyone",), "client_documents_loopback": True}
pytestmark = pytest.mark.settings(**ON)

CHECKING = "Checking the app"
LOOPBACK = "http://127.0.0.1:33418/"


@pytest.fixture
def work(app):
    """Has the worker read what is due."""

    def run() -> None:
        from app.outbox import jobs

        with app.app_context():
            jobs.run_prompt_jobs(threading.Event())

    return run


@pytest.fixture
def agent(app, site) -> RelyingParty:
    """An app that has published a document."""
    return RelyingParty(app, site.publish(), redirect_uri=site.url("/callback"))


@pytest.fixture
def known(agent, browser, work) -> RelyingParty:
    """The same app, once its document was read."""
    browser.get(agent.request())
    work()
    return agent


def refresh_of(page) -> str:
    """Return the URL to which a page continues automatically."""
    (tag,) = [line for line in page.text.splitlines() if "http-equiv" in line]
    return tag.partition("url=")[2].partition('"')[0]


def fault_of(browser, rp, work) -> str:
    """Return the error that a page shows for an invalid document."""
    back = refresh_of(browser.get(rp.request()))
    work()
    page = browser.get(back)
    assert page.status == 400, page.text[:500]
    assert "This app can" in page.text
    assert "Location" not in page.response.headers
    return page.text.partition("<code>")[2].partition("</code>")[0].replace("&#39;", "'")


# --- an app that is good ------------------------------------------------------------------------


def test_client_document_app_signs_in_user_after_worker_fetched_it(agent, browser, work, site, rows):
    page = browser.get(agent.request(scope="openid email"))
    assert (page.status, site.asked) == (200, []), "no request waits for another server"
    assert CHECKING in page.text
    assert "agent.example.com" in page.text
    back = refresh_of(page)
    assert CHECKING in browser.get(back).text
    work()
    assert site.asked == ["/client.json"]
    asking = browser.get(back)
    assert "Allow An agent?" in asking.text
    assert "This app added itself" in asking.text
    assert 'trust <strong class="breakable">agent.example.com</strong>' in asking.text
    answer = agent.answer(decide(browser, asking, "yes"))
    tokens = agent.exchange(answer["code"]).json
    assert agent.userinfo(tokens["access_token"]).json["email"] == "ada@example.com"
    assert agent.refresh(tokens["refresh_token"]).status_code == 200
    (row,) = rows(OAuthClient)
    client = client_of_row(agent.app, row)
    assert (client.source, client.auth_method, client.consent, client.name) == ("document", "none", "ask", "An agent")
    assert [event.facts["by"] for event in rows(Event, name="client.created")] == ["document"]


def client_of_row(app, row):
    with app.app_context():
        return client_of(row)


def test_checking_page_needs_no_script_and_reveals_no_client_metadata(agent, browser):
    page = browser.get(agent.request())
    assert '<meta http-equiv="refresh" content="1; url=/oauth/continue?request=' in page.text
    assert "An agent" not in page.text
    assert "default-src" in page.response.headers["Content-Security-Policy"]


def test_cross_site_post_also_waits_for_the_client_document(agent, app, browser, work):
    path, _, query = agent.request().partition("?")
    sent = app.test_client(use_cookies=False).post(path, data=query, content_type="application/x-www-form-urlencoded")
    assert CHECKING in browser.get(sent.headers["Location"]).text
    work()
    assert "Allow An agent?" in browser.get(sent.headers["Location"]).text


def test_signed_out_user_signs_in_after_the_document_check(agent, app, ada, work):
    wire = Wire(app, "form")
    back = refresh_of(wire.get(agent.request()))
    work()
    sent = wire.client.get(back)
    assert urlsplit(sent.headers["Location"]).path == "/us-signin"
    assert "agent.example.com" in wire.get(sent.headers["Location"]).text
    assert "An agent" not in wire.get(sent.headers["Location"]).text
    sign_in(wire, ada)
    assert "Allow An agent?" in wire.get(back).text


def test_json_client_gets_checking_state(agent, app, ada, work):
    program = sign_in(Wire(app, "json"), ada)
    answer = program.client.get(agent.request(), headers={"Accept": "application/json"})
    assert (answer.status_code, answer.json["response"]["state"]) == (200, "checking")


def test_client_document_app_requires_consent_each_time(known, browser):
    for _ in range(2):
        page = browser.get(known.request())
        assert "Allow An agent?" in page.text
        assert "code" in known.answer(decide(browser, page, "yes"))
    answer = known.answer(browser.client.get(known.request(prompt="none")))
    assert answer["error"] == "consent_required"


def test_consent_applies_to_a_single_request(known, browser):
    first, second = browser.get(known.request()), browser.get(known.request())
    assert "code" in known.answer(decide(browser, second, "yes"))
    again = browser.get(f"/oauth/continue?request={first.page.value('request')}")
    assert "Allow An agent?" in again.text


def test_consent_cannot_be_forged_by_a_request_parameter(known, browser):
    page = browser.get(known.request(**{"consent.given": "yes"}))
    assert "Allow An agent?" in page.text
    assert "Allow An agent?" in browser.get(f"/oauth/continue?request={page.page.value('request')}").text


def test_loopback_redirect_uri_of_client_document_allows_any_port(app, known, browser):
    native = RelyingParty(app, known.id, redirect_uri="http://127.0.0.1:55555/")
    assert "code" in native.answer(decide(browser, browser.get(native.request()), "yes"))
    elsewhere = native.request(redirect_uri="http://127.0.0.1:55555/other")
    assert browser.client.get(elsewhere).status_code == 400


def test_client_document_with_jwks_authenticates_by_private_key_jwt(app, site, browser, work):
    signer = Signer()
    client_id = site.publish(token_endpoint_auth_method="private_key_jwt", jwks=signer.jwks)
    agent = RelyingParty(app, client_id, redirect_uri=site.url("/callback"))
    browser.get(agent.request())
    work()
    code = agent.answer(decide(browser, browser.get(agent.request()), "yes"))["code"]
    assert agent.exchange(code).json["error"] == "invalid_client"
    assert agent.exchange(code, **signer.sign(client_id)).status_code == 200


def test_discovery_announces_client_id_metadata_documents(app):
    for path in ("/.well-known/openid-configuration", "/.well-known/oauth-authorization-server"):
        assert app.test_client().get(path).json["client_id_metadata_document_supported"] is True


# --- who and where ------------------------------------------------------------------------------


@pytest.mark.settings(client_documents=(), client_documents_loopback=True)
def test_disabled_client_documents_are_never_fetched(agent, app, browser, work, site, rows):
    for ask in (agent.request(), agent.request(prompt="none")):
        assert browser.client.get(ask).status_code == 400
    work()
    assert (site.asked, rows(ClientDocument)) == ([], [])
    assert app.test_client().get("/.well-known/openid-configuration").json[
        "client_id_metadata_document_supported"
    ] is False  # fmt: skip
    assert agent.push().json["error"] == "invalid_client"


@pytest.mark.settings(client_documents=("staff", "agents"), client_documents_loopback=True)
def test_client_documents_are_limited_to_the_configured_groups(app, ada, known, browser):
    from app.groups import service

    assert browser.get(known.request()).status == 403
    with app.app_context():
        service.create("agents", by="test")
        service.add_member("agents", ada.id, by="test")
        db.session.commit()
    assert "Allow An agent?" in browser.get(known.request()).text


@pytest.mark.settings(client_document_hosts=("agent.example.com", "*.apps.example.com"), **ON)
@pytest.mark.parametrize(
    ("host", "is_accepted"),
    [
        ("agent.example.com", True), ("AGENT.example.com", True), ("a.apps.example.com", True),
        ("a.b.apps.example.com", True), ("apps.example.com", False), ("evilapps.example.com", False),
        ("other.example.com", False), ("agent.example.com.evil.example", False), ("xagent.example.com", False),
    ],
)  # fmt: skip
def test_client_documents_are_fetched_from_allowed_hosts_only(app, browser, host, is_accepted):
    rp = RelyingParty(app, f"https://{host}/client.json", redirect_uri=f"https://{host}/callback")
    page = browser.get(rp.request())
    assert (page.status, CHECKING in page.text) == ((200, True) if is_accepted else (400, False))


def test_disallowing_client_documents_rejects_their_tokens_at_once(app, make_app, known, browser):
    tokens = allowed(known, browser)
    assert known.userinfo(tokens["access_token"]).status_code == 200
    for different in ({"client_documents": ()}, {"client_document_hosts": ("other.example.com",)}):
        without = RelyingParty(make_app(**(ON | different)), known.id, redirect_uri=known.redirect_uri)
        assert without.userinfo(tokens["access_token"]).status_code == 401
        assert without.refresh(tokens["refresh_token"]).json["error"] == "invalid_client"
    assert known.refresh(tokens["refresh_token"]).status_code == 200


def allowed(rp: RelyingParty, browser: Wire) -> dict[str, str]:
    """Return an app's tokens after someone consents."""
    code = rp.answer(decide(browser, browser.get(rp.request()), "yes"))["code"]
    return rp.exchange(code).json


def test_disabled_client_document_app_stays_disabled_after_refetch(app, known, browser, work, clock):
    from app.oidc import client_store

    tokens = allowed(known, browser)
    with app.app_context():
        client_store.set_disabled(known.id, disabled=True, by="operator")
        db.session.commit()
    assert known.userinfo(tokens["access_token"]).status_code == 401
    clock.shift(2 * 86400)
    browser.get(known.request())
    work()
    assert browser.get(known.request()).status == 400, "reading it again does not enable it"


def test_operator_client_with_a_url_id_is_not_fetched(app, site, browser, work, rows):
    store(app, site.url(), secret="", auth_method="none", redirect_uris=[site.url("/callback")], name="Ours")
    ours = RelyingParty(app, site.url(), redirect_uri=site.url("/callback"))
    assert "Allow Ours?" in browser.get(ours.request()).text
    work()
    assert (site.asked, rows(ClientDocument)) == ([], [])


def test_clients_file_entry_with_a_url_id_is_not_fetched(make_app, tmp_path, site, people, work):
    path = tmp_path / "clients.toml"
    address = f'[clients."{site.url()}"]\nname = "Ours"\nauth_method = "none"\n'
    path.write_text(address + f'redirect_uris = ["{site.url("/callback")}"]\n')
    app = make_app(clients_file=str(path), **ON)
    browser = sign_in(Wire(app, "form"), people.open("eve@example.com", methods=["email"]))
    ours = RelyingParty(app, site.url(), redirect_uri=site.url("/callback"))
    assert "Allow Ours?" in browser.get(ours.request()).text


@pytest.mark.both_databases
def test_operator_client_takes_precedence_over_a_pending_document(app, agent, browser, work, clock, rows):
    browser.get(agent.request())
    store(app, agent.id, secret="", auth_method="none", redirect_uris=[agent.redirect_uri], name="Ours")
    work()
    assert [(row.source, row.registered["name"]) for row in rows(OAuthClient)] == [("command", "Ours")]
    clock.shift(31 * 86400)
    prune(app)
    assert [row.source for row in rows(OAuthClient)] == ["command"]


def test_pending_document_is_not_fetched_after_its_host_was_disallowed(make_app, agent, browser, site, rows):
    browser.get(agent.request())
    changed = make_app(**(ON | {"client_document_hosts": ("other.example.com",)}))
    with changed.app_context():
        client_documents.fetch_due(threading.Event())
        db.session.commit()
    assert site.asked == []
    assert rows(ClientDocument)[0].fault == "The host of the document is not accepted here."


@pytest.mark.both_databases
@pytest.mark.settings(client_documents=())
def test_worker_runs_no_document_query_when_documents_are_disabled(work, statements):
    with statements() as seen:
        work()
    assert [each for each in seen if "oauth_document" in each] == []


# --- what is no client id -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "client_id",
    [
        "http://agent.example.com/client.json", "https://agent.example.com", "HTTPS://agent.example.com/client.json",
        "https://agent.example.com/client.json#part", "https://ada@agent.example.com/client.json",
        "https://ada:secret@agent.example.com/client.json", "https://agent.example.com/./client.json",
        "https://agent.example.com/../client.json", "https://agent.example.com/a/%2e%2e/client.json",
        "https://agent.example.com/a/.%2E", "https://agent.example.com/.", "https://agent.example.com:port/x",
        "https://agent.example.com:/x", "https://agent.example.com:99999/x", "https://agent.example.com\\@evil/x",
        "https:///client.json", "https://agent.example.com/a b", "https://agent.example.com/ä", "https://",
        "https://agent.example.com/" + "x" * 230, "ftp://agent.example.com/x", "javascript:alert(1)",
        "https://agent.example.com/x\0", "https://[::1/x", "https://*.example.com/x", "https://agent.example.com/%zz",
    ],
)  # fmt: skip
def test_malformed_document_url_is_an_unknown_client(app, browser, rows, client_id):
    rp = RelyingParty(app, client_id)
    page = browser.get(rp.request())
    assert page.status in (400, 413)
    assert CHECKING not in page.text
    assert rows(ClientDocument) == []


def test_repeated_client_id_is_rejected(agent, browser, rows):
    assert browser.get(agent.request(client_id=[agent.id, agent.id])).status == 400
    assert rows(ClientDocument) == []


# --- documents that are no good -----------------------------------------------------------------

WRONG = {
    "no client_id": {"client_id": None},
    "client_id in another case": {"client_id": "https://AGENT.example.com:{port}/client.json"},
    "client_id with another port": {"client_id": "https://agent.example.com/client.json"},
    "client_id with a slash": {"client_id": "https://agent.example.com:{port}/client.json/"},
    "client_id with a query": {"client_id": "https://agent.example.com:{port}/client.json?"},
    "client_id on another host": {"client_id": "https://other.example.com:{port}/client.json"},
    "client_id that is a list": {"client_id": ["https://agent.example.com:{port}/client.json"]},
    "client_id that is a number": {"client_id": 7},
    "a secret": {"client_secret": "secret"},
    "an empty secret": {"client_secret": ""},
    "a secret that expires": {"client_secret_expires_at": 0},
    "client_secret_basic": {"token_endpoint_auth_method": "client_secret_basic"},
    "client_secret_post": {"token_endpoint_auth_method": "client_secret_post"},
    "client_secret_jwt": {"token_endpoint_auth_method": "client_secret_jwt"},
    "tls_client_auth": {"token_endpoint_auth_method": "tls_client_auth"},
    "method that is a list": {"token_endpoint_auth_method": ["none"]},
    "method that is an object": {"token_endpoint_auth_method": {}},
    "private_key_jwt without keys": {"token_endpoint_auth_method": "private_key_jwt"},
    "private_key_jwt with keys elsewhere": {
        "token_endpoint_auth_method": "private_key_jwt", "jwks_uri": "https://agent.example.com/jwks"
    },
    "a private key": {"jwks": {"keys": [Signer().key.as_dict(private=True)]}},
    "a shared key": {"jwks": {"keys": [{"kty": "oct", "k": "AAAA"}]}},
    "keys that are text": {"jwks": "{}"},
    "no redirect_uris": {"redirect_uris": None},
    "empty redirect_uris": {"redirect_uris": []},
    "redirect_uris that are text": {"redirect_uris": "https://agent.example.com:{port}/callback"},
    "redirect_uris with a number": {"redirect_uris": [7]},
    "redirect_uris with null": {"redirect_uris": [None]},
    "redirect to another origin": {"redirect_uris": ["https://evil.example.com/callback"]},
    "redirect to another port": {"redirect_uris": ["https://agent.example.com/callback"]},
    "redirect to a subdomain": {"redirect_uris": ["https://x.agent.example.com:{port}/callback"]},
    "one redirect of two to another origin": {
        "redirect_uris": ["https://agent.example.com:{port}/callback", "https://evil.example.com/callback"]
    },
    "redirect without TLS": {"redirect_uris": ["http://agent.example.com:{port}/callback"]},
    "redirect to a script": {"redirect_uris": ["javascript:alert(1)"]},
    "redirect to another's scheme": {"redirect_uris": ["com.evil.app:/callback"]},
    "return to another origin": {"post_logout_redirect_uris": ["https://evil.example.com/bye"]},
    "no name": {"client_name": 7},
    "name that turns": {"client_name": "a\u202eb"},
    "name that shows nothing": {"client_name": "\u3164"},
    "long name": {"client_name": "x" * 81},
    "logo that is a script": {"logo_uri": "javascript:alert(1)"},
    "grants that are text": {"grant_types": "authorization_code"},
    "no grant of ours": {"grant_types": ["client_credentials"]},
    "no response of ours": {"response_types": ["token"]},
    "scope that is a list": {"scope": ["openid"]},
    "logout address without TLS": {"backchannel_logout_uri": "http://10.0.0.1/logout"},
}  # fmt: skip


@pytest.mark.one_database
@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG)
def test_invalid_client_document_is_rejected(agent, site, browser, work, rows, wrong):
    filled = json.loads(json.dumps(wrong).replace("{port}", str(site.port)))
    site.publish(**filled)
    fault = fault_of(browser, agent, work)
    assert len(fault) > 10
    assert "evil" not in fault
    assert rows(OAuthClient) == []


BODIES = {
    "a list": b"[]", "text": b'"x"', "nothing": b"", "no JSON": b"{", "null": b"null", "no UTF-8": b'{"a":"\xff"}',
    "UTF-16": '{"client_id": "x"}'.encode("utf-16"), "a byte order mark": b"\xef\xbb\xbf{}",
    "deep": b'{"a":' + b"[" * 900 + b"]" * 900 + b"}", "deep objects": b'{"a":' * 400 + b"1" + b"}" * 400,
    "NaN": b'{"a": NaN}', "NUL": b'{"client_name": "a\\u0000b"}', "a surrogate": b'{"client_name": "\\ud800"}',
}  # fmt: skip


@pytest.mark.one_database
@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_client_document_that_is_not_a_json_object_is_rejected(agent, site, browser, work, body):
    site.documents["/client.json"] = body
    assert fault_of(browser, agent, work) == "The document is not one JSON object."


@pytest.mark.one_database
def test_client_document_with_duplicate_member_is_rejected(agent, site, browser, work):
    document = json.dumps(site.documents["/client.json"])
    site.documents["/client.json"] = (document[:-1] + ', "client_id": "https://other.example.com/"}').encode()
    assert fault_of(browser, agent, work) == "The document is not one JSON object."


def test_unsupported_and_privileged_document_members_are_ignored(app, agent, site, browser, work, rows):
    site.publish(
        grant_types=["authorization_code", "client_credentials"], response_types=["code", "token"],
        scope="openid email mcp:tools", jwks_uri="https://agent.example.com/jwks", software_id="x", contacts=["a@b.c"],
        consent="trusted", groups=["staff"], introspects=True, resources=["https://api.example.com"], unheard_of={},
    )  # fmt: skip
    browser.get(agent.request())
    work()
    client = client_of_row(app, rows(OAuthClient)[0])
    assert (client.grant_types, client.scopes) == (("authorization_code",), ("openid", "email"))
    assert (client.consent, client.groups, client.introspects, client.resources) == ("ask", (), False, ())


@pytest.mark.parametrize("uri", ["com.example.agent:/callback", "com.example.agent.app:/callback", "com.example:/cb"])
def test_private_use_scheme_of_the_documents_domain_is_accepted(app, site, browser, work, uri):
    agent = RelyingParty(app, site.publish(redirect_uris=[uri]), redirect_uri=uri)
    browser.get(agent.request())
    work()
    assert "Allow An agent?" in browser.get(agent.request()).text


# --- what hostile servers do --------------------------------------------------------------------


def test_document_fetch_from_a_hanging_server_times_out(monkeypatch, agent, site, browser, work):
    monkeypatch.setattr(client_documents, "TIMEOUT", 0.3)
    site.answer = lambda handler, over: over.wait(10)
    began = time.monotonic()
    assert fault_of(browser, agent, work) == "The document can't be read: its server takes too long."
    assert time.monotonic() - began < 3


@pytest.mark.both_databases
def test_client_documents_are_fetched_concurrently(monkeypatch, app, site, browser, work):
    monkeypatch.setattr(client_documents, "TIMEOUT", 0.5)
    site.answer = lambda handler, over: over.wait(10)
    for number in range(8):
        browser.get(RelyingParty(app, site.publish(f"/{number}.json")).request())
    began = time.monotonic()
    work()
    assert len(site.asked) == 8
    assert time.monotonic() - began < 2


@pytest.mark.settings(client_documents=("everyone",), client_documents_loopback=False)
@pytest.mark.parametrize("address", ["127.0.0.1", "10.0.0.1", "169.254.169.254", "::1"])
def test_client_document_in_a_private_network_is_not_fetched(agent, site, names, browser, work, address):
    names["agent.example.com"] = [address]
    fault = fault_of(browser, agent, work)
    assert fault == "The document can't be read: its server can't be reached on the public internet."
    assert site.asked == []


def test_redirected_oversized_or_compressed_document_is_rejected(app, site, browser, work):
    redirecting = RelyingParty(app, site.publish("/1.json"))
    site.status, site.headers["Location"] = 302, site.publish("/other.json")
    assert "redirects" in fault_of(browser, redirecting, work)
    site.status = 200
    large = RelyingParty(app, site.publish("/2.json", more="x" * 5200))
    assert "too large" in fault_of(browser, large, work)
    site.headers["Content-Encoding"] = "gzip"
    assert "compressed" in fault_of(browser, RelyingParty(app, site.publish("/3.json")), work)
    assert "/other.json" not in site.asked


# --- how often ----------------------------------------------------------------------------------


def test_fresh_client_document_is_not_refetched(known, site, browser, work, clock):
    site.documents["/client.json"]["client_name"] = "Renamed"
    clock.shift(3500)
    assert "Allow An agent?" in browser.get(known.request()).text
    work()
    assert len(site.asked) == 1
    clock.shift(200)
    assert CHECKING in browser.get(known.request()).text
    work()
    assert "Allow Renamed?" in browser.get(known.request()).text


@pytest.mark.parametrize(
    ("header", "fresh", "stale"),
    [("max-age=0", 290, 310), ("no-store", 290, 310), ("max-age=1200", 1190, 1210), ("max-age=9999999", 86390, 86410)],
)
def test_cache_control_of_document_is_honored_within_bounds(agent, site, browser, work, clock, header, fresh, stale):
    site.headers["Cache-Control"] = header
    browser.get(agent.request())
    work()
    clock.shift(fresh)
    assert "Allow An agent?" in browser.get(agent.request()).text
    clock.shift(stale - fresh)
    assert CHECKING in browser.get(agent.request()).text


def test_document_that_expires_mid_request_does_not_interrupt_it(known, browser, clock):
    clock.shift(3590)
    page = browser.get(known.request())
    clock.shift(600)
    again = browser.get(f"/oauth/continue?request={page.page.value('request')}")
    assert "Allow An agent?" in again.text
    assert "code" in known.answer(decide(browser, again, "yes"))


def test_failed_document_fetch_is_retried_after_a_minute(agent, site, browser, work, clock):
    site.status = 500
    assert "not 200" in fault_of(browser, agent, work)
    site.status = 200
    assert browser.get(agent.request()).status == 400
    work()
    assert len(site.asked) == 1
    clock.shift(61)
    assert CHECKING in browser.get(agent.request()).text
    work()
    assert "Allow An agent?" in browser.get(agent.request()).text


def test_failed_refetch_keeps_existing_tokens_and_metadata(known, site, browser, work, clock, rows):
    tokens = allowed(known, browser)
    site.documents["/client.json"] = b"gone"
    clock.shift(3601)
    assert "not one JSON object" in fault_of(browser, known, work)
    assert known.refresh(tokens["refresh_token"]).status_code == 200
    assert rows(OAuthClient)[0].registered["name"] == "An agent"


def test_redirect_uri_removed_from_document_is_rejected(known, site, browser, work, clock):
    site.publish(redirect_uris=[LOOPBACK])
    clock.shift(3601)
    back = refresh_of(browser.get(known.request()))
    work()
    assert browser.get(back).status == 400
    assert "Location" not in browser.get(back).response.headers


@pytest.mark.both_databases
def test_known_client_document_is_refetched_daily(known, site, work, clock, rows):
    clock.shift(86_390)
    work()
    assert len(site.asked) == 1
    clock.shift(20)
    site.publish(client_name="Renamed")
    work()
    assert len(site.asked) == 2
    assert rows(OAuthClient)[0].registered["name"] == "Renamed"
    assert [event.facts["by"] for event in rows(Event, name="client.changed")] == ["document"]


def test_refetching_an_unchanged_document_records_no_event(known, work, clock, rows):
    clock.shift(86_500)
    work()
    assert rows(Event, name="client.changed") == []


@pytest.mark.both_databases
@pytest.mark.settings(failures_per_address=3, **ON)
def test_document_fetches_are_rate_limited_per_ip_address(app, site, browser, rows):
    found = [browser.get(RelyingParty(app, site.publish(f"/{number}.json")).request()).status for number in range(5)]
    assert found == [200, 200, 200, 429, 429]
    assert len(rows(ClientDocument)) == 3


@pytest.mark.parametrize(("bound", "are_good"), [("MAX_PER_HOST", True), ("MAX_INVALID_PER_HOST", False)])
def test_number_of_documents_per_host_is_limited(monkeypatch, app, site, browser, work, rows, bound, are_good):
    monkeypatch.setattr(client_documents, bound, 2)
    found = []
    for number in range(3):
        found.append(browser.get(RelyingParty(app, site.publish(f"/{number}.json")).request()).status)
        if are_good:
            work()
    assert (found, len(rows(ClientDocument))) == ([200, 200, 429], 2)
    other = RelyingParty(app, site.publish("/x.json", host="other.example.com"))
    assert browser.get(other.request()).status == 200


@pytest.mark.parametrize("bound", ["MAX_DOCUMENTS", "MAX_WAITING"])
def test_total_number_of_documents_is_limited(monkeypatch, app, site, browser, rows, bound):
    monkeypatch.setattr(client_documents, bound, 1)
    assert browser.get(RelyingParty(app, site.publish("/1.json")).request()).status == 200
    full = browser.get(RelyingParty(app, site.publish("/2.json", host="other.example.com")).request())
    assert (full.status, full.response.headers["Retry-After"]) == (429, "60")
    assert "Too many apps are being checked" in full.text
    assert len(rows(ClientDocument)) == 1


def test_checking_page_stops_refreshing_when_no_worker_responds(agent, browser, clock):
    back = refresh_of(browser.get(agent.request()))
    clock.shift(21)
    late = browser.get(back)
    assert late.status == 200
    assert "taking longer than expected" in late.text
    assert "http-equiv" not in late.text


@pytest.mark.both_databases
def test_unused_client_document_is_pruned(app, known, browser, site, work, clock, rows):
    prune(app)
    assert len(rows(ClientDocument)) == 1
    clock.shift(31 * 86400)
    prune(app)
    assert (rows(ClientDocument), rows(OAuthClient)) == ([], [])


@pytest.mark.both_databases
def test_client_document_with_grants_is_not_pruned(app, known, browser, clock, rows):
    allowed(known, browser)
    assert len(rows(Grant)) == 1
    clock.shift(31 * 86400)
    prune(app)
    assert (len(rows(ClientDocument)), len(rows(OAuthClient))) == (1, 1)


@pytest.mark.both_databases
def test_document_that_was_never_valid_is_pruned_after_ten_minutes(app, agent, site, browser, work, clock, rows):
    site.status = 404
    fault_of(browser, agent, work)
    prune(app)
    assert len(rows(ClientDocument)) == 1
    clock.shift(601)
    prune(app)
    assert rows(ClientDocument) == []


def prune(app) -> None:
    with app.app_context():
        for cleanup in (client_documents.prune_unused_apps, client_documents.prune_documents):
            cleanup()
            db.session.commit()


@pytest.mark.both_databases
def test_concurrent_workers_fetch_a_document_once(app, agent, browser, site, work):
    browser.get(agent.request())
    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert site.asked == ["/client.json"]


@pytest.mark.both_databases
def test_interrupted_document_fetch_is_resumed_by_the_next_worker(monkeypatch, agent, browser, site, work):
    from app.outbox.channels import Interrupted

    def stopped(*_given, **_more):
        raise Interrupted

    browser.get(agent.request())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(client_documents, "fetch_json", stopped)
        patch.setattr(client_documents, "BATCH", 0)
        work()
    work()
    assert "Allow An agent?" in browser.get(agent.request()).text


# --- where no page may be shown -----------------------------------------------------------------


def test_prompt_none_for_unknown_client_document_returns_503_without_redirect(agent, browser, work):
    answer = browser.client.get(agent.request(prompt="none"))
    assert (answer.status_code, answer.headers.get("Location")) == (503, None)
    assert answer.headers["Retry-After"] == "2"
    work()
    assert agent.answer(browser.client.get(agent.request(prompt="none")))["error"] == "consent_required"


def test_prompt_none_with_stale_document_redirects_temporarily_unavailable(known, browser, clock):
    clock.shift(3601)
    answer = known.answer(browser.client.get(known.request(prompt="none")))
    assert (answer["error"], answer["state"]) == ("temporarily_unavailable", known.state)
    elsewhere = browser.client.get(known.request(prompt="none", redirect_uri="https://evil.example.com/"))
    assert (elsewhere.status_code, elsewhere.headers.get("Location")) == (503, None)


@pytest.mark.settings(failures_per_address=1, **ON)
def test_prompt_none_returns_error_to_known_client_when_fetches_are_rate_limited(app, known, browser, site, clock):
    clock.shift(3601)
    browser.get(RelyingParty(app, site.url("/other.json")).request())
    assert browser.get(known.request()).status == 429
    answer = known.answer(browser.client.get(known.request(prompt="none")))
    assert answer["error"] == "temporarily_unavailable"


def test_pushed_request_returns_503_until_the_document_is_fetched(agent, browser, site, work):
    answer = agent.push()
    assert (answer.status_code, answer.json["error"]) == (503, "temporarily_unavailable")
    assert answer.headers["Retry-After"] == "2"
    work()
    assert "Allow An agent?" in browser.get(agent.pushed()).text
    site.status = 500


def test_pushed_request_with_invalid_document_describes_the_fault(agent, site, work):
    site.publish(client_secret="secret")
    agent.push()
    work()
    answer = agent.push()
    assert (answer.status_code, answer.json["error"]) == (401, "invalid_client")
    assert "client_secret" in answer.json["error_description"]


def test_device_authorization_returns_503_until_the_document_is_fetched(app, agent, browser, site, work):
    site.publish(grant_types=[GRANT], redirect_uris=[], response_types=[])
    answer = agent.post("/oauth/device", scope="openid")
    assert (answer.status_code, answer.json["error"], answer.headers["Retry-After"]) == (
        503, "temporarily_unavailable", "2",
    )  # fmt: skip
    work()
    device = Device(agent, scope="openid")
    assert (
        'trust <strong class="breakable">agent.example.com</strong>'
        in browser.post("/device", user_code=device.user_code).text
    )
    browser.post("/device/consent", user_code=device.user_code, allow="yes")
    assert device.tokens()["access_token"]


def test_token_endpoint_triggers_no_document_fetch(agent, rows):
    assert agent.exchange("code").json["error"] == "invalid_client"
    assert rows(ClientDocument) == []


def test_checking_page_refresh_stores_no_second_request(agent, browser, rows):
    back = refresh_of(browser.get(agent.request()))
    for _ in range(3):
        browser.get(back)
    assert len(rows(AuthorizationRequest)) == 1


def test_document_fault_is_html_escaped(agent, site, browser, work):
    site.publish(client_name="<script>alert(1)</script>\n")
    assert "<script>alert" not in fault_of(browser, agent, work)


# --- strangers who misuse it --------------------------------------------------------------------


@pytest.mark.parametrize("bound", ["MAX_DOCUMENTS", "MAX_PER_HOST", "MAX_INVALID_PER_HOST", "MAX_WAITING"])
def test_missing_documents_do_not_crowd_out_known_clients(monkeypatch, app, known, browser, site, work, clock, bound):
    clock.shift(3601)
    browser.get(RelyingParty(app, site.url("/nothing.json")).request())
    monkeypatch.setattr(client_documents, bound, 1)
    back = refresh_of(browser.get(known.request()))
    work()
    assert "Allow An agent?" in browser.get(back).text


@pytest.mark.both_databases
def test_invalid_documents_from_one_address_do_not_block_other_apps_of_the_host(app, agent, browser, site):
    for number in range(client_documents.MAX_PER_HOST + 5):
        assert browser.get(RelyingParty(app, site.url(f"/{number}")).request()).status == 200
    assert CHECKING in browser.get(agent.request()).text
    usual = Settings.model_fields["failures_per_address"].default
    assert usual < client_documents.MAX_INVALID_PER_HOST


@pytest.mark.both_databases
def test_invalid_documents_count_toward_the_host_limit_for_ten_minutes(
    monkeypatch, app, agent, browser, site, work, clock
):
    monkeypatch.setattr(client_documents, "MAX_INVALID_PER_HOST", 1)
    browser.get(RelyingParty(app, site.url("/nothing.json")).request())
    work()
    assert browser.get(agent.request()).status == 429
    clock.shift(601)
    assert CHECKING in browser.get(agent.request()).text


@pytest.mark.both_databases
def test_client_document_never_consented_to_is_pruned_after_a_day(app, known, browser, clock, rows):
    clock.shift(86_000)
    prune(app)
    assert len(rows(OAuthClient)) == 1
    clock.shift(1_000)
    prune(app)
    assert (rows(ClientDocument), rows(OAuthClient)) == ([], [])


@pytest.mark.both_databases
def test_client_document_once_consented_to_is_kept_for_a_month(app, known, browser, clock, rows):
    allowed(known, browser)
    with app.app_context():
        db.session.execute(sa.delete(Grant))
        db.session.commit()
    clock.shift(29 * 86400)
    prune(app)
    assert len(rows(OAuthClient)) == 1
    clock.shift(2 * 86400)
    prune(app)
    assert rows(OAuthClient) == []


@pytest.mark.both_databases
def test_disabled_client_document_is_not_pruned(app, known, browser, work, clock, rows):
    from app.oidc import client_store

    with app.app_context():
        client_store.set_disabled(known.id, disabled=True, by="operator")
        db.session.commit()
    clock.shift(31 * 86400)
    prune(app)
    browser.get(known.request())
    work()
    assert browser.get(known.request()).status == 400
    assert [row.disabled_at is None for row in rows(OAuthClient)] == [False]


def test_operator_client_works_despite_an_earlier_failed_document(app, agent, browser, site, work):
    site.status = 404
    fault_of(browser, agent, work)
    store(app, agent.id, secret="", auth_method="none", redirect_uris=[agent.redirect_uri], name="Ours")
    assert "Allow Ours?" in browser.get(agent.request()).text
    assert agent.push().status_code == 201


@pytest.mark.settings(exchanges_per_address=2, **ON)
@pytest.mark.parametrize("path", ["/oauth/par", "/oauth/device"])
def test_private_key_jwt_documents_are_rate_limited_per_ip_address(app, site, browser, work, path):
    signer = Signer()
    keys = {"token_endpoint_auth_method": "private_key_jwt", "jwks": signer.jwks}
    client_id = site.publish(grant_types=["authorization_code", GRANT], **keys)
    agent = RelyingParty(app, client_id, redirect_uri=site.url("/callback"))
    agent.push()
    work()

    def asked() -> int:
        return agent.post(path, auth=False, **agent.parameters(), **signer.sign(client_id)).status_code

    ok = 201 if path == "/oauth/par" else 200
    assert [asked() for _ in range(3)] == [ok, ok, 429]


def test_scope_added_to_document_after_consent_page_requires_consent_again(agent, site, browser, work, clock, rows):
    site.headers["Cache-Control"] = "no-store"
    site.publish(scope="openid")
    browser.get(agent.request())
    work()
    page = browser.get(agent.request(scope="openid email"))
    assert "See your email" not in page.text
    site.publish(scope="openid email")
    clock.shift(301)
    browser.get(RelyingParty(agent.app, agent.id, redirect_uri=agent.redirect_uri).request())
    work()
    again = decide(browser, page, "yes")
    assert again.status_code == 200, "nothing is given for what was not shown"
    assert "See your email" in again.text
    answer = agent.answer(decide(browser, page, "yes"))
    assert agent.exchange(answer["code"]).json["scope"] == "openid email"


def test_pairwise_sub_is_derived_from_the_document_host(app, site, browser, work):
    from app.oidc.subjects import subject_for

    found = {}
    for path, host, uris in (
        ("/1.json", "agent.example.com", [LOOPBACK]),
        ("/2.json", "agent.example.com", [site.url("/callback")]),
        ("/3.json", "other.example.com", [LOOPBACK]),
    ):
        client_id = site.publish(path, host, redirect_uris=uris, subject_type="pairwise")
        browser.get(RelyingParty(app, client_id).request())
        work()
        with app.app_context():
            client = find_client(client_id)
            assert client is not None
            found[path] = subject_for("handle", client)
    assert found["/1.json"] == found["/2.json"]
    assert found["/1.json"] != found["/3.json"], "apps on loopback can't compare whom they know"


def test_document_fetch_limits_match_the_documentation():
    assert client_documents.TIMEOUT == 3.0
    assert client_documents.MAX_BYTES == 5 * 1024
    assert timedelta(minutes=5) == client_documents.MIN_FRESHNESS
    assert timedelta(days=1) == client_documents.MAX_FRESHNESS
