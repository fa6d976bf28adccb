"""Signing keys as a process caches them: rows are read at most every ten seconds, private keys opened once.

A row says when its key starts to sign, and it exists for at least a day before that. So all processes switch to the
next key at the same moment, by the clock, and none of them has to be notified.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from app import clock
from app.authenticators.keys import SealedColumn
from app.db import has_written
from app.db.compiled import CompiledStatement, Detached
from app.extensions import db, keyring, this_app
from app.oidc.models import SigningKey

if TYPE_CHECKING:
    from app.oidc.jose import Key

CACHE_LIFETIME = 10.0
"""Seconds for which a process caches the rows."""

KID_LENGTH = 43
"""Length of a key id: the SHA-256 of the public key (RFC 7638)."""

_IN_MEMORY = "latchkey.oidc.keys"


@dataclass(slots=True)
class _Cache:
    """What this process has cached.

    :ivar rows: keys that sign, will sign, or have signed what may still be valid; by algorithm, oldest first
    :ivar older: earlier keys that were looked up, by id
    :ivar private: and ``public``: keys that were used, by id
    """

    rows: Sequence[SigningKey] = ()
    at: float = 0.0
    older: dict[str, SigningKey] = field(default_factory=dict)
    private: dict[str, Key] = field(default_factory=dict)
    public: dict[str, Key] = field(default_factory=dict)


_ROWS = Detached(SigningKey)
_key = SigningKey.__table__
_PUBLISHED = CompiledStatement(
    _ROWS.select()
    .where(sa.or_(_key.c.published_until.is_(None), _key.c.published_until > sa.bindparam("now")))
    .order_by(_key.c.alg, _key.c.number)
)
_BY_KID = CompiledStatement(_ROWS.select().where(_key.c.kid == sa.bindparam("kid")))


def _insert_for(insert: Any) -> Any:
    return insert(_key).values({column.key: sa.bindparam(column.key) for column in _key.c}).on_conflict_do_nothing()


_INSERT = {"sqlite": _insert_for(sqlite.insert), "postgresql": _insert_for(postgresql.insert)}


def published(*, refresh: bool = False) -> Sequence[SigningKey]:
    """Return the keys that sign, will sign, or have signed what may still be valid: by algorithm, oldest first.

    One statement, or none if they were read within the last ten seconds.

    :param refresh: read them now
    """
    cache = _cache()
    last, now = cache.at, clock.unix()
    if not refresh and 0 <= now - last < CACHE_LIFETIME:
        return cache.rows
    if refresh and has_written(db.session.connection()):
        return _read()  # not cached: this transaction may have created a key, and may roll back
    if cache.rows:
        cache.at = now  # other threads use the cached rows in the meantime
    try:
        rows = _read()
    except Exception:
        cache.at = last
        raise
    kept = {row.kid for row in rows}
    cache.private = {kid: key for kid, key in cache.private.items() if kid in kept}
    cache.public = {kid: key for kid, key in cache.public.items() if kid in kept}
    cache.older, cache.rows, cache.at = {}, rows, now
    return rows


def last_read() -> Sequence[SigningKey]:
    """Return the keys as last read, however long ago; empty if they were never read."""
    return _cache().rows


def _read() -> list[SigningKey]:
    return [row for found in _PUBLISHED.all(now=clock.now()) for row in _ROWS.read(found)]


def find(kid: str) -> SigningKey | None:
    """Return the key with this id, even if it is no longer published. At most two statements, usually none."""
    row = next((row for row in published() if row.kid == kid), None)
    if row is not None or len(kid) != KID_LENGTH:
        return row
    older = _cache().older
    if kid not in older:
        found = _BY_KID.first(kid=kid)
        if found is None:
            return None
        (older[kid],) = _ROWS.read(found)
    return older[kid]


def current(rows: Sequence[SigningKey], alg: str, now: datetime) -> SigningKey | None:
    """Return the key of this algorithm that signs at ``now``; None if there is no key at all.

    The first key also signs before its time, in case it was created by a server whose clock is ahead of ours.
    """
    of_alg = [row for row in rows if row.alg == alg]
    begun = [row for row in of_alg if row.signs_from <= now]
    return begun[-1] if begun else of_alg[0] if of_alg else None


def following(rows: Sequence[SigningKey], row: SigningKey) -> SigningKey | None:
    """Return the key that comes after ``row``; None if there is none yet."""
    return next((each for each in rows if each.alg == row.alg and each.number == row.number + 1), None)


def create_key(alg: str, number: int, signs_from: datetime) -> None:
    """Create the key with this number, unless another process has. If two try, one succeeds and both use that key.

    A transaction of its own, unless the current one has written: then it is part of that. An RSA key takes about 100
    ms.
    """
    key = generate(alg)
    kid = key.thumbprint()
    row = {
        "alg": alg,
        "number": number,
        "kid": kid,
        "public": key.as_dict(private=False, kid=kid, use="sig", alg=alg),
        "sealed_private": keyring.seal(key.as_der(private=True), *sealing_context(alg, number)),
        "created_at": clock.now(),
        "signs_from": signs_from,
        "published_until": None,
    }
    connection = db.session.connection()
    autocommit = not has_written(connection)
    db.session.execute(_INSERT[connection.dialect.name], row, execution_options={"autocommit": autocommit})


def generate(alg: str) -> Key:
    """Return a new private key for this algorithm.

    :raises ValueError: if we don't sign with it
    """
    from app.oidc import jose

    return jose.generate(alg)


def sealing_context(alg: str, number: int) -> tuple[str, ...]:
    """Return what a private key is sealed to: its row."""
    return SigningKey.__tablename__, alg, str(number)


SEALED = SealedColumn(
    SigningKey,
    lambda row: sealing_context(row.alg, row.number),
    id="kid",
    secret="sealed_private",  # noqa: S106
)
"""Keeps the master keys that these need from being removed, and lets ``flask keys rotate`` reseal them."""


def private_key(row: SigningKey) -> Key:
    """Return the key to sign with.

    :raises DecryptionError: if it can't be opened
    """
    from app.oidc import jose

    cache = _cache().private
    if row.kid not in cache:
        opened = keyring.open(row.sealed_private, *sealing_context(row.alg, row.number))
        cache[row.kid] = jose.private_key(row.alg, opened)
    return cache[row.kid]


def public_key(row: SigningKey) -> Key:
    """Return the key to verify with."""
    from app.oidc import jose

    cache = _cache().public
    if row.kid not in cache:
        cache[row.kid] = jose.public_key(row.alg, row.public)
    return cache[row.kid]


def _cache() -> _Cache:
    cache: _Cache | None = this_app().extensions.get(_IN_MEMORY)
    if cache is None:
        cache = this_app().extensions.setdefault(_IN_MEMORY, _Cache())
    return cache
