"""How the commands print a client: what an operator types into the app, and every field."""

from __future__ import annotations

from typing import Any

import click
import orjson

from app.oidc.client_facts import recipe
from app.oidc.clients import Client

WIDTH = 26


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
