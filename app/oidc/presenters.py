"""What pages show about apps."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from app import user_agents
from app.extensions import settings
from app.i18n import N_
from app.oidc import requests
from app.oidc.apps import AppAccess
from app.oidc.authorization import Authorization, AuthorizationError, PageError, read_authorization
from app.oidc.client_file import logo_path
from app.oidc.client_uris import is_native
from app.oidc.clients import Client
from app.oidc.consents import Relation
from app.oidc.models import DeviceRequest
from app.web.destinations import Destination, LauncherEntry, letter_of, tint_of
from app.web.respond import shown_target

SCOPE_DESCRIPTIONS = {
    "openid": N_("Sign you in without seeing your email or other details"),
    "profile": N_("See your username and language"),
    "email": N_("See your email"),
    "phone": N_("See your phone number"),
    "groups": N_("See which groups you're a member of"),
    "offline_access": N_("Stay signed in after you sign out here"),
}


def look_of(client_id: str, name: str) -> dict[str, Any]:
    """Return what a page shows before an app's name: its logo, or a letter."""
    return {"logo": logo_path(client_id), "letter": letter_of(name), "tint": tint_of(client_id)}


def app_to_open(entry: LauncherEntry) -> dict[str, Any]:
    """Return the facts about an app that a user can open."""
    logo = settings.public_url + entry.logo if entry.logo else None
    return {"id": entry.id, "name": entry.name, "url": entry.url, "host": entry.host, "logo_url": logo}


def access_facts(access: AppAccess) -> dict[str, Any]:
    """Return the facts about an app that a user has granted access to, and what it may do now."""
    path = logo_path(access.id)
    return {
        "id": access.id,
        "name": access.name,
        "host": host_of(access.client) if access.client is not None else None,
        "logo_url": settings.public_url + path if path else None,
        "has_access": access.has_access,
        "scopes": [scope for scope in SCOPE_DESCRIPTIONS if scope in access.scopes],
        "since": access.since,
        "last_used_at": access.used_at,
        "signed_in": access.is_signed_in,
        "stays_signed_in": access.stays_signed_in,
    }


def host_of(client: Client) -> str:
    """Return the host that tells a user whose app it is. The home page only counts if an administrator set it."""
    address = client.id if client.source == "document" else client.home_url if client.is_vetted else ""
    return urlsplit(address).hostname or client.host


def describe_scopes(scopes: Collection[str]) -> list[tuple[str, str]]:
    """Return scopes with a description of what each lets an app do, for a page to translate.

    ``openid`` is in every sign-in request, so it is only shown if it is the only scope.
    """
    shown = [scope for scope in scopes if scope != "openid"] or list(scopes)
    return [(scope, SCOPE_DESCRIPTIONS[scope]) for scope in SCOPE_DESCRIPTIONS if scope in shown]


def requesting_app_facts(client: Client) -> dict[str, Any]:
    """Return what a page shows about the app that makes a request, and its logo or letter."""
    return {
        "asker": {
            "name": client.name,
            "host": host_of(client),
            "home": client.home_url if client.is_vetted else "",
            "is_vetted": client.is_vetted,
        },
        "look": look_of(client.id, client.name),
    }


def consent_facts(authorization: Authorization, relation: Relation, scopes: Sequence[str]) -> dict[str, Any]:
    """Return what the pages show about an app and its request."""
    client = authorization.client
    return {
        "app": {
            "name": client.name,
            "host": host_of(client),
            "policy": client.policy_url,
            "terms": client.terms_url,
            "is_vetted": client.is_vetted,
        },
        "look": look_of(client.id, client.name),
        "goes_to": "" if is_native(authorization.redirect_uri) else shown_target(authorization.redirect_uri),
        "scopes": [
            {"name": scope, "text": text, "is_new": scope not in relation.allowed}
            for scope, text in describe_scopes(scopes)
        ],
        "services": [each.name for each in authorization.served_by],
        "had_before": bool(relation.allowed),
    }


def device_facts(row: DeviceRequest) -> dict[str, Any]:
    """Return where a device's request comes from, so that the user can recognize it."""
    return {"browser": user_agents.label(row.agent), "address": row.address or None, "at": row.created_at}


def destination_of_request(query: Mapping[str, str]) -> Destination | None:
    """Return the app whose stored request a query names, if it is valid. At most two statements.

    A self-registered app is shown by its host, since it could choose any name.
    """
    row = requests.find(query.get("request", "")[:32])
    if row is None:
        return None
    try:
        client = read_authorization(requests.parameters_of(row)).client
    except (PageError, AuthorizationError):
        return None
    name = client.name if client.is_vetted else host_of(client) or client.id
    return Destination(name, logo_path(client.id), letter_of(name), tint_of(client.id))
