"""Browsers and API clients that are already signed in, for tests of what comes afterwards."""

from __future__ import annotations

from flask import Flask, g

from tests.factories import Person
from tests.wire import Program, Wire


def sign_in(wire: Wire, person: Person, via: str = "") -> Wire:
    """Give ``wire`` the cookie of a new session for ``person``; return it.

    :param via: verified method; by default the authenticator app if the person has one, else an emailed code
    """
    wire.client.set_cookie("latchkey_session", _open(wire.app, person, via, wire.agent)[0])
    wire._csrf = None
    return wire


def give_token(program: Program, person: Person, via: str = "") -> Program:
    """Give ``program`` its own token for ``person``; return it."""
    program.token = _open(program.app, person, via, "program/1")[1]
    return program


def may_change(wire: Wire) -> bool:
    """Return whether the session of ``wire`` is strong enough to remove a sign-in method."""
    answer = wire.post("/us-setup", delete_method="pigeon")
    assert answer.status in (302, 400, 401), answer
    return answer.status == 400


def _open(app: Flask, person: Person, via: str, agent: str) -> tuple[str, str]:
    """Start a session like a real sign-in; return a browser's and an API client's token."""
    from app.authenticators.base import VerifiedFactor
    from app.client import ClientContext
    from app.extensions import db
    from app.login.pipeline import SignIn, open_session
    from app.sessions.store import create_api_session
    from app.users import User

    with app.test_request_context():
        user = db.session.get(User, person.id)
        assert user is not None
        via = via or ("authenticator" if person.authenticator else "email")
        client = ClientContext("", "127.0.0.1", agent)
        session = open_session(SignIn(client, user=user, factors=(VerifiedFactor(via),)))
        tokens = g.session_cookie[0], create_api_session(session)
        db.session.commit()
        return tokens
