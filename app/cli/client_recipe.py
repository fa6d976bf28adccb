"""How the commands print a client: what an operator types into the app, and every field."""

from __future__ import annotations

from typing import Any

import click
import orjson

from app.command_language import N_, gettext, ngettext
from app.oidc.client_store import recipe
from app.oidc.clients import Client
from app.terminal import padded

WIDTH = 26

TITLES = {
    "discovery_url": N_("Discovery URL"), "issuer": N_("Issuer"), "client_id": N_("Client ID"),
    "client_secret": N_("Client secret"), "redirect_uris": N_("Redirect URIs"), "scopes": N_("Scopes"),
    "device_url": N_("Device URL"),
}  # fmt: skip
"""What an operator looks for in the app's own settings."""


def print_recipe(client: Client, secret: str, *, as_json: bool) -> None:
    """Print what the app is given; the secret is shown this once."""
    found = recipe(client, secret)
    if as_json:
        click.echo(orjson.dumps(found))
        return
    for name, value in found.items():
        if value:
            click.echo(f"  {padded(gettext(TITLES[name]), 16)}{_in_words(name, value)}")
    if secret:
        click.echo(gettext("Keep the secret now: Latchkey has only its digest, and shows it this once."))


def print_fields(facts: dict[str, Any]) -> None:
    """Print fields by the names that the clients file and JSON have, one in a line; the empty ones are left out."""
    for name, value in facts.items():
        if value not in ("", [], None, False):
            click.echo(f"{name.replace('_', ' '):<{WIDTH}}{_in_words(name, value)}")


def _in_words(name: str, value: Any) -> str:
    if name == "jwks":
        return ngettext("{count} key", "{count} keys", len(value["keys"]))
    if isinstance(value, list):
        return " ".join(value)
    return (
        gettext("yes") if value is True else f"{value:%Y-%m-%d %H:%M} UTC" if hasattr(value, "strftime") else str(value)
    )
