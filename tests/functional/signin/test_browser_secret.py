"""The cookie that binds requests to a browser: each request has its own secret, unknown to an earlier copy."""

from __future__ import annotations

import pytest

from app.challenges.models import Challenge
from app.client import MAX_BINDINGS
from tests.functional.signin.test_link_elsewhere import GO_ON, LINK, SEND, STATUS, characters_in, named_in
from tests.sinks import code_in, link_in

COOKIE = "latchkey_browser"
passwords = pytest.mark.settings(methods=("email", "password"))


def copy_of(wire):
    """Return another machine's browser with all cookies that this one has now."""
    other = wire.elsewhere(address="192.0.2.66")
    for name, value in wire.cookies.items():
        other.client.set_cookie(name, value)
    return other


def ask(wire, email="ada@example.com"):
    """Request a code."""
    answer = wire.post(SEND, identity=email, chosen_method="email")
    assert answer.ok
    return answer


def approve(wire, answer, mail) -> None:
    """Enter the characters on the link's page, on another device."""
    token = link_in(mail, LINK).partition("token=")[2]
    assert wire.elsewhere().post(LINK, token=token, characters=characters_in(answer)).ok


@pytest.fixture(params=["never asked", "asked before", "signed out"])
def before(request, wire, ada, code_for, clock):
    """A copy of a shared browser's cookies, from before its next user asks for a code there."""
    wire.fetch_csrf()
    if request.param == "asked before":
        ask(wire, "eve@example.com")
    if request.param == "signed out":
        wire.post("/us-signin", identity=ada.email, passcode=code_for(ada.email))
        wire.post("/logout")
        clock.shift(31)
    return copy_of(wire)


def test_cookies_copied_before_a_request_cannot_follow_or_complete_it(before, wire, ada, mail_to, rows):
    answer = ask(wire)
    challenge = max(rows(Challenge), key=lambda row: row.created_at).id
    approve(wire, answer, mail_to(ada.email))
    for where in (STATUS, f"{STATUS}?challenge={challenge}"):
        assert before.get(where).json == {"state": "expired"}
    for fields in ({}, {"challenge": challenge}):
        assert before.post(GO_ON, identity=ada.email, **fields).codes == ["link_expired"]
    before.get(link_in(mail_to(ada.email), LINK).removeprefix("http://localhost"))
    assert not before.post("/us-signin", identity=ada.email, passcode=code_in(mail_to(ada.email))).ok
    assert before.signed_in_as() is None
    assert wire.post(GO_ON, identity=ada.email, challenge=named_in(answer)).ok
    assert wire.signed_in_as() == ada.email


def test_browser_cookie_without_challenge_cannot_complete_an_approved_sign_in(wire, ada, mail_to):
    answer = ask(wire)
    copy = copy_of(wire)
    approve(wire, answer, mail_to(ada.email))
    assert copy.get(STATUS).json == {"state": "expired"}
    assert copy.post(GO_ON, identity=ada.email).codes == ["link_expired"]


def test_browser_secret_rotates_on_sign_in_and_sign_out(wire, ada, code_for):
    wire.get("/us-signin")
    seen = [wire.cookies[COOKIE].split(".")]
    code = code_for(ada.email)
    seen.append(wire.cookies[COOKIE].split("."))
    wire.post("/us-signin", identity=ada.email, passcode=code)
    seen.append(wire.cookies[COOKIE].split("."))
    wire.post("/logout")
    seen.append(wire.cookies[COOKIE].split("."))
    first, asked, signed_in, signed_out = seen
    assert (asked[0], len(asked)) == (first[0], 2)
    assert signed_in[0] != first[0]
    assert len(signed_out) == 1
    assert signed_out[0] not in (*asked, *signed_in)


def test_two_tabs_can_each_complete_their_own_sign_in_request(wire, ada, people, code_for):
    eve = people.open(email="eve@example.com")
    hers = code_for(ada.email)
    theirs = code_for(eve.email)
    assert hers != theirs
    assert wire.post("/us-signin", identity=ada.email, passcode=hers).ok
    assert wire.signed_in_as() == ada.email
    other = copy_of(wire)
    other.client.delete_cookie("latchkey_session")
    assert other.post("/us-signin", identity=eve.email, passcode=theirs).ok


def test_resend_keeps_the_code_and_the_browser_secret(wire, ada, code_for, clock):
    code = code_for(ada.email)
    cookie = wire.cookies[COOKIE]
    clock.shift(31)
    assert code_for(ada.email) == code
    assert wire.cookies[COOKIE] == cookie
    assert wire.post("/us-signin", identity=ada.email, passcode=code).ok


def test_csrf_token_from_another_tab_stays_valid_after_requesting_a_code(wire, ada, code_for):
    token = wire.fetch_csrf()
    code = code_for(ada.email)
    assert wire.post("/us-signin", csrf=token, identity=ada.email, passcode=code).ok


@pytest.mark.parametrize("lost", [True, False])
def test_send_code_with_same_nonce_is_idempotent_even_if_a_response_is_lost(wire, ada, mail_to, smtp, lost):
    wire.fetch_csrf()
    cookie = wire.cookies[COOKIE]
    fields = {"identity": ada.email, "chosen_method": "email", "nonce": "n" * 22}
    assert wire.post(SEND, **fields).ok
    if lost:
        wire.client.set_cookie(COOKIE, cookie)
    assert wire.post(SEND, **fields).ok
    code = code_in(mail_to(ada.email))
    assert len(smtp.to(ada.email)) == 1
    assert wire.post("/us-signin", identity=ada.email, passcode=code).ok


@pytest.mark.settings(limits=False)
def test_browser_cookie_keeps_max_bindings_requests_usable(wire, ada, people, code_for):
    codes = [
        code_for(f"p{number}@example.com")
        for number in range(MAX_BINDINGS - 1)
        if people.open(email=f"p{number}@example.com")
    ]
    mine = code_for(ada.email)
    assert len(wire.cookies[COOKIE].split(".")) == MAX_BINDINGS + 1
    assert wire.post("/us-signin", identity="p0@example.com", passcode=codes[0]).ok
    again = copy_of(wire)
    again.client.delete_cookie("latchkey_session")
    assert again.post("/us-signin", identity=ada.email, passcode=mine).ok


@pytest.mark.settings(limits=False)
def test_browser_cookie_size_is_capped(wire, people, code_for):
    for number in range(MAX_BINDINGS + 3):
        code_for(people.open(email=f"p{number}@example.com").email)
    assert len(wire.cookies[COOKIE].split(".")) == MAX_BINDINGS + 1
    assert len(wire.cookies[COOKIE]) < 400


@pytest.mark.parametrize("value", ["a" * 43 + ".", "." + "a" * 43, ".".join(["a" * 43] * 9), "a" * 43 + ".ü", "a.b"])
@pytest.mark.one_database
def test_malformed_browser_cookie_is_replaced(wire, ada, code_for, value):
    wire.client.set_cookie(COOKIE, value)
    code = code_for(ada.email)
    assert wire.cookies[COOKIE] != value
    assert wire.post("/us-signin", identity=ada.email, passcode=code).ok


@passwords
def test_registration_password_works_after_confirmation(wire, mail_to):
    wire.post(
        "/register",
        email="eve@example.com",
        password="a short sentence is good",
        password_confirm="a short sentence is good",
    )
    answer = wire.post("/confirm", email="eve@example.com", passcode=code_in(mail_to("eve@example.com")))
    assert answer.ok
    wire.post("/logout")
    assert wire.post("/us-signin", identity="eve@example.com", passcode="a short sentence is good").ok


@passwords
def test_password_registered_from_copied_cookies_is_discarded_on_confirmation(wire, mail_to):
    wire.fetch_csrf()
    copy = copy_of(wire)
    copy.post(
        "/register",
        email="eve@example.com",
        password="the stranger knows this",
        password_confirm="the stranger knows this",
    )
    wire.post(
        "/register",
        email="eve@example.com",
        password="a short sentence is good",
        password_confirm="a short sentence is good",
    )
    assert wire.post("/confirm", email="eve@example.com", passcode=code_in(mail_to("eve@example.com"))).ok
    wire.post("/logout")
    assert not wire.post("/us-signin", identity="eve@example.com", passcode="the stranger knows this").ok
    assert wire.post("/us-signin", identity="eve@example.com", passcode="a short sentence is good").ok
