"""``flask keys``: make and list keys, re-encrypt rows under the current one, and rotate signing keys (ASVS 11.2.2)."""

from __future__ import annotations

import secrets
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import click
import sqlalchemy as sa
from rich.console import Console

from app.audit import record
from app.authenticators import keys as key_announcements
from app.authenticators.keys import SealedColumn, sealed_columns, sealed_rows
from app.cli.group import OperatorGroup
from app.cli.signing_keys import list_signing_keys, rotate_signing_keys
from app.crypto.encryption import DecryptionError
from app.extensions import db, keyring
from app.oidc.clients import ALGORITHMS

SHOWN = 5
"""Rows that are named for each reason why some did not open."""

keys = OperatorGroup("keys", help="Make, list and rotate keys, of encryption and of signing.")

BATCH = 500


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
    """List key ids: how many rows each seals, and which sign ID tokens.

    No key is shown.
    """
    counts = sealed_rows()
    for kid in keyring.kids:
        current = kid == keyring.kid
        use = "current" if current else "seals nothing" if not counts[kid] else "still needed: flask keys rotate"
        click.echo(f"{kid}  {counts.pop(kid, 0):>9,} rows  {use}")
    for kid, count in counts.items():
        click.echo(f"{kid}  {count:>9,} rows  MISSING: put this key back at the end of LATCHKEY_SECRET_KEYS")
    list_signing_keys()
    sys.exit(1 if counts else 0)


@keys.command("rotate")
@click.option("--alg", type=click.Choice(ALGORITHMS), help="Rotate the signing key of this algorithm alone.")
@click.option("--now", is_flag=True, help="Drop signing keys that leaked: the next ones sign at once.")
def rotate(alg: str | None, now: bool) -> None:
    """Seal everything under the current key, and rotate signing keys.

    Everything at rest is sealed again under the first of LATCHKEY_SECRET_KEYS. The next key of each algorithm signs as
    soon as it has been published for a day. The service goes on meanwhile. It can be stopped and run again.

    With --alg or --now it rotates signing keys alone. --now does not wait for that day, and drops the keys that have
    signed until now.
    """
    if alg or now:
        rotate_signing_keys(alg, now=now)
        return
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
    rotate_signing_keys()
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


@dataclass
class Resealed:
    """What a rotation did.

    :ivar moved: how many rows are under the current key now that were not before
    :ivar shut: why rows did not open, each reason with the tables and ids of those rows
    """

    moved: int = 0
    shut: dict[str, list[str]] = field(default_factory=dict)

    @property
    def shut_rows(self) -> int:
        """How many rows did not open."""
        return sum(map(len, self.shut.values()))


def reseal(moved: Callable[[int], None] = lambda count: None) -> Resealed:
    """Seal every row anew that is not under the current key. Commits each batch; may be stopped and run again.

    A row that somebody changes meanwhile keeps that change: it is written only where the old text still stands.
    :param moved: told how many rows each batch moved
    """
    result = Resealed()
    for column in sealed_columns():
        for rows in _older(column):
            texts = _sealed_anew(rows, column, result)
            count = _write(column, texts)
            result.moved += count
            moved(count)
    record("key.rotated", kid=keyring.kid, moved=result.moved, shut=result.shut_rows)
    db.session.commit()
    return result


def _older(column: SealedColumn) -> Iterator[list[Any]]:
    """Yield the rows that are not under the current key, in batches, by id."""
    last = ""
    while True:
        older = (column.texts != "", column.texts.not_like(f"v1.{keyring.kid}.%"), column.ids > last)
        rows = list(db.session.scalars(sa.select(column.model).where(*older).order_by(column.ids).limit(BATCH)))
        if not rows:
            return
        last = getattr(rows[-1], column.id)
        yield rows
        db.session.expunge_all()


def _sealed_anew(rows: list[Any], column: SealedColumn, result: Resealed) -> list[dict[str, str]]:
    texts = []
    for row in rows:
        sealed, name = getattr(row, column.secret), getattr(row, column.id)
        try:
            plain = keyring.open(sealed, *column.context(row))
        except DecryptionError as error:
            why = f"key {error.kid} is not in the ring" if error.key_is_unknown else "changed or moved"
            result.shut.setdefault(why, []).append(f"{row.__tablename__} {name}")
            continue
        texts.append({"row": name, "was": sealed, "becomes": keyring.seal(plain, *column.context(row))})
    return texts


def _write(column: SealedColumn, texts: list[dict[str, str]]) -> int:
    """Put the new texts where the old ones still stand, and commit; return how many did."""
    if not texts:
        return 0
    unchanged = (column.ids == sa.bindparam("row"), column.texts == sa.bindparam("was"))
    written = sa.update(column.model.__table__).where(*unchanged).values({column.secret: sa.bindparam("becomes")})
    count = db.session.connection().execute(written, texts).rowcount
    db.session.commit()
    return count
