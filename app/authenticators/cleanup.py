"""Delete expired WebAuthn challenges."""

from __future__ import annotations

from app import clock
from app.authenticators.models import WebauthnChallenge
from app.authenticators.webauthn import challenges as webauthn_challenges
from app.db.retention import delete_batch
from app.extensions import db


def prune_webauthn_challenges() -> int:
    """Delete a batch of expired WebAuthn challenges; return how many."""
    return delete_batch(
        db.session, WebauthnChallenge, WebauthnChallenge.expires_at < clock.now() - webauthn_challenges.LIFETIME
    )
