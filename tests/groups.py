"""Add and remove group members, as an administrator would."""

from __future__ import annotations

from flask import Flask

from tests.factories import Person


def put_in(app: Flask, person: Person, name: str) -> None:
    """Add a person to a group, creating the group if necessary."""
    from app.extensions import db
    from app.groups import service

    with app.app_context():
        service.create(name, by="test")
        service.add_member(name, person.id, by="test")
        db.session.commit()


def take_out(app: Flask, person: Person, name: str) -> None:
    """Remove a person from a group."""
    from app.extensions import db
    from app.groups import service

    with app.app_context():
        service.remove_member(name, person.id, by="test")
        db.session.commit()
