"""``flask backup`` and ``flask restore``, plus ``move`` and ``read-write`` in Flask-Migrate's group ``flask db``."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast

import click
import structlog
from flask.cli import with_appcontext
from flask_migrate.cli import db as group

from app.audit import record
from app.backup import move, service
from app.backup import restore as restoring
from app.backup.builds import Progress
from app.backup.envelope import Manifest
from app.backup.faults import BackupError
from app.cli.group import OperatorGroup
from app.command_language import N_, TranslatedCommand, gettext, ngettext, ngettext_noop
from app.db import unavailable
from app.extensions import db
from app.terminal import status

log = structlog.get_logger()


class FileOrCommand(OperatorGroup):
    """A group whose first argument may be a file name, in which case ``create`` is implied."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if args and args[0] != "--help" and args[0] not in self.commands:
            args = ["create", *args]
        return super().parse_args(ctx, args)


backup = FileOrCommand(
    "backup",
    help=N_("Back up the database, and check backups.")
    + "\n\n"
    + N_("`flask backup FILE` is short for `flask backup create FILE`."),
)


@contextmanager
def show_progress(doing: str) -> Iterator[Progress]:
    """Show progress, and turn a BackupError into a command error."""
    with status(doing) as update:
        try:
            yield lambda what, rows: update(
                ngettext("{doing}: {what}, {count} row", "{doing}: {what}, {count} rows", rows, doing=doing, what=what)
            )
        except BackupError as error:
            raise click.ClickException(str(error)) from error


KINDS = {"portable": N_("portable"), "sqlite": N_("a copy of SQLite's"), "pg_dump": N_("by pg_dump")}


def described(manifest: Manifest) -> str:
    """Return a one-line summary of a backup."""
    people = manifest.tables.get("user", {}).get("rows", 0)
    return gettext(
        "{accounts}, {rows} rows in {tables} tables, of {time}, {kind}, migration {revision}, encrypted with key {key}",
        accounts=ngettext("{count} account", "{count} accounts", people),
        rows=manifest.rows,
        tables=len(manifest.tables),
        time=manifest.created_at,
        kind=gettext(KINDS[manifest.content]),
        revision=manifest.revision,
        key=manifest.kid,
    )


@backup.command("create")
@click.argument("file")
@click.option(
    "--native", is_flag=True, help=N_("Use SQLite's online copy or pg_dump, which only that database can load.")
)
@click.option("--force", is_flag=True, help=N_("Overwrite FILE if it exists."))
def create(file: str, native: bool, force: bool) -> None:
    """Write a backup to FILE, or to standard output for "-".

    The service keeps running; the backup shows the moment at which it began. It is encrypted with the first of
    LATCHKEY_SECRET_KEYS: keep the keys in another place. Without --native, either database can load it.
    """
    with show_progress(gettext("Backing up")) as progress:
        manifest = service.back_up(file, native_copy=native, force=force, progress=progress)
    _record(manifest)
    click.echo(gettext("Backed up: {backup}.", backup=described(manifest)), err=file == "-")


def _record(manifest: Manifest) -> None:
    """Record that a backup was made. This is skipped if the database is read-only, such as a standby."""
    try:
        record("backup.created", content=manifest.content, rows=manifest.rows)
        db.session.commit()
    except Exception as error:
        db.session.rollback()
        if not unavailable(error):
            raise
        log.warning("backup.not_noted", error=type(error).__name__)


@backup.command("check")
@click.argument("file")
def check(file: str) -> None:
    """Read all of FILE and compare it with its manifest.

    Restores nothing. Exits with 1 if it can't be restored here.
    """
    with show_progress(gettext("Checking")) as progress:
        manifest = service.check(file, progress)
    click.echo(gettext("Sound: {backup}.", backup=described(manifest)))


@click.command("restore", cls=TranslatedCommand)
@click.argument("file")
@click.option("--replace", is_flag=True, help=N_("Replace a database that has rows, or that the service is using."))
@click.option("--yes", is_flag=True, help=N_("Don't ask for confirmation."))
@click.option(
    "--keep-sessions", is_flag=True, help=N_("Keep everyone signed in who was signed in when the backup was made.")
)
@with_appcontext
def restore(file: str, replace: bool, yes: bool, keep_sessions: bool) -> None:
    """Replace the database with the backup in FILE, or on standard input for "-".

    Completely or not at all. A backup of an older release is brought up to date. All sessions and API tokens end,
    since some may have been ended after the backup; --keep-sessions leaves them. Messages that were waiting
    aren't sent. Stop the service first.
    """
    used: list[restoring.DatabaseUsage] = []

    def confirm(usage: restoring.DatabaseUsage) -> None:
        used.append(usage)
        if usage.description:
            _confirm(file, usage.description, replace=replace, yes=yes)

    with show_progress(gettext("Restoring")) as progress:
        done = restoring.restore(file, keep_sessions=keep_sessions, confirm=confirm, progress=progress)
    record("backup.restored", made_at=done.manifest.created_at, rows=done.manifest.rows, ended=done.ended)
    db.session.commit()
    click.echo(gettext("Restored: {backup}.", backup=described(done.manifest)))
    _say_ended(done.ended, keep_sessions=keep_sessions)
    if used[0].processes:
        click.echo(gettext("Restart every server and worker: they still remember what was there before."))


def _confirm(file: str, what: str, *, replace: bool, yes: bool) -> None:
    """Make sure that the database may be replaced.

    :raises click.ClickException: if it may not
    """
    if not replace:
        raise click.ClickException(
            gettext(
                "The database has {what}. Stop the service and restore into an empty database, or replace this one "
                "with --replace. Nothing was changed.",
                what=what,
            )
        )
    if yes:
        return
    if file == "-" or not sys.stdin.isatty():
        text = gettext("The database has {what}. To replace it without being asked: --replace --yes", what=what)
        raise click.ClickException(text)
    click.confirm(gettext("The database has {what}. Replace all of it?", what=what), abort=True)


ENDED = {
    "sessions": ngettext_noop(
        "{count} session was ended, with all API tokens.", "{count} sessions were ended, with all API tokens."
    ),
    "invitations": ngettext_noop(
        "{count} invitation was revoked; if it is still meant: invite again.",
        "{count} invitations were revoked; those that are still meant: invite again.",
    ),
    "messages": ngettext_noop(
        "{count} message that was waiting isn't sent. See it: flask outbox list",
        "{count} messages that were waiting aren't sent. See them: flask outbox list",
    ),
    "recoveries": ngettext_noop(
        "{count} account recovery was canceled; people can ask again.",
        "{count} account recoveries were canceled; people can ask again.",
    ),
    "deletions": ngettext_noop(
        "{count} account is erased later than planned: its owner may have kept it since (flask users undelete).",
        "{count} accounts are erased later than planned: their owners may have kept them since (flask users undelete).",
    ),
}
"""Messages about what a restore invalidated, by kind."""


def _say_ended(ended: dict[str, int], *, keep_sessions: bool) -> None:
    if keep_sessions:
        click.echo(gettext("Sessions are as they were then, including those that have ended since."))
    else:
        click.echo(ngettext(*ENDED["sessions"], ended["sessions"]))
    for name in ("invitations", "messages", "recoveries", "deletions"):
        if ended.get(name):
            click.echo(ngettext(*ENDED[name], ended[name]))


def commands() -> click.Command:
    """Return Flask-Migrate's command group, including the commands below."""
    return cast("click.Command", group)


@group.command("move", cls=TranslatedCommand)  # type: ignore[untyped-decorator]
@click.argument("url")
@with_appcontext
def move_command(url: str) -> None:
    """Move everything to the empty database at URL.

    From SQLite to PostgreSQL, or the other way around. Meanwhile, the service can be read, and responds to changes with
    503 and Retry-After. It remains so afterwards, until it is restarted with the new URL. If the move fails or is
    stopped, the service accepts changes again; run the command again.
    """
    with show_progress(gettext("Moving")) as progress:
        rows = move.move(url, progress)
    text = ngettext(
        "Moved: {count} row, compared one by one. The old database no longer accepts changes.",
        "Moved: {count} rows, compared one by one. The old database no longer accepts changes.",
        rows,
    )
    click.echo(text)
    click.echo(
        gettext("Now set LATCHKEY_DATABASE_URL to the new one, everywhere, and restart every server and worker.")
    )
    click.echo(gettext("To keep using the old one instead: flask db read-write"))


@group.command("read-write", cls=TranslatedCommand)  # type: ignore[untyped-decorator]
@with_appcontext
def read_write_command() -> None:
    """Make a database writable again that a move left read-only.

    Whatever is written from then on is missing in the database that it was moved to.
    """
    was = move.make_writable()
    click.echo(gettext("The database accepts changes again.") if was else gettext("The database wasn't read-only."))
