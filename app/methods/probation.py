"""The first day of a method that was added by a weak proof, where its owner had something stronger.

Whoever has the mailbox alone may have added it. For ``LATCHKEY_NEW_METHOD_WAIT`` it counts no more than the proof that
added it: it neither opens what the stronger ones open, nor asks more of their owner than before. Every address was
told.
"""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa

from app.extensions import db, settings
from app.kit import clock
from app.methods.models import EnrolledMethod
from app.sessions.assurance import WEAK, strength_of
from app.sessions.models import AuthSession


def ends_at(user_id: int, family: str | None) -> datetime | None:
    """Return until when a method counts as weak that this session adds now; None when it does not. Two statements.

    Asked before the earlier method of its kind is removed, so that taking the place of a stronger one counts as well.
    :param family: of the session; None for what comes with the account, or on the way in to it
    """
    if family is None or not settings.new_method_wait:
        return None
    proofs = db.session.scalars(sa.select(AuthSession.proved_amr).where(AuthSession.family == family))
    if max((strength_of(amr or "") for amr in proofs), default=WEAK) > WEAK:
        return None
    methods = db.session.scalars(sa.select(EnrolledMethod.method).where(EnrolledMethod.user_id == user_id))
    stronger = any(name in settings.methods or name == "webauthn" for name in methods if strength_of(name) > WEAK)
    return clock.now() + settings.new_method_wait if stronger else None
