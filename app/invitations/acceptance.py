"""Accept invitations: count the use, and join the groups. The database decides how many may."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert  # SQLite speaks this INSERT as well

from app import clock
from app.audit import record
from app.errors import Rejected
from app.extensions import changed, db
from app.groups import service as groups
from app.groups.service import UnknownGroup
from app.invitations.models import Invitation, InvitationUse
from app.invitations.service import check_open
from app.users import TypedIdentity, registration

_use = InvitationUse.__table__


def accept(invitation: Invitation, user_id: int) -> bool:
    """Accept an invitation for an account; return False if it has already, which counts once.

    :raises Rejected: ``invitation_revoked``, ``invitation_used`` or ``invitation_expired`` (410)
    """
    now = clock.now()
    with db.session.begin_nested():  # a use that is not counted leaves no row
        row = {"invitation_id": invitation.id, "user_id": user_id, "created_at": now, "accepted_at": now}
        first = insert(_use).values(row).on_conflict_do_update(
            index_elements=["invitation_id", "user_id"], set_={"accepted_at": now}, where=_use.c.accepted_at.is_(None)
        )  # fmt: skip
        if db.session.scalar(first.returning(_use.c.user_id)) is None:
            return False
        if not _count(invitation.id):
            db.session.refresh(invitation)
            check_open(invitation)
            raise Rejected("invitation_used", status=410)
    record("invitation.accepted", user_id, invitation=invitation.id)
    for name in invitation.group_names:
        try:
            groups.add_member(name, user_id, by="invitation")
        except UnknownGroup:
            continue  # it was deleted since
    return True


def accept_later(invitation: Invitation, user_id: int) -> None:
    """Note that an account accepts an invitation once its email is confirmed. Nothing is counted yet."""
    row = {"invitation_id": invitation.id, "user_id": user_id, "created_at": clock.now()}
    db.session.execute(insert(_use).values(row).on_conflict_do_nothing())


def accept_waiting(user_id: int, proved: TypedIdentity) -> None:
    """Accept what an account was to accept once ``proved`` is confirmed, which it is now for the first time.

    One that can be accepted no more is no reason against an account that could be created without.
    :raises Rejected: the codes of ``accept`` (400), where it can't: nothing is written then
    """
    refused: Rejected | None = None
    accepted = False
    for invitation in _waiting_of(user_id):
        try:
            accepted = accept(invitation, user_id) or accepted
        except Rejected as error:
            refused = error
    if refused is not None and not accepted and not registration.may_register(proved):
        raise Rejected(refused.code)


def has_accepted(invitation: Invitation, user_id: int) -> bool:
    """Say whether an account has accepted an invitation."""
    mine = (InvitationUse.invitation_id == invitation.id, InvitationUse.user_id == user_id)
    found = sa.select(InvitationUse.user_id).where(*mine, InvitationUse.accepted_at.is_not(None))
    return db.session.scalar(found) is not None


def _waiting_of(user_id: int) -> list[Invitation]:
    mine = (InvitationUse.user_id == user_id, InvitationUse.accepted_at.is_(None))
    found = sa.select(Invitation).join(InvitationUse, InvitationUse.invitation_id == Invitation.id).where(*mine)
    return list(db.session.scalars(found.order_by(InvitationUse.created_at)))


def _count(invitation_id: str) -> bool:
    """Count one use, if there is one left and the invitation is open."""
    still = (Invitation.revoked_at.is_(None), Invitation.expires_at > clock.now(), Invitation.used < Invitation.uses)
    one_more = sa.update(Invitation).where(Invitation.id == invitation_id, *still)
    return changed(one_more.values(used=Invitation.used + 1)) == 1
