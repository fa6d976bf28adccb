"""A recovery is canceled by someone signed in, or someone who gets one of its messages. Only one side wins."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from app.audit import Event
from app.enrollments.models import Enrollment
from app.recovery.models import Recovery
from tests.functional.recovery.conftest import WAIT, cancel_path, proof_in, state_in
from tests.signed_in import sign_in
from tests.wire import Wire

pytestmark = pytest.mark.both_databases


@pytest.fixture
def started(json_wire, bob, starts) -> Wire:
    """A browser in which a recovery of Bob's account was started."""
    starts(json_wire, bob.email)
    return json_wire


def test_signed_in_owner_sees_the_recovery_and_can_cancel_it(app, started, bob, rows, mail_to, proves, clock):
    his = sign_in(Wire(app, "form"), bob)
    for path in ("/", "/sessions", "/activity"):
        assert "Someone is recovering this account." in his.get(path).text
    assert his.post("/recover/stop").location == "/"
    assert "Someone is recovering this account." not in his.get("/").text
    assert "canceled" in mail_to(bob.email).subject
    assert [event.facts["how"] for event in rows(Event, name="recovery.cancelled")] == ["session"]
    clock.shift(WAIT + 1)
    assert state_in(proves(started, bob.email)) == "start"


def test_json_client_sees_the_recovery_and_can_cancel_it(app, started, bob):
    his = sign_in(Wire(app, "json"), bob)
    assert set(his.get("/recover").json["recovery"]) == {
        "requested_at", "ready_at", "expires_at", "browser", "address",
    }  # fmt: skip
    assert his.post("/recover/stop").json["cancelled"] is True
    assert his.get("/recover").json["recovery"] is None
    assert his.post("/recover/stop").json["cancelled"] is False


def test_account_deletion_request_cancels_the_recovery_even_if_withdrawn(app, started, people, bob, rows, clock):
    from app.extensions import db
    from app.privacy.deletion import cancel_requested
    from app.users import User

    clock.shift(WAIT + 1)
    people.leave(bob)
    with app.app_context():
        assert cancel_requested(db.session.get(User, bob.id))
        db.session.commit()
    assert rows(Recovery)[0].cancelled_at is not None
    assert [event.facts["how"] for event in rows(Event, name="recovery.cancelled")] == ["deletion"]


def test_recovery_is_neither_visible_to_nor_cancelable_by_another_user(app, started, people, rows):
    eve = sign_in(Wire(app, "json"), people.open(email="eve@example.com"))
    assert eve.get("/recover").json["recovery"] is None
    assert eve.post("/recover/stop").json["cancelled"] is False
    assert rows(Recovery)[0].cancelled_at is None


def test_email_link_cancels_the_recovery_after_confirmation_in_any_browser(wire, started, bob, mail_to, rows, clock):
    path = cancel_path(mail_to(bob.email).text)
    page = wire.get(path)
    assert page.ok
    assert rows(Recovery)[0].cancelled_at is None
    refused = wire.post(path)
    assert (refused.status, refused.codes) == (400, ["denial_unsure"])
    done = wire.post(path, sure=True)
    assert done.ok
    assert rows(Recovery)[0].cancelled_at is not None
    assert wire.signed_in_as() is None
    assert wire.post(path, sure=True).ok, "saying it twice is saying it once"
    assert len(rows(Event, name="recovery.cancelled")) == 1


def test_sms_link_cancels_the_recovery(started, bob, text_to, rows):
    path = cancel_path(text_to(bob.phone).text)
    assert started.elsewhere().post(path, sure=True).json["state"] == "cancelled"


@pytest.mark.one_database
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_opening_the_cancel_link_changes_nothing(started, bob, mail_to, rows, method):
    path = cancel_path(mail_to(bob.email).text)
    answer = started.elsewhere().send(method, path, headers={"Sec-Purpose": "prefetch"})
    assert (answer.status, answer.headers["Referrer-Policy"]) == (200, "no-referrer")
    assert rows(Recovery)[0].cancelled_at is None


@pytest.mark.one_database
def test_cancel_requires_a_csrf_token(started, bob, mail_to, rows):
    path = cancel_path(mail_to(bob.email).text)
    other = Wire(started.app, "form")
    other.fetch_csrf()
    assert other.post(path, csrf="x", sure=True).status == 400
    assert rows(Recovery)[0].cancelled_at is None


@pytest.mark.one_database
@pytest.mark.parametrize("token", ["x", "v1.0.0.0", "é", "a" * 300])
def test_invalid_cancel_token_returns_404(wire, token):
    answer = wire.get(f"/recover/cancel/{token}")
    assert answer.status == 404


def test_canceled_recovery_cannot_be_completed(started, bob, proves, clock, rows):
    clock.shift(WAIT + 1)
    proof = proof_in(proves(started, bob.email))
    assert sign_in(started.elsewhere(), bob).post("/recover/stop").json["cancelled"] is True
    assert started.post("/recover/complete", proof=proof, lost=["authenticator"]).codes == ["recovery_over"]
    assert "authenticator" in {row.method for row in rows(Enrollment)}


def test_completed_recovery_cannot_be_canceled(started, bob, proves, clock, mail_to, rows):
    path = cancel_path(mail_to(bob.email).text)
    clock.shift(WAIT + 1)
    assert started.post("/recover/complete", proof=proof_in(proves(started, bob.email)), lost=["authenticator"]).ok
    assert started.elsewhere().post(path, sure=True).json["state"] == "done"
    assert rows(Recovery)[0].cancelled_at is None


@pytest.mark.settings(limits=False, pool_size=8)
@pytest.mark.parametrize("number", range(3))
def test_concurrent_cancel_and_complete_have_exactly_one_winner(started, bob, proves, clock, mail_to, rows, number):
    path = cancel_path(mail_to(bob.email).text)
    clock.shift(WAIT + 1)
    proof, others = proof_in(proves(started, bob.email)), [started.elsewhere() for _ in range(3)]
    for other in others:
        other.fetch_csrf()
    started.fetch_csrf()
    ready = threading.Barrier(4)

    def end(wire: Wire):
        ready.wait()
        if wire is started:
            return wire.post("/recover/complete", proof=proof, lost=["authenticator"])
        return wire.post(path, sure=True)

    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(end, [started, *others]))
    (row,) = rows(Recovery)
    assert (row.done_at is None) != (row.cancelled_at is None)
    assert answers[0].ok == (row.done_at is not None) == (started.signed_in_as() == bob.email)
    events = [event.name for event in rows(Event) if event.name in ("recovery.cancelled", "recovery.completed")]
    assert len(events) == 1


@pytest.mark.settings(limits=False, pool_size=8)
def test_concurrent_starts_create_one_recovery(app, bob, proves, rows):
    browsers = [Wire(app, "json") for _ in range(2)]
    proofs = [proof_in(proves(browser, bob.email)) for browser in browsers]
    ready = threading.Barrier(2)

    def start(each):
        browser, proof = each
        ready.wait()
        return browser.post("/recover/start", proof=proof)

    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(start, zip(browsers, proofs, strict=True)))
    assert [state_in(answer) for answer in answers] == ["waiting"] * 2
    assert len(rows(Recovery)) == 1


def test_cli_shows_and_cancels_the_recovery(app, started, bob, rows, mail_to):
    operate = app.test_cli_runner()
    told = operate.invoke(args=["users", "recovery", bob.email])
    assert "bob@example.com: being recovered since 20" in told.output
    assert "the recovery is canceled" in operate.invoke(args=["users", "recovery", bob.email, "--cancel"]).output
    assert rows(Recovery)[0].cancelled_at is not None
    assert "canceled" in mail_to(bob.email).subject
    assert "no recovery is under way" in operate.invoke(args=["users", "recovery", bob.email, "--cancel"]).output
