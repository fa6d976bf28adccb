"""The floor: the minimum a Flask app must do to sign someone in. No forms, outbox, events, limits or CSRF protection.

It looks a user up by an indexed address, checks a code with pyotp, inserts a session row and commits. Its throughput
is the upper bound for Flask, SQLAlchemy and the database on this machine.
"""

import hashlib
import os
import secrets
import time

import pyotp
import sqlalchemy as sa
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from flask import Flask, jsonify, redirect, request
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from bench.durable import engine_options, make_durable


class Base(DeclarativeBase):
    """Base of the two tables."""


db = SQLAlchemy(model_class=Base)
COOKIE = "floor"


class User(db.Model):
    """A user with an address and a TOTP secret."""

    id: Mapped[int] = mapped_column(primary_key=True)
    address: Mapped[str] = mapped_column(sa.String(254), unique=True)
    secret: Mapped[str] = mapped_column(sa.String(32))
    key: Mapped[bytes]
    """Public key of the user's passkey, a point on P-256."""


class Session(db.Model):
    """A signed-in browser."""

    id: Mapped[int] = mapped_column(primary_key=True)
    digest: Mapped[str] = mapped_column(sa.String(64), unique=True)
    user_id: Mapped[int] = mapped_column(sa.ForeignKey("user.id"))
    created_at: Mapped[int]


def create_app() -> Flask:
    """Return the app, using the database in FLOOR_DATABASE."""
    app = Flask(__name__)
    url = os.environ["FLOOR_DATABASE"]
    app.config.update(SQLALCHEMY_DATABASE_URI=url, SQLALCHEMY_ENGINE_OPTIONS=engine_options(url))
    db.init_app(app)
    with app.app_context():
        make_durable(db.engine)
    app.add_url_rule("/healthz", "healthz", lambda: "ok")
    app.add_url_rule("/send-code", view_func=send_code, methods=["POST"])
    app.add_url_rule("/sign-in", view_func=sign_in, methods=["POST"])
    app.add_url_rule("/link", view_func=link)
    app.add_url_rule("/challenge", view_func=challenge, methods=["POST"])
    app.add_url_rule("/passkey", view_func=passkey, methods=["POST"])
    app.add_url_rule("/me", view_func=me)
    app.add_url_rule("/one-row", view_func=one_row)
    return app


def send_code():  # type: ignore[no-untyped-def]
    """Find the user and create the code that an email would contain."""
    user = _find(request.get_json()["address"])
    pyotp.TOTP(user.secret).now()
    return {}


def sign_in():  # type: ignore[no-untyped-def]
    """Check the code and start a session."""
    asked = request.get_json()
    user = _find(asked["address"])
    if not pyotp.TOTP(user.secret).verify(asked["code"], valid_window=1):
        return {"error": "wrong"}, 400
    response = jsonify({"user": user.id})
    response.set_cookie(COOKIE, _open_session(user), httponly=True)
    return response


def link():  # type: ignore[no-untyped-def]
    """Check the link's code and start a session."""
    user = _find(request.args["address"])
    if not pyotp.TOTP(user.secret).verify(request.args["code"], valid_window=1):
        return {"error": "wrong"}, 400
    response = redirect("/")
    response.set_cookie(COOKIE, _open_session(user), httponly=True)
    return response


def challenge():  # type: ignore[no-untyped-def]
    """Create a challenge without storing it."""
    return {"challenge": secrets.token_urlsafe(32)}


def passkey():  # type: ignore[no-untyped-def]
    """Check a signature and start a session."""
    asked = request.get_json()
    user = _find(asked["address"])
    key = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), user.key)
    key.verify(bytes.fromhex(asked["signature"]), asked["challenge"].encode(), ec.ECDSA(SHA256()))
    response = jsonify({"user": user.id})
    response.set_cookie(COOKIE, _open_session(user), httponly=True)
    return response


def me():  # type: ignore[no-untyped-def]
    """Return the signed-in user."""
    digest = hashlib.sha256(request.cookies[COOKIE].encode()).hexdigest()
    found = sa.select(Session, User).join(User, User.id == Session.user_id).where(Session.digest == digest)
    _session, user = db.session.execute(found).one()
    return {"user": user.id}


def one_row():  # type: ignore[no-untyped-def]
    """Allow requests with a valid session: the minimum work for a forward-auth check."""
    digest = hashlib.sha256(request.cookies[COOKIE].encode()).hexdigest()
    session = db.session.scalars(sa.select(Session).where(Session.digest == digest)).one()
    return "", 200, {"Remote-User": str(session.user_id)}


def _find(address: str) -> User:
    return db.session.scalars(sa.select(User).where(User.address == address)).one()


def _open_session(user: User) -> str:
    token = secrets.token_urlsafe(32)
    digest = hashlib.sha256(token.encode()).hexdigest()
    db.session.add(Session(digest=digest, user_id=user.id, created_at=int(time.time())))
    db.session.commit()
    return token


if "FLOOR_DATABASE" in os.environ:
    app = create_app()
