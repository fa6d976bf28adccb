"""Sign-in methods and challenges as pages and JSON show them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import segno

from app import clock, user_agents
from app.authenticators import totp
from app.authenticators.registry import authenticator_of, authenticators
from app.challenges.models import Challenge, challenge_token_of
from app.enrollments.catalog import active_methods, code_methods, enabled_methods, method_of, ways_to_sign_in
from app.enrollments.models import Enrollment
from app.extensions import settings
from app.i18n import N_, any_of, gettext


def methods_offered() -> dict[str, Any]:
    """Return the keys by which a program learns what one can sign in with here."""
    return {
        "available_methods": enabled_methods(),
        "code_methods": code_methods(),
        "identity_attributes": list(settings.identity_attributes),
    }


def titles() -> dict[str, str]:
    """Return what pages call each method, by its name; to be translated."""
    return {each.name: each.title for each in authenticators()}


def title_of(name: str) -> str:
    """Return what pages call a method; its name, when this release does not know it."""
    return gettext(titles().get(name, name))


def proof_titles() -> dict[str, str]:
    """Return what pages call what a session was proved by, as its ``amr`` names it; to be translated."""
    return titles() | {"confirm": N_("Confirmed email"), "uv": N_("PIN, fingerprint or face")}


def exposure_of(names: Iterable[str]) -> str:
    """Return what the first of these methods that a second step follows risks without one; "" where none needs one."""
    risks = (authenticator_of(name).risk for name in names if name in settings.second_factor_for)
    return next((gettext(risk) for risk in risks if risk), "")


def sent(challenge: Challenge, typed: str, characters: str = "") -> dict[str, Any]:
    """Return what a page says of a passcode that was asked for; the same for a decoy.

    Times are in whole seconds from now.
    :param typed: the identity as the person typed it; a page never shows another
    :param characters: what is typed where its link is opened elsewhere, "" where it has none
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


def sent_facts(shown: dict[str, Any]) -> dict[str, Any]:
    """Return what a program is told of a passcode that was asked for; the same for a decoy.

    :param shown: from ``sent``
    """
    return {name: shown[name] for name in ("challenge", "tag", "resend_after", "expires_in")}


def app_key(secret: str, account: str) -> dict[str, Any]:
    """Return the key of an authenticator app that is being set up as a page shows it; nothing without one."""
    if not secret:
        return {}
    uri = totp.otpauth_uri(secret, account)
    qr = segno.make(uri, error="m", micro=False).svg_data_uri(scale=6, border=2, dark="#000", light="#fff")
    facts = {"account": account, "issuer": settings.totp_issuer}
    return facts | {"key": totp.grouped(secret), "uri": uri, "qr": qr}


def asked(by: Any) -> dict[str, Any]:
    """Return who asked, or signed in: browser, time and address.

    :param by: a challenge, or a session
    """
    return {"browser": user_agents.label(by.agent), "at": by.created_at, "address": by.address}


def _phrase_of(name: str) -> str:
    return next((each.phrase for each in authenticators() if each.name == name), name)


def means_text(names: Iterable[str]) -> str:
    """Return by what one confirms, within a sentence: ``your passkey or a recovery code``."""
    return any_of([gettext(_phrase_of(name)) for name in names])


@dataclass(frozen=True, slots=True)
class Needed:
    """What a change needs that this session was not confirmed with, in words.

    :ivar methods: by what it is confirmed: ``your passkey or a recovery code``
    :ivar where: a sentence that says where that can be done, or ""
    """

    methods: str
    where: str


def needed_of(names: Sequence[str], codes_left: int) -> Needed | None:
    """Return what a change needs; None when nothing more is needed.

    :param names: of the methods that are strong enough for it
    :param codes_left: recovery codes that can be used instead
    """
    if not names:
        return None
    where = "" if any(method_of(name).is_typed for name in names) else gettext("Use a device that has your passkey.")
    return Needed(means_text([*names, "recovery_code"] if codes_left else names), where)


def ways_in(enrolled: Sequence[Enrollment], identities: dict[str, str]) -> list[dict[str, Any]]:
    """Return the ways to sign in that somebody has set up, but for authenticator apps, as a page lists them."""
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


def apps_told(enrolled: Sequence[Enrollment]) -> list[dict[str, Any]]:
    """Return what a program is told of somebody's authenticator apps, the oldest first."""
    first = {row.id for row in ways_to_sign_in(enrolled)}
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


def apps_shown(enrolled: Sequence[Enrollment]) -> list[dict[str, Any]]:
    """Return somebody's authenticator apps as a page lists them.

    One can be removed, as far as these rows say, when another way to sign in is left.
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
        for app in apps_told(enrolled)
    ]
