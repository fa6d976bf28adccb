"""Models: clients and their tables, authorization and device requests, grants, tokens, consent and signing keys.

Codes, tokens and secrets are stored as digests, private keys are sealed. Other tables refer to a client by its id,
without a foreign key, since it may be defined in a file.
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

MAX_CLIENT_ID_LENGTH = 255
"""Maximum length of a client id. The longest ones are URLs of metadata documents."""


MAX_ORIGIN_LENGTH = 300
"""Maximum length of an origin: a scheme, a host name of 253 characters, and a port."""


MAX_FAULT_LENGTH = 200
MAX_RESOURCE_LENGTH = 1000
"""Maximum length of a resource indicator. Those of one request are stored joined."""


class OAuthClient(db.Model):
    """An app that was added by a command, by registration (RFC 7591), or by its own metadata document."""

    __tablename__ = "oauth_client"
    __table_args__ = (
        partial_index("ix_oauth_client_disabled", "disabled_at IS NOT NULL", "disabled_at"),
        partial_index("ix_oauth_client_fetched", "fetched_at IS NOT NULL", "fetched_at"),
    )

    id: Mapped[str] = mapped_column(sa.String(MAX_CLIENT_ID_LENGTH), primary_key=True)
    source: Mapped[str] = mapped_column(sa.String(16))
    """``command``, ``registration`` or ``document``."""
    registered: Mapped[dict[str, Any]]
    """Fields of ``app.oidc.clients.Client``, as JSON."""
    secret_digest: Mapped[str | None] = mapped_column(sa.String(64))
    old_secret_digest: Mapped[str | None] = mapped_column(sa.String(64))
    """Digest of the secret before the last rotation, accepted until ``old_secret_until``."""
    old_secret_until: Mapped[datetime | None]
    registration_digest: Mapped[str | None] = mapped_column(sa.String(64))
    """Digest of the token with which a registered client manages itself (RFC 7592)."""
    created_at: Mapped[datetime] = mapped_column(default=clock.now)
    updated_at: Mapped[datetime] = mapped_column(default=clock.now)
    disabled_at: Mapped[datetime | None]
    fetched_at: Mapped[datetime | None]
    """When its metadata document was last read."""


class OAuthClientOrigin(db.Model):
    """An origin that a client registered, whose scripts may call the endpoints. Found with one index lookup."""

    __tablename__ = "oauth_client_origin"

    origin: Mapped[str] = mapped_column(sa.String(MAX_ORIGIN_LENGTH), primary_key=True)
    client_id: Mapped[str] = mapped_column(
        sa.ForeignKey("oauth_client.id", ondelete="CASCADE"), primary_key=True, index=True
    )


class FileClient(db.Model):
    """A client of the clients file, stored so that its app can be sent logout tokens after it is removed there."""

    __tablename__ = "oauth_file_client"

    id: Mapped[str] = mapped_column(sa.String(MAX_CLIENT_ID_LENGTH), primary_key=True)
    registered: Mapped[dict[str, Any]]
    """Same as ``OAuthClient.registered``."""
    read_at: Mapped[datetime]
    """When the server that recorded it read the file. Servers with an older file don't record it again."""


class ClientEnd(db.Model):
    """A client was disabled, deleted or restricted to groups, and a worker has yet to end the grants it had.

    The row holds what is needed to notify the app when the client is gone or has changed. Until the worker has
    finished, every statement that accepts a token checks it, so the grants stay invalid if the client is enabled again,
    or another one with the same id is added.
    """

    __tablename__ = "oauth_client_end"

    id: Mapped[str] = mapped_column(sa.String(32), primary_key=True, default=secrets.row_id)
    client_id: Mapped[str] = mapped_column(sa.String(MAX_CLIENT_ID_LENGTH), index=True)
    kind: Mapped[str] = mapped_column(sa.String(16))
    """``disabled``, ``deleted``, or ``narrowed``: restricted to the groups in ``registered``."""
    source: Mapped[str] = mapped_column(sa.String(16))
    registered: Mapped[dict[str, Any]]
    """Copy of ``OAuthClient.registered``, like ``source``."""
    until: Mapped[datetime]
    """Grants created up to this moment end."""
    due_at: Mapped[datetime] = mapped_column(index=True)
    """When a worker ends the next batch; the end of its lease while it does."""


class ClientDocument(db.Model):
    """A client id that is the URL of a metadata document, and the state of reading it.

    A valid document's content is stored as an ``OAuthClient``. Only documents that someone requested are stored.
    """

    __tablename__ = "oauth_document"

    client_id: Mapped[str] = mapped_column(sa.String(MAX_CLIENT_ID_LENGTH), primary_key=True)
    host: Mapped[str] = mapped_column(sa.String(MAX_CLIENT_ID_LENGTH), index=True)
    asked_at: Mapped[datetime] = mapped_column(index=True)
    """When an app last sent a user and the document had to be read."""
    due_at: Mapped[datetime | None] = mapped_column(index=True)
    """When a worker fetches it next."""
    fetched_at: Mapped[datetime | None]
    """When a worker last tried to fetch it."""
    fresh_until: Mapped[datetime | None]
    """Until when the last valid one counts without being fetched again; None if there never was one."""
    fault: Mapped[str] = mapped_column(sa.String(MAX_FAULT_LENGTH), default="")
    """What was wrong at the last attempt, in English for its developer, without any of their text; "" for nothing."""


class OAuthClientResource(db.Model):
    """A service that any app may request tokens for, and the client that serves it. Found with one index lookup."""

    __tablename__ = "oauth_client_resource"

    resource: Mapped[str] = mapped_column(sa.String(MAX_RESOURCE_LENGTH), primary_key=True)
    client_id: Mapped[str] = mapped_column(
        sa.ForeignKey("oauth_client.id", ondelete="CASCADE"), primary_key=True, index=True
    )


class RegistrationToken(db.Model):
    """An initial access token, with which a program registers clients (RFC 7591, section 3)."""

    __tablename__ = "oauth_registration_token"

    digest: Mapped[str] = mapped_column(sa.String(64), primary_key=True)
    name: Mapped[str] = mapped_column(sa.String(64))
    uses_left: Mapped[int]
    created_at: Mapped[datetime] = mapped_column(default=clock.now)
    expires_at: Mapped[datetime] = mapped_column(index=True)


class AuthorizationRequest(db.Model):
    """A stored request: pushed by a client (RFC 9126), or waiting for a user to sign in, confirm or consent."""

    __tablename__ = "oauth_request"

    id: Mapped[str] = mapped_column(sa.String(32), primary_key=True, default=secrets.row_id)
    client_id: Mapped[str] = mapped_column(sa.String(MAX_CLIENT_ID_LENGTH))
    parameters: Mapped[dict[str, Any]]
    """As they were sent. They are validated each time, since the client may have changed."""
    pushed: Mapped[bool] = mapped_column(default=False)
    begun_at: Mapped[datetime | None]
    """When a browser brought a pushed request, which it can do once."""
    created_at: Mapped[datetime] = mapped_column(default=clock.now)
    expires_at: Mapped[datetime] = mapped_column(index=True)
    done_at: Mapped[datetime | None]
    """When it was answered, which happens once."""


class Grant(db.Model):
    """What a user has authorized a client to do: its code, its refresh token, and the scopes they stand for.

    Access tokens belong to a grant. It ends with the session that issued it, unless it has ``offline_access``.
    """

    __tablename__ = "oauth_grant"

    id: Mapped[str] = mapped_column(sa.String(32), primary_key=True, default=secrets.row_id)
    client_id: Mapped[str] = mapped_column(sa.String(MAX_CLIENT_ID_LENGTH), index=True)
    user_id: Mapped[int] = mapped_column(sa.ForeignKey("user.id", ondelete="CASCADE"), index=True)
    session_id: Mapped[str] = mapped_column(sa.String(32), index=True)
    """Session that issued it. May outlive that row."""
    scopes: Mapped[str] = mapped_column(sa.String(512))
    """Joined by spaces, as in the ``scope`` parameter."""
    resource: Mapped[str] = mapped_column(sa.String(1024), default="")
    """Resource indicators joined by spaces (RFC 8707); "" for none."""
    claims: Mapped[dict[str, Any]]
    """The names in the ``claims`` parameter, by place (OpenID Connect Core, section 5.5)."""
    offline: Mapped[bool] = mapped_column(default=False)
    nonce: Mapped[str | None] = mapped_column(sa.String(512))
    amr: Mapped[str] = mapped_column(sa.String(128))
    """How the session was authenticated when it issued this, along with the two columns below."""
    level: Mapped[int]
    authenticated_at: Mapped[datetime]
    created_at: Mapped[datetime] = mapped_column(default=clock.now)
    code_digest: Mapped[str | None] = mapped_column(sa.String(64), unique=True)
    """None for a grant issued to a device."""
    code_expires_at: Mapped[datetime | None]
    code_used_at: Mapped[datetime | None]
    redirect_uri: Mapped[str] = mapped_column(sa.String(2048), default="")
    code_challenge: Mapped[str | None] = mapped_column(sa.String(128))
    jkt: Mapped[str | None] = mapped_column(sa.String(43))
    """Thumbprint of the key that its code, or a public client's refresh token, is bound to (RFC 9449)."""
    refresh_digest: Mapped[str | None] = mapped_column(sa.String(64))
    """Digest of the newest refresh token."""
    previous_digest: Mapped[str | None] = mapped_column(sa.String(64))
    """Digest of the one before it, which for a short grace period is answered with the same successor."""
    refreshed_at: Mapped[datetime | None]
    """When the newest refresh token was issued."""
    repeats: Mapped[int] = mapped_column(default=0)
    """How often a refresh token was sent again within that grace period."""
    expires_at: Mapped[datetime] = mapped_column(index=True)
    """When nothing it issued can be valid any longer."""
    revoked_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]
    """When the session that issued it ended and the client was notified. With ``offline_access`` it may continue."""


class AccessToken(db.Model):
    """A token with which a client calls us or another service."""

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
    """Scopes that a user has let a client have. The user is asked again only if a request needs more."""

    __tablename__ = "oauth_consent"

    user_id: Mapped[int] = mapped_column(sa.ForeignKey("user.id", ondelete="CASCADE"), primary_key=True)
    client_id: Mapped[str] = mapped_column(sa.String(MAX_CLIENT_ID_LENGTH), primary_key=True, index=True)
    scopes: Mapped[str] = mapped_column(sa.String(512))
    created_at: Mapped[datetime] = mapped_column(default=clock.now)
    updated_at: Mapped[datetime] = mapped_column(default=clock.now)


class DeviceRequest(db.Model):
    """A device without a browser that wants to be signed in by a code entered elsewhere (RFC 8628)."""

    __tablename__ = "oauth_device"

    id: Mapped[str] = mapped_column(sa.String(32), primary_key=True, default=secrets.row_id)
    device_digest: Mapped[str] = mapped_column(sa.String(64), unique=True)
    user_code_digest: Mapped[str] = mapped_column(sa.String(64), unique=True)
    client_id: Mapped[str] = mapped_column(sa.String(MAX_CLIENT_ID_LENGTH))
    scopes: Mapped[str] = mapped_column(sa.String(512))
    resource: Mapped[str] = mapped_column(sa.String(1024), default="")
    agent: Mapped[str] = mapped_column(BrowserName)
    address: Mapped[str] = mapped_column(sa.String(64))
    created_at: Mapped[datetime] = mapped_column(default=clock.now)
    expires_at: Mapped[datetime] = mapped_column(index=True)
    polled_at: Mapped[datetime | None]
    interval: Mapped[int] = mapped_column(default=5)
    """Seconds between two polls; grows if the device polls too fast."""
    denied_at: Mapped[datetime | None]
    grant_id: Mapped[str | None] = mapped_column(sa.ForeignKey("oauth_grant.id", ondelete="CASCADE"), index=True)
    """The grant, if the user allowed it. The device gets its tokens once."""
    done_at: Mapped[datetime | None]
    jkt: Mapped[str | None] = mapped_column(sa.String(43))


class UsedProof(db.Model):
    """A proof or assertion that was accepted, and is rejected for the rest of its validity (RFC 9449, section 11.1)."""

    __tablename__ = "oauth_used_proof"

    digest: Mapped[str] = mapped_column(sa.String(64), primary_key=True)
    expires_at: Mapped[datetime] = mapped_column(index=True)


class SigningKey(db.Model):
    """A key that signs tokens. The keys of an algorithm sign one after another."""

    __tablename__ = "oauth_key"

    alg: Mapped[str] = mapped_column(sa.String(8), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    """1, 2, 3: if two servers create the next key at the same moment, only one succeeds."""
    kid: Mapped[str] = mapped_column(sa.String(43), unique=True)
    public: Mapped[dict[str, Any]]
    sealed_private: Mapped[str] = mapped_column(sa.Text)
    """Empty once the key is no longer published."""
    created_at: Mapped[datetime] = mapped_column(default=clock.now)
    signs_from: Mapped[datetime]
    """It signs from then until the next key does."""
    published_until: Mapped[datetime | None] = mapped_column(index=True)
    """When the last token it signed has expired; None while it is the newest key or the one that signs."""


class IdentifierSecret(db.Model):
    """The secret behind the identifiers by which a single client knows a user or a session. One row.

    It is created once and never changes, whatever happens to the keys that seal it: with another secret, every app
    would take every user for a new one.
    """

    __tablename__ = "oauth_naming"

    id: Mapped[str] = mapped_column(sa.String(32), primary_key=True)
    secret: Mapped[str] = mapped_column(sa.Text)
    """Sealed to this row."""
    created_at: Mapped[datetime] = mapped_column(default=clock.now)
