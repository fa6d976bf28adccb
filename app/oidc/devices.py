"""Devices without a browser: each shows a code, which a user enters elsewhere, and fetches its tokens (RFC 8628).

Deciding, polling and fetching are each one conditional UPDATE. Of any number of concurrent requests, one decides and
one gets the tokens, and devices that poll too fast are told to slow down, on any number of servers.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert  # SQLite supports this INSERT too

from app import clock, user_input
from app.audit import record
from app.client import ClientContext
from app.crypto import secrets
from app.db.compiled import CompiledStatement, Detached
from app.extensions import db, execute_update, keyring
from app.oidc import grants
from app.oidc.clients import Client
from app.oidc.errors import OAuthError
from app.oidc.grants import Redeemed
from app.oidc.models import DeviceRequest, Grant
from app.sessions.models import AuthSession
from app.web.idempotency import NONCE_HOLDS

LIFETIME = timedelta(minutes=10)
CODE_LENGTH = 8
"""Letters in a user code: 34.5 bits of entropy. An account may try 25 codes a day."""

INTERVAL = 5
INTERVAL_STEP = 5
"""Seconds added to the interval of a device that polls too fast (RFC 8628, section 3.5)."""

MAX_INTERVAL = 60
EARLY_TOLERANCE = timedelta(seconds=1)
"""How much too early a poll may arrive, since the previous one may have taken longer to reach us."""

State = Literal["waiting", "allowed", "refused", "expired"]

_table = DeviceRequest.__table__
_d = _table.c
_ROWS = Detached(DeviceRequest)
_INSERT = CompiledStatement(
    insert(_table)
    .values({column.key: sa.bindparam(column.key, type_=column.type) for column in _table.columns})
    .on_conflict_do_nothing(index_elements=[_d.user_code_digest])
)
_is_own = (_d.device_digest == sa.bindparam("code"), _d.client_id == sa.bindparam("client"))
_INTERVALS = range(INTERVAL, MAX_INTERVAL + INTERVAL_STEP, INTERVAL_STEP)
_last_allowed = sa.case(
    {seconds: sa.bindparam(f"ago_{seconds}", type_=_d.polled_at.type) for seconds in _INTERVALS}, value=_d.interval
)
"""Latest time of the previous poll at which this one is not too early, given the device's interval."""

_POLL_IN_TIME = CompiledStatement(
    sa.update(_table)
    .where(*_is_own, sa.or_(_d.polled_at.is_(None), _d.polled_at <= _last_allowed))
    .values(polled_at=sa.bindparam("now"))
    .returning(*_table.columns)
)
_POLL_TOO_EARLY = CompiledStatement(
    sa.update(_table)
    .where(*_is_own)
    .values(
        polled_at=sa.bindparam("now"),
        interval=sa.case((_d.interval < MAX_INTERVAL, _d.interval + INTERVAL_STEP), else_=_d.interval),
    )
    .returning(*_table.columns)
)
_FETCH = CompiledStatement(
    sa.update(_table)
    .where(_d.id == sa.bindparam("device"), _d.done_at.is_(None))
    .where(sa.or_(_d.jkt.is_(None), _d.jkt == sa.bindparam("key")))
    .values(done_at=sa.bindparam("now"))
)


@dataclass(frozen=True, slots=True)
class DeviceCodes:
    """Codes issued to a device. Only their digests are stored."""

    device_code: str
    user_code: str


def start(client: Client, scopes: Sequence[str], resource: str, jkt: str | None, sender: ClientContext) -> DeviceCodes:
    """Store a device's request and return its codes. One INSERT, plus one for each collision of the user code.

    :param jkt: thumbprint of the key that its tokens will be bound to, or None
    """
    device_code, now = secrets.token(), clock.now()
    row: dict[str, Any] = dict.fromkeys(column.key for column in _table.columns) | {
        "id": secrets.row_id(), "device_digest": secrets.digest(device_code), "client_id": client.id,
        "scopes": " ".join(scopes), "resource": resource, "agent": sender.user_agent, "address": sender.ip_address,
        "created_at": now, "expires_at": now + LIFETIME, "interval": INTERVAL, "jkt": jkt,
    }  # fmt: skip
    while True:
        user_code = secrets.consonants(CODE_LENGTH)
        if _INSERT.run(**row | {"user_code_digest": _digest(user_code)}):
            return DeviceCodes(device_code, user_code)


def read_user_code(entered: str) -> str | None:
    """Return an entered code in capitals and without its dash; None if it can't be the code of a device."""
    text = user_input.compact(entered)
    tidy = text.upper() if text.isascii() else ""
    return tidy if len(tidy) == CODE_LENGTH and set(tidy) <= set(secrets.CONSONANTS) else None


def format_user_code(user_code: str) -> str:
    """Format a code for people: ``WDJB-MJHT``."""
    return f"{user_code[:4]}-{user_code[4:]}"


def find(user_code: str) -> DeviceRequest | None:
    """Return the request of the device that shows this code, even if it is over. One statement.

    :param user_code: from ``read_user_code``
    """
    digests = [_digest(user_code, kid) for kid in keyring.kids]
    return db.session.scalar(sa.select(DeviceRequest).where(DeviceRequest.user_code_digest.in_(digests)))


def state_of(row: DeviceRequest) -> State:
    """Return the state of a request."""
    if row.denied_at is not None:
        return "refused"
    if row.grant_id is not None:
        return "allowed"
    return "waiting" if clock.now() < row.expires_at else "expired"


def was_allowed_in(row: DeviceRequest, session: AuthSession) -> bool:
    """Return whether a request was just allowed in this session. One statement if it was allowed at all."""
    is_recent = Grant.created_at > clock.now() - NONCE_HOLDS
    its_grant = sa.exists().where(Grant.id == row.grant_id, Grant.session_id == session.session_id, is_recent)
    return row.grant_id is not None and bool(db.session.scalar(sa.select(its_grant)))


def was_denied(row: DeviceRequest) -> bool:
    """Return whether a request was just refused."""
    return row.denied_at is not None and row.denied_at > clock.now() - NONCE_HOLDS


def allow(row: DeviceRequest, client: Client, scopes: Sequence[str], session: AuthSession) -> bool:
    """Issue a grant to a device; return False if the request was already decided or has expired."""
    grant_id = grants.issue_to_device(
        client, scopes, session, resource=row.resource, lifetime=row.expires_at - clock.now()
    )
    if _decide(row, grant_id=grant_id):
        return True
    execute_update(sa.delete(Grant).where(Grant.id == grant_id))
    return False


def deny(row: DeviceRequest) -> bool:
    """Refuse a device; return False like ``allow``."""
    return _decide(row, denied_at=clock.now())


def redeem(device_code: str, client: Client, jkt: str | None) -> Redeemed:
    """Exchange a device code (section 3.4).

    While the user hasn't decided, this takes one statement, or two if the device polls too fast. A decision is returned
    however fast the device polls.

    :param jkt: thumbprint of the key that the request proves, or None
    :raises OAuthError: ``authorization_pending``, ``slow_down``, ``access_denied``, ``expired_token``, or
        ``invalid_grant`` for a code that belongs to another client, was used, or whose session has ended
    """
    invalid_grant = OAuthError("invalid_grant", "The device_code is invalid or was used before.")
    row, is_too_fast = _poll(device_code, client)
    if row is None:
        raise invalid_grant
    if row.denied_at is not None:
        raise OAuthError("access_denied", "The person has refused.")
    if clock.now() >= row.expires_at:
        raise OAuthError("expired_token", "The device_code has expired. Ask for another one.")
    if row.grant_id is None:
        if is_too_fast:
            raise OAuthError("slow_down", f"Wait at least {row.interval} seconds before you ask again.")
        raise OAuthError("authorization_pending", "The person hasn't decided yet.")
    if not _FETCH.run(device=row.id, now=clock.now(), key=jkt or ""):
        raise invalid_grant
    redeemed = grants.redeem_device_grant(row.grant_id, client, jkt)
    record("app.signed_in", redeemed.grant.user_id, client=client.id, app=client.name)
    return redeemed


def _poll(device_code: str, client: Client) -> tuple[DeviceRequest | None, bool]:
    """Record a poll; return the device's request, and whether it polled too early. One statement if it didn't."""
    now = clock.now()
    which = {"code": secrets.digest(device_code), "client": client.id, "now": now}
    times = {f"ago_{seconds}": now - timedelta(seconds=seconds) + EARLY_TOLERANCE for seconds in _INTERVALS}
    if found := _POLL_IN_TIME.first(**which, **times):
        return _row_of(found), False
    found = _POLL_TOO_EARLY.first(**which)
    return (_row_of(found), True) if found else (None, False)


def _row_of(found: Sequence[Any]) -> DeviceRequest:
    row: DeviceRequest = _ROWS.read(found)[0]
    return row


def _decide(row: DeviceRequest, **values: object) -> bool:
    undecided = (DeviceRequest.denied_at.is_(None), DeviceRequest.grant_id.is_(None))
    is_pending = (DeviceRequest.id == row.id, *undecided, DeviceRequest.expires_at > clock.now())
    return execute_update(sa.update(DeviceRequest).where(*is_pending).values(**values)) == 1


def _digest(user_code: str, kid: str | None = None) -> str:
    """Return the stored digest of a user code. It is keyed, since all possible codes can be tried in seconds.

    :param kid: id of the key; None for the current one
    """
    return hmac.digest(keyring.derive("oauth-user-code", kid), user_code.encode(), hashlib.sha256).hex()
