"""The activity page in a browser: days in the reader's time zone, and the filter with and without JavaScript."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest


@pytest.fixture
def ada(people, email, shared_app):
    """Someone with events just before and just after midnight (UTC) of the day before yesterday."""
    from app.audit import Event
    from app.extensions import db

    person = people.open(email=email)
    midnight = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=1)
    nobody = dict.fromkeys(("support_id", "request_id", "address", "agent"), "")
    with shared_app.app_context():
        for name, minutes in (("factor.added", -30), ("session.ended", 30)):
            at = midnight + timedelta(minutes=minutes)
            db.session.add(Event(at=at, name=name, user_id=person.id, facts={}, **nobody))
        db.session.commit()
    return person


def days(page) -> list[str]:
    """Return the headings of the days, each with the entries below it."""
    parts = page.locator("[data-day]").all()
    return [f"{part.locator('h3').inner_text()}: {part.locator('.way-what').all_inner_texts()}" for part in parts]


@pytest.mark.parametrize(("zone", "count"), [("UTC", 2), ("Asia/Kolkata", 1), ("America/New_York", 1)])
def test_days_and_times_use_the_browser_time_zone(new_browser, ada, sign_in, zone, count):
    page = sign_in(ada, new_browser(timezone_id=zone))
    page.goto("/activity")
    of_that_night = [day for day in days(page) if "Signed out" in day or "Sign-in method added" in day]
    assert len(of_that_night) == count, days(page)
    assert page.locator(".way time").first.inner_text()[2] == ":"


def test_filter_works_without_javascript(new_browser, ada, sign_in):
    page = sign_in(ada, new_browser(java_script_enabled=False))
    page.goto("/activity")
    page.get_by_role("navigation", name="Filter").get_by_role("link", name="Changes").click()
    assert page.locator(".way-what").all_inner_texts() == ["Sign-in method added"]
    assert page.locator("[aria-current=true]").inner_text() == "Changes"
    assert page.locator("[data-day] h3").count() == 1
