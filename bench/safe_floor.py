"""The safe floor: the security measures that a sign-in with emailed codes needs, in a single Flask app without layers.

Secrets are encrypted. An attempt is counted and committed before the code is compared, with five per challenge. A
challenge is bound to a browser, can be used once, and expires. Sessions are stored as digests, every event is
recorded, and each IP address is rate limited. It creates the code and link, but sends no email. JSON and
``SameSite`` cookies take the place of CSRF tokens.
"""

import hashlib
import hmac
import os
import secrets
import threading
import time
from collections import Counter
from typing import Any

import sqlalchemy as sa
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from flask import Blueprint, Flask, abort, current_app, jsonify, redirect, request
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from werkzeug.middleware.proxy_fix import ProxyFix

from bench.durable import engine_options, make_durable

GUESSES, REQUESTS_A_MINUTE = 5, 120
CHALLENGE_LASTS, SESSION_LASTS = 600, 14 * 86400
CHALLENGE_COOKIE, SESSION_COOKIE = "__Host-challenge", "__Host-session"


class Base(DeclarativeBase):
    """Base of the tables. Times are Unix timestamps."""


db = SQLAlchemy(model_class=Base)
views = Blueprint("safe_floor", __name__)


class User(db.Model):
    id: Mapped[int] = mapped_column(primary_key=True)
    address: Mapped[str] = mapped_column(sa.String(254), unique=True)
    secret: Mapped[bytes]  # encrypted; codes and links are derived from it


class Challenge(db.Model):
    id: Mapped[str] = mapped_column(sa.String(64), primary_key=True)  # digest of the browser's cookie
    user_id: Mapped[int] = mapped_column(sa.ForeignKey("user.id"))
    expires_at: Mapped[int]
    guesses: Mapped[int] = mapped_column(default=0)
    spent_at: Mapped[int | None]


class Session(db.Model):
    digest: Mapped[str] = mapped_column(sa.String(64), primary_key=True)
    user_id: Mapped[int] = mapped_column(sa.ForeignKey("user.id"), index=True)
    expires_at: Mapped[int]


class Event(db.Model):
    id: Mapped[int] = mapped_column(primary_key=True)
    at: Mapped[int]
    name: Mapped[str] = mapped_column(sa.String(32))
    user_id: Mapped[int] = mapped_column(sa.ForeignKey("user.id"), index=True)
    network_address: Mapped[str] = mapped_column(sa.String(45))


FIND = sa.text('SELECT id, secret FROM "user" WHERE address = :address')
ASK = sa.text("INSERT INTO challenge (id, user_id, expires_at, guesses) VALUES (:id, :user_id, :expires_at, 0)")
OPEN = "id = :id AND spent_at IS NULL AND expires_at > :now"
COUNT = sa.text(f"UPDATE challenge SET guesses = guesses + 1 WHERE {OPEN} AND guesses < {GUESSES} RETURNING user_id")
SECRET = sa.text('SELECT secret FROM "user" WHERE id = :id')
LINK = sa.text(f'SELECT "user".id, secret FROM challenge JOIN "user" ON "user".id = user_id WHERE challenge.{OPEN}')
SPEND = sa.text(f"UPDATE challenge SET spent_at = :now WHERE {OPEN}")
START = sa.text("INSERT INTO session (digest, user_id, expires_at) VALUES (:digest, :user_id, :expires_at)")
CHECK = sa.text(
    'SELECT "user".id, address FROM session JOIN "user" ON "user".id = user_id'
    " WHERE digest = :digest AND expires_at > :now"
)
RECORD = sa.text(
    "INSERT INTO event (at, name, user_id, network_address) VALUES (:at, :name, :user_id, :network_address)"
)


class Limit:
    """Counts the requests of each IP address in the current minute, in this process."""

    def __init__(self) -> None:
        self.lock, self.minute, self.counts = threading.Lock(), 0, Counter[str]()

    def check(self) -> None:
        address, minute = request.remote_addr or "", int(time.time() // 60)
        with self.lock:
            if minute != self.minute:
                self.minute, self.counts = minute, Counter()
            self.counts[address] += 1
            if self.counts[address] > REQUESTS_A_MINUTE:
                abort(429)


limit = Limit()


def create_app() -> Flask:
    """Return the app, using the database in SAFE_FLOOR_DATABASE. SAFE_FLOOR_KEY is 32 bytes in hex."""
    app, url = Flask(__name__), os.environ["SAFE_FLOOR_DATABASE"]
    app.config.update(SQLALCHEMY_DATABASE_URI=url, SQLALCHEMY_ENGINE_OPTIONS=engine_options(url))
    app.extensions["aead"] = AESGCM(bytes.fromhex(os.environ["SAFE_FLOOR_KEY"]))
    app.wsgi_app = ProxyFix(app.wsgi_app)  # type: ignore[method-assign]
    app.register_blueprint(views)
    app.add_url_rule("/healthz", "healthz", lambda: "ok")
    db.init_app(app)
    with app.app_context():
        make_durable(db.engine)
    return app


@views.post("/send-code")
def send_code() -> Any:
    """Create a challenge for an account; the response is the same if it doesn't exist."""
    limit.check()
    user = db.session.execute(FIND, {"address": request.get_json()["address"]}).one_or_none()
    cookie = secrets.token_urlsafe(32)
    if user:
        challenge_id, secret = digest(cookie), decrypt(user.secret, user.id)
        _mailed = code_of(secret, challenge_id), link_token_of(secret, challenge_id)
        asked = {"id": challenge_id, "user_id": user.id, "expires_at": _now() + CHALLENGE_LASTS}
        db.session.execute(ASK, asked)
        _record("code.sent", user.id)
        db.session.commit()
    return _with_cookie(jsonify({}), CHALLENGE_COOKIE, cookie)


@views.post("/sign-in")
def sign_in() -> Any:
    """Count an attempt, then compare the code."""
    limit.check()
    challenge_id = _challenge_id()
    user_id = db.session.scalar(COUNT, {"id": challenge_id, "now": _now()})
    if user_id is None:
        return {"error": "wrong"}, 400
    _record("code.guessed", user_id)
    db.session.commit()
    expected = code_of(decrypt(db.session.scalar(SECRET, {"id": user_id}), user_id), challenge_id)
    if not hmac.compare_digest(expected, request.get_json()["code"].encode()):
        return {"error": "wrong"}, 400
    return _complete(jsonify(user=user_id), challenge_id, user_id)


@views.get("/link")
def link() -> Any:
    """Sign in with the link, in the browser that requested it. Its token is too long to guess."""
    limit.check()
    challenge_id = _challenge_id()
    user = db.session.execute(LINK, {"id": challenge_id, "now": _now()}).one_or_none()
    token = request.args["token"].encode()
    if not user or not hmac.compare_digest(link_token_of(decrypt(user.secret, user.id), challenge_id), token):
        return {"error": "wrong"}, 400
    return _complete(redirect("/"), challenge_id, user.id)


@views.get("/me")
def me() -> Any:
    """Return the signed-in user."""
    token = {"digest": digest(request.cookies.get(SESSION_COOKIE, "")), "now": _now()}
    user = db.session.execute(CHECK, token).one_or_none()
    return {"user": user.id, "address": user.address} if user else ({"error": "signed out"}, 401)


def _complete(response: Any, challenge_id: str, user_id: int) -> Any:
    """Mark the challenge as used, unless another request already has, and start a session."""
    if not db.session.execute(SPEND, {"id": challenge_id, "now": _now()}).rowcount:
        return {"error": "wrong"}, 400
    token = secrets.token_urlsafe(32)
    started = {"digest": digest(token), "user_id": user_id, "expires_at": _now() + SESSION_LASTS}
    db.session.execute(START, started)
    _record("signed_in", user_id)
    db.session.commit()
    return _with_cookie(response, SESSION_COOKIE, token)


def _record(name: str, user_id: int) -> None:
    happened = {"at": _now(), "name": name, "user_id": user_id, "network_address": request.remote_addr or ""}
    db.session.execute(RECORD, happened)


def _with_cookie(response: Any, name: str, value: str) -> Any:
    response.set_cookie(name, value, secure=True, httponly=True, samesite="Lax")
    return response


def _challenge_id() -> str:
    return digest(request.cookies.get(CHALLENGE_COOKIE, ""))


def _now() -> int:
    return int(time.time())


def digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def code_of(secret: bytes, challenge_id: str) -> bytes:
    """Return the eight-digit code in the email."""
    number = int.from_bytes(hmac.digest(secret, b"code" + challenge_id.encode(), "sha256"))
    return b"%08d" % (number % 10**8)


def link_token_of(secret: bytes, challenge_id: str) -> bytes:
    """Return the token in the email's link."""
    return hmac.digest(secret, b"link" + challenge_id.encode(), "sha256").hex().encode()


def encrypt(secret: bytes, user_id: int) -> bytes:
    nonce = os.urandom(12)
    return nonce + current_app.extensions["aead"].encrypt(nonce, secret, str(user_id).encode())


def decrypt(stored: bytes, user_id: int) -> bytes:
    return current_app.extensions["aead"].decrypt(stored[:12], stored[12:], str(user_id).encode())


if "SAFE_FLOOR_DATABASE" in os.environ:
    app = create_app()
