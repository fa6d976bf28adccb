"""From an app to the sign-in and back: the entry ticket, the app's cookie, and signing out."""

from __future__ import annotations

import pytest
import structlog

from app import throttling
from app.audit.models import Event
from app.extensions import db
from app.forward_auth.models import AppSession, EntryTicket
from tests.forward_auth import IDENTITY, Proxy, identity_of, query_of
from tests.groups import put_in, take_out
from tests.signed_in import sign_in
from tests.wire import Wire

WIKI = "https://wiki.example.com"
DEEP = f"{WIKI}/notes/a%20b?x=1&y=%C3%A9"


def test_signed_in_user_returns_to_the_requested_page(browser, dialect):
    proxy = Proxy(browser, dialect)
    answer = proxy.enter(DEEP)
    assert answer.headers["Location"] == DEEP.removeprefix(WIKI)
    passed = proxy.ask(DEEP)
    assert passed.status_code == 200
    assert identity_of(passed) == ["ada", "ada@example.com", "ada", ""]


def test_ip_address_penalty_does_not_block_signed_in_users(app, proxy, stranger):
    """Its address may be that of everyone at an office."""
    with app.app_context():
        throttling.penalize("127.0.0.1")
        db.session.commit()
    assert stranger.wire.post("/us-signin/send-code", identity="ada@example.com", chosen_method="email").status == 429
    assert proxy.enter(DEEP).headers["Location"] == DEEP.removeprefix(WIKI)


def test_sign_in_redirect_is_401_for_nginx_and_302_for_others(app, dialect):
    answer = Proxy(Wire(app, "form"), dialect).ask(DEEP)
    assert answer.status_code == (401 if dialect == "nginx" else 302)
    assert answer.headers["Location"].startswith(f"{WIKI}/.latchkey/start?to=")
    assert query_of(answer.headers["Location"]) == {"to": DEEP.removeprefix(WIKI)}


def test_sign_in_page_names_the_app_and_returns_to_it(app, stranger, ada):
    page = stranger.open(DEEP.replace("notes", ".latchkey/start?to=/notes/1#", 1).partition("#")[0])
    page = stranger.follow(page)
    assert page.headers["Location"].startswith("/us-signin?next=")
    shown = stranger.follow(page)
    assert "Wiki" in shown.text
    sign_in(stranger.wire, ada)
    back = stranger.open(query_of(page.headers["Location"])["next"])
    entered = stranger.follow(back)
    assert entered.headers["Location"] == "/notes/1"
    assert stranger.ask(f"{WIKI}/notes/1").status_code == 200


def test_app_cookie_is_rejected_at_another_app(app, browser, proxy, people):
    proxy.enter(DEEP)
    [cookie] = [each for each in browser.client._cookies.values() if each.key == "latchkey_gate"]
    assert cookie.domain == "wiki.example.com"
    assert cookie.origin_only
    browser.client.set_cookie("latchkey_gate", cookie.value, domain="board.example.org")
    assert proxy.ask("https://board.example.org/").status_code == 302


def test_one_session_grants_access_to_apps_on_several_domains(app, proxy, ada):
    put_in(app, ada, "staff")
    proxy.enter(f"{WIKI}/")
    proxy.enter("https://board.example.org/")
    assert proxy.ask(f"{WIKI}/").status_code == 200
    assert identity_of(proxy.ask("https://board.example.org/")) == ["ada", "ada@example.com", "ada", "staff"]


def ticket_of(proxy: Proxy) -> str:
    """Return where a browser would spend a new ticket."""
    return proxy.follow(proxy.follow(proxy.ask(DEEP))).headers["Location"]


def binding_of(proxy: Proxy):
    """Return the cookie that binds the ticket to the browser."""
    [found] = [each for each in proxy.wire.client._cookies.values() if each.key.startswith("latchkey_gate_entry_")]
    return found


def start_at_once(proxy: Proxy, first: str, second: str) -> list[str]:
    """Begin in two tabs before either has an answer; return where each is sent."""
    client, begun = proxy.wire.client, []
    for path in (first, second):
        kept = dict(client._cookies)
        answer = proxy.open(f"{WIKI}/.latchkey/start?to={path}")
        begun.append((answer.headers["Location"], dict(client._cookies.items())))
        client._cookies.clear()
        client._cookies.update(kept)
    for _, cookies in begun:
        client._cookies.update(cookies)
    return [location for location, _ in begun]


def test_two_tabs_starting_at_once_both_reach_the_app(proxy):
    tabs = start_at_once(proxy, "/one", "/two")
    tickets = [proxy.open(each).headers["Location"] for each in tabs]
    entered = [proxy.open(each) for each in tickets]
    assert [(each.status_code, each.headers["Location"]) for each in entered] == [(303, "/one"), (303, "/two")]
    assert proxy.ask(f"{WIKI}/one").status_code == 200
    assert not [each for each in proxy.wire.client._cookies.values() if each.key.startswith("latchkey_gate_entry")]


def test_second_tab_reuses_the_entry_binding_of_the_first(proxy):
    for path in ("/one", "/two"):
        proxy.open(f"{WIKI}/.latchkey/start?to={path}")
    assert binding_of(proxy)


@pytest.mark.both_databases
def test_entry_ticket_can_be_used_only_once(proxy, rows):
    url = ticket_of(proxy)
    assert proxy.open(url).status_code == 303
    proxy.wire.client.delete_cookie("latchkey_gate", domain="wiki.example.com")
    proxy.wire.client.set_cookie("latchkey_gate_entry_x", "x" * 43, domain="wiki.example.com")
    again = proxy.open(url)
    assert again.status_code == 400
    assert "used before" in again.text
    assert len(rows(AppSession)) == 1


def test_reopening_a_used_ticket_when_signed_in_continues_to_the_page(proxy, rows):
    url = ticket_of(proxy)
    proxy.open(url)
    again = proxy.open(url)
    assert (again.status_code, again.headers["Location"]) == (303, DEEP.removeprefix(WIKI))
    assert len(rows(AppSession)) == 1


def test_entry_ticket_expires_after_thirty_seconds(proxy, clock):
    url = ticket_of(proxy)
    clock.shift(31)
    late = proxy.open(url)
    assert late.status_code == 400
    assert "<h1>This link has expired</h1>" in late.text
    assert f"{WIKI}/.latchkey" not in late.text
    assert late.headers["Referrer-Policy"] == "no-referrer"
    assert "/.latchkey/start?to=" in late.text


@pytest.mark.both_databases
def test_entry_ticket_is_rejected_in_another_browser_and_not_spent(app, proxy, rows):
    url = ticket_of(proxy)
    other = Proxy(Wire(app, "form"))
    other.follow(other.ask(DEEP))  # it has a secret of its own
    assert other.open(url).status_code == 400
    assert rows(AppSession) == []
    assert proxy.open(url).status_code == 303  # and is not spent by that


def test_entry_without_binding_cookie_asks_to_allow_cookies(proxy):
    url = ticket_of(proxy)
    proxy.wire.client.delete_cookie(binding_of(proxy).key, domain="wiki.example.com")
    answer = proxy.open(url)
    assert answer.status_code == 400
    assert "Allow cookies" in answer.text


def test_entry_ticket_is_rejected_at_another_host(proxy):
    url = ticket_of(proxy)
    binding = binding_of(proxy)
    proxy.wire.client.set_cookie(binding.key, binding.value, domain="board.example.org")
    assert proxy.open(url.replace(WIKI, "https://board.example.org")).status_code == 400


def test_prefetch_does_not_spend_the_entry_ticket(proxy, rows):
    url = ticket_of(proxy)
    assert proxy.open(url, **{"Sec-Purpose": "prefetch"}).status_code == 204
    assert len(rows(EntryTicket)) == 1
    assert proxy.open(url).status_code == 303


def test_logout_ends_access_to_the_app_at_once(proxy, browser):
    proxy.enter(DEEP)
    assert proxy.ask(DEEP).status_code == 200
    browser.post("/logout")
    assert proxy.ask(DEEP).status_code == 302


def test_entry_ticket_of_an_ended_session_is_rejected(proxy, browser, rows):
    url = ticket_of(proxy)
    browser.post("/logout")
    assert proxy.open(url).status_code == 400
    assert rows(AppSession) == []


def test_disabled_account_loses_app_access_at_once(app, proxy, ada):
    from app import clock
    from app.extensions import db
    from app.users import User

    proxy.enter(DEEP)
    with app.app_context():
        db.session.get(User, ada.id).disabled_at = clock.now()
        db.session.commit()
    assert proxy.ask(DEEP).status_code == 302


@pytest.mark.both_databases
def test_app_use_keeps_the_session_alive_until_idle_timeout(app, proxy, clock):
    from app.extensions import settings

    with app.app_context():
        idle = settings.session_idle.total_seconds()
    proxy.enter(DEEP)
    for _ in range(3):  # only the app is used
        clock.shift(idle * 0.6)
        assert proxy.ask(DEEP).status_code == 200
    clock.shift(idle + 1)
    assert proxy.ask(DEEP).status_code == 302


def test_logout_at_one_app_keeps_access_to_others(app, proxy, ada, rows):
    put_in(app, ada, "staff")
    proxy.enter(DEEP)
    proxy.enter("https://board.example.org/")
    answer = proxy.open(f"{WIKI}/.latchkey/logout")
    assert answer.headers["Location"] == "http://localhost/gate/signed-out?app=wiki.example.com"
    page = proxy.follow(answer)
    assert "You're signed out of Wiki" in page.text
    assert 'action="/logout"' in page.text
    assert proxy.ask(DEEP).status_code == 302
    assert proxy.ask("https://board.example.org/").status_code == 200
    assert len(rows(Event, name="app.signed_out")) == 1


def test_cross_site_app_logout_link_requires_confirmation(proxy):
    proxy.enter(DEEP)
    asked = proxy.open(f"{WIKI}/.latchkey/logout", **{"Sec-Fetch-Site": "cross-site"})
    assert asked.status_code == 200
    assert "Sign out of Wiki?" in asked.text
    assert proxy.ask(DEEP).status_code == 200


def test_user_outside_the_apps_groups_is_denied_and_can_switch_account(app, proxy, people, rows):
    url = "https://board.example.org/plan"
    page = proxy.follow(proxy.follow(proxy.ask(url)))
    assert page.status_code == 403
    assert "ada@example.com" in page.text
    assert [each.facts["app"] for each in rows(Event, name="app.not_allowed")] == ["Board"]
    other = people.open(email="bo@example.com", methods=["email"])
    put_in(app, other, "staff")
    state = query_of(proxy.follow(proxy.ask(url)).headers["Location"])["state"]
    answer = proxy.wire.post("/gate/account", app="board.example.org", to="/plan", state=state)
    assert answer.location.startswith("/gate/continue?")
    assert proxy.open(answer.location).headers["Location"].startswith("/us-signin?")
    sign_in(proxy.wire, other)
    entered = proxy.follow(proxy.open(answer.location))
    assert entered.headers["Location"] == "/plan"


def test_leaving_the_group_ends_app_access_at_once(app, proxy, ada):
    put_in(app, ada, "staff")
    proxy.enter("https://board.example.org/")
    take_out(app, ada, "staff")
    answer = proxy.ask("https://board.example.org/")
    assert answer.status_code == 403
    assert "Location" not in answer.headers


@pytest.mark.parametrize(
    "to",
    [
        "https://evil.example/",
        "//evil.example/",
        "/\\evil.example",
        "evil",
        "",
        "/a b",
        "/a\r\nSet-Cookie: x=1",
        "/\x00",
    ],
)
def test_return_path_cannot_leave_the_app_host(proxy, to):
    from urllib.parse import quote

    start = proxy.open(f"{WIKI}/.latchkey/start?to={quote(to)}")
    assert query_of(start.headers["Location"])["to"] == "/"
    enter = proxy.follow(proxy.follow(start))
    assert enter.headers["Location"] == "/"


def test_overlong_return_path_is_shortened_not_rejected(stranger):
    long = stranger.ask(f"{WIKI}/page?q={'x' * 4000}")
    assert query_of(long.headers["Location"]) == {"to": "/page"}
    longer = stranger.ask(f"{WIKI}/{'x' * 4000}")
    assert query_of(longer.headers["Location"]) == {"to": "/"}


@pytest.mark.parametrize(
    "target",
    ["/a" * 512, "/?" + "&a=1" * 255, "/" + "%22" * 341, "/" + "\u00c3\u00a9" * 300, "/x?" + '"' * 500, "/a" * 256],
)
def test_return_path_with_special_characters_survives_sign_in(stranger, ada, target):
    page = stranger.follow(stranger.follow(stranger.ask(f"{WIKI}{target}")))
    assert 'href="https://wiki.example.com' not in page.text
    back = query_of(page.headers["Location"])["next"]
    shown = stranger.follow(page)
    assert "Wiki" in shown.text
    sign_in(stranger.wire, ada)
    answer = stranger.follow(page)  # people who are signed in continue immediately
    assert answer.headers["Location"].endswith(back)


@pytest.mark.parametrize("url", [DEEP, "https://board.example.org/"])
def test_repeated_app_entry_is_rate_limited(proxy, url, monkeypatch):
    from app import throttling
    from app.errors import Rejected

    begun = proxy.follow(proxy.ask(url)).headers["Location"]

    def none_left(name, _address):
        raise Rejected("too_many_requests", status=429, retry_after=60)

    monkeypatch.setattr(throttling, "take", none_left)
    assert proxy.open(begun).status_code == 429


@pytest.mark.parametrize("path", ["/gate/continue", "/gate/continue?app=evil.example&to=/&state=" + "0" * 64,
                                  "/gate/continue?app=wiki.example.com&to=/&state=x"])  # fmt: skip
def test_entry_for_unknown_app_or_invalid_state_is_rejected(proxy, path):
    assert proxy.open(path).status_code == 400


@pytest.mark.parametrize("path", ["start", "enter?ticket=x", "logout"])
def test_app_paths_return_404_on_own_host(proxy, path):
    assert proxy.open(f"/.latchkey/{path}").status_code == 404


def test_own_pages_are_not_served_on_foreign_hosts(stranger):
    assert stranger.open("https://evil.example/.latchkey/start").status_code == 400
    assert stranger.open("https://wiki.example.com/us-signin").status_code == 400


def test_identity_headers_are_sent_on_every_allowed_request(proxy, stranger):
    public = stranger.ask(f"{WIKI}/public/x")
    assert public.status_code == 200
    assert identity_of(public) == [""] * len(IDENTITY)
    proxy.enter(DEEP)
    assert identity_of(proxy.ask(f"{WIKI}/public/x"))[0] == "ada"


@pytest.mark.both_databases
def test_check_runs_one_query_when_signed_in_and_none_otherwise(proxy, stranger, statements):
    proxy.enter(DEEP)
    with statements() as counted:
        assert proxy.ask(DEEP).status_code == 200
    assert len(counted) == 1
    with statements() as counted:
        assert stranger.ask(f"{WIKI}/public/x").status_code == 200
        assert stranger.ask(f"{WIKI}/metrics").status_code == 403
        assert stranger.ask(DEEP).status_code == 302
    assert counted == []


def test_apps_page_lists_protected_apps_the_user_may_access(app, browser, ada):
    program = sign_in(Wire(app, "json"), ada)
    assert [each["name"] for each in program.get("/apps").json["apps"]] == ["Wiki"]
    put_in(app, ada, "staff")
    assert [each["name"] for each in program.get("/apps").json["apps"]] == ["Board", "Wiki"]
    assert 'href="https://wiki.example.com"' in browser.get("/apps").text


@pytest.fixture
def sharing(make_app, file_of, clock, people):
    """A proxy in front of apps that share a cookie, and one of another domain."""
    apps_file = file_of(
        "".join(
            f'[apps.{name}]\nname = "{name}"\nurl = "https://{host}"\n'
            for name, host in (
                ("wiki", "wiki.example.com"),
                ("notes", "notes.example.com"),
                ("board", "board.example.org"),
                ("evil", "evilexample.com"),
            )
        )
    )
    app = make_app(
        apps_file=str(apps_file), forward_auth_proxies=("10.0.0.0/29",), forward_auth_cookie_domain="example.com"
    )
    return Proxy(sign_in(Wire(app, "form"), people.open(email="ada@example.com", username="ada", methods=["email"])))


def test_apps_under_the_configured_cookie_domain_share_a_cookie(sharing):
    sharing.enter(f"{WIKI}/")
    [cookie] = [each for each in sharing.wire.client._cookies.values() if each.key == "latchkey_gate_shared"]
    assert (cookie.key, cookie.domain, cookie.origin_only) == ("latchkey_gate_shared", "example.com", False)
    assert identity_of(sharing.ask("https://notes.example.com/"))[0] == "ada"
    sharing.open("https://notes.example.com/.latchkey/logout")
    assert sharing.ask(f"{WIKI}/").status_code == 302


def test_cookie_domain_refused_by_browser_shows_an_error_not_a_redirect_loop(sharing):
    """As one does for co.uk: what is set for the domain is dropped, what is set for the host is kept."""
    begun = sharing.follow(sharing.ask(f"{WIKI}/"))
    sharing.wire.client.delete_cookie("latchkey_gate_domain", domain="example.com")
    with structlog.testing.capture_logs() as lines:
        answer = sharing.follow(sharing.follow(begun))
    assert answer.status_code == 400
    assert "keeps no cookie for its domain" in answer.text
    [line] = [line for line in lines if line["event"] == "forward_auth.cookie_domain_refused"]
    assert (line["domain"], line["setting"]) == ("example.com", "LATCHKEY_FORWARD_AUTH_COOKIE_DOMAIN")
    assert "leave it empty" in line["remedy"]


@pytest.mark.one_database
def test_startup_with_cookie_domain_matching_no_app_fails(make_app, apps_file):
    from config.problems import ConfigurationError

    with pytest.raises(ConfigurationError) as raised:
        make_app(apps_file=str(apps_file), forward_auth_cookie_domain="example.net")
    [problem] = raised.value.problems
    assert (problem.setting, "any app" in problem.what) == ("LATCHKEY_FORWARD_AUTH_COOKIE_DOMAIN", True)


@pytest.mark.parametrize("host", ["board.example.org", "evilexample.com"])
def test_app_outside_the_cookie_domain_keeps_its_own_cookie(sharing, host):
    sharing.enter(f"{WIKI}/")
    [shared] = [each for each in sharing.wire.client._cookies.values() if each.key == "latchkey_gate_shared"]
    sharing.wire.client.set_cookie("latchkey_gate_shared", shared.value, domain=host)
    sharing.wire.client.set_cookie("latchkey_gate", shared.value, domain=host)
    assert sharing.ask(f"https://{host}/").status_code == 302
    sharing.enter(f"https://{host}/")
    [own] = [each for each in sharing.wire.client._cookies.values() if each.key == "latchkey_gate"]
    assert (own.domain, own.origin_only) == (host, True)
    assert sharing.ask(f"https://{host}/").status_code == 200
    sharing.wire.client.set_cookie("latchkey_gate_shared", own.value, domain="example.com")
    assert sharing.ask(f"{WIKI}/").status_code == 302


def test_network_rule_applies_to_the_visitor_address_on_entry(make_app, apps_file, ada):
    app = make_app(apps_file=str(apps_file), forward_auth_proxies=("10.0.0.0/29",), trusted_proxies=1)
    proxy = Proxy(sign_in(Wire(app, "form"), ada), visitor="192.0.2.7")
    begun = proxy.follow(proxy.ask(f"{WIKI}/internal/x")).headers["Location"]
    assert proxy.open(begun, **{"X-Forwarded-For": "198.51.100.7"}).status_code == 403
    entered = proxy.follow(proxy.open(begun, **{"X-Forwarded-For": "192.0.2.7"}))
    assert entered.headers["Location"] == "/internal/x"
    assert proxy.ask(f"{WIKI}/internal/x").status_code == 200


def test_visitor_seen_at_two_addresses_steps_up_without_redirect_loop(make_app, file_of, ada, clock):
    own = file_of(
        '[apps.wiki]\nname = "Wiki"\nurl = "https://wiki.example.com"\nlevel = "aal2"\nmax_age = "PT5M"\n'
        '[[apps.wiki.rules]]\nnetworks = ["127.0.0.0/8"]\nlevel = "signed_in"\nmax_age = "PT10H"\n'
    )
    app = make_app(apps_file=str(own), forward_auth_proxies=("10.0.0.0/29",))
    proxy = Proxy(sign_in(Wire(app, "form"), ada, via="email"))
    proxy.enter(f"{WIKI}/")  # the sign-in sees 127.0.0.1
    begun = proxy.ask(f"{WIKI}/x").headers["Location"]
    assert query_of(begun) == {"to": "/x", "level": "aal2", "max_age": "300"}
    page = proxy.follow(proxy.open(begun))
    assert (page.status_code, "/us-verify?next=" in page.text) == (200, True)
    sign_in(proxy.wire, ada, via="email,authenticator")
    clock.shift(301)
    verify = proxy.follow(proxy.open(begun)).headers["Location"]
    assert verify.startswith("/us-verify?next=")
    assert query_of(query_of(verify)["next"])["max_age"] == "300"


@pytest.mark.parametrize("asked", ["level=deny", "level=public", "max_age=0", "max_age=-1", "max_age=x", "max_age=1e9",
                                   "max_age=9999999999", "max_age=%D9%A1", "level=aal2&level=x"])  # fmt: skip
def test_invalid_step_up_parameters_are_ignored(proxy, asked):
    begun = proxy.open(f"{WIKI}/.latchkey/start?to=/x&{asked}")
    assert set(query_of(begun.headers["Location"])) <= {"app", "to", "state", "level"}
    assert proxy.follow(begun).status_code in (200, 303)


@pytest.mark.both_databases
def test_ending_other_sessions_ends_app_access_in_other_browsers_only(app, proxy, browser, ada):
    other = Proxy(sign_in(Wire(app, "form"), ada))
    for each in (proxy, other):
        each.enter(DEEP)
    assert browser.post("/sessions/end-others").status in (302, 303)
    assert (proxy.ask(DEEP).status_code, other.ask(DEEP).status_code) == (200, 302)


def test_new_user_in_the_browser_replaces_the_app_session_on_entry(app, proxy, people, rows):
    proxy.enter(DEEP)
    bo = people.open(email="bo@example.com", username="bo", methods=["email"])
    sign_in(proxy.wire, bo)
    assert identity_of(proxy.ask(DEEP))[0] == "ada"  # whose session goes on
    proxy.follow(proxy.follow(proxy.open(f"{WIKI}/.latchkey/start?to=/")))
    assert identity_of(proxy.ask(DEEP))[0] == "bo"
    assert [each.user_id for each in rows(AppSession)] == [bo.id]
