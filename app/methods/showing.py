"""What pages and programs are told of methods and challenges."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from app.extensions import settings
from app.kit import agents, clock
from app.methods.codes import digits_of
from app.methods.handles import handle_of
from app.methods.models import Challenge, EnrolledMethod
from app.methods.registry import REGISTRY, active_methods, code_methods, enabled_methods

TITLES = {
    "email": "Code by mail",
    "sms": "Code by text message",
    "authenticator": "Authenticator app",
    "password": "Password",
    "webauthn": "Passkey",
    "recovery_code": "Recovery code",
}

SECOND_STEPS = {
    "authenticator": "a code from your authenticator app",
    "sms": "a code by text message",
    "webauthn": "a passkey",
}
"""What is asked for as a second step, within a sentence."""

PROOFS = TITLES | {"confirm": "Confirmed address", "uv": "PIN, finger or face"}
"""What a session was proved by, as its ``amr`` names it."""


def methods_offered() -> dict[str, Any]:
    """Return the keys by which a program learns what one can sign in with here."""
    return {
        "available_methods": enabled_methods(),
        "code_methods": code_methods(),
        "identity_attributes": list(settings.identity_attributes),
    }


def sent(challenge: Challenge, typed: str, characters: str = "") -> dict[str, Any]:
    """Return what a page says of a passcode that was asked for; the same for a decoy.

    Times are in whole seconds from now.
    :param typed: the identity as the person typed it; a page never shows another
    :param characters: what is typed where its link is opened elsewhere, "" where it has none
    """
    wait = settings.sms_resend_wait if challenge.method == "sms" else settings.mail_resend_wait
    waited = clock.now() - challenge.last_sent_at
    return {
        "method": challenge.method,
        "identity": typed,
        "tag": challenge.tag,
        "id": challenge.id,
        "characters": characters,
        "challenge": handle_of(challenge.id),
        "resend_after": max(0, int((wait - waited).total_seconds())),
        "expires_in": max(0, int((challenge.passcode_expires_at - clock.now()).total_seconds())),
        "digits": digits_of(challenge.method),
    }


def asked(by: Any) -> dict[str, Any]:
    """Return who asked, or signed in: browser, time and address.

    :param by: a challenge, or a session
    """
    return {"browser": agents.label(by.agent), "at": by.created_at, "address": by.address}


def ways_in(enrolled: Iterable[EnrolledMethod], identities: dict[str, str]) -> list[dict[str, Any]]:
    """Return the ways to sign in that somebody has set up, as a page lists them."""
    rows = {row.method: row for row in enrolled}
    active = active_methods(rows.values())
    return [
        {
            "name": name,
            "title": TITLES[name],
            "detail": identities.get(REGISTRY[name].reaches, ""),
            "added_at": rows[name].created_at,
            "last_used_at": rows[name].last_used_at,
            "removable": len(active) > 1,
        }
        for name in active
    ]
