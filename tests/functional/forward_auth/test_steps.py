"""Steps that an app requires, done as people do them, and sign-outs elsewhere that end its access."""

from __future__ import annotations

import pytest

from tests.forward_auth import Proxy
from tests.signed_in import sign_in
from tests.wire import Wire

WIKI = "https://wiki.example.com"


@pytest.fixture
def eve(people):
    """Someone with an authenticator app and a mailbox."""
    return people.open(email="eve@example.com", methods=["email", "authenticator"])


@pytest.fixture
def proxy(app, eve) -> Proxy:
    """A proxy that Eve's browser comes through; she has signed in by email code."""
    return Proxy(sign_in(Wire(app, "form"), eve, via="email"))


def confirm(proxy: Proxy, eve, asked: str) -> str:
    """Confirm with the authenticator app where a page asks for it; return the path that the browser ends at."""
    assert proxy.wire.get(asked).status == 200
    answer = proxy.wire.post(asked, passcode=eve.app_code())
    assert answer.location, answer
    back = answer.location
    ticket = proxy.open(back)
    assert ticket.status_code == 303, ticket.text
    return proxy.follow(ticket).headers["Location"]


def test_second_factor_step_up_returns_to_the_app(proxy, eve):
    proxy.enter(f"{WIKI}/")
    asked = proxy.follow(proxy.follow(proxy.ask(f"{WIKI}/strong")))
    [link] = [each for each in asked.text.split('"') if each.startswith("/us-verify?next=")]
    assert confirm(proxy, eve, link.replace("&amp;", "&")) == "/strong"
    assert proxy.ask(f"{WIKI}/strong").status_code == 200


def test_reauthentication_returns_to_the_app(proxy, eve, clock):
    proxy.enter(f"{WIKI}/")
    clock.shift(301)
    asked = proxy.follow(proxy.follow(proxy.ask(f"{WIKI}/bank/x?y=1")))
    assert confirm(proxy, eve, asked.headers["Location"]) == "/bank/x?y=1"
    assert proxy.ask(f"{WIKI}/bank/x").status_code == 200


def test_ending_sessions_from_another_device_ends_app_access(app, proxy, eve):
    proxy.enter(f"{WIKI}/")
    phone = sign_in(Wire(app, "json"), eve)
    assert phone.post("/sessions/end-others").ok
    assert proxy.ask(f"{WIKI}/").status_code == 302


def test_requesting_account_deletion_ends_app_access(proxy, eve):
    sign_in(proxy.wire, eve, via="authenticator")
    proxy.enter(f"{WIKI}/")
    assert proxy.wire.post("/my-data/delete", sure=True).location == "/"
    assert proxy.ask(f"{WIKI}/").status_code == 302


@pytest.mark.both_databases
def test_erasing_an_account_deletes_app_sessions_and_tickets(app, proxy, eve, rows):
    from app.extensions import db
    from app.forward_auth.models import AppSession, EntryTicket
    from app.users import User

    proxy.enter(f"{WIKI}/")
    proxy.follow(proxy.follow(proxy.ask(f"{WIKI}/strong")))
    with app.app_context():
        db.session.delete(db.session.get(User, eve.id))
        db.session.commit()
    assert rows(AppSession) == rows(EntryTicket) == []
    assert proxy.ask(f"{WIKI}/").status_code == 302


@pytest.mark.both_databases
def test_reentering_an_app_replaces_the_app_session(proxy, rows):
    from app.forward_auth.models import AppSession

    proxy.enter(f"{WIKI}/")
    [first] = rows(AppSession)
    ticket = proxy.follow(proxy.open(f"{WIKI}/.latchkey/start?to=/")).headers["Location"]
    assert proxy.open(ticket).status_code == 303
    [second] = rows(AppSession)
    assert second.digest != first.digest
