"""``flask backup`` and ``flask restore``."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import click
import structlog
from flask.cli import with_appcontext
from rich.console import Console

from app.audit import record
from app.backup import restore as restoring
from app.backup import service
from app.backup.builds import Progress
from app.backup.envelope import Manifest
from app.backup.faults import BackupError
from app.cli.group import OperatorGroup
from app.db import unavailable
from app.extensions import db

log = structlog.get_logger()


class FileOrCommand(OperatorGroup):
    """A group whose first word may be a file: then ``create`` is meant."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if args and args[0] != "--help" and args[0] not in self.commands:
            args = ["create", *args]
        return super().parse_args(ctx, args)


backup = FileOrCommand(
    "backup",
    help="Back up the database, and check backups.\n\n`flask backup FILE` is short for `flask backup create FILE`.",
)


@contextmanager
def saying_progress(doing: str) -> Iterator[Progress]:
    """Show what is being done, and end the command with a sentence where it can't be."""
    with Console(stderr=True).status(doing) as status:
        try:
            yield lambda what, rows: status.update(f"{doing}: {what}, {rows:,} rows")
        except BackupError as error:
            raise click.ClickException(str(error)) from error


def described(manifest: Manifest) -> str:
    """Return in a line what a backup holds."""
    kind = {"portable": "portable", "sqlite": "a copy of SQLite's", "pg_dump": "by pg_dump"}[manifest.content]
    people = manifest.tables.get("user", {}).get("rows", 0)
    return (
        f"{people:,} account{'' if people == 1 else 's'}, {manifest.rows:,} rows in {len(manifest.tables)} tables, "
        f"of {manifest.created_at}, {kind}, migration {manifest.revision}, sealed under key {manifest.kid}"
    )


@backup.command("create")
@click.argument("file")
@click.option("--native", is_flag=True, help="By SQLite's online copy or pg_dump, which that database alone can load.")
@click.option("--force", is_flag=True, help="Replace FILE if there is one.")
def create(file: str, native: bool, force: bool) -> None:
    """Write a backup to FILE, or to standard output for "-".

    The service goes on meanwhile; the backup shows the moment at which it began. It is encrypted with the first of
    LATCHKEY_SECRET_KEYS: keep the keys in another place. Without --native either database can load it.
    """
    with saying_progress("Backing up") as progress:
        manifest = service.back_up(file, native_copy=native, force=force, progress=progress)
    _note(manifest)
    click.echo(f"Backed up: {described(manifest)}.", err=file == "-")


def _note(manifest: Manifest) -> None:
    """Note that a backup was made. A database that takes no writes, such as a standby, is backed up without."""
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

    Restores nothing. Exits with 1 when it can't be restored here.
    """
    with saying_progress("Checking") as progress:
        manifest = service.check(file, progress)
    click.echo(f"Sound: {described(manifest)}.")


@click.command("restore")
@click.argument("file")
@click.option("--replace", is_flag=True, help="Replace a database that has rows, or that the service is using.")
@click.option("--yes", is_flag=True, help="Don't ask.")
@click.option("--keep-sessions", is_flag=True, help="Leave everyone signed in who was when the backup was made.")
@with_appcontext
def restore(file: str, replace: bool, yes: bool, keep_sessions: bool) -> None:
    """Replace the database by the backup in FILE, or on standard input for "-".

    Completely or not at all. A backup of an older release is brought up to date. All sessions and API tokens end,
    since some may have been ended after the backup; --keep-sessions leaves them. Messages that were waiting
    are not sent. Stop the service first.
    """
    used: list[str] = []

    def agree(living: restoring.Living) -> None:
        used.append(living.what)
        if living.what:
            _agree(file, living.what, replace=replace, yes=yes)

    with saying_progress("Restoring") as progress:
        done = restoring.restore(file, keep_sessions=keep_sessions, agree=agree, progress=progress)
    record("backup.restored", made_at=done.manifest.created_at, rows=done.manifest.rows, ended=done.ended)
    db.session.commit()
    click.echo(f"Restored: {described(done.manifest)}.")
    _say_ended(done.ended, keep_sessions=keep_sessions)
    if "using it" in used[0]:
        click.echo("Restart every server and worker: they remember what was there before.")


def _agree(file: str, what: str, *, replace: bool, yes: bool) -> None:
    """Return if the database may be replaced.

    :raises click.ClickException: if not
    """
    if not replace:
        raise click.ClickException(
            f"The database has {what}. Stop the service and restore into an empty database, or replace this one with "
            "--replace. Nothing was changed."
        )
    if yes:
        return
    if file == "-" or not sys.stdin.isatty():
        raise click.ClickException(f"The database has {what}. To replace it without being asked: --replace --yes")
    click.confirm(f"The database has {what}. Replace all of it?", abort=True)


def _say_ended(ended: dict[str, int], *, keep_sessions: bool) -> None:
    if keep_sessions:
        click.echo("Sessions are as they were then, also those that were ended since.")
    else:
        click.echo(f"{ended['sessions']:,} sessions were ended, with all API tokens.")
        if ended["invitations"]:
            click.echo(f"{ended['invitations']:,} invitations were revoked; those that are still meant: invite again.")
    if ended["messages"]:
        click.echo(f"{ended['messages']:,} messages that were waiting are not sent. See them: flask outbox list")
    if ended["recoveries"]:
        click.echo(f"{ended['recoveries']:,} account recoveries were cancelled; people can ask again.")
    if ended["deletions"]:
        click.echo(
            f"{ended['deletions']:,} accounts are erased later than planned: their owners may have kept them since "
            "(flask users undelete)."
        )
