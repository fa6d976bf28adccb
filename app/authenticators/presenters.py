"""Present sign-in methods and challenges in pages and JSON."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import segno

from app import clock, user_agents
from app.authenticators import totp
from app.authenticators.registry import authenticator_of, authenticators
from app.challenges.models import Challenge, challenge_token_of
from app.enrollments.methods import active_methods, code_methods, enabled_methods, method_of, sign_in_enrollments
from app.enrollments.models import Enrollment
from app.extensions import settings
from app.i18n import N_, any_of, gettext


def methods_offered() -> dict[str, Any]:
    """Return the fields that tell API clients which sign-in methods and identities are available."""
    return {
        "available_methods": enabled_methods(),
        "code_methods": code_methods(),
        "identity_attributes": list(settings.identity_attributes),
    }


def titles() -> dict[str, str]:
    """Return the titles of all methods by name, untranslated."""
    return {each.name: each.title for each in authenticators()}


def title_of(name: str) -> str:
    """Return the translated title of a method, or its name if this release doesn't know it."""
    return gettext(titles().get(name, name))


def amr_titles() -> dict[str, str]:
    """Return the titles of the names in a session's ``amr``, untranslated."""
    return titles() | {"confirm": N_("Confirmed email"), "uv": N_("PIN, fingerprint or face")}


def exposure_of(names: Iterable[str]) -> str:
    """Return the risk of the first of these methods that should have a second factor; "" if none should."""
    risks = (authenticator_of(name).risk for name in names if name in settings.second_factor_for)
    return next((gettext(risk) for risk in risks if risk), "")


def sent_code_context(challenge: Challenge, typed: str, characters: str = "") -> dict[str, Any]:
    """Return the fields that a page shows about a requested passcode; the same for a decoy.

    Times are in whole seconds from now.
    :param typed: the identity as typed; a page never shows another
    :param characters: confirmation characters to enter on the device that opens the link, "" without a link
    """
    method = method_of(challenge.method)
    waited = clock.now() - challenge.last_sent_at
    return {
        "method": challenge.method,
        "identity": typed,
        "tag": challenge.tag,
        "id": challenge.id,
        "characters": characters,
        "challenge": challenge_token_of(challenge.id),
        "resend_after": max(0, int((method.resend_wait - waited).total_seconds())),
        "expires_in": max(0, int((challenge.passcode_expires_at - clock.now()).total_seconds())),
        "digits": method.digits,
    }


def sent_code_facts(shown: dict[str, Any]) -> dict[str, Any]:
    """Return the fields for API clients about a requested passcode; the same for a decoy.

    :param shown: from ``sent_code_context``
    """
    return {name: shown[name] for name in ("challenge", "tag", "resend_after", "expires_in")}


def app_key(secret: str, account: str) -> dict[str, Any]:
    """Return the key of an authenticator app during setup, as the page shows it; empty without a key."""
    if not secret:
        return {}
    uri = totp.otpauth_uri(secret, account)
    qr = segno.make(uri, error="m", micro=False).svg_data_uri(scale=6, border=2, dark="#000", light="#fff")
    facts = {"account": account, "issuer": settings.totp_issuer}
    return facts | {"key": totp.grouped(secret), "uri": uri, "qr": qr}


def requester_of(by: Any) -> dict[str, Any]:
    """Return who made a request or signed in: browser, time and network address.

    :param by: a challenge, or a session
    """
    return {"browser": user_agents.label(by.agent), "at": by.created_at, "address": by.address}


def _phrase_of(name: str) -> str:
    return next((each.phrase for each in authenticators() if each.name == name), name)


def methods_text(names: Iterable[str]) -> str:
    """Return the methods as part of a sentence: ``your passkey or a recovery code``."""
    return any_of([gettext(_phrase_of(name)) for name in names])


@dataclass(frozen=True, slots=True)
class Needed:
    """The verification that a session still needs for a change, as text.

    :ivar methods: accepted methods: ``your passkey or a recovery code``
    :ivar where: a sentence that says where that can be done, or ""
    """

    methods: str
    where: str


def needed_of(names: Sequence[str], codes_left: int) -> Needed | None:
    """Return the verification that a change needs; None if it needs none.

    :param names: names of the methods that are strong enough
    :param codes_left: number of recovery codes that can be used instead
    """
    if not names:
        return None
    where = "" if any(method_of(name).is_typed for name in names) else gettext("Use a device that has your passkey.")
    return Needed(methods_text([*names, "recovery_code"] if codes_left else names), where)


def sign_in_methods(enrolled: Sequence[Enrollment], identities: dict[str, str]) -> list[dict[str, Any]]:
    """Return a user's sign-in methods as a page lists them, except authenticator apps."""
    rows = {row.method: row for row in enrolled}
    active, now = active_methods(enrolled), clock.now()
    return [
        {
            "name": name,
            "title": title_of(name),
            "detail": identities.get(method_of(name).reaches, ""),
            "added_at": rows[name].created_at,
            "last_used_at": rows[name].last_used_at,
            "removable": len(active) > 1,
            "weak_until": rows[name].weak_until if rows[name].in_cooldown(now) else None,
        }
        for name in active
        if not method_of(name).allows_many
    ]


def apps_for_clients(enrolled: Sequence[Enrollment]) -> list[dict[str, Any]]:
    """Return a user's authenticator apps for API clients, oldest first."""
    first = {row.id for row in sign_in_enrollments(enrolled)}
    return [
        {
            "id": row.id,
            "name": totp.name_of(row),
            "usage": "first" if row.id in first else "secondary",
            "created": row.created_at,
            "last_used": row.last_used_at,
        }
        for row in totp.apps_among(enrolled)
    ]


def apps_for_page(enrolled: Sequence[Enrollment]) -> list[dict[str, Any]]:
    """Return a user's authenticator apps as a page lists them.

    An app is shown as removable if these rows contain another sign-in method.
    """
    now = clock.now()
    asked = settings.second_factor != "off"
    rows = {row.id: row for row in totp.apps_among(enrolled)}
    return [
        app
        | {
            "is_second": rows[app["id"]].is_second and asked,
            "removable": bool(active_methods([row for row in enrolled if row.id != app["id"]])),
            "weak_until": rows[app["id"]].weak_until if rows[app["id"]].in_cooldown(now) else None,
        }
        for app in apps_for_clients(enrolled)
    ]
