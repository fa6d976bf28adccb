"""The service below a path of a host, behind a proxy that keeps or strips the path."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from flask import Response
from werkzeug.exceptions import MethodNotAllowed, NotFound

from app.web.sub_path import WithoutPrefix
from config.problems import ConfigurationError
from tests.databases import ROOT
from tests.forward_auth import FILE
from tests.functional.admin.conftest import make_administrator
from tests.functional.web.conftest import addresses
from tests.oidc import REDIRECT, register
from tests.signed_in import sign_in
from tests.sinks import code_in
from tests.wire import Wire

PREFIX = "/auth"
PUBLIC = f"http://localhost{PREFIX}"

pytestmark = [pytest.mark.settings(public_url=PUBLIC), pytest.mark.one_database]

KEPT_INSIDE = ("value",)
"""Attributes whose paths come back to us as they are, as the ``next`` of a form."""


class Addresses(HTMLParser):
    """Every path that a page holds, in whatever attribute."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[tuple[str, str, str]] = []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        for name, value in attrs:
            refreshed = re.fullmatch(r"\d+; ?url=(/.*)", value or "")
            value = refreshed[1] if refreshed else value or ""
            if re.match(r"/(?!/)", value) and name not in KEPT_INSIDE and tag != "path":
                self.found.append((tag, name, value))


@pytest.fixture
def browser(app, people) -> Wire:
    """An administrator's browser, signed in, with something on each page."""
    grace = people.open(email="grace@example.com", username="grace", methods=["email", "authenticator"])
    return sign_in(Wire(app, "form"), make_administrator(app, grace))


def leads_somewhere(app, path: str) -> bool:
    """Return whether a path without its prefix is one of the application's."""
    try:
        app.url_map.bind("localhost").match(urlsplit(path).path.removeprefix(PREFIX) or "/")
    except MethodNotAllowed:
        return True
    except NotFound:
        return False
    return True


def test_every_link_in_every_page_has_the_path_prefix(app, browser):
    stranger, seen = app.test_client(), 0
    for path in addresses(app, "GET"):
        if path == "/logout" or path.startswith("/.latchkey"):  # it ends the session; at hosts of apps
            continue
        for client in (browser.client, stranger):
            answer = client.get(PREFIX + path, headers={"Accept": "text/html"})
            if answer.headers.get("Location", "").startswith("/"):
                assert answer.headers["Location"].startswith(PREFIX + "/"), path
            if answer.mimetype != "text/html":
                continue
            found = Addresses(answer.text).found
            for tag, name, value in found:
                assert value.startswith(PREFIX + "/"), (path, tag, name, value)
                assert not value.startswith(PREFIX * 2 + "/"), (path, tag, name, value)
                assert leads_somewhere(app, value), (path, tag, name, value)
            seen += bool(found)
    assert seen > 60


@pytest.mark.parametrize("sent", [PREFIX, ""], ids=["passed on", "taken away"])
def test_sign_in_by_code_works_below_a_sub_path(app, people, mail_to, sent):
    people.open(email="ada@example.com", methods=["email"])
    client = app.test_client()
    page = Wire(app, "form")
    page.client = client
    token = page_token(client.get(f"{sent}/us-signin"))
    asked = client.post(
        f"{sent}/us-signin/send-code", data={"identity": "ada@example.com", "csrf_token": token, "next": "/sessions"}
    )
    assert asked.status_code in (200, 303)
    if asked.status_code == 303:
        assert asked.headers["Location"].startswith(f"{PREFIX}/us-signin")
    mail = mail_to("ada@example.com")
    assert f"{PUBLIC}/us-verify-link?token=" in mail.text
    assert "http://localhost/us" not in mail.text
    form = {"identity": "ada@example.com", "passcode": code_in(mail), "csrf_token": token, "next": "/sessions"}
    entered = client.post(f"{sent}/us-signin", data=form)
    assert (entered.status_code, entered.headers["Location"]) == (302, f"{PREFIX}/sessions")
    assert {cookie.path for cookie in client._cookies.values()} == {"/"}  # as __Host- asks for
    assert client.get(f"{sent}/sessions").status_code == 200


def page_token(answer) -> str:
    return re.search(r'name="csrf_token" value="([^"]+)"', answer.text)[1]


def test_emailed_link_works_below_a_sub_path(app, people, mail_to):
    people.open(email="ada@example.com", methods=["email"])
    client = app.test_client()
    token = page_token(client.get(f"{PREFIX}/us-signin"))
    client.post(f"{PREFIX}/us-signin/send-code", data={"identity": "ada@example.com", "csrf_token": token})
    link = re.search(rf"{PUBLIC}(/us-verify-link\?token=\S+)", mail_to("ada@example.com").text)[1]
    answer = client.get(PREFIX + link)
    assert (answer.status_code, answer.headers["Location"]) == (302, f"{PREFIX}/")


@pytest.mark.parametrize(
    ("asked_for", "leads_to"),
    [
        ("/sessions", "/auth/sessions"),
        ("/auth/sessions?a=b", "/auth/sessions?a=b"),
        ("/auth", "/auth/"),
        ("http://localhost/auth/sessions", "/auth/sessions"),
        ("http://localhost/authors", "/auth/"),
        ("http://localhost/dashboard", "/auth/"),
        ("/authors", "/auth/authors"),
        ("/auth//evil.example", "/auth/"),
        ("/auth/../admin", "/auth/"),
        ("//evil.example/auth/", "/auth/"),
        ("http://localhost.evil.example/auth/x", "/auth/"),
    ],
)
def test_next_is_confined_to_the_sub_path(app, browser, asked_for, leads_to):
    with app.test_request_context("/", query_string={"next": asked_for}):
        from app.web.redirects import next_or

        goal = next_or("/")
    with app.test_request_context("/"):
        from flask import redirect

        assert app.process_response(redirect(goal)).headers["Location"] == leads_to


@pytest.mark.parametrize(
    ("target", "leads_to"),
    [
        ("/", "/auth/"),
        ("/us-signin?next=%2Fapps", "/auth/us-signin?next=%2Fapps"),
        ("/auth/apps", "/auth/apps"),  # as an operator may write it in LATCHKEY_POST_LOGIN_URL
        ("//evil.example/auth", "//evil.example/auth"),
        ("https://app.example.com/callback", "https://app.example.com/callback"),
    ],
)
def test_redirect_is_prefixed_once(app, target, leads_to):
    with app.test_request_context("/"):
        assert app.process_response(Response("", 302, {"Location": target})).headers["Location"] == leads_to


@pytest.mark.parametrize(
    ("markup", "sent"),
    [
        ('<a href="/apps">', '<a href="/auth/apps">'),
        ('<a href="/">', '<a href="/auth/">'),
        ('<a href="/auth/apps">', '<a href="/auth/apps">'),
        ('<a href="/authors">', '<a href="/auth/authors">'),
        ('<a href="//cdn.example.com/x">', '<a href="//cdn.example.com/x">'),
        ('<a href="#top" title=" href=&#34;/x">', '<a href="#top" title=" href=&#34;/x">'),
        ('<meta content="2; url=/oauth/x">', '<meta content="2; url=/auth/oauth/x">'),
        ('<input name="next" value="/apps">', '<input name="next" value="/apps">'),
        ('<source\nsrcset="/brand/logo">', '<source\nsrcset="/auth/brand/logo">'),
    ],
)
def test_link_in_a_page_is_prefixed_once(app, markup, sent):
    with app.test_request_context("/"):
        assert app.process_response(Response(markup, mimetype="text/html")).get_data(as_text=True) == sent
        assert app.process_response(Response(markup, mimetype="text/plain")).get_data(as_text=True) == markup


def test_envoy_request_works_with_and_without_prefix():
    for raw in ("/gate/envoy/a%2Fb?x=/auth", "/auth/gate/envoy/a%2Fb?x=/auth"):
        environ = {"PATH_INFO": raw.partition("?")[0], "RAW_URI": raw}
        WithoutPrefix(lambda _environ, _start: [], PREFIX)(environ, lambda *_rest: None)
        assert (environ["RAW_URI"], environ["SCRIPT_NAME"]) == ("/gate/envoy/a%2Fb?x=/auth", PREFIX)


@pytest.mark.settings(public_url=PUBLIC, post_login_url="http://localhost/dashboard")
def test_configured_front_end_on_the_same_host_is_a_valid_next(app):
    from app.web.redirects import safe_next

    with app.test_request_context("/"):
        assert safe_next("http://localhost/reports?a=b") == "http://localhost/reports?a=b"
        assert safe_next("http://localhost/auth/sessions") == "/sessions"
        assert safe_next("/auth/sessions") == "/sessions"  # so that features know their own paths in it


def test_sign_out_below_a_sub_path_does_not_clear_site_data(app, browser):
    answer = browser.client.post(f"{PREFIX}/logout", data={"csrf_token": page_token(browser.client.get(PREFIX))})
    assert (answer.status_code, answer.headers["Location"]) == (302, f"{PREFIX}/")
    assert "Clear-Site-Data" not in answer.headers


def test_json_paths_are_relative_to_the_public_url(client):
    answer = client.get(f"{PREFIX}/us-signin", headers={"Accept": "application/json"})
    assert answer.status_code == 200
    assert f'"{PREFIX}' not in answer.text
    assert client.get(f"{PREFIX}/openapi.json").json["servers"] == [{"url": PREFIX}]


@pytest.mark.parametrize(
    "path",
    [
        "/auth/.well-known/openid-configuration",
        "/.well-known/openid-configuration/auth",
        "/auth/.well-known/oauth-authorization-server",
        "/.well-known/oauth-authorization-server/auth",
    ],
)
def test_discovery_works_at_both_well_known_locations(client, path):
    found = client.get(path).json
    assert found["issuer"] == PUBLIC
    ours = {name: value for name, value in found.items() if name.endswith(("_endpoint", "_uri"))}
    assert len(ours) > 8
    assert all(value.startswith(f"{PUBLIC}/oauth/") for value in ours.values())
    assert client.get(urlsplit(found["jwks_uri"]).path).json["keys"]


def test_oidc_sign_in_works_below_a_sub_path(app, browser):
    client = register(app)
    answer = browser.client.get(PREFIX + client.request())
    given = parse_qs(urlsplit(answer.headers["Location"]).query)
    assert answer.headers["Location"].startswith(REDIRECT)
    assert given["iss"] == [PUBLIC]
    tokens = client.http.post(
        f"{PREFIX}/oauth/token",
        data={"grant_type": "authorization_code", "code": given["code"][0], "redirect_uri": REDIRECT,
              "code_verifier": client.verifier, "client_id": client.id, "client_secret": client.secret},
    )  # fmt: skip
    assert tokens.status_code == 200, tokens.text
    assert client.claims(tokens.json["id_token"])["iss"] == PUBLIC
    stranger = app.test_client().get(PREFIX + client.request())
    assert stranger.headers["Location"].startswith(f"{PREFIX}/us-signin?next=%2Foauth%2Fcontinue")


def test_dpop_htu_includes_the_sub_path(app):
    from app.oidc import dpop

    for path in ("/auth/oauth/token", "/oauth/token"):
        with app.test_request_context("/oauth/token", method="POST"):
            assert dpop._is_request_url("http://localhost" + path) is path.startswith(PREFIX)


def test_passkey_origin_excludes_the_sub_path(app, client):
    with app.app_context():
        from app.extensions import settings

        assert settings.webauthn_origins == ("http://localhost",)
    assert client.get("/.well-known/webauthn").json == {"origins": ["http://localhost"]}
    assert client.get("/.well-known/passkey-endpoints").json["enroll"] == f"{PUBLIC}/wan-register"


def test_protected_app_host_paths_have_no_prefix(make_app, clock, tmp_path):
    (tmp_path / "apps.toml").write_text(FILE)
    app = make_app(public_url=PUBLIC, apps_file=str(tmp_path / "apps.toml"))
    client = app.test_client()
    started = client.get("/.latchkey/start?to=/page", base_url="https://wiki.example.com")
    assert started.headers["Location"].startswith(f"{PUBLIC}/gate/continue?app=wiki.example.com")
    late = "/.latchkey/enter?ticket=x&to=/page"
    notice = client.get(late, base_url="https://wiki.example.com", headers={"Accept": "text/html"})
    assert notice.status_code == 400
    assert "/.latchkey/start?to=" in notice.text
    assert f"{PREFIX}/.latchkey" not in notice.text


def test_public_url_path_clashing_with_our_routes_is_rejected(settings_values):
    from app import create_app
    from config.settings import Settings

    for path in ("/oauth", "/login/here", "/admin"):
        with pytest.raises(ConfigurationError, match="LATCHKEY_PUBLIC_URL has a path that begins with /"):
            create_app(Settings(**settings_values | {"public_url": f"http://localhost{path}"}))


ORIGIN_ALONE = {
    "app/authenticators/password.py", "app/cli/selftest.py", "app/forward_auth/app_file.py", "app/oidc/cors.py",
    "app/oidc/dpop.py", "app/web/csrf.py", "app/web/headers.py",
}  # fmt: skip
"""Where the origin is meant: to compare with what browsers send, and for the name of the host."""


def test_only_listed_modules_use_the_bare_origin():
    sources = (path for path in (ROOT / "app").rglob("*.py") if "settings.origin" in path.read_text())
    assert {str(path.relative_to(ROOT)) for path in sources} == ORIGIN_ALONE


def test_scripts_contain_no_absolute_paths(app):
    for script in Path(app.static_folder).glob("*.js"):
        assert re.findall(r"""(?<![$]=)["'`(]/[a-z][^"'`)]*""", script.read_text()) == [], script.name


@pytest.mark.settings(public_url="http://localhost")
def test_prefix_handling_is_absent_without_a_sub_path(app):
    from app.web import sub_path

    assert "wsgi_app" not in vars(app)
    assert sub_path.add_prefix not in app.after_request_funcs[None]
