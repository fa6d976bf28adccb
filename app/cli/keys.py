"""``flask keys``: create and list keys, re-encrypt rows with the current one, and rotate signing keys (ASVS 11.2.2)."""

from __future__ import annotations

import secrets
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import click
import sqlalchemy as sa

from app import clock
from app.audit import record
from app.authenticators import keys as key_announcements
from app.authenticators.keys import SealedColumn, sealed_columns, sealed_rows
from app.cli.group import OperatorGroup
from app.command_language import N_, gettext, ngettext
from app.crypto.encryption import DecryptionError
from app.extensions import db, keyring
from app.oidc import key_store
from app.oidc import keys as signing_keys
from app.oidc.clients import ALGORITHMS
from app.oidc.discovery_views import JWKS_MAX_AGE
from app.oidc.models import SigningKey
from app.terminal import padded, status

SHOWN = 5
"""Rows listed for each reason why rows couldn't be decrypted."""

keys = OperatorGroup("keys", help=N_("Create, list and rotate encryption and signing keys."))

BATCH = 500

COST = N_(
    "What they have signed is no longer accepted: sign-ins to apps that were under way fail once, and apps that take "
    "JWT access tokens need new ones. Servers follow within {seconds} seconds; an app that keeps our keys may take "
    "the old ones for {minutes} minutes more. If the next keys may be known as well, run this a second time."
)
"""Consequences of dropping a key."""


@keys.command("new", with_appcontext=False)
def new() -> None:
    """Print a new key.

    Put it last in LATCHKEY_SECRET_KEYS and restart every server, one by one: now each can decrypt with it. Then put it
    first and restart every server again, and run: flask keys rotate. After a day, remove the old key.
    """
    click.echo(secrets.token_hex(32))
    click.echo(gettext("1. Put it last, LATCHKEY_SECRET_KEYS=OLD,NEW, and restart every server, one by one."), err=True)
    click.echo(gettext("2. Put it first, NEW,OLD, and restart them again. Then: flask keys rotate"), err=True)
    click.echo(gettext("3. A day later, remove the old one: NEW. (docs/security.md, Rotating keys)"), err=True)


@keys.command("list")
def list_() -> None:
    """List key IDs: how many rows each encrypts, and which sign ID tokens.

    No key is shown.
    """
    counts = sealed_rows()
    for kid in keyring.kids:
        use = N_("current") if kid == keyring.kid else USES[bool(counts[kid])]
        click.echo(f"{kid}  {_rows(counts.pop(kid, 0))}  {gettext(use)}")
    for kid, count in counts.items():
        missing = gettext("MISSING: put this key back at the end of LATCHKEY_SECRET_KEYS")
        click.echo(f"{kid}  {_rows(count)}  {missing}")
    list_signing_keys()
    sys.exit(1 if counts else 0)


USES = {False: N_("encrypts nothing"), True: N_("still needed: flask keys rotate")}
"""What an older key is needed for, by whether any rows are encrypted with it."""


def _rows(count: int) -> str:
    return padded(ngettext("{count} row", "{count} rows", count), -14)


@keys.command("rotate")
@click.option("--alg", type=click.Choice(ALGORITHMS), help=N_("Rotate only the signing key of this algorithm."))
@click.option("--now", is_flag=True, help=N_("Drop signing keys that leaked: the next ones sign immediately."))
def rotate(alg: str | None, now: bool) -> None:
    """Encrypt everything with the current key, and rotate signing keys.

    Everything at rest is encrypted again with the first of LATCHKEY_SECRET_KEYS. The next key of each algorithm signs
    as soon as it has been published for a day. The service keeps running. The command can be stopped and run again.

    With --alg or --now, it rotates only signing keys. --now doesn't wait for that day, and drops the keys that have
    signed until now.
    """
    if alg or now:
        rotate_signing_keys(alg, now=now)
        return
    _await_readers()
    with status(gettext("Re-encrypting")) as update:
        total = 0

        def moved(count: int) -> None:
            nonlocal total
            total += count
            update(ngettext("Re-encrypting: {count} row", "Re-encrypting: {count} rows", total))

        result = reseal(moved)
    for why, rows in result.failures.items():
        named, more = ", ".join(rows[:SHOWN]), len(rows) - SHOWN
        if more > 0:
            named = gettext("{rows} and {more} more", rows=named, more=more)
        click.echo(f"{why}: {named}", err=True)
    text = ngettext(
        "{count} row is now encrypted with key {key}, {shut} couldn't be decrypted.",
        "{count} rows are now encrypted with key {key}, {shut} couldn't be decrypted.",
        result.moved,
        key=keyring.kid,
        shut=result.failed_rows,
    )
    click.echo(text)
    older = sum(count for kid, count in sealed_rows().items() if kid != keyring.kid) - result.failed_rows
    if older > 0:
        text = ngettext(
            "{count} row was encrypted with an older key in the meantime. Restart the servers, run this again.",
            "{count} rows were encrypted with an older key in the meantime. Restart the servers, run this again.",
            older,
        )
        click.echo(text)
    rotate_signing_keys()
    sys.exit(1 if older > 0 or result.failed_rows else 0)


def _await_readers() -> None:
    """Wait until every running process has announced the current key. Processes that have exited are soon ignored.

    :raises click.ClickException: when some still haven't
    """
    until = time.monotonic() + 1.2 * key_announcements.DEAD_AFTER.total_seconds()
    while lacking := key_announcements.count_without(keyring.kid):
        if time.monotonic() > until:
            text = ngettext(
                "{count} running process doesn't have key {key}. Restart every server and worker with it in "
                "LATCHKEY_SECRET_KEYS, then run this again.",
                "{count} running processes don't have key {key}. Restart every server and worker with it in "
                "LATCHKEY_SECRET_KEYS, then run this again.",
                lacking,
                key=keyring.kid,
            )
            raise click.ClickException(text)
        db.session.rollback()
        time.sleep(0.5)


@dataclass
class ResealResult:
    """Result of a key rotation.

    :ivar moved: number of rows that were re-encrypted with the current key
    :ivar failures: tables and IDs of rows that couldn't be decrypted, by reason
    """

    moved: int = 0
    failures: dict[str, list[str]] = field(default_factory=dict)

    @property
    def failed_rows(self) -> int:
        """Number of rows that couldn't be decrypted."""
        return sum(map(len, self.failures.values()))


def reseal(moved: Callable[[int], None] = lambda count: None) -> ResealResult:
    """Re-encrypt every row that doesn't use the current key. Commits each batch; can be interrupted and repeated.

    A row that changes in the meantime keeps its change, since it is only written if its old value is still there.
    :param moved: called with the number of rows in each batch
    """
    result = ResealResult()
    for column in sealed_columns():
        for rows in _outdated_rows(column):
            texts = _reencrypt(rows, column, result)
            count = _write(column, texts)
            result.moved += count
            moved(count)
    record("key.rotated", kid=keyring.kid, moved=result.moved, shut=result.failed_rows)
    db.session.commit()
    return result


def _outdated_rows(column: SealedColumn) -> Iterator[list[Any]]:
    """Yield rows that aren't encrypted with the current key, in batches, by ID."""
    last = ""
    while True:
        older = (column.texts != "", column.texts.not_like(f"v1.{keyring.kid}.%"), column.ids > last)
        rows = list(db.session.scalars(sa.select(column.model).where(*older).order_by(column.ids).limit(BATCH)))
        if not rows:
            return
        last = getattr(rows[-1], column.id)
        yield rows
        db.session.expunge_all()


def _reencrypt(rows: list[Any], column: SealedColumn, result: ResealResult) -> list[dict[str, str]]:
    texts = []
    for row in rows:
        sealed, name = getattr(row, column.secret), getattr(row, column.id)
        try:
            plain = keyring.open(sealed, *column.context(row))
        except DecryptionError as error:
            missing = gettext("key {key} isn't in the ring", key=error.kid)
            why = missing if error.key_is_unknown else gettext("changed or moved")
            result.failures.setdefault(why, []).append(f"{row.__tablename__} {name}")
            continue
        texts.append({"row": name, "was": sealed, "becomes": keyring.seal(plain, *column.context(row))})
    return texts


def _write(column: SealedColumn, texts: list[dict[str, str]]) -> int:
    """Replace old values that are still there, and commit; return how many were."""
    if not texts:
        return 0
    unchanged = (column.ids == sa.bindparam("row"), column.texts == sa.bindparam("was"))
    written = sa.update(column.model.__table__).where(*unchanged).values({column.secret: sa.bindparam("becomes")})
    count = db.session.connection().execute(written, texts).rowcount
    db.session.commit()
    return count


def list_signing_keys() -> None:
    """Print the published signing keys, each with its current use."""
    rows, now = key_store.published(refresh=True), clock.now()
    for row in rows:
        click.echo(f"{row.alg:<5}  {row.kid}  {_use(row, key_store.current(rows, row.alg, now))}")


def _use(row: SigningKey, signing: SigningKey | None) -> str:
    if signing is None or row.number == signing.number:
        return gettext("signs since {time}", time=_time(row.signs_from))
    if row.number > signing.number:
        return gettext("next, signs from {time}", time=_time(row.signs_from))
    if row.published_until:
        return gettext("published until {time}", time=_time(row.published_until))
    return gettext("no longer signs")


def rotate_signing_keys(alg: str | None = None, *, now: bool = False) -> None:
    """Rotate signing keys, commit, and print when each new key starts signing."""
    rotations = signing_keys.rotate(alg, now=now)
    db.session.commit()
    for rotation in rotations:
        for kid in rotation.dropped:
            dropped = gettext("dropped")
            click.echo(f"{rotation.alg:<5}  {kid}  {dropped}")
        signs = rotation.signs_from <= clock.now()
        since = N_("signs since {time}") if signs else N_("next, signs from {time}")
        click.echo(f"{rotation.alg:<5}  {rotation.kid}  {gettext(since, time=_time(rotation.signs_from))}")
    if any(rotation.dropped for rotation in rotations):
        minutes = round(JWKS_MAX_AGE.total_seconds() / 60)
        click.echo(gettext(COST, seconds=round(key_store.CACHE_LIFETIME), minutes=minutes), err=True)


def _time(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M} UTC"
