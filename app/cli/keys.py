"""``flask keys``: generate, list and rotate the encryption keys."""

from __future__ import annotations

import secrets
import sys
import time

import click
from rich.console import Console

from app.authenticators import key_announcements
from app.authenticators.encrypted_rows import sealed_rows
from app.cli.group import OperatorGroup
from app.cli.reencryption import reseal
from app.extensions import db, keyring

SHOWN = 5
"""Rows that are named for each reason why some did not open."""

keys = OperatorGroup("keys", help="Make, list and rotate the keys that seal what is at rest.")


@keys.command("new", with_appcontext=False)
def new() -> None:
    """Print a new key.

    Put it last in LATCHKEY_SECRET_KEYS and restart every server, one by one: now each can read it. Then put it first
    and restart every server again, and run: flask keys rotate. After a day, take the old key out.
    """
    click.echo(secrets.token_hex(32))
    click.echo("1. Put it last, LATCHKEY_SECRET_KEYS=OLD,NEW, and restart every server, one by one.", err=True)
    click.echo("2. Put it first, NEW,OLD, and restart them again. Then: flask keys rotate", err=True)
    click.echo("3. A day later take the old one out: NEW. (docs/security.md, Rotating keys)", err=True)


@keys.command("list")
def list_() -> None:
    """List key ids and how many rows each seals.

    No key is shown.
    """
    counts = sealed_rows()
    for kid in keyring.kids:
        current = kid == keyring.kid
        use = "current" if current else "seals nothing" if not counts[kid] else "still needed: flask keys rotate"
        click.echo(f"{kid}  {counts.pop(kid, 0):>9,} rows  {use}")
    for kid, count in counts.items():
        click.echo(f"{kid}  {count:>9,} rows  MISSING: put this key back at the end of LATCHKEY_SECRET_KEYS")
    sys.exit(1 if counts else 0)


@keys.command("rotate")
def rotate() -> None:
    """Seal everything again under the current key.

    The service goes on meanwhile. It can be stopped and run again.
    """
    _await_readers()
    with Console(stderr=True).status("Sealing anew") as status:
        total = 0

        def moved(count: int) -> None:
            nonlocal total
            total += count
            status.update(f"Sealing anew: {total:,} rows")

        result = reseal(moved)
    for why, rows in result.shut.items():
        more = f" and {len(rows) - SHOWN:,} more" if len(rows) > SHOWN else ""
        click.echo(f"{why}: {', '.join(rows[:SHOWN])}{more}", err=True)
    click.echo(f"{result.moved:,} rows are now under key {keyring.kid}, {result.shut_rows:,} could not be opened.")
    older = sum(count for kid, count in sealed_rows().items() if kid != keyring.kid) - result.shut_rows
    if older > 0:
        click.echo(f"{older:,} rows were written meanwhile under an older key. Restart the servers, run this again.")
    sys.exit(1 if older > 0 or result.shut_rows else 0)


def _await_readers() -> None:
    """Wait until every running process has said that it can read the current key; one that has ended is soon forgotten.

    :raises click.ClickException: when some still have not
    """
    until = time.monotonic() + 1.2 * key_announcements.DEAD_AFTER.total_seconds()
    while lacking := key_announcements.without(keyring.kid):
        if time.monotonic() > until:
            raise click.ClickException(
                f"{lacking} running process{' does' if lacking == 1 else 'es do'} not have key {keyring.kid}. "
                "Restart every server and worker with it in LATCHKEY_SECRET_KEYS, then run this again."
            )
        db.session.rollback()
        time.sleep(0.5)
