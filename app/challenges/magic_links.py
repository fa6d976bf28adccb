"""Magic link tokens: signed, bound to purpose, origin and challenge, with a 256-bit secret.

``kid.challenge.expiry.secret.mac``. The MAC lets garbage be thrown away without asking the database; the
challenge's row decides whether it is still good (ASVS 6.5.1, 9.2.2).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from dataclasses import dataclass

import sqlalchemy as sa

from app import clock
from app.challenges.models import Challenge
from app.challenges.passcodes import link_secret_of, root_of
from app.challenges.registration import registers_account
from app.crypto import secrets
from app.db.compiled import CompiledStatement, Detached
from app.enrollments.models import Enrollment, has_second
from app.extensions import keyring, settings
from app.users import User

_TOKEN = re.compile(r"([0-9a-f]{8})\.([0-9a-f]{32})\.([0-9]{10,12})\.([\w-]{43})\.([\w-]{43})\Z", re.ASCII)

_ROWS = Detached(Challenge, Enrollment, User)
_challenge, _enrolled, _user = Challenge.__table__, Enrollment.__table__, User.__table__
_BY_ID = CompiledStatement(
    _ROWS.select()
    .add_columns(has_second(_challenge.c.user_id))
    .select_from(
        _challenge.outerjoin(_user, _user.c.id == _challenge.c.user_id).outerjoin(
            _enrolled, _enrolled.c.id == _challenge.c.enrolled_id
        )
    )
    .where(_challenge.c.id == sa.bindparam("id"), _challenge.c.purpose == sa.bindparam("purpose"))
)


@dataclass(frozen=True, slots=True)
class OpenedLink:
    """A link whose signature and secret are right, with the rows it names.

    :ivar user: None when there is no account yet: the link creates it
    :ivar has_second: whether the user is asked for a second step
    """

    challenge: Challenge
    enrolled: Enrollment | None
    user: User | None
    has_second: bool = False


def link_token(challenge: Challenge, root: bytes) -> str:
    """Return the token for the link of ``challenge``; the same one each time it is made."""
    expiry = int(challenge.expires_at.timestamp())
    secret = link_secret_of(challenge, root)
    kid = keyring.kid
    return f"{kid}.{challenge.id}.{expiry}.{secret}.{_mac(kid, challenge.purpose, challenge.id, str(expiry), secret)}"


def open_link(token: str, purpose: str) -> OpenedLink | None:
    """Return what ``token`` names if it is a link of ours for ``purpose``, spent or not; else None.

    One statement, and none at all for a token that was cut, changed or made for something else.
    """
    match = _TOKEN.match(token)
    if match is None:
        return None
    kid, challenge_id, expiry, secret, mac = match.groups()
    if kid not in keyring.kids or not secrets.same(mac, _mac(kid, purpose, challenge_id, expiry, secret)):
        return None
    found = _BY_ID.first(id=challenge_id, purpose=purpose)
    if found is None:
        return None
    challenge, enrolled, user = _ROWS.read(found)
    if user is None and not registers_account(challenge):
        return None
    if user is not None and enrolled is None and not challenge.secret:
        return None
    if not secrets.same(secret, link_secret_of(challenge, root_of(challenge, enrolled))):
        return None
    return OpenedLink(challenge, enrolled, user, bool(found[-1]))


def has_expired(token: str) -> bool:
    """Say whether a token whose signature is right is past its time; the row is not asked."""
    match = _TOKEN.match(token)
    return match is not None and int(match.group(3)) <= clock.unix()


def _mac(kid: str, purpose: str, challenge_id: str, expiry: str, secret: str) -> str:
    message = "|".join(("link", purpose, settings.origin, challenge_id, expiry, secret)).encode()
    raw = hmac.digest(keyring.derive("link", kid), message, hashlib.sha256)
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
