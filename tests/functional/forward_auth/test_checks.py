"""The response to a proxy's check: user, assurance level and network."""

from __future__ import annotations

import pytest
import sqlalchemy as sa
import structlog

from tests.forward_auth import NAVIGATION, PROGRAM, Proxy, identity_of
from tests.groups import put_in
from tests.signed_in import sign_in
from tests.wire import Wire

WIKI = "https://wiki.example.com"


def codes(answer) -> list[str]:
    """Return the codes of a refusal in JSON."""
    return list(answer.json["response"]["error_codes"])


@pytest.mark.parametrize("peer", ["10.0.0.9", "192.0.2.1", "::1", "unknown", ""])
def test_request_from_unlisted_proxy_is_rejected(app, dialect, peer):
    proxy = Proxy(Wire(app, "json"), dialect, peer=peer)
    with structlog.testing.capture_logs() as lines:
        answer = proxy.ask(f"{WIKI}/public/x", headers=PROGRAM)
    assert (answer.status_code, codes(answer)) == (403, ["app_proxy_unknown"])
    said = [line for line in lines if line["event"] == "forward_auth.proxy_unknown"]
    assert [(line["peer"], line["remedy"]) for line in said] == [(peer, "list it in LATCHKEY_FORWARD_AUTH_PROXIES")]


def test_no_proxy_is_trusted_by_default(make_app, apps_file):
    app = make_app(apps_file=str(apps_file))
    assert Proxy(Wire(app, "form"), peer="127.0.0.1").ask(f"{WIKI}/public/x").status_code == 403


def test_ipv4_mapped_ipv6_proxy_address_is_trusted(stranger):
    stranger.peer = "::ffff:10.0.0.2"
    assert stranger.ask(f"{WIKI}/public/x").status_code == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "wiki.example.com.evil.example", "xwiki.example.com", "wiki.example.com:8080"]
)
def test_unknown_app_host_is_rejected(app, dialect, host):
    answer = Proxy(Wire(app, "json"), dialect).ask(f"https://{host}/", headers=PROGRAM)
    assert (answer.status_code, codes(answer)) == (403, ["app_host_unknown"])


@pytest.mark.parametrize("host", ["WIKI.example.com", "wiki.example.com:443"])
def test_app_host_matches_regardless_of_case_and_default_port(app, dialect, host):
    assert Proxy(Wire(app, "form"), dialect).ask(f"https://{host}/public/x").status_code == 200


BROKEN = {
    "nginx": {
        "X-Original-URL": [None, "", "wiki.example.com/public/", "ftp://wiki.example.com/", "/public/x", "https:///x",
                           "https://wiki.example.com/public/x, https://wiki.example.com/admin/x",
                           "https://a@wiki.example.com/public/x", "https://wiki.example.com /public/x"],
        "X-Original-Method": [None, "", "GET, POST", "G T", "GET" * 20],
    },
    "forward": {
        "X-Forwarded-Host": [None, "", "wiki.example.com, evil.example", "wiki.example.com/public", "a b"],
        "X-Forwarded-Uri": [None, "", "public/x", "https://wiki.example.com/public/x", "/public/x, /admin/x", "/a b",
                            "/" + "x" * 20_000],
        "X-Forwarded-Method": [None, "", "GET, POST", "get post"],
    },
}  # fmt: skip


@pytest.mark.parametrize(
    ("dialect", "header", "value"),
    [
        (dialect, header, value)
        for dialect, all_of in BROKEN.items()
        for header, values in all_of.items()
        for value in values
    ],
)
def test_missing_repeated_or_malformed_proxy_header_is_rejected(app, dialect, header, value):
    proxy = Proxy(Wire(app, "json"), dialect)
    answer = proxy.ask(f"{WIKI}/public/x", headers=PROGRAM, replace={header: value})
    assert (answer.status_code, codes(answer)) == (403, ["app_request_unreadable"])


def test_proxy_dialect_ignores_headers_of_other_dialects(app, dialect):
    """Visitors can send these headers through a proxy, but its dialect doesn't read them."""
    others = {
        "nginx": {"X-Forwarded-Host": "wiki.example.com", "X-Forwarded-Uri": "/public/x", "X-Forwarded-Method": "GET"},
        "forward": {"X-Original-URL": f"{WIKI}/public/x", "X-Original-Method": "GET", "X-Forwarded-Server": "x"},
        "envoy": {"X-Original-URL": f"{WIKI}/public/x", "X-Forwarded-Uri": "/public/x", "X-Forwarded-Host": "x",
                  "X-Rewrite-URL": "/public/x", "X-Envoy-Original-Path": "/public/x", "X-Original-Method": "GET",
                  "X-HTTP-Method-Override": "GET"},
    }  # fmt: skip
    proxy = Proxy(Wire(app, "form"), dialect)
    spoofed = others[dialect]
    assert proxy.ask(f"{WIKI}/metrics", headers=NAVIGATION | spoofed).status_code == 403
    assert proxy.ask(f"{WIKI}/private", headers=NAVIGATION | spoofed).status_code in (302, 401)


def test_fragment_in_path_is_not_stripped(app):
    """A browser never sends one; an app that gets one may read it as a part of the path."""
    for dialect in ("nginx", "forward"):
        proxy = Proxy(Wire(app, "form"), dialect)
        assert proxy.ask(f"{WIKI}/public/x#/../../admin/x").status_code == 403
        assert proxy.ask(f"{WIKI}/public/x?a#/../../admin/x").status_code == 200


def test_query_parameters_do_not_affect_the_check(stranger):
    asked = {"X-Forwarded-Host": "wiki.example.com", "X-Forwarded-Uri": "/private", "X-Forwarded-Method": "GET"}
    for query in ("?rd=https://evil.example/", "?level=public", "?allowed_groups=x", "?X-Forwarded-Uri=/public/x"):
        answer = stranger.wire.client.get(
            f"/gate/forward{query}",
            headers=asked,
            environ_base={"REMOTE_ADDR": stranger.peer},
        )
        assert answer.headers["Location"] == f"{WIKI}/.latchkey/start?to=%2Fprivate"


def test_spoofed_identity_headers_are_not_forwarded(app, dialect):
    spoofed = dict.fromkeys(("Remote-User", "Remote-Email", "Remote-Name", "Remote-Groups"), "root")
    answer = Proxy(Wire(app, "form"), dialect).ask(f"{WIKI}/public/x", headers=NAVIGATION | spoofed)
    assert identity_of(answer) == ["", "", "", ""]


def test_visitor_address_is_the_last_non_proxy_in_x_forwarded_for(app, stranger):
    for forwarded, passes in (
        ("192.0.2.7", True),
        ("192.0.2.7, 10.0.0.3", True),
        ("192.0.2.7, 203.0.113.5", False),
        ("192.0.2.7, nonsense", False),
        ("203.0.113.5", False),
    ):
        answer = stranger.ask(f"{WIKI}/internal/x", replace={"X-Forwarded-For": forwarded})
        assert (answer.status_code == 302) is passes, forwarded


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        (PROGRAM, 401),
        ({"Accept": "*/*", "Sec-Fetch-Mode": "cors", "Sec-Fetch-Site": "same-origin"}, 401),
        ({"Accept": "image/*", "Sec-Fetch-Mode": "no-cors"}, 401),
        ({"Accept": "*/*", "Upgrade": "websocket"}, 401),
        ({"Accept": "*/*", "Sec-WebSocket-Version": "13"}, 401),
        ({"Accept": "*/*", "Sec-Fetch-Mode": "websocket"}, 401),
        ({"Accept": "*/*"}, 302),
        ({}, 302),
    ],
)
def test_only_page_navigation_is_redirected_to_sign_in(stranger, headers, status):
    answer = stranger.ask(f"{WIKI}/private", headers=headers)
    assert answer.status_code == status
    assert ("Location" in answer.headers) is (status == 302)


def test_signed_out_post_gets_401_saying_nothing_was_sent(app, dialect):
    proxy = Proxy(Wire(app, "form"), dialect)
    answer = proxy.ask(f"{WIKI}/notes", method="POST")
    assert answer.status_code == 401
    assert "Location" not in answer.headers
    assert "nothing was sent" in answer.text
    assert 'target="_blank"' in answer.text
    program = proxy.ask(f"{WIKI}/notes", method="POST", headers=PROGRAM)
    assert (program.status_code, codes(program)) == (401, ["app_nothing_sent"])


FOREIGN = [
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Origin": "https://evil.example"},
    {"Origin": "https://board.example.com"},
    {"Origin": "http://wiki.example.com"},
    {"Origin": "null"},
]

SOCKET = [
    {"Upgrade": "WebSocket"},
    {"Sec-WebSocket-Version": "13"},  # Traefik leaves out what is for the next hop alone
    {"Sec-Fetch-Mode": "websocket"},
]


@pytest.mark.parametrize("headers", FOREIGN)
def test_cross_site_post_or_websocket_is_rejected(proxy, headers):
    proxy.enter(f"{WIKI}/")
    refused = proxy.ask(f"{WIKI}/notes", method="POST", headers=PROGRAM | headers)
    assert (refused.status_code, codes(refused)) == (403, ["app_cross_site"])
    for said in SOCKET:
        socket = proxy.ask(f"{WIKI}/socket", headers=PROGRAM | headers | said)
        assert (socket.status_code, codes(socket)) == (403, ["app_cross_site"])
    assert proxy.ask(f"{WIKI}/notes", headers=NAVIGATION | headers).status_code == 200
    assert proxy.ask(f"{WIKI}/embedded/x", method="POST", headers=PROGRAM | headers).status_code == 200


@pytest.mark.parametrize("headers", FOREIGN)
def test_cross_site_request_to_public_path_is_anonymous(proxy, headers):
    proxy.enter(f"{WIKI}/")
    sent = proxy.ask(f"{WIKI}/public/x", method="POST", headers=PROGRAM | headers)
    assert (sent.status_code, identity_of(sent)) == (200, [""] * 4)
    socket = proxy.ask(f"{WIKI}/public/x", headers=PROGRAM | headers | SOCKET[1])
    assert (socket.status_code, identity_of(socket)) == (200, [""] * 4)
    assert identity_of(proxy.ask(f"{WIKI}/public/x", headers=NAVIGATION | headers))[0] == "ada"
    assert identity_of(proxy.ask(f"{WIKI}/public/x", method="POST", headers=PROGRAM))[0] == "ada"


@pytest.mark.parametrize(
    "headers", [{"Sec-Fetch-Site": "same-origin"}, {"Sec-Fetch-Site": "none"}, {"Origin": WIKI}, {}]
)
def test_same_origin_post_and_websocket_are_allowed(proxy, headers):
    proxy.enter(f"{WIKI}/")
    assert proxy.ask(f"{WIKI}/notes", method="POST", headers=headers).status_code == 200
    assert proxy.ask(f"{WIKI}/socket", headers=headers | {"Upgrade": "websocket"}).status_code == 200


def test_aal2_path_requires_second_factor_and_returns_to_the_app(app, people):
    eve = people.open(email="eve@example.com", methods=["email", "authenticator"])
    wire = sign_in(Wire(app, "form"), eve, via="email")
    proxy = Proxy(wire)
    proxy.enter(f"{WIKI}/")
    answer = proxy.ask(f"{WIKI}/strong")
    assert answer.status_code == 302
    page = proxy.follow(proxy.follow(answer))
    assert page.status_code == 200
    assert "/us-verify?next=" in page.text
    sign_in(wire, eve, via="email,authenticator")
    entered = proxy.follow(proxy.follow(proxy.follow(proxy.ask(f"{WIKI}/strong"))))
    assert entered.headers["Location"] == "/strong"
    assert proxy.ask(f"{WIKI}/strong").status_code == 200


def test_path_with_max_age_requires_reauthentication_when_exceeded(proxy, clock):
    proxy.enter(f"{WIKI}/")
    assert proxy.ask(f"{WIKI}/bank/x").status_code == 200
    clock.shift(301)
    assert proxy.ask(f"{WIKI}/").status_code == 200
    answer = proxy.ask(f"{WIKI}/bank/x")
    assert answer.status_code == 302
    assert proxy.follow(proxy.follow(answer)).headers["Location"].startswith("/us-verify?next=")


def token_of(app, person, *scopes) -> str:
    """Return a new API token."""
    from datetime import timedelta

    from app.extensions import db
    from app.sessions import api_tokens

    with app.app_context():
        token = api_tokens.issue(person.id, "script", scopes, timedelta(days=1), "")[1]
        db.session.commit()
    return token


def test_api_token_with_apps_scope_is_accepted_with_one_query(app, ada, stranger, dialect, statements):
    stranger.dialect = dialect
    token = token_of(app, ada, "apps")
    with statements() as counted:
        answer = stranger.ask(f"{WIKI}/notes", method="POST", headers={"Authorization": f"Bearer {token}"})
    assert answer.status_code == 200
    assert identity_of(answer) == ["ada", "ada@example.com", "ada", ""]
    assert len([each for each in counted if each.startswith("SELECT")]) == 1


def test_remote_name_header_is_utf_8(app, ada, stranger):
    sign_in(Wire(app, "json"), ada).post("/identities/name", name="Zoë 愛")
    answer = stranger.ask(f"{WIKI}/notes", headers={"Authorization": f"Bearer {token_of(app, ada, 'apps')}"})
    assert answer.headers["Remote-Name"].encode("latin-1").decode() == "Zoë 愛"


def test_api_token_is_limited_to_its_scope_and_rules(app, ada, stranger):
    put_in(app, ada, "admins")
    other, right = token_of(app, ada, "read"), token_of(app, ada, "apps")
    for token, path in ((other, "/notes"), (right, "/admin/x"), (right, "/bank/x"), (right[:-1] + "x", "/notes")):
        answer = stranger.ask(f"{WIKI}{path}", headers={"Authorization": f"Bearer {token}"})
        assert answer.status_code == 401
        assert answer.headers["WWW-Authenticate"] == "Bearer"
        assert codes(answer) == ["app_token_refused"]
    assert identity_of(stranger.ask(f"{WIKI}/public/x", headers={"Authorization": f"Bearer {other}"}))[0] == ""
    assert identity_of(stranger.ask(f"{WIKI}/public/x", headers={"Authorization": f"Bearer {right}"}))[0] == "ada"
    sent = {"Authorization": f"Bearer {right}", "Origin": "https://front.example"}  # no browser sends one by itself
    assert identity_of(stranger.ask(f"{WIKI}/public/x", method="POST", headers=sent))[0] == "ada"


def test_api_token_that_is_revoked_or_of_disabled_account_is_rejected(app, ada, stranger, clock):
    from app.extensions import db
    from app.sessions import api_tokens
    from app.users import User

    token = token_of(app, ada, "apps")
    headers = {"Authorization": f"Bearer {token}"}
    assert stranger.ask(f"{WIKI}/notes", headers=headers).status_code == 200
    with app.app_context():
        db.session.get(User, ada.id).disabled_at = clock.now()
        db.session.commit()
    assert stranger.ask(f"{WIKI}/notes", headers=headers).status_code == 401
    with app.app_context():
        db.session.get(User, ada.id).disabled_at = None
        api_tokens.revoke_all(ada.id)
        db.session.commit()
    assert stranger.ask(f"{WIKI}/notes", headers=headers).status_code == 401


def test_apps_scope_token_is_rejected_by_own_pages(app, ada):
    token = token_of(app, ada, "apps")
    answer = app.test_client().get("/sessions", headers=PROGRAM | {"Authorization": f"Bearer {token}"})
    assert answer.status_code == 403


def test_session_cookie_is_not_accepted_as_app_cookie(browser, proxy):
    [session] = [each for each in browser.client._cookies.values() if each.key == "latchkey_session"]
    browser.client.set_cookie("latchkey_gate", session.value, domain="wiki.example.com")
    browser.client.set_cookie("latchkey_session", session.value, domain="wiki.example.com")
    assert proxy.ask(f"{WIKI}/private").status_code == 302


def test_public_path_sends_empty_custom_identity_headers(app, stranger, make_app, file_of):
    file = file_of(
        '[apps.wiki]\nname = "Wiki"\nurl = "https://wiki.example.com"\nuser = "handle"\n'
        'headers = {"X-WebAuth-User" = "email", "X-WebAuth-Groups" = "groups"}\nlevel = "public"\n'
    )
    app = make_app(apps_file=str(file), forward_auth_proxies=("10.0.0.0/29",))
    answer = Proxy(Wire(app, "form")).ask(f"{WIKI}/")
    assert (answer.headers["X-WebAuth-User"], answer.headers["X-WebAuth-Groups"]) == ("", "")


@pytest.mark.both_databases
def test_unavailable_database_blocks_only_protected_paths(app, proxy, monkeypatch):
    from app.db import DatabaseUnavailable

    proxy.enter(f"{WIKI}/")

    def away(_engine):
        raise DatabaseUnavailable("away")

    monkeypatch.setattr(sa.Engine, "connect", away)
    assert proxy.ask(f"{WIKI}/private").status_code == 503
    assert proxy.ask(f"{WIKI}/metrics").status_code == 403
    public = proxy.ask(f"{WIKI}/public/x")
    assert (public.status_code, identity_of(public)[0]) == (200, "")


def test_webdav_and_options_methods_are_checked_too(app, dialect):
    proxy = Proxy(Wire(app, "form"), dialect)
    for method in ("PROPFIND", "MKCOL", "REPORT", "OPTIONS"):
        assert proxy.ask(f"{WIKI}/cal", method=method).status_code == 401


def test_unconfirmed_email_is_not_sent_to_apps(app, people):
    bo = people.open(phone="+447700900123", methods=["sms"])
    people.give(bo, "email", "boss@example.com", confirmed=False, primary=True)
    proxy = Proxy(sign_in(Wire(app, "form"), bo, via="sms"))
    proxy.enter(f"{WIKI}/")
    user, email, name, groups = identity_of(proxy.ask(f"{WIKI}/"))
    assert (email, name, groups) == ("", "", "")
    assert user
    assert "boss" not in user


@pytest.mark.parametrize("path", ["/gate/continue", "/gate/signed-out?app=wiki.example.com", "/gate/account"])
def test_gate_pages_are_served_on_own_hosts_only(stranger, path):
    assert stranger.open(f"https://evil.example{path}").status_code == 400


@pytest.mark.parametrize("path", ["/gate/env%6fy/metrics", "//gate/envoy/metrics", "/%67ate/envoy/metrics"])
def test_differently_encoded_gate_path_is_rejected(app, path):
    answer = app.test_client().get(
        "/gate/envoy/metrics",
        base_url=WIKI,
        headers=PROGRAM,
        environ_overrides={"RAW_URI": path, "REMOTE_ADDR": "10.0.0.2"},
    )
    assert (answer.status_code, codes(answer)) == (403, ["app_request_unreadable"])


def test_nginx_repeated_check_that_passes_redirects_back_to_the_page(browser):
    proxy = Proxy(browser, "nginx")
    proxy.enter(f"{WIKI}/notes?x=1")
    proxy.was_refused = True
    answer = proxy.ask(f"{WIKI}/notes?x=1")
    assert (answer.status_code, answer.headers["Location"]) == (303, f"{WIKI}/notes?x=1")
    assert proxy.ask(f"{WIKI}/notes", headers=PROGRAM).status_code == 303
    sent = proxy.ask(f"{WIKI}/notes", method="POST", headers=PROGRAM)
    assert (sent.status_code, codes(sent)) == (401, ["app_nothing_sent"])


def test_nginx_repeated_check_of_signed_out_visitor_gives_the_same_answer(stranger):
    stranger.dialect = "nginx"
    first = stranger.ask(f"{WIKI}/notes")
    stranger.was_refused = True
    again = stranger.ask(f"{WIKI}/notes")
    assert (again.status_code, again.headers["Location"]) == (first.status_code, first.headers["Location"])
    assert codes(stranger.ask(f"{WIKI}/metrics", headers=PROGRAM)) == ["app_part_closed"]
