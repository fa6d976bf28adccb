"""Create an account, or do the same work for an email that has one.

What is written for an address that is taken is undone before anybody can see it: neither the statements of a
request nor their time tell whether there was an account.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy as sa

from app.audit import record, signals
from app.authenticators import enrollments
from app.client import ClientContext
from app.crypto import secrets
from app.db import has_written, use_async_commit
from app.enrollments.models import Enrollment
from app.errors import Rejected
from app.extensions import changed, db
from app.login import lookup
from app.login.lookup import Destination
from app.users import TypedIdentity, create_user


def open_account(typed: TypedIdentity, found: Destination | None) -> Destination:
    """Open an account for ``typed``, unless it is ``found`` to have one; return the one that it has now."""
    connection = db.session.connection()
    if not has_written(connection):
        use_async_commit(connection)  # what is lost in a power cut can be asked for again
    value = typed.value if found is None else secrets.row_id()
    try:
        with _trial(keep=found is None):
            user = create_user(TypedIdentity(typed.kind, value))
            mailbox = enrollments.enroll(user.id, "email")
            record("account.created", user.id)
    except Rejected:
        # Two asked at the same moment: the other one's account is this one's too, once the address is proved.
        found = lookup.look_up_destination(typed, "email")
        if found is None:
            raise
    if found is not None:
        return found
    signals.send(signals.user_registered, user=user, confirmation_token=None, form_data={})
    return Destination(user, mailbox, typed.value)


def keep_password(reached: Destination, hashed: str, binding: str, client: ClientContext) -> None:
    """Keep a password for the browser it was given in: no other proof of the address makes it good.

    A confirmed account gets none; its owner adds one when signed in.
    :param binding: of the confirmation that was asked for with it
    """
    mine = (Enrollment.user_id == reached.user.id, Enrollment.method == "password")
    with _trial(keep=reached.user.confirmed_at is None):
        changed(sa.delete(Enrollment).where(*mine, Enrollment.name.in_((binding, *client.bindings))))
        enrollments.enroll(reached.user.id, "password", hashed, name=binding)


@contextmanager
def _trial(*, keep: bool) -> Iterator[None]:
    """Undo what is written in this block, unless it is to be kept; an exception undoes it as well."""
    savepoint = db.session.begin_nested()
    try:
        yield
    except BaseException:
        savepoint.rollback()
        raise
    if keep:
        savepoint.commit()
    else:
        savepoint.rollback()
