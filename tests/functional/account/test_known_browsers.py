"""Known browsers: listed under /sessions, and forgotten one by one."""

from __future__ import annotations

import pytest

from app.audit import Event
from app.sessions.models import KnownDevice
from app.throttling.models import FailureCounter


@pytest.fixture
def ada(people):
    """Someone who signs in by email."""
    return people.open(email="ada@example.com")


@pytest.fixture
def here(wire, ada, come_in):
    """The browser that Ada has signed in from."""
    return come_in(wire, ada.email)


def known(rows, user_id):
    """Return the rows of an account's known browsers."""
    found = rows(KnownDevice, user_id=user_id)
    return [row for row in found if row.first_seen_at is not None and row.revoked_at is None]


def test_browser_is_listed_after_sign_in(here):
    answer = here.get("/sessions")
    if here.language == "form":
        assert "Forget" in answer.text
        assert "First used" in answer.text
        return
    [mine] = answer.json["known_browsers"]
    assert (mine["current"], mine["browser"]) == (True, "Chrome on Windows")
    assert mine["first_seen_at"] <= mine["last_seen_at"]


def test_browser_identifier_is_not_exposed(here, ada, rows):
    assert known(rows, ada.id)[0].browser not in here.get("/sessions").text


def test_forgotten_current_browser_stays_signed_in_and_is_new_next_time(here, ada, rows, come_in):
    [row] = known(rows, ada.id)
    assert here.post(f"/known-browsers/{row.id}/forget").ok
    assert known(rows, ada.id) == []
    assert here.signed_in_as() == ada.email
    assert [event.user_id for event in rows(Event, name="browser.forgotten")] == [ada.id]
    here.post("/logout")
    come_in(here, ada.email)
    assert rows(Event, name="sign_in.succeeded")[-1].facts["browser"] == "new"


def test_browser_can_be_forgotten_from_another_one(here, ada, rows, come_in):
    come_in(here.elsewhere(), ada.email)
    gone, kept = known(rows, ada.id)
    assert here.post(f"/known-browsers/{gone.id}/forget").ok
    assert [row.id for row in known(rows, ada.id)] == [kept.id]


def test_forgetting_a_browser_twice_returns_404(here, ada, rows):
    path = f"/known-browsers/{known(rows, ada.id)[0].id}/forget"
    assert [here.post(path).status, here.post(path).status] == [302 if here.language == "form" else 200, 404]
    assert len(rows(Event, name="browser.forgotten")) == 1


def test_browser_of_another_user_cannot_be_forgotten(here, ada, people, rows, come_in):
    eve = people.open(email="eve@example.com")
    come_in(other := here.elsewhere(), eve.email)
    assert other.post(f"/known-browsers/{known(rows, ada.id)[0].id}/forget").status == 404
    assert known(rows, ada.id)


@pytest.mark.parametrize("row", ["0" * 64, "x", "%00", "a" * 4000])
def test_forgetting_an_unknown_browser_returns_404(here, row):
    assert here.post(f"/known-browsers/{row}/forget").status == 404


def test_failed_sign_ins_do_not_create_a_known_browser(here, ada, rows):
    here.elsewhere().post("/us-signin", identity=ada.email, passcode="00000000")
    counted = next(row for row in rows(FailureCounter, user_id=ada.id) if row.first_seen_at is None)
    assert here.post(f"/known-browsers/{counted.id}/forget").status == 404
    assert len(here.get("/sessions").json.get("known_browsers", [1])) == 1
