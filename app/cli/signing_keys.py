"""The part of ``flask keys`` about the keys that sign ID tokens: list and rotate them."""

from __future__ import annotations

from datetime import datetime

import click

from app import clock
from app.command_language import N_, gettext
from app.extensions import db
from app.oidc import key_rotation, key_store
from app.oidc.discovery_views import JWKS_KEPT
from app.oidc.models import SigningKey

COST = N_(
    "What they have signed is no longer accepted: sign-ins to apps that were under way fail once, and apps that take "
    "JWT access tokens need new ones. Servers follow within {seconds} seconds; an app that keeps our keys may take "
    "the old ones for {minutes} minutes more. If the next keys may be known as well, run this a second time."
)
"""What dropping a key costs."""


def list_signing_keys() -> None:
    """Print the keys that are published, each with what it does now."""
    rows, now = key_store.published(anew=True), clock.now()
    for row in rows:
        click.echo(f"{row.alg:<5}  {row.kid}  {_use(row, key_store.current(rows, row.alg, now))}")


def _use(row: SigningKey, signing: SigningKey | None) -> str:
    if signing is None or row.number == signing.number:
        return gettext("signs since {time}", time=_time(row.signs_from))
    if row.number > signing.number:
        return gettext("next, signs from {time}", time=_time(row.signs_from))
    if row.published_until:
        return gettext("published until {time}", time=_time(row.published_until))
    return gettext("signs no more")


def rotate_signing_keys(alg: str | None = None, *, now: bool = False) -> None:
    """Rotate them, commit, and print from when which key signs."""
    rotations = key_rotation.rotate(alg, now=now)
    db.session.commit()
    for rotation in rotations:
        for kid in rotation.dropped:
            dropped = gettext("dropped")
            click.echo(f"{rotation.alg:<5}  {kid}  {dropped}")
        signs = rotation.signs_from <= clock.now()
        since = N_("signs since {time}") if signs else N_("next, signs from {time}")
        click.echo(f"{rotation.alg:<5}  {rotation.kid}  {gettext(since, time=_time(rotation.signs_from))}")
    if any(rotation.dropped for rotation in rotations):
        minutes = round(JWKS_KEPT.total_seconds() / 60)
        click.echo(gettext(COST, seconds=round(key_store.READ_EVERY), minutes=minutes), err=True)


def _time(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M} UTC"
