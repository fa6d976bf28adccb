"""One-time sign-in links that administrators send to people who can't sign in themselves.

A link is sent only to the account's own verified email, so it is equivalent to an emailed code, and the second factor
is still required. It isn't bound to a browser, since the person has none that works. To make up for that, it is
short-lived, works once, is invalidated by the next one, and all addresses of the account are notified immediately.
Opening it spends nothing, since email scanners open links, too.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import sqlalchemy as sa

from app import clock, outbox, throttling
from app.audit import record
from app.authenticators.base import VerifiedFactor
from app.authenticators.sent_codes import EmailCode
from app.client import ClientContext
from app.crypto.signed_tokens import SignedToken
from app.db.retention import delete_batch
from app.errors import Rejected
from app.extensions import db, execute_update, keyring, settings
from app.login.pending import PendingState
from app.login.pipeline import SignIn, complete_sign_in
from app.notifications import notices
from app.notifications.challenge_emails import write
from app.notifications.notices import sentence
from app.outbox import EmailMessage, Message, TextMessage
from app.sessions.models import AuthSession
from app.signin.models import SentLink
from app.users import User, emails_of, lock_account

SENT_LINK = SignedToken("sent-link")
PATH = "/sign-in-link/"
MESSAGE_KIND = "sent_link"

LIFETIME = timedelta(minutes=15)
PER_HOUR, PER_DAY = 3, 10
"""Maximum number of links per account."""

AN_HOUR, A_DAY = timedelta(hours=1), timedelta(days=1)


def send(user: User, *, by: str) -> SentLink:
    """Send a link to the account's primary email, and invalidate earlier unused links.

    :param by: ``operator``, or ``admin:`` and the administrator's handle
    :raises Rejected: ``disabled_account`` (409), ``person_without_email`` (409), ``too_many_links`` (429)
    """
    lock_account(user.id)
    if not user.is_active:
        raise Rejected("disabled_account", status=409)
    mine = emails_of(user.id)
    if user.confirmed_at is None or not mine:
        raise Rejected("person_without_email", status=409)
    now = clock.now()
    _check_limits(user.id)
    execute_update(sa.update(SentLink).where(*_unused(user.id)).values(used_at=now))
    row = SentLink(user_id=user.id, email=mine[0], created_at=now, expires_at=now + LIFETIME)
    db.session.add(row)
    db.session.flush()
    outbox.enqueue(MESSAGE_KIND, "mail", row.email, user_id=user.id, expires_at=row.expires_at, sent_link=row.id)
    record("sign_in_link.sent", user.id, by=by)
    what = sentence("An administrator sent a one-time sign-in link to your primary email.")
    notices.notify(user.id, what, ClientContext("", "", ""))
    return row


def find_open(token: str) -> tuple[SentLink, User]:
    """Return the link with this token and its account, if the link is valid. Spends nothing. One statement.

    :raises Rejected: ``sign_in_link_invalid`` (404)
    """
    claims = SENT_LINK.verify(keyring, settings.public_url, token)
    wanted = sa.select(SentLink, User).join(User, User.id == SentLink.user_id)
    found = db.session.execute(wanted.where(SentLink.id == claims.id)).first() if claims else None
    if found is None or found[0].used_at is not None or found[0].expires_at <= clock.now() or not found[1].is_active:
        raise Rejected("sign_in_link_invalid", status=404)
    return found[0], found[1]


def use(token: str, client: ClientContext) -> AuthSession | PendingState:
    """Sign in with a link and use it up. A second factor may still be required.

    :raises Rejected: ``sign_in_link_invalid`` (404); ``too_many_requests``
    """
    throttling.check("failures", client.ip_address)
    link, user = find_open(token)
    still = (SentLink.id == link.id, SentLink.used_at.is_(None), SentLink.expires_at > clock.now())
    if (
        link.email not in emails_of(user.id)
        or execute_update(sa.update(SentLink).where(*still).values(used_at=clock.now())) != 1
    ):
        raise Rejected("sign_in_link_invalid", status=404)
    record("sign_in_link.used", user.id)
    return complete_sign_in(SignIn(client, user=user, has_second=True, factors=(VerifiedFactor(EmailCode.name),)))


def end_all(user_id: int) -> None:
    """Invalidate the unused links of an account."""
    execute_update(sa.update(SentLink).where(*_unused(user_id)).values(used_at=clock.now()))


def prune_sent_links() -> int:
    """Delete a batch of links that no longer count toward a limit; return how many."""
    return delete_batch(db.session, SentLink, SentLink.expires_at < clock.now() - A_DAY)


def links_of(messages: Sequence[Message]) -> dict[str, SentLink]:
    """Return the valid links of these messages, keyed by message id. One statement."""
    ids = {message.facts["sent_link"] for message in messages}
    usable = (SentLink.id.in_(ids), SentLink.used_at.is_(None), SentLink.expires_at > clock.now())
    found = {row.id: row for row in db.session.scalars(sa.select(SentLink).where(*usable))}
    return {each.id: found[each.facts["sent_link"]] for each in messages if each.facts["sent_link"] in found}


def email(message: Message, link: SentLink | None) -> EmailMessage | TextMessage | None:
    """Render the email with the link and its expiry; None if the link is no longer valid."""
    if link is None:
        return None
    token = SENT_LINK.sign(keyring, settings.public_url, link.id, link.expires_at)
    return write(message, link=settings.public_url + PATH + token, until=link.expires_at)


RENDERERS = {MESSAGE_KIND: email}


def _check_limits(user_id: int) -> None:
    now = clock.now()
    since = sa.select(SentLink.created_at).where(SentLink.user_id == user_id, SentLink.created_at > now - A_DAY)
    sent = list(db.session.scalars(since.order_by(SentLink.created_at.desc())))
    for most, length in ((PER_HOUR, AN_HOUR), (PER_DAY, A_DAY)):
        if len(sent) >= most and sent[most - 1] > now - length:
            left = (sent[most - 1] + length - now).total_seconds()
            raise Rejected("too_many_links", status=429, retry_after=max(1, int(left) + 1))


def _unused(user_id: int) -> tuple[sa.ColumnElement[bool], ...]:
    return SentLink.user_id == user_id, SentLink.used_at.is_(None)
