"""Flask-Security-Too with unified sign-in, set up as documented; runs in its own virtual environment.

``python -m bench.peers.flask_security_app PEOPLE`` creates the tables and people. All people share one TOTP secret,
so that the load client knows it; the server decrypts it at each use, just as it would separate secrets.
"""

import json
import os
import sys
import uuid

import sqlalchemy as sa
from flask import Flask
from flask_mail import Mail
from flask_security import Security, SQLAlchemyUserDatastore
from flask_security.models import fsqla_v3 as models
from flask_sqlalchemy import SQLAlchemy

from bench.durable import engine_options, make_durable

BATCH = 5000

db = SQLAlchemy()
models.FsModels.set_db_info(db)


class Role(db.Model, models.FsRoleMixin):
    """Required by the package."""


class User(db.Model, models.FsUserMixin):
    """A user with an email address. The package looks addresses up case-insensitively, but has no index for that."""

    __table_args__ = (sa.Index("ix_user_lower_email", sa.text("lower(email)")),)


class WebAuthn(db.Model, models.FsWebAuthnMixin):
    """Required by the package's models."""


def create_app() -> Flask:
    """Return the app configured by PEER_DATABASE and PEER_MAIL_PORT."""
    app = Flask(__name__)
    url = os.environ["PEER_DATABASE"]
    app.config.update(
        SECRET_KEY=os.environ["PEER_KEY"],
        SECURITY_PASSWORD_SALT=os.environ["PEER_KEY"],
        SECURITY_PASSWORD_REQUIRED=False,
        SECURITY_UNIFIED_SIGNIN=True,
        SECURITY_US_ENABLED_METHODS=["email", "authenticator"],
        SECURITY_US_MFA_REQUIRED=[],
        SECURITY_TOTP_SECRETS={"1": os.environ["PEER_KEY"]},
        SECURITY_TOTP_ISSUER="Bench",
        SECURITY_EMAIL_SENDER="no-reply@login.example.com",
        SECURITY_EMAIL_VALIDATOR_ARGS={"check_deliverability": False},
        SESSION_COOKIE_SECURE=True,
        MAIL_SERVER="127.0.0.1",
        MAIL_PORT=int(os.environ["PEER_MAIL_PORT"]),
        SQLALCHEMY_DATABASE_URI=url,
        SQLALCHEMY_ENGINE_OPTIONS=engine_options(url),
    )
    db.init_app(app)
    Mail(app)
    app.security = Security(app, SQLAlchemyUserDatastore(db, User, Role, WebAuthn))  # type: ignore[attr-defined]
    with app.app_context():
        make_durable(db.engine)
    app.add_url_rule("/healthz", "healthz", lambda: "ok")
    return app


def populate(people: int) -> None:
    """Create the tables and people; print the secret and each person's public ID."""
    app = create_app()
    with app.app_context():
        db.create_all()
        factory = app.security.totp_factory  # type: ignore[attr-defined]
        sealed = factory.generate_totp_secret()
        print(factory.get_totp_b32_key(sealed))
        for first in range(0, people, BATCH):
            rows = [_person(number, sealed) for number in range(first, min(first + BATCH, people))]
            db.session.execute(sa.insert(User), rows)
            db.session.commit()
            print("\n".join(row["fs_uniquifier"] for row in rows))


def _person(number: int, sealed: str) -> dict[str, object]:
    name = uuid.uuid4().hex
    return {
        "email": f"person{number}@example.com",
        "active": True,
        "fs_uniquifier": name,
        "fs_webauthn_user_handle": name,
        "us_totp_secrets": json.dumps({"email": sealed}),
    }


if __name__ == "__main__":
    populate(int(sys.argv[1]))
elif "PEER_DATABASE" in os.environ:
    app = create_app()
