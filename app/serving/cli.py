"""The command ``flask serve``."""

from __future__ import annotations

import shutil
from typing import Any

import click

from app.serving import startup
from app.serving.startup import METRICS


@click.command("serve")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen at.")
@click.option("--port", default=8000, show_default=True, type=click.IntRange(1, 65535), help="Port to listen at.")
@click.option("--workers", default=2, show_default=True, type=click.IntRange(1, 64), help="Web processes.")
@click.option(
    "--threads",
    default=4,
    show_default=True,
    type=click.IntRange(1, 64),
    help="Requests that each web process works on at a time; on SQLite at most, while some linger.",
)
@click.option("--no-worker", is_flag=True, help="Deliver no messages: `flask worker` does it elsewhere.")
@click.pass_obj
def serve_command(info: Any, host: str, port: int, workers: int, threads: int, no_worker: bool) -> None:
    """Serve and deliver messages until Ctrl-C or SIGTERM.

    In development the database is made or brought up to date first, and only this machine is served. In
    production pending migrations are refused, with exit status 78; 69 says that the database does not answer
    or the port is taken.
    """
    app = info.load_app()
    startup.allow_many_connections()
    settings = app.extensions["latchkey.settings"]
    startup.refuse_other_machines(settings, host)
    startup.claim_port(host, port)
    sink = startup.prepare(app, host, port)

    from app.serving.supervisor import Supervisor  # after the refusals: a refused start should not wait for it

    supervisor = Supervisor(app, host, port, workers=workers, threads=threads)
    counted_in = startup.prepare_metrics(app, port)
    if counted_in:
        supervisor.keep(METRICS, startup.metrics(app))
    if console := startup.console(app, port):
        supervisor.keep("console", console)
    if sink:
        supervisor.keep("sink", sink)
    if not no_worker:
        supervisor.keep("delivery", startup.delivery(app))
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
