"""``flask clients check``, ``digest`` and ``registration-token``: commands related to clients."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from datetime import timedelta

import click
import orjson
from pydantic import ValidationError

from app.cli.clients import BY, clients, known_groups
from app.cli.durations import DurationType, span_text
from app.command_language import N_, gettext, ngettext
from app.extensions import db, settings
from app.oidc import client_store
from app.oidc.client_file import read_clients
from app.oidc.client_secrets import MIN_SECRET_LENGTH, check_secret, digest_text, new_secret
from app.oidc.client_store import warnings_for
from app.oidc.clients import Client, client_of
from config.problems import variable

MAX_USES = 1_000_000


@clients.command("check")
@click.argument("file", required=False, type=click.Path())
def check(file: str | None) -> None:
    """Check the clients file, and the database's clients.

    FILE is checked instead of LATCHKEY_CLIENTS_FILE, as it would be at startup.
    """
    path = file or settings.clients_file
    found, problems = read_clients(path, file or variable("clients_file")) if path else ({}, [])
    for problem in problems:
        click.echo(str(problem), err=True)
    if not path:
        click.echo(gettext("{setting} isn't set.", setting=variable("clients_file")))
    stored, broken = _stored()
    twice = gettext("the database also has a client with this ID, which isn't used")
    notes = [f"{client_id}: {twice}" for client_id in found if client_id in stored or client_id in broken]
    groups = known_groups()
    for client in (*found.values(), *(client for name, client in stored.items() if name not in found)):
        notes += [f"{client.id}: {note}" for note in warnings_for(client, groups)]
    for note in notes:
        click.echo(gettext("Note: {note}", note=note), err=True)
    for client_id in broken:
        text = gettext("{client}: its row is no longer a client: flask clients delete {client}", client=client_id)
        click.echo(text, err=True)
    wrong = len(problems) + len(broken)
    click.echo(
        gettext(
            "{of_file} in the file, {of_database} in the database, {wrong} to fix.",
            of_file=_count(found),
            of_database=_count(stored),
            wrong=wrong,
        )
    )
    sys.exit(1 if wrong else 0)


@clients.command("digest")
@click.option(
    "--existing", is_flag=True, help=N_("For a secret that the app already has: typed, or on standard input.")
)
def digest(existing: bool) -> None:
    """Print the line for a secret in the clients file.

    Without --existing, a new secret is generated, and printed to standard error once.
    """
    secret = _existing() if existing else new_secret()
    click.echo(f'secret_digest = "{digest_text(secret)}"')
    if not existing:
        click.echo(gettext("The app's secret, shown this once: {secret}", secret=secret), err=True)


@clients.command("registration-token")
@click.option(
    "--uses",
    type=click.IntRange(1, MAX_USES),
    default=1,
    show_default=True,
    help=N_("Number of clients that it can register."),
)
@click.option("--lasts", type=DurationType(), default="7d", show_default=True, help=N_("How long it is valid."))
@click.option("--name", default="", help=N_("Purpose, recorded in the event."))
@click.option("--json", "as_json", is_flag=True, help=N_("One JSON object."))
def registration_token(uses: int, lasts: timedelta, name: str, as_json: bool) -> None:
    """Print a token with which apps register clients.

    It is sent as a bearer token to /oauth/register (RFC 7591), and is shown once.
    """
    if len(name) > client_store.MAX_TOKEN_NAME_LENGTH or not name.isprintable():
        raise click.ClickException(
            gettext(
                "{option}: must be one line of at most {count} characters.",
                option="--name",
                count=client_store.MAX_TOKEN_NAME_LENGTH,
            )
        )
    token = client_store.issue_registration_token(name, uses, lasts, by=BY)
    db.session.commit()
    url = f"{settings.public_url}/oauth/register"
    if as_json:
        click.echo(orjson.dumps({"registration_endpoint": url, "token": token, "uses": uses}))
        return
    click.echo(token)
    text = ngettext(
        "Valid for {count} client at {url}, for {time}.",
        "Valid for {count} clients at {url}, for {time}.",
        uses,
        url=url,
        time=span_text(lasts),
    )
    click.echo(text, err=True)


def _existing() -> str:
    """Read the secret from the terminal or standard input. Raises click.ClickException."""
    typed = sys.stdin.isatty()
    secret: str = click.prompt(gettext("Secret"), hide_input=True) if typed else sys.stdin.read(65536).strip()
    try:
        check_secret(secret)
    except ValueError:
        raise click.ClickException(_why_refused(secret)) from None
    return secret


def _why_refused(secret: str) -> str:
    """Return what is wrong with a secret, without revealing it."""
    if len(secret) < MIN_SECRET_LENGTH:
        return gettext("That secret is shorter than {count} characters, so it can be guessed.", count=MIN_SECRET_LENGTH)
    return gettext("That secret has characters other than printable ASCII.")


def _stored() -> tuple[dict[str, Client], list[str]]:
    """Return the clients in the database by ID, and the IDs of rows that are no longer valid."""
    stored: dict[str, Client] = {}
    broken = []
    for row in client_store.rows():
        try:
            stored[row.id] = client_of(row)
        except ValidationError:
            broken.append(row.id)
    return stored, broken


def _count(found: Iterable[str]) -> str:
    count = len(list(found))
    return ngettext("{count} client", "{count} clients", count)
