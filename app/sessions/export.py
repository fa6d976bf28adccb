"""Sessions, tokens and known devices in a data export, without digests."""

from __future__ import annotations

from app.db.export import ExportPart
from app.sessions.models import ApiToken, AuthSession, KnownDevice

PARTS = (
    ExportPart(
        "sessions",
        "Where the account is or was signed in, for as long as that is kept: browsers, and programs with a token.",
        owner=AuthSession.user_id,
        newest_by=[AuthSession.id],
        columns={
            "kind": AuthSession.kind,
            "proved_by": AuthSession.amr,
            "opened_at": AuthSession.created_at,
            "last_seen_at": AuthSession.seen_at,
            "last_proved_at": AuthSession.authenticated_at,
            "expires_at": AuthSession.expires_at,
            "ended_at": AuthSession.revoked_at,
            "kept_signed_in": AuthSession.persistent,
            "address": AuthSession.address,
            "browser": AuthSession.agent,
        },
    ),
    ExportPart(
        "known_browsers",
        "Browsers in which the account was signed in to before, so that a sign-in there is no news.",
        owner=KnownDevice.user_id,
        newest_by=[KnownDevice.touched_at, KnownDevice.id],
        where=[KnownDevice.first_seen_at.is_not(None)],
        columns={
            "browser": KnownDevice.agent,
            "first_seen_at": KnownDevice.first_seen_at,
            "last_seen_at": KnownDevice.last_seen_at,
            "forgotten_at": KnownDevice.revoked_at,
            "second_step_skipped_until": KnownDevice.trusted_until,
        },
    ),
    ExportPart(
        "programs",
        "Tokens that were made for programs of one's own; not the tokens themselves, which are kept nowhere.",
        owner=ApiToken.user_id,
        newest_by=[ApiToken.created_at, ApiToken.id],
        columns={
            "name": ApiToken.name,
            "scopes": ApiToken.scopes,
            "made_at": ApiToken.created_at,
            "expires_at": ApiToken.expires_at,
            "last_used_at": ApiToken.last_used_at,
            "last_used_address": ApiToken.last_used_address,
            "revoked_at": ApiToken.revoked_at,
        },
    ),
)
EXCLUDED = {
    "pending_sign_in": "a sign-in between its two steps, over within minutes; that it was stands in the events",
    "refresh_token": "the session that gave it is given; what else there is of it is digests and times",
}
"""Tables with user rows that are left out of the export, each with the reason."""
