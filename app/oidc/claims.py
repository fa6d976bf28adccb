"""Claims: what apps learn about a user, by scope or individually (OpenID Connect Core, sections 5.4 and 5.5)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from app.enrollments.methods import method_behind, method_of

if TYPE_CHECKING:
    from app.oidc.access_tokens import PresentedToken

CLAIMS_OF_SCOPE = {
    "profile": ("name", "preferred_username", "locale"),
    "email": ("email", "email_verified"),
    "phone": ("phone_number", "phone_number_verified"),
    "groups": ("groups",),
}
"""Claims granted by each scope."""

SCOPE_OF = {claim: scope for scope, claims in CLAIMS_OF_SCOPE.items() for claim in claims}
"""Scope that the user consents to when a request names the claim."""


def scopes_for_claims(claims: Mapping[str, Iterable[str]]) -> set[str]:
    """Return the scopes that cover the claims named in the ``claims`` parameter."""
    return {SCOPE_OF[name] for members in claims.values() for name in members if name in SCOPE_OF}


def claims_of(presented: PresentedToken, place: str = "userinfo") -> dict[str, Any]:
    """Return the claims that the request named for ``place`` and, for userinfo, those granted by the token's scopes.

    Neither includes claims of scopes that the client may no longer ask for.
    """
    by_scope = {claim for scope in presented.scopes for claim in CLAIMS_OF_SCOPE.get(scope, ())}
    named = {name for name in presented.claims.get(place, ()) if SCOPE_OF.get(name) in presented.client.scopes}
    return _values(presented, (by_scope if place == "userinfo" else set()) | named)


def _values(presented: PresentedToken, wanted: Iterable[str]) -> dict[str, Any]:
    """Return the claims that have a value; the rest are omitted (section 5.3.2)."""
    email, is_email_verified = presented.identities.get("email", ("", False))
    phone, is_phone_verified = presented.identities.get("phone", ("", False))
    username = presented.identities.get("username", ("", False))[0]
    name = presented.name or username or email.partition("@")[0]
    values: dict[str, Any] = {"locale": presented.language.replace("_", "-"), "groups": list(presented.groups)}
    if name:
        values["name"] = name
    if username or email:
        values["preferred_username"] = username or email
    if email:
        values |= {"email": email, "email_verified": is_email_verified}
    if phone:
        values |= {"phone_number": phone, "phone_number_verified": is_phone_verified}
    return {claim: values[claim] for claim in sorted(wanted) if claim in values}


def amr_of(names: str, level: int) -> list[str]:
    """Return authentication methods by their RFC 8176 names, plus ``mfa`` for two factors.

    :param names: as in ``auth_session.amr``: comma-separated methods, and ``uv``
    """
    factors = [name for name in names.split(",") if name]
    found = ["user" if name == "uv" else method_of(method_behind(name)).amr for name in factors]
    return list(dict.fromkeys(name for name in [*found, *(["mfa"] if level > 1 else [])] if name))
