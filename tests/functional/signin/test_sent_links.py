"""A one-time sign-in link sent by an administrator: to the account's email, usable once, for a short time."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from app.audit import Event
from app.sessions.models import AuthSession
from app.signin.models import SentLink
from app.users import Identity, User
from tests.functional.admin.conftest import make_administrator
from tests.second import PENDING
from tests.signed_in import sign_in
from tests.sinks import link_in

ADA = "ada@example.com"


@pytest.fixture
def ada(people):
    return people.open(email=ADA)


@pytest.fixture
def console(wire, people):
    """An administrator's browser."""
    return sign_in(wire.elsewhere(), make_administrator(wire.app, people.open(email="grace@example.com")))


@pytest.fixture
def send(app, console):
    """Sends a link to a person: ``send(ada)``."""

    def run(person):
        from app.extensions import db

        with app.app_context():
            handle = db.session.get_one(User, person.id).handle
        return console.post(f"/admin/people/{handle}/send-link")

    return run


@pytest.fixture
def link(send, ada, deliver):
    """The path of a link that was sent to Ada."""
    assert send(ada).ok
    return path_in(deliver())


def path_in(messages) -> str:
    (mail,) = [each for each in messages if "/sign-in-link/" in getattr(each, "text", "")]
    return link_in(mail, "/sign-in-link/").removeprefix("http://localhost")


def test_sent_link_signs_in_any_browser_once(wire, link, rows):
    shown = wire.get(link)
    assert shown.status == 200
    assert ADA not in shown.text
    assert wire.signed_in_as() is None
    answer = wire.post(link)
    assert answer.ok
    assert answer.location == ("/" if wire.language == "form" else None)
    assert wire.signed_in_as() == ADA
    assert "email" in [row.amr for row in rows(AuthSession)]
    other = wire.elsewhere()
    assert [other.get(link).status, other.post(link).status] == [404, 404]
    assert other.signed_in_as() is None


def test_opening_the_page_does_not_consume_the_link(wire, link, rows):
    for headers in ({}, {"Sec-Purpose": "prefetch"}):
        answer = wire.get(link, headers=headers)
        assert (answer.status, answer.headers["Referrer-Policy"]) == (200, "no-referrer")
    assert wire.client.head(link).status_code == 200
    assert [row.used_at for row in rows(SentLink)] == [None]
    assert wire.post(link).ok


def test_link_is_hidden_from_the_administrator_and_the_owner_is_notified(send, ada, deliver, rows):
    answer = send(ada)
    messages = deliver()
    token = path_in(messages).rpartition("/")[2]
    assert token not in answer.text
    assert all(each.to == [ADA] for each in messages)
    assert any("An administrator sent a one-time sign-in link" in each.text for each in messages)
    events = {event.name: event for event in rows(Event)}
    assert events["sign_in_link.sent"].user_id == ada.id
    assert events["sign_in_link.sent"].facts["by"].startswith("admin:")
    assert "admin.link_sent" in events
    assert token not in str([event.facts for event in rows(Event)])


def test_sent_link_still_requires_the_second_factor(wire, people, send, deliver):
    bob = people.open(email="bob@example.com", methods=["email", "authenticator"], second="authenticator")
    assert send(bob).ok
    assert wire.post(path_in(deliver())).ok
    assert "latchkey_session" not in wire.cookies
    assert PENDING in wire.cookies
    wire.get("/tf-validate")
    assert wire.post("/tf-validate", code=bob.app_code()).ok
    assert wire.signed_in_as() == "bob@example.com"


@pytest.mark.parametrize("after", [899, 901])
def test_link_expires_after_fifteen_minutes(wire, link, clock, after):
    clock.shift(after)
    assert wire.get(link).status == wire.elsewhere().get(link).status == (200 if after < 900 else 404)
    assert (wire.post(link).status == 404) is (after > 900)


def test_sending_a_new_link_revokes_the_previous_one(wire, link, send, ada, deliver):
    assert send(ada).ok
    second = path_in(deliver())
    assert wire.post(link).status == 404
    assert wire.post(second).ok


def test_link_is_rejected_after_the_email_was_changed(wire, link, app, ada, rows):
    import sqlalchemy as sa

    from app.extensions import db

    with app.app_context():
        db.session.execute(sa.update(Identity).where(Identity.user_id == ada.id).values(value="other@example.com"))
        db.session.commit()
    assert wire.post(link).status == 404
    assert wire.signed_in_as() is None


def test_disabling_the_account_revokes_the_link_and_blocks_new_ones(app, wire, link, console, send, ada, rows):
    from app.extensions import db

    with app.app_context():
        handle = db.session.get_one(User, ada.id).handle
    assert console.post(f"/admin/people/{handle}/disable").ok
    assert wire.post(link).status == 404
    assert send(ada).codes == ["disabled_account"]
    assert console.post(f"/admin/people/{handle}/enable").ok
    assert wire.post(link).status == 404, "it does not come back"


@pytest.mark.parametrize("who", ["unconfirmed", "phone"])
def test_account_without_confirmed_email_is_sent_no_link(send, people, deliver, who):
    person = (
        people.open(email=ADA, confirmed=False)
        if who == "unconfirmed"
        else people.open(phone="+16502530000", methods=["sms"])
    )
    answer = send(person)
    assert (answer.status, answer.codes) == (409, ["person_without_email"])
    assert deliver() == []


def test_links_are_limited_to_three_per_hour(send, ada, clock):
    assert [send(ada).ok for _ in range(3)] == [True] * 3
    refused = send(ada)
    assert (refused.status, refused.codes) == (429, ["too_many_links"])
    assert int(refused.headers["Retry-After"]) <= 3600
    clock.shift(250)
    assert send(ada).status == 429


@pytest.mark.every_pair
def test_concurrent_uses_of_a_link_create_one_session(wire, link, rows):
    browsers = [wire.elsewhere() for _ in range(4)]
    for browser in browsers:
        browser.fetch_csrf()
    with ThreadPoolExecutor(4) as threads:
        answers = list(threads.map(lambda browser: browser.post(link).status, browsers))
    assert len([status for status in answers if status in (200, 302)]) == 1
    assert len([browser for browser in browsers if browser.signed_in_as()]) == 1


def test_link_used_by_a_concurrent_request_is_rejected(wire, link, monkeypatch):
    from app.signin import sent_links
    from app.users import emails_of

    def other_is_first(user_id: int) -> list[str]:
        sent_links.end_all(user_id)
        return emails_of(user_id)

    monkeypatch.setattr(sent_links, "emails_of", other_is_first)
    assert wire.post(link).status == 404
    assert wire.signed_in_as() is None


@pytest.mark.parametrize("path", ["x", "x.y.z", "%00", "ff6b23f0." + "0" * 32 + ".1796570593." + "A" * 43])
def test_invalid_token_returns_404(wire, path):
    assert wire.get(f"/sign-in-link/{path}").status == wire.post(f"/sign-in-link/{path}").status == 404


def test_sent_link_token_is_not_accepted_by_other_links(app, wire, link):
    token = link.rpartition("/")[2]
    assert wire.get(f"/invite/{token}").status == 404
    assert wire.get(f"/confirm/{token}").status in (302, 400)


@pytest.mark.one_database
def test_cli_sends_a_link_without_printing_it_and_is_rate_limited(app, browser_wire, ada, deliver):
    run = app.test_cli_runner().invoke
    sent = run(args=["users", "send-link", ADA])
    assert sent.exit_code == 0, sent.output
    path = path_in(deliver())
    assert "/sign-in-link/" not in sent.output
    assert browser_wire.post(path).ok
    for _ in range(2):
        run(args=["users", "send-link", ADA])
    refused = run(args=["users", "send-link", ADA])
    assert refused.exit_code == 1
    assert "Try again later" in refused.output
    assert run(args=["users", "send-link", "nobody@example.com"]).exit_code == 1


@pytest.mark.one_database
def test_expired_link_is_not_emailed(send, ada, clock, deliver):
    send(ada)
    clock.shift(901)
    assert not any("/sign-in-link/" in each.text for each in deliver())
