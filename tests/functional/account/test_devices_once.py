"""/sessions lists each device once: whether it is signed in, and whether the account knows it."""

from __future__ import annotations

import re

import pytest

from app.sessions.models import AuthSession, KnownDevice
from tests.functional.account.test_devices import PHONE
from tests.signed_in import sign_in


@pytest.fixture
def ada(people):
    """Someone who signs in by email."""
    return people.open(email="ada@example.com")


def listed(answer) -> list[tuple[str, list[str]]]:
    """Return each device on the page with its buttons."""
    items = re.findall(r'<li class="way">(.*?)\n    </li>', answer.text, re.DOTALL)
    names = [re.search(r"<h3>(.*?)(?: <span|</h3>)", item)[1] for item in items]
    return [(name, re.findall(r"<button[^>]*>(.*?)</button>", item)) for name, item in zip(names, items, strict=True)]


def test_current_browser_is_listed_once_with_all_actions(browser_wire, ada, come_in, rows):
    answer = come_in(browser_wire, ada.email).get("/sessions")
    assert [buttons for _, buttons in listed(answer)] == [["Sign out", "Forget"]]
    assert answer.text.count('class="badge">This browser') == 1
    assert "First used" in answer.text
    assert "Browsers you've used before" not in answer.text
    known = [row for row in rows(KnownDevice, user_id=ada.id) if row.first_seen_at]
    assert f'formaction="/known-browsers/{known[0].id}/forget"' in answer.text


def test_other_device_is_listed_once_after_the_current_one(browser_wire, ada, come_in):
    come_in(browser_wire.elsewhere(agent=PHONE), ada.email)
    devices = listed(come_in(browser_wire, ada.email).get("/sessions"))
    assert [buttons for _, buttons in devices] == [["Sign out", "Forget"]] * 2
    assert devices[1][0] == "Safari on iPhone or iPad"


def test_signed_out_device_is_listed_as_previously_used(browser_wire, ada, come_in):
    come_in(browser_wire.elsewhere(agent=PHONE), ada.email).post("/logout")
    answer = come_in(browser_wire, ada.email).get("/sessions")
    assert listed(answer)[1] == ("Safari on iPhone or iPad", ["Forget"])
    assert "Browsers you've used before" in answer.text


def test_session_without_known_browser_cannot_be_forgotten(browser_wire, ada, come_in):
    sign_in(browser_wire.elsewhere(agent=PHONE), ada)
    devices = listed(come_in(browser_wire, ada.email).get("/sessions"))
    assert [buttons for _, buttons in devices] == [["Sign out", "Forget"], ["Sign out"]]


@pytest.mark.both_databases
def test_forgetting_a_device_keeps_it_signed_in(browser_wire, ada, come_in, rows):
    phone = come_in(browser_wire.elsewhere(agent=PHONE), ada.email)
    page = come_in(browser_wire, ada.email).get("/sessions")
    path = re.findall(r'formaction="(/known-browsers/[0-9a-f]+/forget)"', page.text)[1]
    assert browser_wire.post(path).ok
    assert [buttons for _, buttons in listed(browser_wire.get("/sessions"))] == [["Sign out", "Forget"], ["Sign out"]]
    assert phone.signed_in_as() == ada.email


def test_json_lists_sessions_and_known_browsers_separately(json_wire, ada, come_in):
    answer = come_in(json_wire, ada.email).get("/sessions").json
    assert set(answer) == {"sessions", "more", "known_browsers", "csrf_token"}
    assert [len(answer["sessions"]), len(answer["known_browsers"])] == [1, 1]


def test_devices_with_the_same_name_are_each_listed_once(browser_wire, ada, come_in):
    for _ in range(2):
        come_in(browser_wire.elsewhere(agent=PHONE), ada.email)
    devices = listed(come_in(browser_wire, ada.email).get("/sessions"))
    assert [buttons for _, buttons in devices] == [["Sign out", "Forget"]] * 3


def test_device_is_listed_once_days_after_its_sign_in(browser_wire, ada, come_in, clock):
    come_in(browser_wire.elsewhere(agent=PHONE), ada.email)
    clock.shift(4 * 86400)
    devices = listed(come_in(browser_wire, ada.email).get("/sessions"))
    assert [buttons for _, buttons in devices] == [["Sign out", "Forget"]] * 2


def test_browsers_with_the_same_user_agent_are_not_merged(browser_wire, ada, come_in):
    come_in(browser_wire.elsewhere(agent=PHONE), ada.email).post("/logout")
    sign_in(browser_wire.elsewhere(agent=PHONE), ada)
    devices = listed(come_in(browser_wire, ada.email).get("/sessions"))
    assert [buttons for _, buttons in devices] == [["Sign out", "Forget"], ["Sign out"], ["Forget"]]


@pytest.mark.both_databases
def test_session_is_listed_after_its_known_browser_row_was_deleted(browser_wire, ada, come_in, database):
    come_in(browser_wire.elsewhere(agent=PHONE), ada.email)
    database.query("DELETE FROM standing RETURNING id")
    devices = listed(come_in(browser_wire, ada.email).get("/sessions"))
    assert [buttons for _, buttons in devices] == [["Sign out", "Forget"], ["Sign out"]]


@pytest.mark.both_databases
def test_current_browser_is_recognized_by_cookie_if_session_has_no_browser(browser_wire, ada, come_in, database):
    come_in(browser_wire.elsewhere(agent=PHONE), ada.email)
    come_in(browser_wire, ada.email)
    database.query("UPDATE auth_session SET browser = NULL RETURNING id")
    devices = listed(browser_wire.get("/sessions"))
    assert [buttons for _, buttons in devices] == [["Sign out", "Forget"], ["Sign out"], ["Forget"]]


@pytest.mark.settings(second_factor="if_enrolled")
def test_newly_trusted_browser_is_listed_with_its_session(browser_wire, people, come_in, rows):
    bob = people.open(email="bob@example.com", methods=["email", "authenticator"], second="authenticator")
    come_in(browser_wire, bob.email)
    browser_wire.get("/tf-validate")
    assert browser_wire.post("/tf-validate", code=bob.app_code(), remember="y").ok
    devices = listed(browser_wire.get("/sessions"))
    assert [buttons for _, buttons in devices] == [["Sign out", "Stop trusting", "Forget"]]
    (session,) = [row for row in rows(AuthSession) if row.revoked_at is None]
    assert session.browser in {row.browser for row in rows(KnownDevice) if row.trusted_until}
