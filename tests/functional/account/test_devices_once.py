"""/sessions lists each device once for people: what is signed in there, and that the account knows it."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest

from app.account.devices import known_by_session
from app.sessions.known_devices import SEEN_EVERY
from app.sessions.models import AuthSession, KnownDevice
from tests.functional.account.test_devices import PHONE
from tests.signed_in import sign_in


@pytest.fixture
def ada(people):
    """Somebody who signs in by mail."""
    return people.open(email="ada@example.com")


def listed(answer) -> list[tuple[str, list[str]]]:
    """Return each device of the page with the words of its buttons."""
    items = re.findall(r'<li class="way">(.*?)\n    </li>', answer.text, re.DOTALL)
    names = [re.search(r"<h3>(.*?)(?: <span|</h3>)", item)[1] for item in items]
    return [(name, re.findall(r"<button[^>]*>(.*?)</button>", item)) for name, item in zip(names, items, strict=True)]


def test_this_browser_is_listed_once_with_all_that_can_be_done(browser_wire, ada, come_in, rows):
    answer = come_in(browser_wire, ada.email).get("/sessions")
    assert [buttons for _, buttons in listed(answer)] == [["Sign out", "Forget"]]
    assert answer.text.count('class="badge">This browser') == 1
    assert "First used" in answer.text
    assert "Browsers you've used before" not in answer.text
    known = [row for row in rows(KnownDevice, user_id=ada.id) if row.first_seen_at]
    assert f'formaction="/known-browsers/{known[0].id}/forget"' in answer.text


def test_another_device_is_listed_once_too_and_after_this_one(browser_wire, ada, come_in):
    come_in(browser_wire.elsewhere(agent=PHONE), ada.email)
    devices = listed(come_in(browser_wire, ada.email).get("/sessions"))
    assert [buttons for _, buttons in devices] == [["Sign out", "Forget"]] * 2
    assert devices[1][0] == "Safari on iPhone or iPad"


def test_a_device_that_signed_out_is_listed_among_those_of_before(browser_wire, ada, come_in):
    come_in(browser_wire.elsewhere(agent=PHONE), ada.email).post("/logout")
    answer = come_in(browser_wire, ada.email).get("/sessions")
    assert listed(answer)[1] == ("Safari on iPhone or iPad", ["Forget"])
    assert "Browsers you've used before" in answer.text


def test_a_session_of_no_known_browser_stands_alone(browser_wire, ada, come_in):
    sign_in(browser_wire.elsewhere(agent=PHONE), ada)
    devices = listed(come_in(browser_wire, ada.email).get("/sessions"))
    assert [buttons for _, buttons in devices] == [["Sign out", "Forget"], ["Sign out"]]


def test_forgetting_a_device_leaves_it_signed_in(browser_wire, ada, come_in, rows):
    phone = come_in(browser_wire.elsewhere(agent=PHONE), ada.email)
    page = come_in(browser_wire, ada.email).get("/sessions")
    path = re.findall(r'formaction="(/known-browsers/[0-9a-f]+/forget)"', page.text)[1]
    assert browser_wire.post(path).ok
    assert [buttons for _, buttons in listed(browser_wire.get("/sessions"))] == [["Sign out", "Forget"], ["Sign out"]]
    assert phone.signed_in_as() == ada.email


def test_programs_read_what_they_read_before(json_wire, ada, come_in):
    answer = come_in(json_wire, ada.email).get("/sessions").json
    assert set(answer) == {"sessions", "more", "known_browsers", "csrf_token"}
    assert [len(answer["sessions"]), len(answer["known_browsers"])] == [1, 1]


@pytest.fixture
def pair():
    """Pairs sessions and known browsers of one name, each begun or last used so many seconds ago."""
    now = datetime.now(UTC)

    def those(began: list[float], used: list[float], agent: str = "Firefox on Linux") -> dict[str, str]:
        heads = [
            AuthSession(session_id=f"s{place}", agent="Firefox on Linux", created_at=now - timedelta(seconds=ago))
            for place, ago in enumerate(began)
        ]
        known = [
            KnownDevice(id=f"k{place}", browser=f"b{place}", agent=agent, last_seen_at=now - timedelta(seconds=ago))
            for place, ago in enumerate(used)
        ]
        here = AuthSession(session_id="here", agent="", created_at=now)
        return {session: row.id for session, row in known_by_session(heads, known, here, []).items()}

    return those


DAY = SEEN_EVERY.total_seconds()


@pytest.mark.one_database
@pytest.mark.parametrize(
    ("began", "used", "pairs"),
    [
        ([100], [100], {"s0": "k0"}),
        ([100], [100 + DAY], {"s0": "k0"}),
        ([100], [101 + DAY], {}),
        ([100], [99], {}),
        ([100, 100 + 9 * DAY], [101, 101 + 9 * DAY], {"s0": "k0", "s1": "k1"}),
        ([100], [100, 200], {}),
        ([100, 90], [110], {}),
    ],
    ids=[
        "signed in just then", "its day was noted a day before", "not signed in to for longer", "signed in to since",
        "two of a name", "two that fit", "two sessions, as of a stranger who calls itself so",
    ],
)  # fmt: skip
def test_a_device_is_put_together_only_where_it_is_sure(pair, began, used, pairs):
    assert pair(began, used) == pairs


@pytest.mark.one_database
def test_another_name_is_another_device(pair):
    assert pair([100], [100], agent="Chrome on Windows") == {}
