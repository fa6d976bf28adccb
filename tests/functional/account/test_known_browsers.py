"""Browsers an account knows: listed under /sessions, and forgotten one by one."""

from __future__ import annotations

import pytest

from app.audit import Event
from app.sessions.models import KnownDevice
from app.throttling.models import FailureCounter


@pytest.fixture
def ada(people):
    """Somebody who signs in by mail."""
    return people.open(email="ada@example.com")


@pytest.fixture
def here(wire, ada, come_in):
    """The browser that Ada has signed in from."""
    return come_in(wire, ada.email)


def known(rows, user_id):
    """Return the rows of the browsers that an account knows."""
    found = rows(KnownDevice, user_id=user_id)
    return [row for row in found if row.first_seen_at is not None and row.revoked_at is None]


def test_a_browser_stands_there_once_somebody_has_signed_in(here):
    answer = here.get("/sessions")
    if here.language == "form":
        assert "Forget" in answer.text
        assert "First used" in answer.text
        return
    [mine] = answer.json["known_browsers"]
    assert (mine["current"], mine["browser"]) == (True, "Chrome on Windows")
    assert mine["first_seen_at"] <= mine["last_seen_at"]


def test_the_list_does_not_tell_by_what_a_browser_is_known(here, ada, rows):
    assert known(rows, ada.id)[0].browser not in here.get("/sessions").text


def test_the_current_one_is_forgotten_and_comes_back_as_new(here, ada, rows, come_in):
    [row] = known(rows, ada.id)
    assert here.post(f"/known-browsers/{row.id}/forget").ok
    assert known(rows, ada.id) == []
    assert here.signed_in_as() == ada.email
    assert [event.user_id for event in rows(Event, name="browser.forgotten")] == [ada.id]
    here.post("/logout")
    come_in(here, ada.email)
    assert rows(Event, name="sign_in.succeeded")[-1].facts["browser"] == "new"


def test_one_is_forgotten_from_another(here, ada, rows, come_in):
    come_in(here.elsewhere(), ada.email)
    gone, kept = known(rows, ada.id)
    assert here.post(f"/known-browsers/{gone.id}/forget").ok
    assert [row.id for row in known(rows, ada.id)] == [kept.id]


def test_it_is_forgotten_once(here, ada, rows):
    path = f"/known-browsers/{known(rows, ada.id)[0].id}/forget"
    assert [here.post(path).status, here.post(path).status] == [302 if here.language == "form" else 200, 404]
    assert len(rows(Event, name="browser.forgotten")) == 1


def test_nobody_forgets_anothers(here, ada, people, rows, come_in):
    eve = people.open(email="eve@example.com")
    come_in(other := here.elsewhere(), eve.email)
    assert other.post(f"/known-browsers/{known(rows, ada.id)[0].id}/forget").status == 404
    assert known(rows, ada.id)


@pytest.mark.parametrize("row", ["0" * 64, "x", "%00", "a" * 4000])
def test_what_is_no_browser_is_not_there(here, row):
    assert here.post(f"/known-browsers/{row}/forget").status == 404


def test_strangers_failures_are_no_browser(here, ada, rows):
    here.elsewhere().post("/us-signin", identity=ada.email, passcode="00000000")
    counted = next(row for row in rows(FailureCounter, user_id=ada.id) if row.first_seen_at is None)
    assert here.post(f"/known-browsers/{counted.id}/forget").status == 404
    assert len(here.get("/sessions").json.get("known_browsers", [1])) == 1
