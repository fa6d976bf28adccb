"""What the commands print of a client: what an operator types into the app, and every field."""

from __future__ import annotations

from datetime import UTC
from typing import Any

import click
import orjson

from app.extensions import settings
from app.oidc.client_store import REGISTERED
from app.oidc.clients import DEVICE_CODE, Client, client_of, clients_in_memory
from app.oidc.models import OAuthClient

WIDTH = 26


def recipe(client: Client, secret: str = "") -> dict[str, Any]:
    """Return what an app is given to sign people in here."""
    origin = settings.origin
    return {
        "discovery_url": f"{origin}/.well-known/openid-configuration",
        "issuer": origin,
        "client_id": client.id,
        **({"client_secret": secret} if secret else {}),
        "redirect_uris": list(client.redirect_uris),
        "scopes": list(client.scopes),
        **({"device_url": f"{origin}/oauth/device"} if DEVICE_CODE in client.grant_types else {}),
    }


def print_recipe(client: Client, secret: str, *, as_json: bool) -> None:
    """Print what the app is given; the secret is shown this once."""
    found = recipe(client, secret)
    if as_json:
        click.echo(orjson.dumps(found))
        return
    for name, value in found.items():
        if value:
            click.echo(f"  {_title(name):<16}{_in_words(name, value)}")
    if secret:
        click.echo("Keep the secret now: Latchkey has only its digest, and shows it this once.")


def described(row: OAuthClient) -> dict[str, Any]:
    """Return every field of a client in the database, and its state."""
    client = client_of(row)
    replaced = bool(row.old_secret_digest) and len(client.secret_digests) > 1
    return fields_of(client) | {
        "state": state_of(row),
        "created_at": row.created_at.astimezone(UTC),
        "updated_at": row.updated_at.astimezone(UTC),
        "old_secret_until": row.old_secret_until.astimezone(UTC) if replaced and row.old_secret_until else None,
    }


def fields_of(client: Client) -> dict[str, Any]:
    """Return every field of a client but its secrets."""
    facts = client.model_dump(mode="json")
    return {"id": client.id} | {name: facts[name] for name in Client.model_fields if name in REGISTERED} | {
        "source": client.source,
        "secrets": len(client.secret_digests),
    }  # fmt: skip


def state_of(row: OAuthClient) -> str:
    """Return ``enabled``, ``disabled``, or ``hidden`` where the clients file has one of the same id."""
    if row.id in clients_in_memory():
        return "hidden"
    return "enabled" if row.disabled_at is None else "disabled"


def print_fields(facts: dict[str, Any]) -> None:
    """Print fields, one in a line; those that are empty are left out."""
    for name, value in facts.items():
        if value not in ("", [], None, False):
            click.echo(f"{name.replace('_', ' '):<{WIDTH}}{_in_words(name, value)}")


def _title(name: str) -> str:
    return name.replace("_", " ").capitalize().replace("url", "URL").replace(" id", " ID").replace("uris", "URIs")


def _in_words(name: str, value: Any) -> str:
    if name == "jwks":
        return f"{len(value['keys'])} keys"
    if isinstance(value, list):
        return " ".join(value)
    return "yes" if value is True else f"{value:%Y-%m-%d %H:%M} UTC" if hasattr(value, "strftime") else str(value)
