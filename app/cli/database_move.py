"""``flask db move`` and ``flask db read-write``, added to the group of Flask-Migrate."""

from __future__ import annotations

from typing import cast

import click
from flask.cli import with_appcontext
from flask_migrate.cli import db as group

from app.backup import move
from app.cli.backups import saying_progress
from app.command_language import TranslatedCommand, gettext, ngettext


def commands() -> click.Command:
    """Return the group: Flask-Migrate's commands, and those below."""
    return cast("click.Command", group)


@group.command("move", cls=TranslatedCommand)  # type: ignore[untyped-decorator]
@click.argument("url")
@with_appcontext
def move_command(url: str) -> None:
    """Move everything to the empty database at URL.

    From SQLite to PostgreSQL, or the other way. Meanwhile the service answers reads, and changes with 503 and
    Retry-After. It stays so at the end, until it is restarted with the new URL. When the move fails or is stopped, the
    service takes changes again; run it again.
    """
    with saying_progress(gettext("Moving")) as progress:
        rows = move.move(url, progress)
    said = ngettext(
        "Moved: {count} row, compared one by one. The old database takes no changes any more.",
        "Moved: {count} rows, compared one by one. The old database takes no changes any more.",
        rows,
    )
    click.echo(said)
    click.echo(
        gettext("Now set LATCHKEY_DATABASE_URL to the new one, everywhere, and restart every server and worker.")
    )
    click.echo(gettext("To stay with the old one instead: flask db read-write"))


@group.command("read-write", cls=TranslatedCommand)  # type: ignore[untyped-decorator]
@with_appcontext
def read_write_command() -> None:
    """Let the database take changes again that was left read-only by a move.

    What is written from then on is missing in the database that it was moved to.
    """
    was = move.take_changes()
    click.echo(gettext("The database takes changes again.") if was else gettext("The database wasn't read-only."))
