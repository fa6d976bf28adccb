"""Rotation of signing keys: a key is created, published for a day, signs, and stays published while its tokens last.

The time at which a key starts to sign is in its row, so nothing has to run at that moment. The worker only makes sure
that there is a next key, and removes older ones from the JWKS.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise

import sqlalchemy as sa
import structlog
from flask import Flask

from app import clock
from app.audit import record
from app.authenticators.keys import register_sealed
from app.db.retention import register_cleanups
from app.extensions import changed, settings
from app.oidc import key_store
from app.oidc.clients import ALGORITHMS
from app.oidc.models import SigningKey
from app.outbox import register_periodic_task

log = structlog.get_logger()

PUBLICATION_LEAD = timedelta(hours=24)
"""How long a key is published before it signs.

The first key of an algorithm signs immediately, since no one has cached an older one.
"""

MIN_PUBLICATION_AFTER_USE = timedelta(days=1)
"""Minimum time that a key stays published after it stops signing, so that its last tokens can expire."""

AUTOCOMMIT = {"autocommit": True}

_key = SigningKey.__table__
_is_key = sa.and_(_key.c.alg == sa.bindparam("of"), _key.c.number == sa.bindparam("which"))
_SIGN_EARLIER = (
    sa.update(_key)
    .where(_is_key, _key.c.signs_from > sa.bindparam("earlier"))
    .values(signs_from=sa.bindparam("earlier"))
)
_RETIRE = sa.update(_key).where(_is_key, _key.c.published_until.is_(None)).values(published_until=sa.bindparam("until"))
_DELETE_UP_TO = sa.delete(_key).where(_key.c.alg == sa.bindparam("of"), _key.c.number <= sa.bindparam("which"))


def init_app(app: Flask) -> None:
    """Register the worker's tasks for the keys, and the column of sealed private keys."""
    register_periodic_task(app, keep_keys)
    register_cleanups(app, prune_private_keys, prune_signing_keys)
    register_sealed(app, key_store.SEALED)


@dataclass(frozen=True, slots=True)
class Rotation:
    """Result of rotating the keys of an algorithm.

    :ivar kid: id of the key that signs next
    :ivar signs_from: when it starts to sign
    :ivar dropped: ids of the keys that are no longer accepted
    """

    alg: str
    kid: str
    signs_from: datetime
    dropped: tuple[str, ...] = ()


def rotate(alg: str | None = None, *, now: bool = False) -> list[Rotation]:
    """Let the next key sign as soon as it has been published for a day, and make sure there is another next key.

    Algorithms without a key are skipped. The caller commits.

    :param alg: a single algorithm; None for all
    :param now: sign immediately, and drop every earlier key, because it may be compromised. Nothing they signed is
        accepted any longer, neither here nor by apps that have fetched the JWKS since
    """
    rows, begun = key_store.published(refresh=True), clock.now()
    signing = [key_store.current(rows, each, begun) for each in ([alg] if alg else ALGORITHMS)]
    following = [(row, _prepare(row, now)) for row in signing if row is not None]
    return [_rotate(row, successor, now) for row, successor in following]


def _prepare(signing: SigningKey, immediately: bool) -> SigningKey:
    """Return the key that follows the current one. Creates any missing keys first, before anything is written."""
    following = key_store.following(key_store.published(refresh=True), signing)
    if following is None:
        key_store.create_key(signing.alg, signing.number + 1, _planned_start(signing))
        following = key_store.following(key_store.published(refresh=True), signing)
    assert following is not None
    if _start_time(following, immediately) <= clock.now():
        key_store.create_key(following.alg, following.number + 1, clock.now() + _interval())
    return following


def _start_time(following: SigningKey, immediately: bool) -> datetime:
    return clock.now() if immediately else max(clock.now(), following.created_at + PUBLICATION_LEAD)


def _rotate(signing: SigningKey, following: SigningKey, immediately: bool) -> Rotation:
    begin = min(_start_time(following, immediately), following.signs_from)
    changed(_SIGN_EARLIER, {"of": following.alg, "which": following.number, "earlier": begin})
    dropped: list[str] = []
    if immediately:
        older = [row for row in key_store.published(refresh=True) if row.alg == signing.alg]
        dropped = [row.kid for row in older if row.number < following.number]
        changed(_DELETE_UP_TO, {"of": signing.alg, "which": signing.number})
    record("signing_key.rotated", alg=signing.alg, kid=following.kid, signs_from=begin.isoformat(), dropped=dropped)
    return Rotation(signing.alg, following.kid, begin, tuple(dropped))


def _interval() -> timedelta:
    return max(PUBLICATION_LEAD, settings.oauth_key_rotation)


def _planned_start(signing: SigningKey) -> datetime:
    """Return when a key that is created now would take over."""
    return max(clock.now() + PUBLICATION_LEAD, signing.signs_from + _interval())


def create_missing_key() -> bool:
    """Create one missing key, if any: each algorithm needs a current key and a next one.

    :return: whether a key was created
    """
    rows, now = key_store.published(), clock.now()
    for alg in ALGORITHMS:
        signing = key_store.current(rows, alg, now)
        if signing is None:
            key_store.create_key(alg, 1, now)
        elif key_store.following(rows, signing) is None:
            key_store.create_key(alg, signing.number + 1, _planned_start(signing))
        else:
            continue
        log.info("signing_key.made", alg=alg)
        key_store.published(refresh=True)
        return True
    return False


def keep_keys() -> bool:
    """Create a missing key, or else retire older keys and apply the settings (a periodic task).

    Costs one statement every ten seconds if there is nothing to do. Each change is a transaction of its own.
    """
    if create_missing_key():
        return True
    done = [
        changed(statement.execution_options(**AUTOCOMMIT), parameters)
        for alg in ALGORITHMS
        for statement, parameters in _due(alg)
    ]
    if done:
        key_store.published(refresh=True)
    return False


def _due(alg: str) -> Iterator[tuple[sa.Update, dict[str, object]]]:
    """Yield the updates that an algorithm's keys need."""
    now = clock.now()
    of_alg = [row for row in key_store.published() if row.alg == alg]
    last_over = max(MIN_PUBLICATION_AFTER_USE, settings.oauth_jwt_lifetime, settings.oauth_access_token_lifetime)
    for row, successor in pairwise(of_alg):
        which = {"of": alg, "which": row.number}
        if successor.signs_from <= now and row.published_until is None:
            yield _RETIRE, which | {"until": successor.signs_from + last_over}
        elif successor.signs_from > now:
            planned = _planned_start(row)
            if successor.signs_from > planned:  # the interval was longer when it was created
                yield _SIGN_EARLIER, {"of": alg, "which": successor.number, "earlier": planned}


def prune_private_keys() -> int:
    """Erase the private parts of keys that are no longer published; return how many."""
    over = sa.and_(_key.c.published_until < clock.now(), _key.c.sealed_private != "")
    return changed(sa.update(_key).where(over).values(sealed_private="").execution_options(**AUTOCOMMIT))


def prune_signing_keys() -> int:
    """Delete keys too old for anyone to present their tokens to us; return how many."""
    old = clock.now() - settings.oauth_refresh_absolute
    return changed(sa.delete(_key).where(_key.c.published_until < old).execution_options(**AUTOCOMMIT))
