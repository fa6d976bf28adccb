"""``flask bounces``: take reports from a mail server."""

from __future__ import annotations

import sys

import click
import structlog

from app.bounces import delivery_reports
from app.cli.group import OperatorGroup
from app.extensions import db, settings
from app.outbox import suppressions

bounces = OperatorGroup("bounces", help="Take what mail servers send back.")

REFUSED = 65
"""EX_DATAERR (sysexits.h), which mail servers read."""

log = structlog.get_logger()


@bounces.command("read")
@click.argument("recipient")
def read(recipient: str) -> None:
    """Take one mail on standard input that came to RECIPIENT, an address of LATCHKEY_MAIL_BOUNCE_ADDRESS."""
    if not settings.mail_bounce_address:
        raise click.ClickException("Set LATCHKEY_MAIL_BOUNCE_ADDRESS.")
    raw = sys.stdin.buffer.read(delivery_reports.LARGEST)
    try:
        report = delivery_reports.read(raw, recipient)
    except delivery_reports.NotTaken as refusal:
        log.warning("bounces.refused", provider=delivery_reports.NAME, reason=str(refusal))
        click.echo(f"Refused: {refusal}.", err=True)
        sys.exit(REFUSED)
    taken = suppressions.take([report] if report else [])
    db.session.commit()
    click.echo("Taken." if taken else "Nothing new.")
