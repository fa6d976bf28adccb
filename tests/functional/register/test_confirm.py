"""/confirm: verifies an address by the code or link in its email."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

import pytest

from app.audit import Event
from app.challenges.models import Challenge
from app.sessions.models import AuthSession
from app.users import Identity, User
from tests.functional.signin.conftest import wrong
from tests.signed_in import sign_in
from tests.sinks import code_in

ADA = "ada@example.com"
DAY = 24 * 3600
spa = pytest.mark.settings(
    redirect_behavior="spa", post_confirm_url="https://front.example/in", confirm_error_url="https://front.example/no"
)


def test_json_returns_a_csrf_token(json_wire):
    answer = json_wire.get("/confirm")
    assert (answer.status, set(answer.json)) == (200, {"csrf_token"})


def test_code_confirms_and_signs_in(wire, register, mailed_code, rows):
    register()
    answer = wire.post("/confirm", email=ADA, passcode=mailed_code())
    assert answer.ok
    assert wire.signed_in_as() == ADA
    assert rows(User)[0].confirmed_at is not None
    assert rows(Identity)[0].confirmed_at is not None
    assert [event.name for event in rows(Event, user_id=rows(User)[0].id)][-2:] == [
        "address.confirmed",
        "sign_in.succeeded",
    ]


def test_code_redirects_to_the_requested_page(browser_wire, register, mailed_code):
    register(next="/us-setup", by=browser_wire)
    answer = browser_wire.post("/confirm", email="ada@example.com", passcode=mailed_code("ada@example.com"))
    assert (answer.status, answer.location) == (302, "/us-setup")


@pytest.mark.parametrize("reopened", [True, False])
def test_resent_code_redirects_to_the_requested_page(browser_wire, register, mailed_code, clock, reopened):
    asked = register(next="/us-setup", by=browser_wire)
    shown = browser_wire.follow(asked)
    clock.shift(601)
    shown = browser_wire.follow(asked) if reopened else shown
    again = browser_wire.post("/confirm", email=ADA, send_again=True, next=shown.page.value("next"))
    assert again.page.value("next") == "/us-setup"
    answer = browser_wire.post("/confirm", email=ADA, passcode=mailed_code())
    assert (answer.status, answer.location) == (302, "/us-setup")


@pytest.mark.parametrize("target", ["//evil.example", "https://evil.example/", "/\\evil.example"])
def test_resending_never_redirects_to_another_site(browser_wire, target):
    assert browser_wire.post("/confirm", email=ADA, send_again=True, next=target).status == 400
    assert "evil.example" not in browser_wire.get(f"/confirm?next={target}").text


@pytest.mark.parametrize("remember", [True, False])
def test_remember_option_makes_the_session_persistent(wire, register, mailed_code, rows, remember):
    register()
    assert wire.post("/confirm", email=ADA, passcode=mailed_code(), remember=remember).ok
    assert [row.persistent for row in rows(AuthSession)] == [remember]


def test_api_client_without_cookies_confirms_with_its_challenge(program, mailed_code):
    challenge = program.post("/register", email=ADA).json["challenge"]
    code = mailed_code()
    assert not program.post("/confirm", email=ADA, passcode=code).ok
    answer = program.post("/confirm?include_auth_token", email=ADA, passcode=code, challenge=challenge)
    program.token = answer.json["user"]["authentication_token"]
    assert program.signed_in_as() == ADA


def test_wrong_code_is_rejected_and_counted(wire, register, mailed_code, rows):
    register()
    answer = wire.post("/confirm", email=ADA, passcode=wrong(mailed_code()))
    assert (answer.status, answer.codes) == (400, ["invalid_password_code"])
    assert rows(Challenge)[0].tries == 1
    assert wire.signed_in_as() is None


def test_correct_code_is_rejected_after_five_wrong_attempts(wire, register, mailed_code):
    register()
    code = mailed_code()
    for _ in range(5):
        wire.post("/confirm", email=ADA, passcode=wrong(code))
    assert not wire.post("/confirm", email=ADA, passcode=code).ok


def test_code_works_only_in_the_requesting_browser(wire, register, mailed_code):
    register()
    code, other = mailed_code(), wire.elsewhere()
    assert not other.post("/confirm", email=ADA, passcode=code).ok
    assert wire.post("/confirm", email=ADA, passcode=code).ok


def test_code_confirms_only_the_email_it_was_sent_to(wire, register, mailed_code):
    register("eve@example.com")
    code = mailed_code("eve@example.com")
    register(ADA)
    assert not wire.post("/confirm", email=ADA, passcode=code).ok


def test_code_works_once(wire, register, mailed_code):
    register()
    code = mailed_code()
    wire.post("/confirm", email=ADA, passcode=code)
    wire.post("/logout")
    assert not wire.post("/confirm", email=ADA, passcode=code).ok
    assert wire.signed_in_as() is None


@pytest.mark.parametrize(("age", "works"), [(598, True), (601, False)])
def test_code_expires_after_ten_minutes(wire, register, mailed_code, clock, age, works):
    register()
    code = mailed_code()
    clock.shift(age)
    assert wire.post("/confirm", email=ADA, passcode=code).ok is works


def test_expired_code_page_offers_to_resend(browser_wire, register, mailed_code, clock):
    register(by=browser_wire)
    code = mailed_code()
    clock.shift(601)
    answer = browser_wire.post("/confirm", email=ADA, passcode=code)
    assert answer.codes == ["invalid_password_code"]
    assert answer.page.attributes("send_again")


def test_resent_code_is_the_same_and_confirms(wire, register, mailed_code, clock, smtp):
    register()
    first = mailed_code()
    clock.shift(31)
    assert wire.post("/confirm", email=ADA, send_again=True).ok
    assert mailed_code() == first
    assert len(smtp.mails) == 2
    assert wire.post("/confirm", email=ADA, passcode=first).ok


@pytest.mark.parametrize("email", ["nobody@example.com", "known@example.com"])
def test_unknown_or_confirmed_email_gets_the_same_response_and_no_email(wire, people, deliver, email):
    people.open(email="known@example.com")
    assert wire.post("/confirm", email=email).ok
    assert deliver() == []


@pytest.mark.settings(generic_responses=False)
@pytest.mark.parametrize(
    ("email", "code"), [("nobody@example.com", "user_does_not_exist"), ("known@example.com", "already_confirmed")]
)
def test_explicit_mode_reports_unknown_or_confirmed_email(wire, people, email, code):
    people.open(email="known@example.com")
    answer = wire.post("/confirm", email=email)
    assert (answer.status, answer.codes) == (400, [code])
    assert list(answer.errors) == ["email"]


@pytest.mark.parametrize(("email", "code"), [("", "email_not_provided"), ("nonsense", "invalid_email_address")])
def test_valid_email_is_required(wire, email, code):
    answer = wire.post("/confirm", email=email)
    assert (answer.status, answer.codes) == (400, [code])


def test_link_confirms_and_signs_in_the_requesting_browser(wire, register, mailed_link):
    register(next="/us-setup")
    answer = wire.get(mailed_link())
    assert (answer.status, answer.location) == (302, "/us-setup")
    assert wire.signed_in_as() == ADA


def test_link_outlives_the_code(wire, register, mailed_link, clock):
    register()
    link = mailed_link()
    clock.shift(DAY - 5)
    wire.get(link)
    assert wire.signed_in_as() == ADA


def test_link_expires_after_a_day(browser_wire, register, mailed_link, clock, rows):
    register(by=browser_wire)
    link = mailed_link()
    clock.shift(DAY + 1)
    answer = browser_wire.get(link)
    assert answer.location == "/confirm"
    assert browser_wire.follow(answer).codes == ["confirmation_expired"]
    assert rows(User)[0].confirmed_at is None


def test_link_in_another_browser_asks_before_confirming(wire, register, mailed_link, rows):
    register()
    link, other = mailed_link(), wire.elsewhere()
    for method in ("GET", "HEAD", "GET"):
        assert other.send(method, link).status == 200
    assert rows(User)[0].confirmed_at is None
    assert other.signed_in_as() is None


def test_link_page_in_another_browser_masks_the_email(browser_wire, register, mailed_link):
    register(by=browser_wire)
    answer = browser_wire.elsewhere().get(mailed_link())
    assert "a...@example.com" in answer.text
    assert ADA not in answer.text


def test_link_button_in_another_browser_confirms_without_signing_in(wire, register, mailed_link, rows):
    register()
    link, other = mailed_link(), wire.elsewhere()
    answer = other.post(link)
    assert answer.ok
    assert wire.language == "json" or answer.location == "/login"
    assert rows(User)[0].confirmed_at is not None
    assert other.signed_in_as() is None
    assert wire.signed_in_as() is None


@pytest.mark.parametrize("language", ["form"])  # JSON needs none
def test_confirming_by_link_requires_a_csrf_token(wire, register, mailed_link, rows):
    register()
    other = wire.elsewhere()
    other.get("/confirm")
    assert other.post(mailed_link(), csrf=None).status == 400
    assert rows(User)[0].confirmed_at is None


@pytest.mark.parametrize(
    "headers",
    [{"Sec-Purpose": "prefetch"}, {"Purpose": "prefetch"}, {"Sec-Fetch-Mode": "no-cors"}, {"X-Moz": "prefetch"}],
    ids=str,
)
@pytest.mark.one_database
def test_prefetching_the_link_confirms_nothing(wire, register, mailed_link, rows, headers):
    register()
    assert wire.get(mailed_link(), headers=headers).status == 200
    assert rows(User)[0].confirmed_at is None
    assert wire.signed_in_as() is None


@pytest.mark.both_databases
def test_link_works_once(browser_wire, register, mailed_link):
    register(by=browser_wire)
    link = mailed_link()
    browser_wire.get(link)
    browser_wire.post("/logout")
    assert browser_wire.follow(browser_wire.get(link)).page.notices[-1][0] == "info"
    assert browser_wire.signed_in_as() is None


@pytest.mark.one_database
def test_opening_a_used_link_repeatedly_records_one_event_per_ip_address(browser_wire, register, mailed_link, rows):
    from app.audit import Event

    register(by=browser_wire)
    path = mailed_link()
    browser_wire.get(path)
    strangers = [browser_wire.elsewhere(address=f"192.0.2.{number}") for number in (7, 7, 7, 8)]
    assert {stranger.get(path).location for stranger in strangers} == {"/confirm"}
    assert [event.address for event in rows(Event, name="challenge.failed")] == ["192.0.2.7", "192.0.2.8"]


@pytest.mark.parametrize("token", ["x", "a.b.c.d.e", "%00", "0" * 4000])
@pytest.mark.one_database
def test_malformed_token_redirects_to_the_confirm_page(wire, token):
    answer = wire.get(f"/confirm/{token}")
    assert (answer.status, answer.location) == (302, "/confirm")


@pytest.mark.one_database
def test_altered_link_confirms_nothing(browser_wire, register, mailed_link, rows):
    register(by=browser_wire)
    token = mailed_link().removeprefix("/confirm/")
    changed = [token[:i] + ("A" if token[i] != "A" else "B") + token[i + 1 :] for i in range(len(token))]
    for wrong_token in changed + [token[:i] for i in range(1, len(token), 2)] + [token + "A", token.swapcase()]:
        browser_wire.get(f"/confirm/{wrong_token}")
    assert rows(User)[0].confirmed_at is None


def test_link_requested_by_a_stranger_does_not_sign_out_the_user(wire, people, register, mailed_link, mailed_code):
    register("eve@example.com", by=wire.elsewhere())
    link = mailed_link("eve@example.com")
    register()
    wire.post("/confirm", email=ADA, passcode=mailed_code())
    wire.get(link)
    wire.post(link)
    assert wire.signed_in_as() == ADA


@pytest.mark.parametrize("by", ["code", "link"])
def test_confirming_another_account_ends_the_current_session(wire, people, register, mailed_link, clock, smtp, by):
    register()
    link = mailed_link()
    eve = people.open(email="eve@example.com")
    old = sign_in(wire, eve).cookies["latchkey_session"]
    clock.shift(61)  # more than a minute: the next request would note that the session is in use
    if by == "link":
        assert wire.get(link).status == 302
    else:
        assert wire.post("/confirm", email=ADA, passcode=code_in(smtp.to(ADA)[-1])).ok
    assert wire.signed_in_as() == ADA
    other = wire.elsewhere()
    other.client.set_cookie("latchkey_session", old)
    assert other.get("/us-verify", headers={"Accept": "application/json"}).status == 401


def test_confirmation_token_is_not_leaked_by_referrer_or_cache(wire, register, mailed_link):
    register()
    link = mailed_link()
    for answer in (wire.elsewhere().get(link), wire.get(link)):
        assert answer.headers["Referrer-Policy"] == "no-referrer"
        assert answer.headers["Cache-Control"] == "no-store"
    assert "@" not in link
    assert "example" not in link


@spa
def test_front_end_receives_the_confirmed_email(wire, register, mailed_link):
    register()
    where = urlsplit(wire.get(mailed_link()).location)
    assert (where.netloc, where.path) == ("front.example", "/in")
    assert {name: values for name, values in parse_qs(where.query).items() if name != "success"} == {
        "identity": [ADA],
        "email": [ADA],
    }
    assert "success" in where.query


@spa
@pytest.mark.parametrize(
    ("case", "key", "code"),
    [
        ("nonsense", "error", "invalid_confirmation_token"),
        ("expired", "error", "confirmation_expired"),
        ("twice", "info", "already_confirmed"),
    ],
)
def test_front_end_receives_the_error_without_the_email(wire, register, mailed_link, clock, case, key, code):
    register()
    link = "/confirm/nonsense" if case == "nonsense" else mailed_link()
    if case == "expired":
        clock.shift(DAY + 1)
    elif case == "twice":
        wire.get(link)
    where = urlsplit(wire.elsewhere().get(link).location)
    assert (where.netloc, where.path) == ("front.example", "/no")
    assert set(parse_qs(where.query)) == {key, "error_code"}
    assert parse_qs(where.query)["error_code"] == [code]
