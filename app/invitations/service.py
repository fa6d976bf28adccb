"""Create, find, list, revoke and accept invitations.

Accepting one counts a use and joins the groups. The database enforces the number of uses.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert  # SQLite supports this INSERT too

from app import clock, i18n, outbox
from app.audit import record
from app.crypto.signed_tokens import SignedToken
from app.db.retention import delete_batch
from app.errors import Rejected
from app.extensions import db, execute_update, keyring, settings
from app.groups import service as groups
from app.groups.service import UnknownGroup
from app.invitations.models import MAX_GROUPS_LENGTH, Invitation, InvitationUse
from app.users import TypedIdentity, identifiers, registration

INVITATION = SignedToken("invitation")
PATH = "/invite/"
MESSAGE_KIND = "invitation"

DEFAULT_LIFETIME = timedelta(days=7)
MIN_LIFETIME, MAX_LIFETIME = timedelta(minutes=15), timedelta(days=90)
MAX_USES = 10_000

KEPT_FOR = timedelta(days=30)
"""How long an administrator can still see what became of an expired invitation."""

State = Literal["open", "revoked", "used", "expired"]

_use = InvitationUse.__table__


@dataclass(frozen=True, slots=True)
class Terms:
    """An administrator's choices for an invitation.

    :ivar email: who it is mailed to; "" for one that is shared by hand
    :ivar uses: how many accounts may accept it; 1 if it is mailed
    :ivar language: language of the email; "" for the default
    """

    email: str = ""
    groups: Sequence[str] = ()
    uses: int = 1
    lifetime: timedelta = DEFAULT_LIFETIME
    language: str = ""


def create(terms: Terms, *, by: str) -> Invitation:
    """Create an invitation, and email it if it is for an address.

    :param by: ``operator``, or ``admin:`` and the handle of the administrator
    :raises Rejected: on its field: ``invalid_email_address``, ``unknown_group`` or ``invitation_groups`` on ``groups``,
        ``invitation_uses`` on ``uses``, ``invitation_lasts`` on ``expires_in_days``, ``invalid_choice`` on ``language``
    """
    email, names = _validate(terms)
    now = clock.now()
    row = Invitation(
        email=email, groups=",".join(names), uses=terms.uses, used=0, created_by=by, created_at=now,
        language=terms.language or i18n.default_language(), expires_at=now + terms.lifetime,
    )  # fmt: skip
    db.session.add(row)
    db.session.flush()
    record("invitation.created", invitation=row.id, mailed=bool(email), groups=names, uses=terms.uses, by=by)
    if email:
        with i18n.use_language(row.language):
            outbox.enqueue(MESSAGE_KIND, "mail", email, expires_at=row.expires_at, invitation=row.id)
    return row


def link_of(invitation: Invitation) -> str:
    """Return the link that accepts an invitation. It is the same every time."""
    token = INVITATION.sign(keyring, settings.public_url, invitation.id, invitation.expires_at)
    return settings.public_url + PATH + token


def find_by_token(token: str) -> Invitation | None:
    """Return the invitation of a link's token, in any state; None if the token isn't ours. One statement."""
    claims = INVITATION.verify(keyring, settings.public_url, token)
    return db.session.get(Invitation, claims.id) if claims else None


def find(invitation_id: str) -> Invitation | None:
    """Return the invitation with this id, in any state."""
    return db.session.get(Invitation, invitation_id)


def state_of(invitation: Invitation) -> State:
    """Return whether an invitation can be accepted now, or why not."""
    if invitation.revoked_at is not None:
        return "revoked"
    if invitation.used >= invitation.uses:
        return "used"
    return "open" if invitation.expires_at > clock.now() else "expired"


def check_open(invitation: Invitation) -> None:
    """Raise unless an invitation can be accepted.

    :raises Rejected: ``invitation_revoked``, ``invitation_used`` or ``invitation_expired`` (410)
    """
    if (state := state_of(invitation)) != "open":
        raise Rejected(f"invitation_{state}", status=410)


def revoke(invitation: Invitation, *, by: str) -> bool:
    """Revoke an invitation; return False if it already was."""
    is_unrevoked = (Invitation.id == invitation.id, Invitation.revoked_at.is_(None))
    if execute_update(sa.update(Invitation).where(*is_unrevoked).values(revoked_at=clock.now())) != 1:
        return False
    record("invitation.revoked", invitation=invitation.id, by=by)
    return True


def newest(limit: int, *, before: str = "", only_open: bool = False) -> list[Invitation]:
    """Return invitations, newest first.

    :param before: id of the last one on the previous page
    :param only_open: whether to leave out those that can no longer be accepted
    """
    query = sa.select(Invitation).order_by(Invitation.created_at.desc(), Invitation.id.desc()).limit(limit)
    if only_open:
        usable = (Invitation.revoked_at.is_(None), Invitation.used < Invitation.uses)
        query = query.where(*usable, Invitation.expires_at > clock.now())
    if before and (last := find(before)):
        position = sa.tuple_(Invitation.created_at, Invitation.id)
        query = query.where(position < sa.tuple_(sa.literal(last.created_at), sa.literal(last.id)))
    return list(db.session.scalars(query))


def accept(invitation: Invitation, user_id: int) -> bool:
    """Accept an invitation for an account; return False if it already did, which counts once.

    :raises Rejected: ``invitation_revoked``, ``invitation_used`` or ``invitation_expired`` (410)
    """
    now = clock.now()
    with db.session.begin_nested():  # a use that is not counted leaves no row
        row = {"invitation_id": invitation.id, "user_id": user_id, "created_at": now, "accepted_at": now}
        upsert = insert(_use).values(row).on_conflict_do_update(
            index_elements=["invitation_id", "user_id"], set_={"accepted_at": now}, where=_use.c.accepted_at.is_(None)
        )  # fmt: skip
        if db.session.scalar(upsert.returning(_use.c.user_id)) is None:
            return False
        if not _count_use(invitation.id):
            db.session.refresh(invitation)
            check_open(invitation)
            raise Rejected("invitation_used", status=410)
    record("invitation.accepted", user_id, invitation=invitation.id)
    for name in invitation.group_names:
        try:
            groups.add_member(name, user_id, by="invitation")
        except UnknownGroup:
            continue  # deleted in the meantime
    return True


def accept_when_confirmed(invitation: Invitation, user_id: int) -> None:
    """Record that an account accepts an invitation once its email is confirmed. Nothing is counted yet."""
    row = {"invitation_id": invitation.id, "user_id": user_id, "created_at": clock.now()}
    db.session.execute(insert(_use).values(row).on_conflict_do_nothing())


def accept_pending(user_id: int, verified: TypedIdentity) -> None:
    """Accept the invitations waiting for ``verified`` to be confirmed, which has just happened for the first time.

    If one can no longer be accepted, that doesn't matter for an account that could be created without an invitation.

    :raises Rejected: the codes of ``accept`` (400) if it does matter; nothing is written then
    """
    rejection: Rejected | None = None
    accepted = False
    for invitation in _pending_of(user_id):
        try:
            accepted = accept(invitation, user_id) or accepted
        except Rejected as error:
            rejection = error
    if rejection is not None and not accepted and not registration.may_register(verified):
        raise Rejected(rejection.code)


def has_accepted(invitation: Invitation, user_id: int) -> bool:
    """Return whether an account has accepted an invitation."""
    is_use = (InvitationUse.invitation_id == invitation.id, InvitationUse.user_id == user_id)
    found = sa.select(InvitationUse.user_id).where(*is_use, InvitationUse.accepted_at.is_not(None))
    return db.session.scalar(found) is not None


def _pending_of(user_id: int) -> list[Invitation]:
    is_pending = (InvitationUse.user_id == user_id, InvitationUse.accepted_at.is_(None))
    found = sa.select(Invitation).join(InvitationUse, InvitationUse.invitation_id == Invitation.id).where(*is_pending)
    return list(db.session.scalars(found.order_by(InvitationUse.created_at)))


def prune_invitations() -> int:
    """Delete a batch of invitations that expired long ago, with the record of who accepted them; return how many."""
    return delete_batch(db.session, Invitation, Invitation.expires_at < clock.now() - KEPT_FOR)


def _count_use(invitation_id: str) -> bool:
    """Count one use; return False if none is left or the invitation is no longer open."""
    is_open = (Invitation.revoked_at.is_(None), Invitation.expires_at > clock.now(), Invitation.used < Invitation.uses)
    update = sa.update(Invitation).where(Invitation.id == invitation_id, *is_open)
    return execute_update(update.values(used=Invitation.used + 1)) == 1


def _validate(terms: Terms) -> tuple[str, list[str]]:
    """Return the canonical email and the group names, without duplicates."""
    try:
        email = identifiers.email(terms.email) if terms.email else ""
    except identifiers.InvalidIdentifier:
        raise Rejected("invalid_email_address", field="email") from None
    names = list(dict.fromkeys(terms.groups))
    if unknown := sorted(groups.unknown_names(names)):
        raise Rejected("unknown_group", field="groups", group=unknown[0])
    if len(",".join(names)) > MAX_GROUPS_LENGTH:
        raise Rejected("invitation_groups", field="groups")
    if not 1 <= terms.uses <= (1 if email else MAX_USES):
        raise Rejected("invitation_uses", field="uses", most=MAX_USES)
    if not MIN_LIFETIME <= terms.lifetime <= MAX_LIFETIME:
        raise Rejected("invitation_lasts", field="expires_in_days", most=MAX_LIFETIME.days)
    if terms.language and terms.language not in settings.languages:
        raise Rejected("invalid_choice", field="language")
    return email, names
