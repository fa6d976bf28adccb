"""Passkeys at rest: add, find, use, rename and remove them.

A user with passkeys also has one row of ``enrolled_method`` called ``webauthn``. It proves nothing; it tells whoever
reads what a user has set up that there are passkeys, without a statement more.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from app.database.hot import Hot
from app.database.plain import Plain
from app.extensions import changed, db, settings
from app.kit import clock
from app.kit.refusals import Refused
from app.methods import enrollment, passkey_names
from app.methods.models import Ceremony, EnrolledMethod, Passkey
from app.methods.passkey_answers import FIELD, Made, Used
from app.users import User

METHOD = Passkey.method
"""What a passkey is called among the methods that were proved (AMR)."""

MOST = 25
"""Passkeys of one user, at most: a request names all of them to the browser."""

_OF_USER = sa.select(Passkey).where(Passkey.user_id == sa.bindparam("owner")).order_by(Passkey.created_at, Passkey.id)
_ROWS = Plain(Passkey, User)
_passkey, _user = Passkey.__table__, User.__table__
_BY_CREDENTIAL = Hot(
    _ROWS.select()
    .select_from(_passkey.join(_user, _user.c.id == _passkey.c.user_id))
    .where(_passkey.c.credential_id == sa.bindparam("credential"))
)
_USE = Hot(
    sa.update(_passkey)
    .where(_passkey.c.id == sa.bindparam("used"), _passkey.c.sign_count == sa.bindparam("before"))
    .values(
        sign_count=sa.bindparam("count"),
        backup_state=sa.bindparam("synced"),
        verified=sa.or_(_passkey.c.verified, sa.bindparam("uv", type_=sa.Boolean())),
        last_used_at=sa.bindparam("now"),
    )
)


def passkeys_of(user_id: int) -> list[Passkey]:
    """Return a user's passkeys, the oldest first."""
    return list(db.session.scalars(_OF_USER, {"owner": user_id}))


def find(credential_id: str) -> tuple[Passkey, User] | None:
    """Return the passkey with this id and whose it is, by the unique index. One statement."""
    row = _BY_CREDENTIAL.first(credential=credential_id)
    if row is None:
        return None
    passkey, user = _ROWS.read(row)
    return passkey, user


def add(user_id: int, made: Made, ceremony: Ceremony, family: str | None) -> Passkey:
    """Store a passkey under the name that was asked for, or by who made it. The caller holds the user's row.

    :param family: of the session that adds it
    :raises Refused: ``webauthn_credential_id_inuse`` or ``webauthn_too_many`` on ``credential``;
        ``webauthn_name_inuse`` on ``credential`` when another request took the name meanwhile
    """
    mine = passkeys_of(user_id)
    names = {key.name for key in mine}
    if len(mine) >= MOST:
        raise Refused("webauthn_too_many", field=FIELD, most=MOST)
    if ceremony.name in names:
        raise Refused("webauthn_name_inuse", field=FIELD, name=ceremony.name)
    name = ceremony.name or passkey_names.name_for(made.aaguid, names)
    facts: dict[str, Any] = {each: getattr(made, each) for each in made.__slots__}
    row = Passkey(user_id=user_id, name=name, usage=ceremony.usage, family=family, **facts)
    try:
        with db.session.begin_nested():
            db.session.add(row)
    except IntegrityError:
        raise Refused("webauthn_credential_id_inuse", field=FIELD) from None
    if not mine:
        enrollment.enroll(user_id, METHOD, family=family)
    return row


def use(passkey: Passkey, used: Used) -> bool:
    """Note that ``passkey`` has signed; False when another request has used it since it was read."""
    given = {"used": passkey.id, "before": passkey.sign_count, "count": max(used.sign_count, passkey.sign_count)}
    return _USE.run(**given, synced=used.backup_state, uv=used.verified, now=clock.now()) == 1


def went_back(passkey: Passkey, used: Used) -> bool:
    """Whether the counter of ``passkey`` is not above what it was: a copy of it may be in use (section 6.1.1).

    Synced passkeys count nothing and say 0 each time, which is no going back.
    """
    counts = used.sign_count > 0 or passkey.sign_count > 0
    return counts and used.sign_count <= passkey.sign_count


def rename(user_id: int, name: str, new_name: str) -> bool:
    """Give a user's passkey another name; False when they have none of this name. The caller holds the user's row.

    :raises Refused: ``webauthn_name_inuse`` on ``new_name``
    """
    if name != new_name and any(key.name == new_name for key in passkeys_of(user_id)):
        raise Refused("webauthn_name_inuse", field="new_name", name=new_name)
    mine = (Passkey.user_id == user_id, Passkey.name == name)
    return changed(sa.update(Passkey).where(*mine).values(name=new_name)) == 1


def remove(user_id: int, passkey_id: str) -> bool:
    """Remove a passkey of this user, and with the last one what tells of it; False when there was none."""
    mine = (Passkey.user_id == user_id, Passkey.id == passkey_id)
    if changed(sa.delete(Passkey).where(*mine)) != 1:
        return False
    left = sa.select(Passkey.id).where(Passkey.user_id == user_id).exists()
    tells = (EnrolledMethod.user_id == user_id, EnrolledMethod.method == METHOD, ~left)
    changed(sa.delete(EnrolledMethod).where(*tells))
    return True


def signs_in_alone(user_id: int, but: str = "") -> bool:
    """Whether a user can sign in by a passkey alone.

    :param but: id of one that does not count
    """
    if not settings.can_use_passkeys:
        return False
    alone = (Passkey.user_id == user_id, Passkey.usage == "first", Passkey.id != but)
    return db.session.scalar(sa.select(Passkey.id).where(*alone).limit(1)) is not None
