"""Approval from another device: opening the link there approves the sign-in in the browser that requested it.

Counting, approving and spending are one conditional UPDATE each, so the database resolves concurrent requests.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from app import clock, user_input
from app.audit import record
from app.challenges.bindings import binding_matches, binding_params
from app.challenges.models import Challenge, challenge_id_in
from app.challenges.passcodes import CONFIRMATION_CHARACTERS, confirmation_characters_of, root_of
from app.client import ClientContext
from app.crypto import secrets
from app.crypto.encryption import DecryptionError
from app.db.compiled import Detached
from app.enrollments.methods import method_of
from app.enrollments.models import Enrollment, has_second
from app.extensions import db, execute_update, keyring, settings
from app.users import User

WAITING, APPROVED, SPENT, EXPIRED, REFUSED = "waiting", "approved", "spent", "expired", "refused"

_ROWS = Detached(Challenge, Enrollment, User)
_table, _enrolled, _user = Challenge.__table__, Enrollment.__table__, User.__table__
_c = _table.c
_LAST = (
    _ROWS.select()
    .add_columns(has_second(_c.user_id))
    .select_from(
        _table.outerjoin(_enrolled, _enrolled.c.id == _c.enrolled_id).outerjoin(_user, _user.c.id == _c.user_id)
    )
    .where(_c.purpose == sa.bindparam("purpose"))
    .order_by(_c.created_at.desc())
    .limit(1)
)
_BY_ID = _LAST.where(_c.id == sa.bindparam("named"))
_LAST_OF_BROWSER = _LAST.where(binding_matches(_c.binding))
_BY_ID_OF_BROWSER = _LAST_OF_BROWSER.where(_c.id == sa.bindparam("named"))
_LAST_OPEN = _LAST_OF_BROWSER.where(_c.spent_at.is_(None), _c.passcode_expires_at > sa.bindparam("now"))

_undecided = (
    _c.id == sa.bindparam("named"),
    _c.spent_at.is_(None),
    _c.approved_at.is_(None),
    _c.expires_at > sa.bindparam("now"),
)
_COUNT = (
    sa.update(_table)
    .where(*_undecided, _c.carry_tries < sa.bindparam("most"))
    .values(carry_tries=_c.carry_tries + 1)
    .returning(_c.carry_tries)
    .execution_options(autocommit=True)
)
_APPROVE = sa.update(_table).where(*_undecided).values(approved_at=sa.bindparam("now"))
_REFUSE = (
    sa.update(_table)
    .where(*_undecided, _c.carry_tries >= sa.bindparam("most"))
    .values(spent_at=sa.bindparam("now"), refused_at=sa.bindparam("now"))
)
_SPEND = (
    sa.update(_table)
    .where(_c.id == sa.bindparam("named"), _c.spent_at.is_(None), _c.approved_at.is_not(None))
    .where(_c.expires_at > sa.bindparam("now"))
    .values(spent_at=sa.bindparam("now"))
)


@dataclass(frozen=True, slots=True)
class RequestedChallenge:
    """A challenge as seen by the browser or API client that requested it; ``user`` is None for a decoy.

    :ivar has_second: whether the user has to provide a second factor
    """

    challenge: Challenge
    enrolled: Enrollment | None = None
    user: User | None = None
    has_second: bool = False

    @property
    def characters(self) -> str:
        """The confirmation characters to enter on the device that opens the link; "" if no link was sent."""
        return characters_of(self.challenge, self.enrolled) if method_of(self.challenge.method).has_link else ""


def characters_of(challenge: Challenge, enrolled: Enrollment | None) -> str:
    """Return the characters that approve ``challenge``. Decoys have them too, to look the same."""
    try:
        root = root_of(challenge, enrolled)
    except DecryptionError as mismatch:
        facts: dict[str, Any] = {"method": challenge.method, "kid": mismatch.kid}
        record("crypto.mismatch", challenge.user_id, challenge_id=challenge.id, **facts)
        root = keyring.derive("decoy")
    return confirmation_characters_of(challenge, root)


def requested_by(client: ClientContext, purpose: str) -> RequestedChallenge | None:
    """Return the challenge that ``client`` names, or None. The cookie isn't enough, since it may have been copied.

    An API client names it by its signed token. A page names it by its plain id, which works only in the browser that
    requested it.
    """
    if challenge_id := challenge_id_in(client.challenge_token):
        return _first(_BY_ID, purpose=purpose, named=challenge_id)
    if not client.binding or not secrets.is_row_id(client.challenge_token):
        return None
    found = _first(_BY_ID_OF_BROWSER, purpose=purpose, named=client.challenge_token, **binding_params(client.bindings))
    return found if found is not None and method_of(found.challenge.method).has_link else None


def last_open(client: ClientContext, purpose: str) -> RequestedChallenge | None:
    """Return the newest open challenge that this browser requested, so that a page can show it again."""
    if not client.binding:
        return None
    return _first(_LAST_OPEN, purpose=purpose, now=clock.now(), **binding_params(client.bindings))


def state_of(challenge: Challenge) -> str:
    """Return the state of ``challenge``: waiting, approved, spent, expired or refused."""
    if challenge.refused_at is not None:
        return REFUSED
    if challenge.spent_at is not None:
        return SPENT
    if clock.now() >= challenge.expires_at:
        return EXPIRED
    return APPROVED if challenge.approved_at is not None else WAITING


def count_confirmation_try(challenge: Challenge) -> bool:
    """Count one attempt at the characters; return False if none is left, or the challenge is decided or expired.

    Committed immediately, so that it counts even if the request fails later.
    """
    now = clock.now()
    counted = {"named": challenge.id, "now": now, "most": settings.link_approval_tries}
    return db.session.execute(_COUNT, counted).first() is not None


def read_characters(typed: str) -> str | None:
    """Return typed confirmation characters in uppercase, or None if they have the wrong format."""
    text = user_input.compact(typed)
    tidy = text.upper() if text.isascii() else ""
    return tidy if len(tidy) == CONFIRMATION_CHARACTERS and set(tidy) <= set(secrets.UNAMBIGUOUS) else None


def characters_match(challenge: Challenge, enrolled: Enrollment | None, characters: str) -> bool:
    """Compare confirmation characters in constant time (ASVS 11.2.4).

    :param characters: from ``read_characters``
    """
    return secrets.same(characters_of(challenge, enrolled), characters)


def approve(challenge: Challenge) -> bool:
    """Let the browser that requested ``challenge`` continue; return False if it's already decided or expired."""
    return execute_update(_APPROVE, {"named": challenge.id, "now": clock.now()}) == 1


def refuse_if_used_up(challenge: Challenge) -> bool:
    """End ``challenge`` if no attempt at the characters is left; return whether this call ended it."""
    params = {"named": challenge.id, "now": clock.now(), "most": settings.link_approval_tries}
    return execute_update(_REFUSE, params) == 1


def spend_approved(challenge: Challenge) -> bool:
    """Spend an approved challenge; return False if another request spent it first, it expired or wasn't approved."""
    return execute_update(_SPEND, {"named": challenge.id, "now": clock.now()}) == 1


def _first(rows: sa.Executable, **which: object) -> RequestedChallenge | None:
    found = db.session.execute(rows, which).first()
    if found is None:
        return None
    challenge, enrolled, user = _ROWS.read(found)
    return RequestedChallenge(challenge, enrolled, user, bool(found[-1]))
