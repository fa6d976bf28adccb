"""Several authenticator apps: one guess is tried against all of them, without additional statements."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace

import pyotp
import pytest
import sqlalchemy as sa

from app.authenticators import totp
from app.enrollments.models import Enrollment
from tests.databases import ROOT
from tests.factories import Person
from tests.functional.signin.conftest import wrong
from tests.second import begin, first_step, taken


@pytest.fixture
def give_apps(app):
    """Adds apps to someone's account: ``give_apps(bob, 4)`` returns them as people, each with one app's secret."""

    def give(person: Person, count: int, **more) -> list[Person]:
        from app.authenticators.enrollments import enroll
        from app.extensions import db

        keys = [pyotp.random_base32(32) for _ in range(count)]
        with app.app_context():
            for number, key in enumerate(keys):
                enroll(person.id, "authenticator", key, name=f"App {number}", **more)
            db.session.commit()
        return [replace(person, authenticator=key) for key in keys]

    return give


@pytest.fixture
def shapes(statements):
    """Runs something and returns the kinds of statements that it took."""

    def measure(work) -> list[str]:
        with statements() as seen:
            work()
        return [re.sub(r"\(.*?\)|\s+", " ", statement).strip()[:60] for statement in seen]

    return measure


@pytest.fixture
def eve(people) -> Person:
    """Someone with one app, who signs in by it or by email."""
    return people.open(email="eve@example.com", methods=["email", "authenticator"])


@pytest.fixture
def max_apps(people, give_apps) -> Person:
    """Someone with the maximum number of apps; the person has the secret of the newest."""
    max_ = people.open(email="max@example.com", methods=["email", "authenticator"])
    return give_apps(max_, totp.MAX_APPS - 1)[-1]


@pytest.mark.every_pair
def test_sign_in_with_five_totp_apps_takes_as_many_statements_as_with_one(wire, eve, max_apps, shapes):
    right, missed = [], []
    for person in (eve, max_apps):
        for cost, code in ((missed, wrong(person.app_code())), (right, person.app_code())):
            browser = wire.elsewhere()
            browser.fetch_csrf()
            cost.append(shapes(lambda b=browser, c=code, p=person: b.post("/us-signin", identity=p.email, passcode=c)))
    assert right[0] == right[1]
    assert missed[0] == missed[1]


@pytest.mark.every_pair
def test_second_step_with_five_totp_apps_takes_as_many_statements_as_with_one(
    wire, bob, people, give_apps, code_for, shapes
):
    many = people.open(email="many@example.com", methods=["email", "authenticator"], second="authenticator")
    last = give_apps(many, totp.MAX_APPS - 1, is_second=True)[-1]
    found = []
    for person in (bob, last):
        browser = wire.elsewhere()
        first_step(browser, person, code_for)
        for code in (wrong(person.app_code()), person.app_code()):
            browser.get("/tf-validate")
            found.append(shapes(lambda b=browser, c=code: b.post("/tf-validate", code=c)))
        assert browser.signed_in_as() == person.email
    assert found[0] == found[2]
    assert found[1] == found[3]
    assert len(found[1]) <= 12


def test_any_second_factor_totp_app_completes_the_second_step(wire, bob, give_apps, code_for):
    other = give_apps(bob, 1, is_second=True, signs_in=False)[0]
    for person in (bob, other):
        browser = wire.elsewhere()
        first_step(browser, person, code_for)
        taken(browser.post("/tf-validate", code=person.app_code()), True)
        assert browser.signed_in_as() == bob.email
        again = wire.elsewhere()
        first_step(again, person, code_for)
        taken(again.post("/tf-validate", code=person.app_code()), False)


def test_totp_app_in_cooldown_cannot_complete_the_second_step(wire, bob, give_apps, code_for, clock):
    from datetime import timedelta

    from app import clock as time

    new = give_apps(bob, 1, is_second=True, weak_until=time.now() + timedelta(days=1))[0]
    first_step(wire, new, code_for)
    taken(wire.post("/tf-validate", code=new.app_code()), False)
    wire.get("/tf-validate")
    taken(wire.post("/tf-validate", code=bob.app_code()), True)


def test_wrong_code_counts_as_one_attempt_and_as_a_miss_of_every_app(wire, bob, give_apps, code_for, rows):
    from app.audit import Event

    give_apps(bob, 4, is_second=True)
    for number in range(3):
        browser = wire.elsewhere(address=f"10.{number}.0.1")
        first_step(browser, bob, code_for)
        for _ in range(4):
            browser.post("/tf-validate", code=wrong(bob.app_code()))
    failed = Counter(event.facts["reason"] for event in rows(Event, name="second_step.failed"))
    assert failed == {"wrong_code": 10, "budget_spent": 2}
    assert [row.misses for row in rows(Enrollment, method="authenticator")] == [10] * 5


@pytest.mark.settings(failures_in_a_row=3)
def test_locked_totp_apps_do_not_lock_a_newer_one(wire, bob, give_apps, code_for, app):
    from app.extensions import db

    with app.app_context():
        db.session.execute(sa.update(Enrollment).filter_by(method="authenticator").values(misses=3))
        db.session.commit()
    newer = give_apps(bob, 1, is_second=True)[0]
    first_step(wire, bob, code_for)
    taken(wire.post("/tf-validate", code=bob.app_code()), False)
    wire.get("/tf-validate")
    taken(wire.post("/tf-validate", code=newer.app_code()), True)


def test_documented_totp_guessing_odds_match_five_apps_and_the_accepted_window(
    json_wire, people, give_apps, clock, app
):
    """The probability in docs/security.md is for the maximum number of apps."""
    from app.extensions import settings

    clock.shift(-((clock.unix() - 10) % 30))
    max_ = people.open(email="max@example.com", methods=["authenticator"])
    people_of = [max_, *give_apps(max_, totp.MAX_APPS - 1)]
    for person in people_of:
        good = []
        for steps in range(-3, 4):  # upwards: a step that was taken closes those before it
            other = json_wire.elsewhere(address=f"10.{people_of.index(person)}.{steps + 3}.1")
            good.append(other.post("/us-signin", identity=max_.email, passcode=person.app_code(steps)).ok)
            _forget_failures(app, max_)
        assert good == [False, False, True, True, True, False, False]
    with app.app_context():
        chances = [settings.failures_per_day * 365 * 3 * count / 10**6 for count in (1, totp.MAX_APPS)]
    told = (ROOT / "docs" / "security.md").read_text()
    assert [f"{chance:.1%}".replace("%", " %") in told for chance in chances] == [True, True], chances


def _forget_failures(app, person: Person) -> None:
    from app.extensions import db
    from app.throttling.by_account import reset_failures

    with app.app_context():
        reset_failures(person.id)
        db.session.commit()


@pytest.mark.one_database
def test_second_factor_only_app_cannot_sign_in_beside_a_sign_in_app(wire, eve, give_apps, code_for):
    second = give_apps(eve, 1, signs_in=False)[0]
    assert wire.post("/us-signin", identity=eve.email, passcode=second.app_code()).status == 400
    assert wire.post("/us-signin", identity=eve.email, passcode=eve.app_code()).ok
    begin(wire.elsewhere(), eve, code_for)
