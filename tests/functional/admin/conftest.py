"""Administrators, signed in to the console."""

from __future__ import annotations

import pytest
from flask import Flask

from tests.factories import Person
from tests.signed_in import sign_in
from tests.wire import Wire


def make_administrator(app: Flask, person: Person) -> Person:
    """Make someone an administrator; return them."""
    from app.extensions import db
    from app.users import administrators

    with app.app_context():
        administrators.grant(person.id, by="operator")
        db.session.commit()
    return person


@pytest.fixture
def grace(app, people) -> Person:
    """An administrator with two sign-in methods."""
    return make_administrator(app, people.open(email="grace@example.com", methods=["email", "authenticator"]))


@pytest.fixture
def console(wire, grace) -> Wire:
    """The browser of an administrator who has just reauthenticated."""
    return sign_in(wire, grace)


@pytest.fixture
def ada(people) -> Person:
    """Someone that administrators help."""
    return people.open(email="ada@example.com", methods=["email", "authenticator"])


@pytest.fixture
def of_ada(app, ada) -> str:
    """The address of Ada's page."""
    from app.extensions import db
    from app.users import User

    with app.app_context():
        return f"/admin/people/{db.session.get_one(User, ada.id).handle}"
