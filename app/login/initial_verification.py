"""The first verification of an address: what it revokes, and the account that it creates.

A challenge for an unknown email or phone number is a decoy, so neither the response nor the row reveals who has an
account. If people can register themselves, its code and link are sent, and answering them verifies the address.
"""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa

from app.audit import record, signals
from app.authenticators import enrollments
from app.authenticators.models import Passkey
from app.challenges.magic_links import typed_identity
from app.challenges.models import Challenge
from app.enrollments.methods import method_of, methods
from app.enrollments.models import Enrollment
from app.errors import Rejected
from app.extensions import execute_update
from app.invitations.service import accept_pending
from app.sessions import api_tokens
from app.sessions.known_devices import revoke_browsers
from app.sessions.store import revoke_all_sessions
from app.users import User, confirm, create_user, identities_of


def verify_address(user: User, challenge: Challenge, *, browsers: Sequence[str] = ()) -> bool:
    """Mark the address that ``challenge`` was sent to as verified; return whether it is the account's first.

    The first verification removes all earlier credentials, sessions and API tokens, since someone else may have set
    them up, except a password chosen in this browser.
    :param browsers: bindings of this browser; empty to keep no password
    :raises Rejected: ``invitation_...`` if the account depends on an invitation that is no longer valid
    """
    if user.confirmed_at is None and _confirms_account(user, challenge):
        accept_pending(user.id, typed_identity(challenge))  # first, before anything is written: it may be rejected
    first = confirm(user, method_of(challenge.method).reaches, challenge.destination)
    if first:
        _remove_unverified_credentials(user.id, browsers)
        revoke_all_sessions(user.id)
        api_tokens.revoke_all(user.id, reason="confirmed")
        revoke_browsers(user.id)
        record("address.confirmed", user.id, challenge_id=challenge.id, method=challenge.method)
        signals.send(signals.user_confirmed, user=user)
    return first


def create_account(challenge: Challenge) -> User:
    """Create an account for the address of ``challenge``, which was just spent and so verifies that address.

    :raises Rejected: ``generic_authn_failed`` if the address has an account by now
    """
    try:
        user = create_user(typed_identity(challenge), confirmed=True)
    except Rejected:
        raise Rejected("generic_authn_failed") from None
    enrollments.enroll(user.id, challenge.method)
    execute_update(sa.update(Challenge).where(Challenge.id == challenge.id).values(user_id=user.id))
    record("account.created", user.id, challenge_id=challenge.id)
    record("address.confirmed", user.id, challenge_id=challenge.id, method=challenge.method)
    signals.send(signals.user_registered, user=user, confirmation_token=None, form_data={})
    signals.send(signals.user_confirmed, user=user)
    return user


def _confirms_account(user: User, challenge: Challenge) -> bool:
    """Return whether this confirms the account: an email does, a phone number only without an email (``confirm``)."""
    return method_of(challenge.method).reaches == "email" or "email" not in identities_of(user.id)


def _remove_unverified_credentials(user_id: int, browsers: Sequence[str]) -> None:
    """Remove enrollments that don't verify an address, and passkeys, but not a password chosen in this browser."""
    not_verifying = [each for each in methods().values() if not each.reaches]
    mine = (Enrollment.user_id == user_id, Enrollment.method.in_([each.name for each in not_verifying]))
    is_user_chosen = Enrollment.method.in_([each.name for each in not_verifying if each.is_user_chosen])
    kept = sa.and_(is_user_chosen, Enrollment.name.in_(browsers), Enrollment.name != "")
    execute_update(sa.delete(Enrollment).where(*mine, sa.not_(kept)))
    execute_update(sa.update(Enrollment).where(*mine).values(name=""))
    execute_update(sa.delete(Passkey).where(Passkey.user_id == user_id))
