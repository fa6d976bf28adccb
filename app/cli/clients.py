"""``flask clients``: add, list, change and disable apps that sign people in here, and rotate their secrets."""

from __future__ import annotations

import sys
from datetime import timedelta
from typing import Any

import click
import orjson
import sqlalchemy as sa

from app import terminal
from app.cli.client_options import client_options, given_fields, grants_of_device, made_client
from app.cli.durations import DurationType, span_text
from app.cli.group import OperatorGroup, switched
from app.command_language import N_, gettext, ngettext, table
from app.crypto import secrets
from app.extensions import db
from app.groups.models import Group
from app.oidc import client_store
from app.oidc.client_secrets import new_secret
from app.oidc.client_store import app_settings, describe, fields_of, id_for, state_of, warnings_for
from app.oidc.clients import REGISTERED, Client, client_of, clients_in_memory
from app.oidc.models import OAuthClient

BY = "operator"

clients = OperatorGroup("clients", help=N_("Add apps that sign people in here, and manage them."))

WIDTH = 26

TITLES = {
    "discovery_url": N_("Discovery URL"), "issuer": N_("Issuer"), "client_id": N_("Client ID"),
    "client_secret": N_("Client secret"), "redirect_uris": N_("Redirect URIs"), "scopes": N_("Scopes"),
    "device_url": N_("Device URL"),
}  # fmt: skip
"""Names that operators look for in an app's own settings."""


@clients.command("create")
@click.argument("name")
@click.option("--id", "client_id", metavar="ID", help=N_("Its client ID; default: derived from NAME."))
@click.option("--device", is_flag=True, help=N_("It signs people in with a code that they enter elsewhere."))
@client_options
@click.option("--json", "as_json", is_flag=True, help=N_("One JSON object."))
def create(name: str, client_id: str | None, device: bool, as_json: bool, **options: Any) -> None:
    """Add an app, and print what it needs.

    NAME is what people see. Its secret is shown once.
    """
    fields = given_fields(options)
    if device:
        fields["grant_types"] = grants_of_device(fields)
    secret = "" if fields.get("auth_method") in ("none", "private_key_jwt") else new_secret()
    client = made_client(client_id or id_for(name) or secrets.letters(16), name=name, source="command", **fields)
    if client.id in clients_in_memory():
        raise click.ClickException(
            gettext("The clients file has a client {client}. Choose another --id.", client=repr(client.id))
        )
    if not client_store.create(client, by=BY, secret=secret):
        raise click.ClickException(
            gettext("There is already a client {client}. Choose another --id.", client=repr(client.id))
        )
    db.session.commit()
    if not as_json:
        click.echo(gettext("Added {name}. Give the app:", name=client.name))
    print_recipe(client, secret, as_json=as_json)
    _print_notes(client)


@clients.command("change")
@click.argument("client_id", metavar="ID")
@click.option("--name", help=N_("Name that people see."))
@client_options
def change(client_id: str, **options: Any) -> None:
    """Change fields of a client.

    A list replaces the previous one; "" empties it. The secret stays the same: see rotate-secret.
    """
    row = _row_named(client_id)
    if row.source == "document":
        raise click.ClickException(
            gettext("{client}: that is what the app says at its own address, which is read again.", client=client_id)
        )
    fields = given_fields(options)
    if not fields:
        raise click.UsageError(gettext("Specify at least one option."))
    before = client_of(row)
    registered = before.model_dump(include=set(REGISTERED))
    client = made_client(client_id, source=row.source, **(registered | fields))
    had_none = before.auth_method in ("none", "private_key_jwt")
    has_none = client.auth_method in ("none", "private_key_jwt")
    secret = None if had_none == has_none else "" if has_none else new_secret()
    client_store.change(client, by=BY, secret=secret)
    db.session.commit()
    click.echo(gettext("{name}: changed.", name=client_id))
    if secret:
        print_recipe(client, secret, as_json=False)
    _print_notes(client)


@clients.command("list")
@click.option("--json", "as_json", is_flag=True, help=N_("One JSON object per line."))
def list_(as_json: bool) -> None:
    """List clients: in the file, then in the database.

    A "hidden" client in the database has the same ID as one in the clients file, which is used instead.
    """
    of_file = [fields_of(client) | {"state": "enabled"} for client in clients_in_memory().values()]
    count = 0
    for facts in (*of_file, *map(_listed, client_store.rows())):
        if not (count or as_json):
            click.echo(table((N_("ID"), N_("NAME"), N_("SOURCE"), N_("STATE")), (0, 0, 0, 0)).head())
        count += 1
        shown = (facts["id"], facts["name"], facts["source"], facts["state"])
        click.echo(orjson.dumps(facts) if as_json else "  ".join(shown))
    if not as_json:
        click.echo(ngettext("{count} client.", "{count} clients.", count), err=True)


@clients.command("show")
@click.argument("client_id", metavar="ID")
@click.option("--json", "as_json", is_flag=True, help=N_("One JSON object."))
def show(client_id: str, as_json: bool) -> None:
    """Show a client, and what its app needs.

    No secret is shown: there is none to show. See rotate-secret.
    """
    of_file = clients_in_memory().get(client_id)
    facts = fields_of(of_file) | {"state": "enabled"} if of_file else describe(_row_named(client_id))
    client = of_file or client_of(_row_named(client_id))
    if as_json:
        click.echo(orjson.dumps(facts | {"recipe": app_settings(client)}))
        return
    print_fields(facts)
    click.echo(gettext("The app needs:"))
    print_recipe(client, "", as_json=False)
    if of_file and client_store.get_row(client_id) is not None:
        click.echo(gettext("Note: the database also has a client with this ID, which isn't used."), err=True)


@clients.command("rotate-secret")
@click.argument("client_id", metavar="ID")
@click.option("--overlap", type=DurationType(or_zero=True), default="24h", show_default=True,
              help=N_("How long the old one is also accepted; 0: not at all."))  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help=N_("One JSON object."))
def rotate_secret(client_id: str, overlap: timedelta, as_json: bool) -> None:
    """Give a client a new secret, and print it once."""
    row = _row_named(client_id)
    secret = client_store.rotate_secret(client_id, overlap, by=BY)
    if secret is None:
        raise click.ClickException(
            gettext(
                "{client} has no secret ({method}).",
                client=client_id,
                method="auth_method " + client_of(row).auth_method,
            )
        )
    db.session.commit()
    print_recipe(client_of(row), secret, as_json=as_json)
    until = gettext("The previous secret is accepted for {time}.", time=span_text(overlap))
    click.echo(until if overlap else gettext("No other secret is accepted."), err=True)


@clients.command("disable")
@click.argument("client_id", metavar="ID", nargs=-1, required=True)
def disable(client_id: tuple[str, ...]) -> None:
    """Disable clients: no sign-in, and no token is valid."""
    _switch(client_id, off=True)


@clients.command("enable")
@click.argument("client_id", metavar="ID", nargs=-1, required=True)
def enable(client_id: tuple[str, ...]) -> None:
    """Enable clients that were disabled."""
    _switch(client_id, off=False)


@clients.command("delete")
@click.argument("client_id", metavar="ID")
@click.option("--yes", is_flag=True, help=N_("Don't ask for confirmation."))
def delete(client_id: str, yes: bool) -> None:
    """Delete a client and its tokens.

    People's consents are deleted with it.
    """
    row = _row_named(client_id)
    if not yes:
        asked = gettext(
            "Delete {client} ({name}), its tokens and consents?", client=client_id, name=client_of(row).name
        )
        click.confirm(asked, abort=True)
    if not client_store.delete(client_id, by=BY):
        raise _unknown(client_id)
    db.session.commit()
    click.echo(gettext("{name}: deleted.", name=client_id))


def _switch(client_ids: tuple[str, ...], *, off: bool) -> None:
    """Disable or enable each client. Unknown clients are reported without affecting the others."""
    missing = 0
    for client_id in client_ids:
        try:
            _row_named(client_id)
        except click.ClickException as unknown:
            missing += 1
            click.echo(unknown.message, err=True)
            continue
        done = client_store.set_disabled(client_id, disabled=off, by=BY)
        db.session.commit()
        click.echo(switched(client_id, off=off, done=done))
    sys.exit(1 if missing else 0)


def _row_named(client_id: str) -> OAuthClient:
    """Return the row of a client.

    :raises click.ClickException: when there is none, or the clients file has a client with this ID
    """
    if client_id in clients_in_memory():
        raise click.ClickException(
            gettext("{client} is in the clients file: change it there, and restart.", client=client_id)
        )
    row = client_store.get_row(client_id)
    if row is None:
        raise _unknown(client_id)
    return row


def _unknown(client_id: str) -> click.ClickException:
    return click.ClickException(gettext("There is no client {client}. See: flask clients list", client=repr(client_id)))


def _listed(row: OAuthClient) -> dict[str, Any]:
    return fields_of(client_of(row)) | {"state": state_of(row)}


def _print_notes(client: Client) -> None:
    for note in warnings_for(client, known_groups()):
        click.echo(gettext("Note: {note}", note=note), err=True)


def known_groups() -> set[str]:
    """Return the names of all groups."""
    return set(db.session.scalars(sa.select(Group.name)))


def print_recipe(client: Client, secret: str, *, as_json: bool) -> None:
    """Print the settings that the app needs, including the secret if it was just generated."""
    found = app_settings(client, secret)
    if as_json:
        click.echo(orjson.dumps(found))
        return
    given = [(gettext(TITLES[name]), _in_words(name, value)) for name, value in found.items() if value]
    for line in terminal.fields(given, width=14):
        click.echo(f"  {line}")
    if secret:
        click.echo(gettext("Keep the secret now: Latchkey has only its digest, and shows it this once."))


def print_fields(facts: dict[str, Any]) -> None:
    """Print the nonempty fields, one per line, under their names in the clients file and JSON."""
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
