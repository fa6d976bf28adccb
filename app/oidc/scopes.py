"""Scopes, and the claims that each of them gives (OpenID Connect Core, section 5.4)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

OF_SCOPES = {
    "profile": ("name", "preferred_username", "locale"),
    "email": ("email", "email_verified"),
    "phone": ("phone_number", "phone_number_verified"),
    "groups": ("groups",),
}
"""The claims that each scope gives."""

SCOPE_OF = {claim: scope for scope, claims in OF_SCOPES.items() for claim in claims}
"""The scope that a person allows when a request names this claim."""


def scopes_behind(claims: Mapping[str, Iterable[str]]) -> set[str]:
    """Return the scopes that the ``claims`` parameter asks for by the names of their claims."""
    return {SCOPE_OF[name] for members in claims.values() for name in members if name in SCOPE_OF}
