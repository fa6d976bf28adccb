"""Clients and what belongs to them, AuthorizationRequest, Grant, AccessToken, Consent, DeviceRequest, and keys.

Codes, tokens and secrets are stored as digests, private keys sealed. A client is named by its id alone and without a
foreign key, since it may stand in a file.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from app import clock
from app.crypto import secrets
from app.db import BrowserName, partial_index
from app.extensions import db

CLIENT_ID = 255
"""Characters of a client id at most; one that is the address of a metadata document is the longest."""


ORIGIN = 300
"""Characters of an origin at most: a scheme, a host name of 253, and a port."""


FAULT = 200
RESOURCE = 1000
"""Characters of a resource indicator at most; those of one request are kept joined."""


class OAuthClient(db.Model):
    """An app that was added by a command, by registration (RFC 7591), or by its own metadata document."""

    __tablename__ = "oauth_client"
    __table_args__ = (
        partial_index("ix_oauth_client_disabled", "disabled_at IS NOT NULL", "disabled_at"),
        partial_index("ix_oauth_client_fetched", "fetched_at IS NOT NULL", "fetched_at"),
    )

    id: Mapped[str] = mapped_column(sa.String(CLIENT_ID), primary_key=True)
    source: Mapped[str] = mapped_column(sa.String(16))
    """``command``, ``registration`` or ``document``."""
    registered: Mapped[dict[str, Any]]
    """What ``app.oidc.clients.Client`` is made of, as JSON."""
    secret_digest: Mapped[str | None] = mapped_column(sa.String(64))
    old_secret_digest: Mapped[str | None] = mapped_column(sa.String(64))
    """Of the secret before the last rotation, accepted until ``old_secret_until``."""
    old_secret_until: Mapped[datetime | None]
    registration_digest: Mapped[str | None] = mapped_column(sa.String(64))
    """Of the token with which a registered client changes itself (RFC 7592)."""
    created_at: Mapped[datetime] = mapped_column(default=clock.now)
    updated_at: Mapped[datetime] = mapped_column(default=clock.now)
    disabled_at: Mapped[datetime | None]
    fetched_at: Mapped[datetime | None]
    """When its metadata document was last read."""


class OAuthClientOrigin(db.Model):
    """An origin whose scripts may call the endpoints, as its client registered it: found by one look at an index."""

    __tablename__ = "oauth_client_origin"

    origin: Mapped[str] = mapped_column(sa.String(ORIGIN), primary_key=True)
    client_id: Mapped[str] = mapped_column(
        sa.ForeignKey("oauth_client.id", ondelete="CASCADE"), primary_key=True, index=True
    )


class FileClient(db.Model):
    """A client of the clients file, kept so that its app can be sent logout tokens after it is taken out."""

    __tablename__ = "oauth_file_client"

    id: Mapped[str] = mapped_column(sa.String(CLIENT_ID), primary_key=True)
    registered: Mapped[dict[str, Any]]
    """As ``OAuthClient.registered``."""
    read_at: Mapped[datetime]
    """When a server that is not older than any other with this client read the file."""


class ClientDocument(db.Model):
    """A client id that is the address of a metadata document, and how reading it went.

    What a good one says is an ``OAuthClient``. None is stored that nobody asked for.
    """

    __tablename__ = "oauth_document"

    client_id: Mapped[str] = mapped_column(sa.String(CLIENT_ID), primary_key=True)
    host: Mapped[str] = mapped_column(sa.String(CLIENT_ID), index=True)
    asked_at: Mapped[datetime] = mapped_column(index=True)
    """When an app last sent a person, and the document had to be read."""
    due_at: Mapped[datetime | None] = mapped_column(index=True)
    """When a worker reads it next."""
    fetched_at: Mapped[datetime | None]
    """When a worker last tried to."""
    fresh_until: Mapped[datetime | None]
    """Until when the last good one counts without being read again; None while there was none."""
    fault: Mapped[str] = mapped_column(sa.String(FAULT), default="")
    """What was wrong at the last try, in English for its developer, without a text of theirs; "" for nothing."""


class OAuthClientResource(db.Model):
    """A service that every app may ask for tokens for, as the client that it is says: found by one look at an index."""

    __tablename__ = "oauth_client_resource"

    resource: Mapped[str] = mapped_column(sa.String(RESOURCE), primary_key=True)
    client_id: Mapped[str] = mapped_column(
        sa.ForeignKey("oauth_client.id", ondelete="CASCADE"), primary_key=True, index=True
    )


class RegistrationToken(db.Model):
    """An initial access token: with it a program registers clients (RFC 7591, section 3)."""

    __tablename__ = "oauth_registration_token"

    digest: Mapped[str] = mapped_column(sa.String(64), primary_key=True)
    name: Mapped[str] = mapped_column(sa.String(64))
    uses_left: Mapped[int]
    created_at: Mapped[datetime] = mapped_column(default=clock.now)
    expires_at: Mapped[datetime] = mapped_column(index=True)


class AuthorizationRequest(db.Model):
    """A request that waits: pushed by a client (RFC 9126), or for a person to sign in, confirm or consent."""

    __tablename__ = "oauth_request"

    id: Mapped[str] = mapped_column(sa.String(32), primary_key=True, default=secrets.row_id)
    client_id: Mapped[str] = mapped_column(sa.String(CLIENT_ID))
    parameters: Mapped[dict[str, Any]]
    """As they were sent. They are validated each time, since the client may have changed."""
    pushed: Mapped[bool] = mapped_column(default=False)
    begun_at: Mapped[datetime | None]
    """When a browser brought a pushed one, which it does once."""
    created_at: Mapped[datetime] = mapped_column(default=clock.now)
    expires_at: Mapped[datetime] = mapped_column(index=True)
    done_at: Mapped[datetime | None]
    """When it was answered; it is answered once."""


class Grant(db.Model):
    """What a person has let a client do, from one authorization: its code, its refresh token, and what they stand for.

    Tokens hang on it. It ends with the session that gave it, unless that includes ``offline_access``.
    """

    __tablename__ = "oauth_grant"

    id: Mapped[str] = mapped_column(sa.String(32), primary_key=True, default=secrets.row_id)
    client_id: Mapped[str] = mapped_column(sa.String(CLIENT_ID), index=True)
    user_id: Mapped[int] = mapped_column(sa.ForeignKey("user.id", ondelete="CASCADE"), index=True)
    session_id: Mapped[str] = mapped_column(sa.String(32), index=True)
    """The session in which it was given. May outlive that row."""
    scopes: Mapped[str] = mapped_column(sa.String(512))
    """Joined by spaces, as in the wire's ``scope``."""
    resource: Mapped[str] = mapped_column(sa.String(1024), default="")
    """Resource indicators joined by spaces (RFC 8707); "" for none."""
    claims: Mapped[dict[str, Any]]
    """The names in the ``claims`` parameter, by place (OpenID Connect Core, section 5.5)."""
    offline: Mapped[bool] = mapped_column(default=False)
    nonce: Mapped[str | None] = mapped_column(sa.String(512))
    amr: Mapped[str] = mapped_column(sa.String(128))
    """How the session was verified when it gave this, and the two columns below."""
    level: Mapped[int]
    authenticated_at: Mapped[datetime]
    created_at: Mapped[datetime] = mapped_column(default=clock.now)
    code_digest: Mapped[str | None] = mapped_column(sa.String(64), unique=True)
    """None for a grant that a device got."""
    code_expires_at: Mapped[datetime | None]
    code_used_at: Mapped[datetime | None]
    redirect_uri: Mapped[str] = mapped_column(sa.String(2048), default="")
    code_challenge: Mapped[str | None] = mapped_column(sa.String(128))
    jkt: Mapped[str | None] = mapped_column(sa.String(43))
    """Thumbprint of the key that its code, or a public client's refresh token, is bound to (RFC 9449)."""
    refresh_digest: Mapped[str | None] = mapped_column(sa.String(64))
    """Of the newest refresh token."""
    previous_digest: Mapped[str | None] = mapped_column(sa.String(64))
    """Of the one before it, which is answered with the same successor for a short while."""
    refreshed_at: Mapped[datetime | None]
    """When the newest refresh token was issued."""
    repeats: Mapped[int] = mapped_column(default=0)
    """How often a refresh token was sent again within that while."""
    expires_at: Mapped[datetime] = mapped_column(index=True)
    """When nothing of it can be valid any more."""
    revoked_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]
    """When the session that gave it was ended, and the client told; with ``offline_access`` it may go on."""


class AccessToken(db.Model):
    """What a client calls us, or another service, with."""

    __tablename__ = "oauth_token"

    digest: Mapped[str] = mapped_column(sa.String(64), primary_key=True)
    grant_id: Mapped[str] = mapped_column(sa.ForeignKey("oauth_grant.id", ondelete="CASCADE"), index=True)
    scopes: Mapped[str] = mapped_column(sa.String(512))
    resource: Mapped[str] = mapped_column(sa.String(1024), default="")
    jkt: Mapped[str | None] = mapped_column(sa.String(43))
    """Thumbprint of the key that it is bound to (RFC 9449)."""
    created_at: Mapped[datetime] = mapped_column(default=clock.now)
    expires_at: Mapped[datetime] = mapped_column(index=True)


class Consent(db.Model):
    """The scopes that a person has let a client have; asked for again only where a request wants more."""

    __tablename__ = "oauth_consent"

    user_id: Mapped[int] = mapped_column(sa.ForeignKey("user.id", ondelete="CASCADE"), primary_key=True)
    client_id: Mapped[str] = mapped_column(sa.String(CLIENT_ID), primary_key=True, index=True)
    scopes: Mapped[str] = mapped_column(sa.String(512))
    created_at: Mapped[datetime] = mapped_column(default=clock.now)
    updated_at: Mapped[datetime] = mapped_column(default=clock.now)


class DeviceRequest(db.Model):
    """A device without a browser that asks to be signed in by a code typed elsewhere (RFC 8628)."""

    __tablename__ = "oauth_device"

    id: Mapped[str] = mapped_column(sa.String(32), primary_key=True, default=secrets.row_id)
    device_digest: Mapped[str] = mapped_column(sa.String(64), unique=True)
    user_code_digest: Mapped[str] = mapped_column(sa.String(64), unique=True)
    client_id: Mapped[str] = mapped_column(sa.String(CLIENT_ID))
    scopes: Mapped[str] = mapped_column(sa.String(512))
    resource: Mapped[str] = mapped_column(sa.String(1024), default="")
    agent: Mapped[str] = mapped_column(BrowserName)
    address: Mapped[str] = mapped_column(sa.String(64))
    created_at: Mapped[datetime] = mapped_column(default=clock.now)
    expires_at: Mapped[datetime] = mapped_column(index=True)
    polled_at: Mapped[datetime | None]
    interval: Mapped[int] = mapped_column(default=5)
    """Seconds between two polls; grows when the device is too fast."""
    denied_at: Mapped[datetime | None]
    grant_id: Mapped[str | None] = mapped_column(sa.ForeignKey("oauth_grant.id", ondelete="CASCADE"), index=True)
    """What was allowed. The device gets its tokens once."""
    done_at: Mapped[datetime | None]
    jkt: Mapped[str | None] = mapped_column(sa.String(43))


class UsedProof(db.Model):
    """A proof or assertion that was accepted, and is not again while it would hold (RFC 9449, section 11.1)."""

    __tablename__ = "oauth_used_proof"

    digest: Mapped[str] = mapped_column(sa.String(64), primary_key=True)
    expires_at: Mapped[datetime] = mapped_column(index=True)


class SigningKey(db.Model):
    """A key that signs ID tokens, one after another of its algorithm."""

    __tablename__ = "oauth_key"

    alg: Mapped[str] = mapped_column(sa.String(8), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    """1, 2, 3: of two servers that make the next key at the same moment, one does."""
    kid: Mapped[str] = mapped_column(sa.String(43), unique=True)
    public: Mapped[dict[str, Any]]
    sealed_private: Mapped[str] = mapped_column(sa.Text)
    """"" once the key is published no more."""
    created_at: Mapped[datetime] = mapped_column(default=clock.now)
    signs_from: Mapped[datetime]
    """It signs from then until the next one does."""
    published_until: Mapped[datetime | None] = mapped_column(index=True)
    """When the last token that it signed is over; None while it is the newest or the one that signs."""


class NamingSecret(db.Model):
    """The secret from which the names are made that one client alone knows a person or a session by. One row.

    It is made once and stays, whatever happens to the keys that seal it: with another one, every app would take every
    person for a new one.
    """

    __tablename__ = "oauth_naming"

    id: Mapped[str] = mapped_column(sa.String(32), primary_key=True)
    secret: Mapped[str] = mapped_column(sa.Text)
    """Sealed to this row."""
    created_at: Mapped[datetime] = mapped_column(default=clock.now)
