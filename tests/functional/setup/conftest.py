"""Ada, who is signed in and sets up sign-in methods."""

from __future__ import annotations

import re
from collections.abc import Callable

import pyotp
import pytest

from tests.factories import People, Person
from tests.signed_in import sign_in
from tests.wire import Answer, Wire

PHONE = "+16502530000"


@pytest.fixture
def ada(people: People) -> Person:
    """Someone who signs in by email and has nothing else."""
    return people.open(email="ada@example.com")


@pytest.fixture
def hers(wire: Wire, ada: Person) -> Wire:
    """Ada's browser, then her API client, signed in."""
    return sign_in(wire, ada)


@pytest.fixture
def enrolled(rows: Callable[..., list], ada: Person) -> Callable[[], list[str]]:
    """Returns what Ada has set up: ``enrolled() == ["email"]``."""
    from app.enrollments.models import Enrollment

    return lambda: sorted(row.method for row in rows(Enrollment, user_id=ada.id))


def state_in(answer: Answer) -> str:
    """Return the state of the enrollment that ``answer`` begins. Raises AssertionError."""
    if answer.json:
        assert "state" in answer.json, answer
        return str(answer.json["state"])
    if answer.status == 303:
        return str(answer.location).removeprefix("/us-setup/")
    found = [form["action"] for form in answer.page.forms if form.get("action", "").startswith("/us-setup/")]
    assert len(found) == 1, f"one enrollment was expected in {answer!r}, found {found}"
    return found[0].removeprefix("/us-setup/")


def key_in(answer: Answer) -> str:
    """Return the base32 key that ``answer`` shows, or "" when it shows none."""
    if answer.json:
        return str(answer.json.get("authr_b32key", ""))
    found = re.search(r'id="enrolling-key">([A-Z2-7-]+)<', answer.text)
    return found.group(1).replace("-", "") if found else ""


def app_code(key: str, steps: int = 0) -> str:
    """Return the code of ``key`` now, or that many steps of 30 s from now."""
    from app import clock

    return pyotp.TOTP(key).at(int(clock.unix()) + 30 * steps)
