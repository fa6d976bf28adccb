"""Logout tokens: what tells an app that a session is over (OpenID Connect Back-Channel Logout 1.0, section 2.4)."""

from __future__ import annotations

from datetime import timedelta

from app import clock
from app.crypto import secrets
from app.extensions import settings
from app.oidc import keys
from app.oidc.clients import Client, find_client
from app.oidc.session_ends import KIND
from app.outbox import LogoutMessage, Message

EVENT = "http://schemas.openid.net/event/backchannel-logout"
LIFETIME = timedelta(minutes=2)


def logout_token(client: Client, sub: str, sid: str) -> str:
    """Return a new logout token. Its kind, its event and the missing nonce keep it from passing for an ID token."""
    now = int(clock.unix())
    claims = {
        "iss": settings.public_url,
        "aud": client.id,
        "iat": now,
        "exp": now + int(LIFETIME.total_seconds()),
        "jti": secrets.row_id(),
        "events": {EVENT: {}},
        "sub": sub,
        "sid": sid,
    }
    return keys.sign(claims, client.id_token_alg, typ="logout+jwt")


def render(message: Message) -> LogoutMessage | None:
    """Return what an app is sent, signed now; None for one that is gone, disabled or wants to hear nothing any more.

    The address of an app that registered itself is a stranger's: it is not let into a private network.
    """
    client = find_client(message.facts["client"])
    if client is None or not client.backchannel_logout_uri:
        return None
    token = logout_token(client, message.facts["sub"], message.facts["sid"])
    return LogoutMessage(client.backchannel_logout_uri, token, public_only=not client.is_vetted)


RENDERERS = {KIND: render}
