"""What sessions, tokens and known browsers give to an export. Their digests stay."""

from __future__ import annotations

from app.database.exports import give, leave_out
from app.sessions.models import AuthSession, PersonalToken, Standing

give(
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
)
give(
    "known_browsers",
    "Browsers in which the account was signed in to before, so that a sign-in there is no news.",
    owner=Standing.user_id,
    newest_by=[Standing.touched_at, Standing.id],
    where=[Standing.first_seen_at.is_not(None)],
    columns={
        "browser": Standing.agent,
        "first_seen_at": Standing.first_seen_at,
        "last_seen_at": Standing.last_seen_at,
        "forgotten_at": Standing.revoked_at,
        "second_step_skipped_until": Standing.trusted_until,
    },
)
leave_out(
    "pending_sign_in", because="a sign-in between its two steps, over within minutes; that it was stands in the events"
)
leave_out("refresh_token", because="the session that gave it is given; what else there is of it is digests and times")
give(
    "programs",
    "Tokens that were made for programs of one's own; not the tokens themselves, which are kept nowhere.",
    owner=PersonalToken.user_id,
    newest_by=[PersonalToken.created_at, PersonalToken.id],
    columns={
        "name": PersonalToken.name,
        "scopes": PersonalToken.scopes,
        "made_at": PersonalToken.created_at,
        "expires_at": PersonalToken.expires_at,
        "last_used_at": PersonalToken.last_used_at,
        "last_used_address": PersonalToken.last_used_address,
        "revoked_at": PersonalToken.revoked_at,
    },
)
