"""Create invitations, as an administrator would."""

from __future__ import annotations

from typing import Any

from flask import Flask


def invite(app: Flask, **terms: Any) -> str:
    """Create an invitation; return the path of its link."""
    from app.extensions import db
    from app.invitations import service

    with app.app_context():
        made = service.create(service.Terms(**terms), by="operator")
        db.session.commit()
        return service.link_of(made).removeprefix("http://localhost")
