"""``flask outbox`` and ``flask worker``."""

from __future__ import annotations

import signal
import sys
import threading
from datetime import datetime
from typing import Any

import click
import sqlalchemy as sa
import structlog

from app import clock, shutdown
from app.command_language import N_, TranslatedCommand, TranslatedGroup, gettext, ngettext, number_text, table
from app.db import PoolerFound, readiness, unavailable
from app.extensions import db
from app.outbox import leases, providers, wakeups, worker
from app.outbox.models import STATES, Message

log = structlog.get_logger()

RETRY_DELAY = 2.0
"""Seconds between attempts to reach an unavailable database."""

HEADINGS = (
    N_("ID"), N_("STATE"), N_("CHANNEL"), N_("KIND"), N_("TRIES"), N_("AGE"), N_("TO"), N_("BY"), N_("WHY NOT"),
)  # fmt: skip
WIDTHS = (32, 9, 7, 16, -5, -8, 28, 8, 0)
PROVIDER_HEADINGS = (
    N_("CHANNEL"), N_("PROVIDER"), N_("STATE"), N_("SENT IN 24 H"), N_("LAST SENT"), N_("LAST FAILED"), N_("HOST"),
    N_("WHY"),
)  # fmt: skip
PROVIDER_WIDTHS = (7, 8, 8, -12, -10, -11, 30, 0)


class InAppContext(TranslatedGroup):
    """A group whose commands run in an app context, however Flask was started."""

    def invoke(self, ctx: click.Context) -> Any:
        with ctx.obj.load_app().app_context():
            try:
                return super().invoke(ctx)
            except PoolerFound as found:
                raise click.ClickException(str(found)) from found
            except Exception as error:
                if not unavailable(error):
                    raise
                message = gettext("The database doesn't answer. Find out why: flask doctor")
                raise click.ClickException(message) from error


@click.group("outbox", cls=InAppContext)
def outbox() -> None:
    """List messages that have to be sent, and send them again."""


@outbox.command("list")
@click.option("--state", type=click.Choice(STATES), multiple=True, help=N_("Only these states; may be repeated."))
@click.option(
    "--limit",
    type=click.IntRange(1, 10_000),
    default=50,
    show_default=True,
    help=N_("Only the newest ones, this many."),
)
def list_messages(state: tuple[str, ...], limit: int) -> None:
    """List messages, newest first, with addresses masked."""
    query = sa.select(Message).order_by(Message.created_at.desc()).limit(limit)
    if state:
        query = query.where(Message.state.in_(state))
    messages = list(db.session.scalars(query))
    if not messages:
        click.echo(gettext("No messages."))
        return
    output = table(HEADINGS, WIDTHS)
    click.echo(output.head())
    now = clock.now()
    for each in messages:
        progress = (each.state, each.channel, each.kind, each.attempts, _age(now, each.created_at))
        click.echo(output.line(each.id, *progress, each.masked_to, each.provider, each.last_error))


@outbox.command("providers")
def list_providers() -> None:
    """List mail servers and SMS providers, and which of them work."""
    states = providers.states()
    if not states:
        click.echo(gettext("No mail server and no SMS provider is set."))
        return
    output = table(PROVIDER_HEADINGS, PROVIDER_WIDTHS)
    click.echo(output.head())
    now = clock.now()
    for each in states:
        ages = [_age(now, at) if at else gettext("never") for at in (each.sent_at, each.failed_at)]
        cells = (each.channel, each.name, each.state, number_text(each.sent_recently), *ages, each.host, each.reason)
        click.echo(output.line(*cells))


@outbox.command("retry")
@click.argument("ids", nargs=-1)
@click.option("--all", "everything", is_flag=True, help=N_("Every abandoned message that has not expired."))
def retry(ids: tuple[str, ...], everything: bool) -> None:
    """Send abandoned messages again, by their IDS or all of them."""
    if bool(ids) == everything:
        raise click.UsageError(
            gettext("Specify messages by their IDs (flask outbox list --state abandoned), or use --all.")
        )
    requeued = leases.retry(None if everything else ids)
    db.session.commit()
    wakeups.wake()
    click.echo(ngettext("{count} message will be tried again.", "{count} messages will be tried again.", len(requeued)))
    if missed := set(ids) - {message.id for message in requeued}:
        message = gettext("Not abandoned, expired or unknown: {ids}.", ids=", ".join(sorted(missed)))
        click.echo(message, err=True)
        raise click.exceptions.Exit(1)


@click.command("worker", cls=TranslatedCommand)
@click.pass_obj
def run_worker(info: Any) -> None:
    """Deliver messages until Ctrl-C or SIGTERM. Run as many as you like, on any machine."""
    stop = shutdown.event_set_by(signal.SIGINT, signal.SIGTERM)
    app = info.load_app()
    for start in app.extensions.get(worker.STARTUP_HOOKS, ()):
        start(app)
    _await_tables(app, stop)
    worker.run(app, stop)


def _await_tables(app: worker.App, stop: threading.Event) -> None:
    """Wait for the database. Exit with status 78 (EX_CONFIG) if this release can't use it as it is.

    Examples are missing migrations, or a connection pooler that the settings don't mention.
    """
    while not stop.is_set():
        with app.app_context():
            try:
                with db.engine.connect() as connection:
                    return readiness.require_schema(connection)
            except PoolerFound as found:
                click.echo(gettext("Latchkey doesn't start: {reason}", reason=str(found)), err=True)
                sys.exit(78)
            except Exception as error:
                if not unavailable(error):
                    raise
                log.warning("worker.database_unavailable", error=type(error).__name__)
            finally:
                db.engine.dispose()
        stop.wait(RETRY_DELAY)
    return None


def _age(now: datetime, then: datetime) -> str:
    seconds = int((now - then).total_seconds())
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"
