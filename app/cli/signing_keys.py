"""The part of ``flask keys`` about the keys that sign ID tokens: list and rotate them."""

from __future__ import annotations

from datetime import datetime

import click

from app import clock
from app.extensions import db
from app.oidc import key_rotation, key_store
from app.oidc.discovery_views import JWKS_KEPT
from app.oidc.models import SigningKey

COST = (
    "What they have signed is no longer accepted: sign-ins to apps that were under way fail once, and apps that take "
    "JWT access tokens need new ones. Servers follow within {servers:.0f} seconds; an app that keeps our keys may take "
    "the old ones for {apps:.0f} minutes more. If the next keys may be known as well, run this a second time."
)
"""What dropping a key costs."""


def list_signing_keys() -> None:
    """Print the keys that are published, each with what it does now."""
    rows, now = key_store.published(anew=True), clock.now()
    for row in rows:
        click.echo(f"{row.alg:<5}  {row.kid}  {_use(row, key_store.current(rows, row.alg, now))}")


def _use(row: SigningKey, signing: SigningKey | None) -> str:
    if signing is None or row.number == signing.number:
        return f"signs since {_time(row.signs_from)}"
    if row.number > signing.number:
        return f"next, signs from {_time(row.signs_from)}"
    return f"published until {_time(row.published_until)}" if row.published_until else "signs no more"


def rotate_signing_keys(alg: str | None = None, *, now: bool = False) -> None:
    """Rotate them, commit, and print from when which key signs."""
    rotations = key_rotation.rotate(alg, now=now)
    db.session.commit()
    for rotation in rotations:
        for kid in rotation.dropped:
            click.echo(f"{rotation.alg:<5}  {kid}  dropped")
        since = "signs since" if rotation.signs_from <= clock.now() else "next, signs from"
        click.echo(f"{rotation.alg:<5}  {rotation.kid}  {since} {_time(rotation.signs_from)}")
    if any(rotation.dropped for rotation in rotations):
        apps = JWKS_KEPT.total_seconds() / 60
        click.echo(COST.format(servers=key_store.READ_EVERY, apps=apps), err=True)


def _time(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M} UTC"
