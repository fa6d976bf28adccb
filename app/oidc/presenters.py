"""What pages show of apps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from app.i18n import N_
from app.oidc.authorization import Authorization
from app.oidc.consents import Relation

SCOPES_IN_WORDS = {
    "openid": N_("Know who you are by an ID of your account"),
    "profile": N_("See your username and language"),
    "email": N_("See your email"),
    "phone": N_("See your phone number"),
    "groups": N_("See which groups you're a member of"),
    "offline_access": N_("Stay signed in after you sign out here"),
}


def consent_facts(asked: Authorization, relation: Relation, scopes: Sequence[str]) -> dict[str, Any]:
    """Return what the pages show of an app and of what it asks for."""
    client = asked.client
    return {
        "app": {
            "name": client.name,
            "host": client.host,
            "logo": client.logo_url,
            "home": client.home_url,
            "policy": client.policy_url,
            "terms": client.terms_url,
            "is_verified": client.source in ("file", "command"),
        },
        "scopes": [
            {"name": scope, "text": SCOPES_IN_WORDS[scope], "is_new": scope not in relation.allowed}
            for scope in scopes
            if scope != "openid" or len(scopes) == 1
        ],
    }
