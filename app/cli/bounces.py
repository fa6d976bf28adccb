"""``flask bounces``: receive bounce reports from a mail server."""

from __future__ import annotations

import os
import signal
import socket
import sys
from contextlib import suppress

import click
import structlog

from app import shutdown
from app.bounces import delivery_reports
from app.cli.group import OperatorGroup
from app.command_language import N_, gettext
from app.db import unavailable
from app.extensions import db, settings, this_app
from app.monitoring.listener import remove_stale_socket
from config import types

bounces = OperatorGroup("bounces", help=N_("Process what mail servers send back."))

REFUSED = 65
"""EX_DATAERR (sysexits.h), which mail servers understand."""

LATER = 75
"""EX_TEMPFAIL: the mail server keeps the mail and retries. On an unknown status it would drop the report."""

UNAVAILABLE = 69
"""EX_UNAVAILABLE."""

SAMPLES = "127.0.0.1:2424, [::1]:2424, unix:/run/latchkey/lmtp.sock"

log = structlog.get_logger()


@bounces.command("read")
@click.argument("recipient")
def read(recipient: str) -> None:
    """Process an email on standard input that was sent to RECIPIENT, an address of LATCHKEY_MAIL_BOUNCE_ADDRESS."""
    _require_return_paths()
    raw = sys.stdin.buffer.read(delivery_reports.MAX_BYTES)
    try:
        taken = delivery_reports.process_report(raw, recipient)
        db.session.commit()
    except delivery_reports.ReportRejected as rejection:
        log.warning("bounces.refused", provider=delivery_reports.NAME, reason=str(rejection))
        click.echo(gettext("Refused: {reason}.", reason=str(rejection)), err=True)
        sys.exit(REFUSED)
    except Exception as error:
        db.session.rollback()
        if unavailable(error):
            log.warning("bounces.postponed", error=type(error).__name__)
        else:
            log.exception("bounces.failed")
        sys.exit(LATER)
    click.echo(gettext("Taken.") if taken else gettext("Nothing new."))


@bounces.command("listen")
@click.argument("address", default="127.0.0.1:2424")
def listen(address: str) -> None:
    """Accept emails by LMTP at ADDRESS until Ctrl-C or SIGTERM.

    ADDRESS is 127.0.0.1:2424 or another one with its port, or unix:/run/latchkey/lmtp.sock, which the group may write
    to.
    """
    from app.bounces import lmtp  # imports asyncio, which nothing else needs

    _require_return_paths()
    where = types.listener(address)
    if where is None:
        raise click.ClickException(gettext("An address is {samples}.", samples=SAMPLES))
    stop = shutdown.event_set_by(signal.SIGINT, signal.SIGTERM)
    try:
        bound = _bound(where)
    except OSError as error:
        text = gettext("Can't listen at {address} ({reason}).", address=address, reason=error.strerror)
        click.echo(text, err=True)
        sys.exit(UNAVAILABLE)
    click.echo(gettext("Listening at {address}.", address=address))
    lmtp.serve(this_app(), bound, stop)
    if isinstance(where, str):
        with suppress(FileNotFoundError):  # newer Python versions have already removed it
            os.unlink(where)


def _bound(where: tuple[str, int] | str) -> socket.socket:
    """Return a socket bound to this address. A stale socket file of a dead process is replaced."""
    if not isinstance(where, str):
        return socket.create_server(where, family=socket.AF_INET6 if ":" in where[0] else socket.AF_INET)
    remove_stale_socket(where)
    made, before = socket.socket(socket.AF_UNIX), os.umask(0o117)  # accessible to owner and group
    try:
        made.bind(where)
    except OSError:
        made.close()
        raise
    finally:
        os.umask(before)
    return made


def _require_return_paths() -> None:
    if not settings.mail_bounce_address:
        raise click.ClickException(gettext("Set LATCHKEY_MAIL_BOUNCE_ADDRESS."))
