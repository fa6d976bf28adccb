"""Report links: the quiet link in an email by which its reader says "this wasn't me".

``kind.kid.id.expiry.mac``: signed with a key of its own, so that no link that signs in opens this door and this one
opens no other. There is no identity in it, and it outlives what it ends: 24 hours.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Literal
from urllib.parse import quote

import sqlalchemy as sa

from app import clock
from app.challenges.models import Challenge
from app.crypto import secrets
from app.db.compiled import Detached
from app.extensions import changed, db, keyring, settings, this_app

if TYPE_CHECKING:
    from flask import Flask

LIFE = timedelta(hours=24)
"""How long after the request, or the sign-in, it can be said; sessions older than that are not ended."""

PATH = "/not-me/"

OnReport = Callable[[Challenge], None]
"""Called with each challenge that was reported, in its transaction, with the account locked."""

_REGISTERED = "latchkey.report_hooks"

Kind = Literal["challenge", "session"]
_LETTERS: dict[str, Kind] = {"c": "challenge", "s": "session"}
_TOKEN = re.compile(r"([cs])\.([0-9a-f]{8})\.([0-9a-f]{32})\.([0-9]{10,12})\.([\w-]{43})\Z", re.ASCII)

_ROWS = Detached(Challenge)
_c = Challenge.__table__.c
_BY_ID = _ROWS.select().where(_c.id == sa.bindparam("id"))
_DENY = (
    sa.update(Challenge.__table__)
    .where(_c.id == sa.bindparam("denied"), _c.denied_at.is_(None))
    .values(
        denied_at=sa.bindparam("now"),
        refused_at=sa.func.coalesce(_c.refused_at, sa.bindparam("now")),
        spent_at=sa.func.coalesce(_c.spent_at, sa.bindparam("now")),
    )
)


@dataclass(frozen=True, slots=True)
class Report:
    """What a token is about: a challenge by its id, or a session by its id."""

    kind: Kind
    id: str


def report_link(kind: Kind, its_id: str, since: datetime) -> str:
    """Return the address at which what happened ``since`` then is denied; the same one each time it is made."""
    letter = next(letter for letter, known in _LETTERS.items() if known == kind)
    expiry = str(int((since + LIFE).timestamp()))
    kid = keyring.kid
    token = f"{letter}.{kid}.{its_id}.{expiry}.{_mac(kid, letter, its_id, expiry)}"
    return settings.origin + PATH + quote(token, safe="")


def open_report(token: str) -> Report | None:
    """Return what ``token`` is about if we made it and its time is not over; else None. No statement."""
    match = _TOKEN.match(token)
    if match is None:
        return None
    letter, kid, its_id, expiry, mac = match.groups()
    if kid not in keyring.kids or not secrets.same(mac, _mac(kid, letter, its_id, expiry)):
        return None
    return Report(_LETTERS[letter], its_id) if int(expiry) > clock.unix() else None


def find_reported(challenge_id: str) -> Challenge | None:
    """Return the challenge with this id, whatever became of it; None when it is forgotten."""
    found = db.session.execute(_BY_ID, {"id": challenge_id}).first()
    return _ROWS.read(found)[0] if found else None


def mark_reported(challenge: Challenge) -> bool:
    """End ``challenge``, used or not; False when that was said already."""
    return changed(_DENY, {"denied": challenge.id, "now": clock.now()}) == 1


def register_report_hook(app: Flask, hook: OnReport) -> None:
    """Register what a feature does when a challenge is reported whose answer has begun more than a session."""
    app.extensions.setdefault(_REGISTERED, []).append(hook)


def report_hooks() -> list[OnReport]:
    """Return what is registered with the app that runs."""
    return list(this_app().extensions.get(_REGISTERED, ()))


def _mac(kid: str, letter: str, its_id: str, expiry: str) -> str:
    message = "|".join(("deny", letter, settings.origin, its_id, expiry)).encode()
    raw = hmac.digest(keyring.derive("deny", kid), message, hashlib.sha256)
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
