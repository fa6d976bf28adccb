"""/us-verify-link: signs in only the browser that requested it."""

from __future__ import annotations

import html
import re
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import parse_qs, urlsplit

import pytest

from app.audit import Event
from app.challenges.models import Challenge
from app.sessions.models import AuthSession
from tests.sinks import link_in

LINK = "/us-verify-link"
AHEAD = [
    {"Sec-Purpose": "prefetch"},
    {"Sec-Purpose": "prefetch;prerender"},
    {"Purpose": "prefetch"},
    {"X-Moz": "prefetch"},
    {"Sec-Fetch-Mode": "cors"},
    {"Sec-Fetch-Mode": "no-cors"},
]
spa = pytest.mark.settings(
    redirect_behavior="spa", post_login_url="https://front.example/in?a=b", login_error_url="https://front.example/no"
)


def token_of(link: str) -> str:
    """Return the token in a link."""
    return parse_qs(urlsplit(link).query)["token"][0]


def test_link_signs_in_the_requesting_browser(wire, ada, link_for):
    answer = wire.get(link_for(ada.email))
    assert (answer.status, answer.location) == (302, "/")
    assert wire.signed_in_as() == ada.email


def test_link_responses_send_no_referrer_and_no_store(wire, ada, link_for):
    link = link_for(ada.email)
    for answer in (wire.elsewhere().get(link), wire.get(link), wire.elsewhere().get(link)):
        assert answer.headers["Referrer-Policy"] == "no-referrer"
        assert answer.headers["Cache-Control"] == "no-store"
        assert token_of(link) not in (answer.location or "")


def test_browser_sees_a_success_notice_after_link_sign_in(browser_wire, ada, link_for):
    answer = browser_wire.get(link_for(ada.email, by=browser_wire))
    assert browser_wire.follow(answer).page.notices[0][0] == "success"


@pytest.mark.parametrize("target", ["/us-setup?a=b", "http://localhost/us-setup?a=b"])
def test_link_redirects_to_next_of_the_code_request(wire, ada, link_for, target):
    assert wire.get(link_for(ada.email, next=target)).location == "/us-setup?a=b"


def test_next_parameter_in_the_link_is_followed(wire, ada, link_for):
    assert wire.get(link_for(ada.email) + "&next=/us-setup").location == "/us-setup"


@pytest.mark.parametrize("target", ["https://evil.example", "//evil.example", "/%5Cevil.example", "/%09/evil.example"])
@pytest.mark.one_database
def test_next_parameter_with_a_foreign_host_is_ignored(wire, ada, link_for, target):
    assert wire.get(link_for(ada.email) + f"&next={target}").location == "/"


def test_link_works_only_once(wire, ada, link_for, rows):
    link = link_for(ada.email)
    wire.get(link)
    wire.post("/logout")
    answer = wire.get(link)
    assert (answer.status, answer.location) == (302, "/us-signin")
    assert wire.signed_in_as() is None
    assert len(rows(AuthSession)) == 1


def test_invalid_link_shows_an_error_in_the_browser(browser_wire, ada):
    answer = browser_wire.get(f"{LINK}?token=nonsense")
    assert browser_wire.follow(answer).codes == ["invalid_code"]


@pytest.mark.settings(generic_responses=False)
def test_explicit_mode_reports_an_invalid_link_as_invalid_code(browser_wire):
    answer = browser_wire.get(f"{LINK}?token=nonsense")
    assert browser_wire.follow(answer).codes == ["invalid_code"]


def test_using_the_link_invalidates_its_code(wire, ada, code_for, smtp):
    code = code_for(ada.email)
    wire.get(link_in(smtp.mails[0]).removeprefix("http://localhost"))
    wire.post("/logout")
    assert not wire.post("/us-signin", identity=ada.email, passcode=code).ok


def test_using_the_code_invalidates_its_link(wire, ada, code_for, smtp):
    code = code_for(ada.email)
    link = link_in(smtp.mails[0]).removeprefix("http://localhost")
    wire.post("/us-signin", identity=ada.email, passcode=code)
    wire.post("/logout")
    wire.get(link)
    assert wire.signed_in_as() is None


@pytest.mark.parametrize(("age", "works"), [(598, True), (601, False)])
def test_link_expires_after_ten_minutes(wire, ada, link_for, clock, age, works):
    link = link_for(ada.email)
    clock.shift(age)
    answer = wire.get(link)
    assert answer.location == ("/" if works else "/us-signin")
    assert wire.signed_in_as() == (ada.email if works else None)


def test_expired_link_reports_link_expired(browser_wire, ada, link_for, clock):
    link = link_for(ada.email, by=browser_wire)
    clock.shift(601)
    assert browser_wire.follow(browser_wire.get(link)).codes == ["link_expired"]


def test_opening_the_link_in_another_browser_changes_nothing(wire, ada, link_for, rows):
    link = link_for(ada.email)
    before = rows(Challenge)[0].__dict__ | {"_sa_instance_state": None}, len(rows(Event)) + 1
    other = wire.elsewhere(agent="Mozilla/5.0 (iPhone) Safari/605", address="192.0.2.9")
    answer = other.get(link)
    assert answer.status == 200
    assert other.signed_in_as() is None
    assert (rows(Challenge)[0].__dict__ | {"_sa_instance_state": None}, len(rows(Event))) == before
    assert rows(Event)[-1].name == "link.opened_unbound"
    assert wire.get(link).location == "/"


def test_approval_page_names_the_requesting_browser_but_not_the_account(browser_wire, ada, link_for):
    link = link_for(ada.email, by=browser_wire)
    answer = browser_wire.elsewhere().get(link)
    assert "Firefox on Linux" in answer.text
    assert ada.email not in answer.text
    assert "127.0.0.1" in answer.text


def test_link_opened_by_scanners_still_works(wire, ada, link_for):
    link = link_for(ada.email)
    for number in range(20):
        scanner = wire.elsewhere(agent=f"Scanner/{number}", address=f"198.51.100.{number}")
        scanner.send("HEAD" if number % 2 else "GET", link)
        assert scanner.post(LINK, token=token_of(link)).status == 400
        assert scanner.signed_in_as() is None
    wire.get(link)
    assert wire.signed_in_as() == ada.email


def test_posting_the_token_from_another_browser_is_rejected(wire, ada, link_for):
    link = link_for(ada.email)
    other = wire.elsewhere()
    other.get(link)
    answer = other.post(LINK, token=token_of(link))
    assert (answer.status, answer.codes) == (400, ["link_elsewhere"])
    assert other.signed_in_as() is None
    assert wire.get(link).location == "/"


@pytest.mark.parametrize("method", ["HEAD", "OPTIONS"])
def test_head_and_options_do_not_consume_the_link(wire, ada, link_for, method, rows):
    link = link_for(ada.email)
    wire.send(method, link)
    assert wire.signed_in_as() is None
    assert rows(Challenge)[0].spent_at is None
    assert wire.get(link).location == "/"


@pytest.mark.parametrize("headers", AHEAD, ids=str)
@pytest.mark.one_database
def test_prefetch_does_not_consume_the_link(wire, ada, link_for, headers):
    link = link_for(ada.email)
    assert wire.get(link, headers=headers).status == 200
    assert wire.signed_in_as() is None
    wire.get(link, headers={"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Site": "cross-site"})
    assert wire.signed_in_as() == ada.email


def test_sign_in_button_works_after_a_prefetch(browser_wire, ada, link_for):
    link = link_for(ada.email, by=browser_wire, next="/us-setup")
    page = browser_wire.get(link, headers={"Sec-Purpose": "prefetch"}).page
    answer = browser_wire.post(LINK, token=page.value("token"))
    assert (answer.status, answer.location) == (302, "/us-setup")
    assert browser_wire.signed_in_as() == ada.email


def test_json_client_with_cookies_signs_in_by_posting_the_token(json_wire, ada, link_for):
    link = link_for(ada.email, by=json_wire)
    answer = json_wire.post(f"{LINK}?include_auth_token", token=token_of(link))
    assert answer.status == 200
    assert "authentication_token" not in answer.json["user"]
    assert json_wire.signed_in_as() == ada.email


@pytest.mark.parametrize("language", ["form"])  # JSON needs none
def test_posting_the_link_token_requires_a_csrf_token(wire, ada, link_for):
    link = link_for(ada.email)
    answer = wire.post(LINK, csrf=None, token=token_of(link))
    assert (answer.status, answer.codes) == (400, ["csrf_token_missing"])
    assert wire.signed_in_as() is None


def test_link_requested_by_another_browser_does_not_sign_in_the_victim(wire, people, link_for):
    eve = people.open(email="eve@example.com")
    link = link_for(eve.email, by=wire.elsewhere())
    wire.fetch_csrf()
    wire.get(link)
    wire.post(LINK, token=token_of(link))
    assert wire.signed_in_as() is None


def test_link_requested_by_another_browser_keeps_the_existing_session(wire, ada, people, sign_in, link_for):
    eve = people.open(email="eve@example.com")
    link = link_for(eve.email, by=wire.elsewhere())
    sign_in(ada.email)
    wire.get(link)
    assert wire.signed_in_as() == ada.email


def test_link_of_a_disabled_account_is_rejected(app, wire, ada, link_for):
    link = link_for(ada.email)
    app.test_cli_runner().invoke(args=["users", "disable", ada.email])
    assert wire.get(link).location == "/us-signin"
    assert wire.signed_in_as() is None


@pytest.mark.one_database
def test_altered_or_truncated_link_token_is_rejected(browser_wire, ada, link_for):
    link = link_for(ada.email, by=browser_wire)
    path, token = link.split("=", 1)
    changed = [token[:i] + ("A" if token[i] != "A" else "B") + token[i + 1 :] for i in range(len(token))]
    changed += [token[:i] for i in range(len(token))] + [token[i:] for i in range(1, len(token))]
    changed += [token[:i] + token[i + 1 :] for i in range(0, len(token), 3)]
    changed += [token[:i] + "0" + token[i:] for i in range(0, len(token) + 1, 3)] + [
        token.replace(".", ".0"),
        token.swapcase(),
    ]
    for wrong in changed:
        assert browser_wire.get(f"{path}={wrong}").location == "/us-signin", wrong
        browser_wire.client.delete_cookie("latchkey_flash")  # as a browser shows what is in it, or it only grows
    assert browser_wire.get(link).location == "/"


def test_link_contains_neither_identity_nor_code(ada, wire, code_for, smtp):
    code = code_for(ada.email)
    link = link_in(smtp.mails[0])
    assert "@" not in link
    assert "example" not in link
    assert code not in link
    assert set(parse_qs(urlsplit(link).query)) == {"token"}


@pytest.mark.both_databases
@pytest.mark.settings(limits=False)
def test_concurrent_link_clicks_create_one_session(browser_wire, ada, link_for, rows):
    link = link_for(ada.email, by=browser_wire)
    clients = [browser_wire.elsewhere() for _ in range(8)]
    for client in clients:
        client.client.set_cookie("latchkey_browser", browser_wire.cookies["latchkey_browser"], domain="localhost")
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda client: client.get(link), clients))
    assert sorted(answer.location for answer in answers) == ["/", *["/us-signin"] * 7]
    assert len(rows(AuthSession)) == 1


@spa
def test_spa_redirect_carries_the_identity_of_the_user(wire, ada, link_for):
    answer = wire.get(link_for(ada.email) + "&next=/us-setup")
    where = urlsplit(answer.location)
    assert (answer.status, where.netloc, where.path) == (302, "front.example", "/in")
    assert parse_qs(where.query) == {"a": ["b"], "identity": [ada.email], "email": [ada.email]}
    assert wire.signed_in_as() == ada.email


@spa
@pytest.mark.parametrize("case", ["missing", "nonsense", "spent", "expired", "disabled"])
def test_spa_error_redirect_carries_the_error_but_no_identity(app, wire, ada, link_for, clock, case):
    link = {"missing": LINK, "nonsense": f"{LINK}?token=x.y.z"}.get(case) or link_for(ada.email)
    if case == "spent":
        wire.get(link)
        wire.post("/logout")
    elif case == "expired":
        clock.shift(601)
    elif case == "disabled":
        app.test_cli_runner().invoke(args=["users", "disable", ada.email])
    where = urlsplit(wire.get(link).location)
    assert (where.netloc, where.path) == ("front.example", "/no")
    assert set(parse_qs(where.query)) == {"error", "error_code"}
    assert "ada" not in where.query


@spa
def test_link_opened_in_another_browser_does_not_redirect_to_the_spa(wire, ada, link_for):
    assert wire.elsewhere().get(link_for(ada.email)).status == 200


def starts_over_at(page: str) -> str:
    """Return where a page leads that asks for another code."""
    return html.unescape(re.search(r'href="(/us-signin[^"]*)"[^>]*>Request a new', page)[1])


@pytest.mark.one_database
def test_used_link_redirects_to_a_sign_in_page_that_keeps_next(browser_wire, ada, link_for):
    link = link_for(ada.email, by=browser_wire, next="/us-setup?a=b")
    browser_wire.get(link)
    assert browser_wire.elsewhere().get(link).location == "/us-signin?next=%2Fus-setup%3Fa%3Db"
    gone = browser_wire.elsewhere().post(LINK, token=token_of(link))
    assert starts_over_at(gone.text) == "/us-signin?next=%2Fus-setup%3Fa%3Db"


@pytest.mark.one_database
def test_approval_page_offers_to_request_a_new_code_and_keeps_next(browser_wire, ada, link_for):
    link = link_for(ada.email, by=browser_wire, next="/us-setup")
    other = browser_wire.elsewhere()
    assert starts_over_at(other.get(link).text) == "/us-signin?next=%2Fus-setup&new=1"
    assert starts_over_at(other.post(LINK, token=token_of(link)).text) == "/us-signin?next=%2Fus-setup&new=1"


@pytest.mark.one_database
def test_code_page_links_for_starting_over_keep_next(browser_wire, ada):
    shown = browser_wire.follow(
        browser_wire.post("/us-signin/send-code", identity=ada.email, chosen_method="email", next="/us-setup")
    )
    hrefs = re.findall(r'href="([^"]*)">(?:Request a new one|Continue)', shown.text)
    assert [html.unescape(href) for href in hrefs] == ["/us-signin?next=/us-setup&new=1"] * 2
