"""The command ``flask serve``."""

from __future__ import annotations

import shutil
from typing import Any

import click
from click.core import ParameterSource

from app.command_language import N_, TranslatedCommand, gettext
from app.serving import startup
from app.serving.startup import METRICS, ListenAddress
from config import types


def read_socket(_context: click.Context, _option: click.Parameter, path: str | None) -> str | None:
    """Accept an absolute path that is short enough for a socket."""
    if path is not None and types.listener(f"unix:{path}") is None:
        raise click.BadParameter(
            gettext("name an absolute path of at most {count} bytes", count=types.MAX_SOCKET_LENGTH)
        )
    return path


def refuse_both(unix: str | None) -> None:
    """Reject a Unix socket combined with an address, since the server only listens on one of them."""
    context = click.get_current_context()
    given = [name for name in ("host", "port") if context.get_parameter_source(name) is ParameterSource.COMMANDLINE]
    if unix and given:
        raise click.UsageError(gettext("--unix listens only on a socket: leave out {option}.", option="--" + given[0]))


@click.command("serve", cls=TranslatedCommand)
@click.option("--host", default="127.0.0.1", show_default=True, help=N_("Address to listen on."))
@click.option("--port", default=8000, show_default=True, type=click.IntRange(1, 65535), help=N_("Port to listen on."))
@click.option(
    "--unix", metavar="PATH", callback=read_socket, help=N_("Unix socket to listen on for a proxy, instead of a port.")
)
@click.option("--workers", default=2, show_default=True, type=click.IntRange(1, 64), help=N_("Web processes."))
@click.option(
    "--threads",
    default=4,
    show_default=True,
    type=click.IntRange(1, 64),
    help=N_("Requests that each web process handles at a time; on SQLite at most, while some are slow."),
)
@click.option("--no-worker", is_flag=True, help=N_("Don't deliver messages: `flask worker` does it elsewhere."))
@click.pass_obj
def serve_command(
    info: Any, host: str, port: int, unix: str | None, workers: int, threads: int, no_worker: bool
) -> None:
    """Serve and deliver messages until Ctrl-C or SIGTERM.

    In development, the database is created or brought up to date first, and only this machine is served. In production,
    pending migrations are refused, with exit status 78; 69 means that the database doesn't answer or the port is taken.
    On a Unix socket, the owner and the group may connect; callers are known only from LATCHKEY_TRUSTED_PROXIES.
    """
    refuse_both(unix)
    listen_address: ListenAddress = unix or (host, port)
    app = info.load_app()
    startup.allow_many_connections()
    settings = app.extensions["latchkey.settings"]
    if unix:
        startup.claim_socket(settings, unix)
    else:
        startup.refuse_other_machines(settings, host)
        startup.claim_port(host, port)
    sink = startup.prepare(app, listen_address)

    from app.serving.supervisor import Supervisor  # after the checks, so that they fail fast

    supervisor = Supervisor(app, listen_address, workers=workers, threads=threads)
    counted_in = startup.prepare_metrics(app, listen_address)
    if counted_in:
        supervisor.add_child(METRICS, startup.metrics(app))
    if console := startup.console(app, listen_address):
        supervisor.add_child("console", console)
    if sink:
        supervisor.add_child("sink", sink)
    if not no_worker:
        supervisor.add_child("delivery", startup.delivery(app))
    if first := startup.invite_first_administrator(app):
        click.echo(first, err=True)
    if not settings.is_production:
        kept = "mail" if not settings.mail_url else "text messages" if sink else ""
        click.echo(startup.welcome(app.extensions["latchkey.settings"].public_url, kept))
    try:
        raise SystemExit(supervisor.run())
    finally:
        if counted_in:
            shutil.rmtree(counted_in, ignore_errors=True)
