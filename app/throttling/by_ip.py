"""Rate limits by network address: per IPv4 address or IPv6 /64, with ten times the limit per /48; and penalties.

Actions that a signed-in user could repeat in a loop are limited per account in the same way. Penalties are stored in
the database, where every process sees them.
"""

from __future__ import annotations

import ipaddress
import time
from datetime import datetime, timedelta
from functools import lru_cache
from threading import Lock
from typing import TYPE_CHECKING

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert  # SQLite accepts this INSERT as well

from app import clock, metrics
from app.audit import record
from app.db.compiled import CompiledStatement
from app.errors import Rejected
from app.extensions import execute_update, settings, this_app
from app.throttling.models import Penalty

if TYPE_CHECKING:
    from limits import RateLimitItem

    from app.throttling.counters import Counters

_COUNTERS = "latchkey.counters"
_creation_lock = Lock()

SHARED = "shared"
DENIED = "denied"
PENALIZED = frozenset(("starts", "failures"))
"""Limits that penalties apply to: requesting codes and entering them."""

NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
"""IPv4 addresses as seen by an IPv6-only server behind a translator (RFC 6052, RFC 7755)."""

WIDER_NETWORK_FACTOR = 10
"""Factor between the limits of an IPv6 /48 and a /64. Both are common allocations to a single customer."""

ACCOUNT_LIMITS = {"names": (20, timedelta(hours=1))}
"""Limits per account: how many, in what time."""

_table = Penalty.__table__
_c = _table.c
_FIND = CompiledStatement(sa.select(_c.until).where(_c.id == sa.bindparam("bucket"), _c.until > sa.bindparam("now")))

_UPSERT_PENALTY = (
    insert(_table)
    .values(id=sa.bindparam("bucket"), until=sa.bindparam("then"))
    .on_conflict_do_update(index_elements=[_c.id], set_={"until": sa.bindparam("then")})
)


def take(name: str, address: str, *, about: str = "", looks_up: bool = True) -> None:
    """Count a request from ``address`` against the limit ``name``.

    Penalties only apply to starts and failures. A reported request doesn't block other people's passkeys, apps, or
    anyone who is signed in and on the way to an app, unless they have to enter a code again.

    :param name: ``starts``, ``failures``, ``clients``, ``passkeys``, ``exchanges``, ``refreshes`` (failed ones only),
        ``requests`` or ``documents``
    :param about: counted separately for each value, such as the client whose secret is tried
    :param looks_up: False to leave the penalty stored in the database to ``reject_penalized``
    :raises Rejected: ``too_many_requests`` (429) with ``retry_after`` in seconds when the limit is reached
    """
    if name in PENALIZED:
        _reject_if_penalized(name, _buckets(address)[0], looks_up)
    if settings.limits:
        bucket, *wider_buckets = _buckets(address)
        for (
            each
        ) in wider_buckets:  # check before counting: otherwise the owner of a /48 could make us store 65,536 keys
            if not _limiter().test(_item(name, each), each, about):
                _reject(name, each, about)
        for each in (bucket, *wider_buckets):
            if not _limiter().hit(_item(name, each), each, about):
                _reject(name, each, about)


def check(name: str, address: str, *, about: str = "") -> None:
    """Check that ``address`` has not reached the limit ``name``. Doesn't count the request.

    :param about: as in ``take``
    :raises Rejected: as ``take``
    """
    if name in PENALIZED:
        _reject_if_penalized(name, _buckets(address)[0])
    if settings.limits:
        for bucket in _buckets(address):
            if not _limiter().test(_item(name, bucket), bucket, about):
                _reject(name, bucket, about)


def take_of_account(name: str, user_id: int) -> None:
    """Count one action of an account, from any network address, toward the limit ``name``.

    :param name: ``names``: changes of the display name
    :raises Rejected: as ``take``
    """
    account = f"account {user_id}"
    if settings.limits and not _limiter().hit(_item(name, account), account):
        _reject(name, account)


def reject_penalized(name: str, address: str, until: datetime | None) -> None:
    """Reject the request if ``address`` has a penalty, whose end ``until`` was read by another statement.

    :raises Rejected: as ``take``
    """
    if until is not None and settings.limits and settings.denied_penalty:
        _reject(name, _buckets(address)[0], reset=until.timestamp())


def bucket_of(address: str) -> str:
    """Return the key under which a penalty for ``address`` is stored."""
    return _buckets(address)[0]


def penalize(address: str) -> None:
    """Reject starts and attempts from ``address`` with 429 for ``LATCHKEY_DENIED_PENALTY``.

    Never applies to the bucket shared by clients whose address can't be parsed, so that one can't block all others.
    """
    bucket = _buckets(address)[0]
    if settings.limits and settings.denied_penalty and bucket != SHARED:
        _store_penalty(bucket, settings.denied_penalty)
        _limiter().hit(_penalty(), bucket)


def first_in_window(what: str, about: str, address: str) -> bool:
    """Return whether ``address`` does ``what`` with ``about`` for the first time in this window.

    For events that anyone can cause any number of times: one is worth recording, three hundred only fill the log.
    """
    return _limiter().hit(_once_per_window("news"), what, about, _buckets(address)[0])


def _reject_if_penalized(name: str, bucket: str, looks_up: bool = True) -> None:
    """Reject the request during a penalty. Attempts only check the counters, to avoid another SQL statement."""
    if not settings.limits or not settings.denied_penalty:
        return
    if name == "starts" and looks_up and (seconds := _penalty_seconds(bucket)):
        _reject(name, bucket, reset=time.time() + seconds)
    if not _limiter().test(_penalty(), bucket):
        _reject(name, bucket, reset=_limiter().full_until(_penalty(), bucket))


def _reject(name: str, bucket: str, about: str = "", *, reset: float | None = None) -> None:
    metrics.REFUSALS.count(name)
    reset = reset or _limiter().full_until(_item(name, bucket), bucket, about)
    if _limiter().hit(_once_per_window("recorded"), name, bucket):
        record("limit.hit", autocommit=True, limit=name)
    raise Rejected("too_many_requests", status=429, retry_after=max(1, int(reset - time.time()) + 1))


@lru_cache(maxsize=4096)
def _buckets(address: str) -> tuple[str, ...]:
    """Return the buckets of ``address``: itself, or its /64 and /48. Unparsable addresses share one bucket."""
    try:
        parsed = ipaddress.ip_address(address)
        if parsed.version == 4:
            return (str(parsed),)
        if parsed.ipv4_mapped is not None:
            return (str(parsed.ipv4_mapped),)
        if parsed in NAT64:  # otherwise all of IPv4 would share one /64
            return (str(ipaddress.IPv4Address(int(parsed) & 0xFFFFFFFF)),)
        subnets = [ipaddress.ip_network((int(parsed), length), strict=False) for length in (64, 48)]
    except ValueError:
        return (SHARED,)
    return tuple(str(network) for network in subnets)


def _item(name: str, bucket: str) -> RateLimitItem:
    if name in ACCOUNT_LIMITS:
        return _window(name, *ACCOUNT_LIMITS[name])
    if bucket == SHARED:
        most = settings.address_shared_share
    elif name == "starts":
        most = settings.starts_per_address
    elif name == "passkeys":
        most = settings.passkey_starts_per_address
    elif name in ("exchanges", "requests"):
        most = settings.exchanges_per_address
    else:
        most = settings.failures_per_address
    if bucket.endswith("/48"):
        most *= WIDER_NETWORK_FACTOR
    return _window(name, most, settings.address_window)


def _penalty() -> RateLimitItem:
    """Return the limit that a single penalty exhausts."""
    return _window(DENIED, 1, settings.denied_penalty)


def _once_per_window(what: str) -> RateLimitItem:
    """Return a limit of one event per window, so that a flood of requests doesn't fill the audit log."""
    return _window(what, 1, settings.address_window)


@lru_cache(maxsize=64)
def _window(name: str, most: int, length: timedelta) -> RateLimitItem:
    """Return a limit of ``most`` hits in a window of this length. Its name is its namespace, counted separately."""
    from limits import RateLimitItemPerSecond

    return RateLimitItemPerSecond(most, max(1, int(length.total_seconds())), namespace=name)


def _limiter() -> Counters:
    counters: Counters | None = this_app().extensions.get(_COUNTERS)
    return counters or _create_counters()


def _create_counters() -> Counters:
    """Return this process's counters. A lock makes concurrent first requests share one instance."""
    from app.throttling.counters import Counters

    extensions = this_app().extensions
    with _creation_lock:
        if _COUNTERS not in extensions:
            extensions[_COUNTERS] = Counters(settings.redis_url, settings.replicas)
    counters: Counters = extensions[_COUNTERS]
    return counters


def _store_penalty(bucket: str, penalty: timedelta) -> None:
    """Block ``bucket`` for ``penalty`` from now, in the current transaction."""
    execute_update(_UPSERT_PENALTY, {"bucket": bucket, "then": clock.now() + penalty})


def _penalty_seconds(bucket: str) -> float:
    """Return how many seconds of penalty ``bucket`` has left; 0 for none. One statement, by primary key."""
    now = clock.now()
    found = _FIND.first(bucket=bucket, now=now)
    return float((found[0] - now).total_seconds()) if found else 0.0
