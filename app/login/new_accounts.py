"""Create the account of someone who answered a code sent to an unknown email.

The challenge is the same row that anybody unknown gets, a decoy: neither asking nor its row tells who has an account.
Where people can open accounts themselves its code and link leave in a mail, and answering it is the confirmation.
"""

from __future__ import annotations

import sqlalchemy as sa

from app.audit import record, signals
from app.authenticators import enrollments
from app.challenges.magic_links import typed_identity
from app.challenges.models import Challenge
from app.errors import Rejected
from app.extensions import changed
from app.users import User, create_user


def open_account(challenge: Challenge) -> User:
    """Open the account of whom the challenge's mail went to. It was just spent; that it is theirs is proved by it.

    :raises Rejected: ``generic_authn_failed`` when the address has got an account meanwhile
    """
    try:
        user = create_user(typed_identity(challenge), confirmed=True)
    except Rejected:
        raise Rejected("generic_authn_failed") from None
    enrollments.enroll(user.id, "email")
    changed(sa.update(Challenge).where(Challenge.id == challenge.id).values(user_id=user.id))
    record("account.created", user.id, challenge_id=challenge.id)
    record("address.confirmed", user.id, challenge_id=challenge.id, method="email")
    signals.send(signals.user_registered, user=user, confirmation_token=None, form_data={})
    signals.send(signals.user_confirmed, user=user)
    return user
