"""Rotation of signing keys: the next key is made, published for a day, signs, and is published while its tokens last.

When a key begins to sign stands in its row, so nothing has to run at that moment. The worker only sees to it that
there is a next key, and that older ones are taken out of the JWKS.
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

PUBLISHED_BEFORE = timedelta(hours=24)
"""How long a key is published before it signs. The first one of an algorithm is not: nobody knows an older one."""

KEPT_FOR = timedelta(days=1)
"""How long it is published at least when it signs no more, until the last token that it signed is over."""

AT_ONCE = {"at_once": True}

_key = SigningKey.__table__
_this = sa.and_(_key.c.alg == sa.bindparam("of"), _key.c.number == sa.bindparam("which"))
_SIGN_EARLIER = (
    sa.update(_key).where(_this, _key.c.signs_from > sa.bindparam("earlier")).values(signs_from=sa.bindparam("earlier"))
)
_TAKE_OUT = sa.update(_key).where(_this, _key.c.published_until.is_(None)).values(published_until=sa.bindparam("until"))
_DROP = sa.delete(_key).where(_key.c.alg == sa.bindparam("of"), _key.c.number <= sa.bindparam("which"))


def init_app(app: Flask) -> None:
    """Register what the worker does for the keys, and that private parts are sealed."""
    register_periodic_task(app, keep_keys)
    register_cleanups(app, prune_private_keys, prune_signing_keys)
    register_sealed(app, key_store.SEALED)


@dataclass(frozen=True, slots=True)
class Rotation:
    """What a rotation did to the keys of an algorithm.

    :ivar kid: the key that signs next
    :ivar signs_from: from when
    :ivar dropped: ids of the keys that are not accepted any more
    """

    alg: str
    kid: str
    signs_from: datetime
    dropped: tuple[str, ...] = ()


def rotate(alg: str | None = None, *, now: bool = False) -> list[Rotation]:
    """Let the next key sign as soon as it has been published for a day, and see that there is another next one.

    An algorithm without a key is left out. The caller commits.

    :param alg: the one algorithm; all of them when None
    :param now: at once, and drop every key before it, which may be known to others: nothing that they have signed is
        accepted any more, neither here nor by an app that has read the JWKS since
    """
    rows, begun = key_store.published(anew=True), clock.now()
    signing = [key_store.current(rows, each, begun) for each in ([alg] if alg else ALGORITHMS)]
    following = [(row, _prepare(row, now)) for row in signing if row is not None]
    return [_rotate(row, successor, now) for row, successor in following]


def _prepare(signing: SigningKey, at_once: bool) -> SigningKey:
    """Return the key that comes after the one that signs, and make what is missing then, before anything is written."""
    following = key_store.following(key_store.published(anew=True), signing)
    if following is None:
        key_store.make(signing.alg, signing.number + 1, _planned(signing))
        following = key_store.following(key_store.published(anew=True), signing)
    assert following is not None
    if _begin(following, at_once) <= clock.now():
        key_store.make(following.alg, following.number + 1, clock.now() + _interval())
    return following


def _begin(following: SigningKey, at_once: bool) -> datetime:
    return clock.now() if at_once else max(clock.now(), following.created_at + PUBLISHED_BEFORE)


def _rotate(signing: SigningKey, following: SigningKey, at_once: bool) -> Rotation:
    begin = min(_begin(following, at_once), following.signs_from)
    changed(_SIGN_EARLIER, {"of": following.alg, "which": following.number, "earlier": begin})
    dropped: list[str] = []
    if at_once:
        older = [row for row in key_store.published(anew=True) if row.alg == signing.alg]
        dropped = [row.kid for row in older if row.number < following.number]
        changed(_DROP, {"of": signing.alg, "which": signing.number})
    record("signing_key.rotated", alg=signing.alg, kid=following.kid, signs_from=begin.isoformat(), dropped=dropped)
    return Rotation(signing.alg, following.kid, begin, tuple(dropped))


def _interval() -> timedelta:
    return max(PUBLISHED_BEFORE, settings.oauth_key_rotation)


def _planned(signing: SigningKey) -> datetime:
    """Return when a key that is made now would take over."""
    return max(clock.now() + PUBLISHED_BEFORE, signing.signs_from + _interval())


def make_missing() -> bool:
    """Make one key that is missing, if any is: of each algorithm there is one that signs and a next one.

    Return whether it made one.
    """
    rows, now = key_store.published(), clock.now()
    for alg in ALGORITHMS:
        signing = key_store.current(rows, alg, now)
        if signing is None:
            key_store.make(alg, 1, now)
        elif key_store.following(rows, signing) is None:
            key_store.make(alg, signing.number + 1, _planned(signing))
        else:
            continue
        log.info("signing_key.made", alg=alg)
        key_store.published(anew=True)
        return True
    return False


def keep_keys() -> bool:
    """Make a key that is missing, or else take out older ones and follow the settings (a periodic task).

    Nothing to do costs a statement each ten seconds. Each change is a transaction of its own.
    """
    if make_missing():
        return True
    done = [
        changed(statement.execution_options(**AT_ONCE), parameters)
        for alg in ALGORITHMS
        for statement, parameters in _due(alg)
    ]
    if done:
        key_store.published(anew=True)
    return False


def _due(alg: str) -> Iterator[tuple[sa.Update, dict[str, object]]]:
    """Yield what is to be changed in the rows of an algorithm."""
    now = clock.now()
    mine = [row for row in key_store.published() if row.alg == alg]
    last_over = max(KEPT_FOR, settings.oauth_jwt_lifetime, settings.oauth_access_token_lifetime)
    for row, successor in pairwise(mine):
        which = {"of": alg, "which": row.number}
        if successor.signs_from <= now and row.published_until is None:
            yield _TAKE_OUT, which | {"until": successor.signs_from + last_over}
        elif successor.signs_from > now:
            planned = _planned(row)
            if successor.signs_from > planned:  # the setting was longer when it was made
                yield _SIGN_EARLIER, {"of": alg, "which": successor.number, "earlier": planned}


def prune_private_keys() -> int:
    """Forget the private parts of keys that are published no more; return of how many."""
    over = sa.and_(_key.c.published_until < clock.now(), _key.c.sealed_private != "")
    return changed(sa.update(_key).where(over).values(sealed_private="").execution_options(**AT_ONCE))


def prune_signing_keys() -> int:
    """Delete keys whose tokens nobody can ask us about any more; return how many."""
    old = clock.now() - settings.oauth_refresh_absolute
    return changed(sa.delete(_key).where(_key.c.published_until < old).execution_options(**AT_ONCE))
