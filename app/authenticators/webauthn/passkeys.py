"""A user's passkeys: add, look up, use, rename and remove them.

A user with passkeys also has one row in ``enrolled_method`` with the method ``webauthn``. It can't be verified, but
shows that there are passkeys when enrollments are read, without another statement.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from app import clock
from app.audit import record
from app.authenticators import enrollments
from app.authenticators.base import Authenticator, Credential, PasscodeAttempt
from app.authenticators.models import Passkey, WebauthnChallenge
from app.authenticators.webauthn.verification import (
    FIELD,
    CredentialResponse,
    NewPasskey,
    PasskeyUse,
    verify_authentication,
)
from app.db.compiled import CompiledStatement, Detached
from app.enrollments.methods import STRONG
from app.enrollments.models import Enrollment
from app.errors import Rejected
from app.extensions import db, execute_update, settings
from app.i18n import N_, gettext
from app.users import User

METHOD = Passkey.method
"""Method name of passkeys, also in ``amr``."""

MAX_PASSKEYS = 25
"""Maximum passkeys per user, since requests list all of them."""

UNNAMED = N_("Passkey")
LIST = Path(__file__).with_name("aaguids.json")

_OF_USER = sa.select(Passkey).where(Passkey.user_id == sa.bindparam("owner")).order_by(Passkey.created_at, Passkey.id)
_ROWS = Detached(Passkey, User)
_passkey, _user = Passkey.__table__, User.__table__
_BY_CREDENTIAL = CompiledStatement(
    _ROWS.select()
    .select_from(_passkey.join(_user, _user.c.id == _passkey.c.user_id))
    .where(_passkey.c.credential_id == sa.bindparam("credential"))
)
_counter_increases = sa.or_(
    _passkey.c.sign_count < sa.bindparam("count"),
    sa.and_(_passkey.c.sign_count == 0, sa.bindparam("count", type_=sa.BigInteger()) == 0),
)
_used = (
    sa.update(_passkey)
    .where(_passkey.c.id == sa.bindparam("used"))
    .values(
        sign_count=sa.bindparam("count"),
        backup_state=sa.bindparam("synced"),
        verified=sa.or_(_passkey.c.verified, sa.bindparam("uv", type_=sa.Boolean())),
        last_used_at=sa.bindparam("now"),
    )
)
_USE, _USE_ANYWAY = CompiledStatement(_used.where(_counter_increases)), CompiledStatement(_used)


def passkeys_of(user_id: int) -> list[Passkey]:
    """Return a user's passkeys, oldest first."""
    return list(db.session.scalars(_OF_USER, {"owner": user_id}))


def find(credential_id: str) -> tuple[Passkey, User] | None:
    """Return the passkey with this credential id and its owner, using the unique index. One statement."""
    row = _BY_CREDENTIAL.first(credential=credential_id)
    if row is None:
        return None
    passkey, user = _ROWS.read(row)
    return passkey, user


def add(
    user_id: int,
    made: NewPasskey,
    ceremony: WebauthnChallenge,
    session_id: str | None,
    weak_until: datetime | None = None,
) -> Passkey:
    """Store a passkey under the requested name, or one based on its model. The caller holds the lock on the user's row.

    :param session_id: the session that adds it
    :param weak_until: end of its cooldown (``assurance.cooldown_end``); None if it has none
    :raises Rejected: ``webauthn_credential_id_inuse`` or ``webauthn_too_many`` on ``credential``;
        ``webauthn_name_inuse`` on ``credential`` if another request has taken the name
    """
    mine = passkeys_of(user_id)
    taken = {key.name for key in mine}
    if len(mine) >= MAX_PASSKEYS:
        raise Rejected("webauthn_too_many", field=FIELD, most=MAX_PASSKEYS)
    if ceremony.name in taken:
        raise Rejected("webauthn_name_inuse", field=FIELD, name=ceremony.name)
    name = ceremony.name or name_for(made.aaguid, taken)
    facts: dict[str, Any] = {each: getattr(made, each) for each in made.__slots__}
    row = Passkey(
        user_id=user_id, name=name, usage=ceremony.usage, session_id=session_id, weak_until=weak_until, **facts
    )
    try:
        with db.session.begin_nested():
            db.session.add(row)
    except IntegrityError:
        raise Rejected("webauthn_credential_id_inuse", field=FIELD) from None
    if not mine:
        enrollments.enroll(user_id, METHOD, session_id=session_id, weak_until=weak_until)
    elif weak_until is None:
        shared_row = (Enrollment.user_id == user_id, Enrollment.method == METHOD)
        execute_update(sa.update(Enrollment).where(*shared_row).values(weak_until=None))
    if row.usage == "secondary":
        enrollments.mark_second_factor(user_id, METHOD)
    return row


def check(
    response: CredentialResponse, ceremony: WebauthnChallenge, *, alone: bool, user: User | None = None
) -> tuple[Passkey, User, PasskeyUse]:
    """Verify ``response`` in this ceremony; return the passkey, its owner, and what it reported. Writes nothing.

    :param alone: whether it is the only factor. It must then be a passkey that can be used alone, and perform user
        verification if ``settings.passkey_user_verification`` is ``required``
    :param user: the required owner; without one, the response must contain the user handle (section 7.2, step 6)
    :raises Rejected: ``webauthn_mismatch_user_handle`` on the form for another user's passkey; on ``credential`` that
        too, ``webauthn_unknown_credential_id``, ``webauthn_credential_wrong_usage``, ``webauthn_backup_changed``, and
        the errors of ``verify_authentication``
    """
    found = find(response.id)
    if found is None:
        raise Rejected("webauthn_unknown_credential_id", field=FIELD, credential_id=response.id)
    passkey, owner = found
    if user is not None and owner.id != user.id:
        raise Rejected("webauthn_mismatch_user_handle")
    if response.user_handle != owner.handle and (user is None or response.user_handle):
        raise Rejected("webauthn_mismatch_user_handle", field=FIELD)
    if alone and passkey.usage != "first":
        raise Rejected("webauthn_credential_wrong_usage", field=FIELD)
    verified = passkey.usage == "first" and alone and settings.passkey_user_verification == "required"
    used = verify_authentication(response, ceremony, passkey.public_key, verified=verified)
    if used.backup_eligible != passkey.backup_eligible:
        raise Rejected("webauthn_backup_changed", field=FIELD)
    return passkey, owner, used


def use(passkey: Passkey, used: PasskeyUse) -> None:
    """Record the use of a passkey. One statement, which also compares its signature counter.

    A counter that doesn't increase may mean that the passkey was cloned (section 6.1.1). A passkey that can be synced
    has copies by design, some with separate counters, so for these it's recorded but never rejected.
    :raises Rejected: ``webauthn_counter_regressed`` on ``credential``, if the settings say to reject it
    """
    given = {"used": passkey.id, "count": used.sign_count, "synced": used.backup_state, "uv": used.verified}
    if _USE.run(**given, now=clock.now()) == 1:
        return
    facts: dict[str, Any] = {"method": METHOD, "was": passkey.sign_count, "said": used.sign_count}
    name = "passkey.counter_uneven" if passkey.backup_eligible else "passkey.counter_regressed"
    record(name, passkey.user_id, **facts)
    if settings.passkey_counter == "refuse" and not passkey.backup_eligible:
        raise Rejected("webauthn_counter_regressed", field=FIELD)
    _USE_ANYWAY.run(**given | {"count": max(passkey.sign_count, used.sign_count)}, now=clock.now())


def rename(user_id: int, name: str, new_name: str) -> bool:
    """Rename a user's passkey; return False if they have none of this name. The caller has locked the user's row.

    :raises Rejected: ``webauthn_name_inuse`` on ``new_name``
    """
    if name != new_name and any(key.name == new_name for key in passkeys_of(user_id)):
        raise Rejected("webauthn_name_inuse", field="new_name", name=new_name)
    mine = (Passkey.user_id == user_id, Passkey.name == name)
    return execute_update(sa.update(Passkey).where(*mine).values(name=new_name)) == 1


def remove(user_id: int, passkey_id: str) -> bool:
    """Remove a passkey of this user, and with the last one the enrollment row; return False if there is no such one."""
    mine = (Passkey.user_id == user_id, Passkey.id == passkey_id)
    if execute_update(sa.delete(Passkey).where(*mine)) != 1:
        return False
    left = [key.usage for key in passkeys_of(user_id)]
    shared_row = (Enrollment.user_id == user_id, Enrollment.method == METHOD)
    if not left:
        execute_update(sa.delete(Enrollment).where(*shared_row))
    elif "secondary" not in left:
        execute_update(sa.update(Enrollment).where(*shared_row).values(is_second=False))
    return True


def strongest_of(user_id: int) -> str:
    """Return the ``amr_of`` the user's strongest passkey past its cooldown; "" if there is none.

    One statement.
    """
    counts = sa.or_(Passkey.weak_until.is_(None), Passkey.weak_until <= clock.now())
    verified = sa.func.max(sa.case((Passkey.verified, 1), else_=0))
    best = db.session.scalar(sa.select(verified).where(Passkey.user_id == user_id, counts))
    return "" if best is None else amr_of(bool(best))


def amr_of(verified: bool) -> str:
    """Return the names in ``amr`` for a passkey.

    :param verified: whether it performed user verification (PIN, fingerprint or face)
    """
    return f"{METHOD},uv" if verified else METHOD


def signs_in_alone(user_id: int, except_id: str = "") -> bool:
    """Return whether a user can sign in with a passkey alone.

    :param except_id: id of a passkey to ignore
    """
    if not settings.can_use_passkeys:
        return False
    alone = (Passkey.user_id == user_id, Passkey.usage == "first", Passkey.id != except_id)
    return db.session.scalar(sa.select(Passkey.id).where(*alone).limit(1)) is not None


def checked(name: str, field: str = "name") -> str:
    """Return the normalized ``name``: NFKC, with single spaces.

    :raises Rejected: on ``field``: ``webauthn_name_required``, ``invalid_input_length``, ``invalid_input`` (markup) or
        ``webauthn_name_disallowed_characters`` (invisible characters)
    """
    return enrollments.checked_name(
        name, field, required="webauthn_name_required", disallowed="webauthn_name_disallowed_characters"
    )


def name_for(aaguid: str, taken: Collection[str]) -> str:
    """Return an unused name based on the model or service, with a number appended if it is taken."""
    return enrollments.numbered_name(_listed_names().get(aaguid) or gettext(UNNAMED), taken)


@lru_cache(maxsize=1)
def _listed_names() -> dict[str, str]:
    """Return the names of models and services by AAGUID. The file states its source and date."""
    listed: dict[str, str] = json.loads(LIST.read_text())["names"]
    return listed


class WebAuthn(Authenticator):
    """A passkey. It signs a separate challenge (``webauthn.challenges``); nothing is typed."""

    name = METHOD
    amr = "hwk"
    strength = STRONG
    is_typed = False
    verifies_user = True
    allows_many = True
    has_own_pages = True
    second_rank = 1
    title, phrase, one_title = N_("Passkey"), N_("your passkey"), N_("Passkey")
    second_phrase = N_("a passkey")

    @property
    def is_enabled(self) -> bool:
        """See ``Method``. Enabled by separate settings."""
        return settings.can_use_passkeys

    def could_be(self, passcode: str | int) -> bool:
        """See ``Authenticator``. Never, since passkeys aren't typed."""
        return False

    def verify(self, attempt: PasscodeAttempt) -> None:
        """See ``Authenticator``. Passcodes never match."""

    def credentials_of(self, user_id: int, enrolled: Sequence[Enrollment]) -> Sequence[Passkey]:
        """See ``Authenticator``."""
        return passkeys_of(user_id)

    def without(self, credential: Credential, enrolled: Sequence[Enrollment]) -> list[Enrollment]:
        """See ``Authenticator``. The enrollment row is removed with the last passkey."""
        is_last = len(passkeys_of(credential.user_id)) < 2
        return [row for row in enrolled if not is_last or row.method != self.name]

    def remove(self, user: User, credential: Credential) -> bool:
        """See ``Authenticator``. Removes only this passkey."""
        return remove(user.id, credential.id)

    def remove_all(self, user: User) -> bool:
        """See ``Authenticator``."""
        execute_update(sa.delete(Passkey).where(Passkey.user_id == user.id))
        return enrollments.remove(user.id, self.name) > 0
