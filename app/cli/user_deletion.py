"""``flask users delete`` and ``undelete``."""

from __future__ import annotations

import click
import sqlalchemy as sa

from app.admin import account_changes
from app.cli.group import for_each
from app.cli.users import users
from app.command_language import N_, gettext, ngettext
from app.extensions import changed, db
from app.privacy import deletion, erasure
from app.privacy.models import Deletion
from app.users import User


@users.command("delete")
@click.argument("identity", nargs=-1, required=True)
@click.option("--now", "at_once", is_flag=True, help=N_("Erase it immediately. This can't be undone."))
@click.option("--yes", is_flag=True, help=N_("With --now: don't ask for confirmation."))
def delete(identity: tuple[str, ...], at_once: bool, yes: bool) -> None:
    """Close accounts and have them erased.

    Each IDENTITY is an email address, phone number or username.

    Its owner is notified by email, and has LATCHKEY_DELETE_WAIT to keep it; ``undelete`` does the same.
    """
    if at_once and not yes:
        asked = ngettext("Erase {count} account for good?", "Erase {count} accounts for good?", len(identity))
        click.confirm(asked, abort=True)
    for_each(identity, _erase if at_once else _schedule_deletion)


@users.command("undelete")
@click.argument("identity", nargs=-1, required=True)
def undelete(identity: tuple[str, ...]) -> None:
    """Keep accounts that were going to be erased.

    Each IDENTITY is an email address, phone number or username. Sessions that were ended stay ended.
    """
    for_each(identity, _cancel_deletion)


def _schedule_deletion(identity: str, user: User) -> str:
    if user.deletes_at is not None:
        text, at = N_("{identity}: will be erased at {time} already."), user.deletes_at
    else:
        text = N_("{identity}: closed, will be erased at {time}.")
        at = deletion.schedule_deletion(user, by="operator")
    return gettext(text, identity=identity, time=at)


ERASED_BEFORE = N_("{identity}: already erased.")


def _erase(identity: str, user: User) -> str:
    account_changes.erase_now(user, by="operator")
    drawn = sa.func.coalesce(Deletion.pseudonym, erasure.new_pseudonym())
    changed(sa.update(Deletion).where(Deletion.user_id == user.id).values(pseudonym=drawn))
    db.session.commit()
    pseudonym = db.session.scalar(sa.select(Deletion.pseudonym).where(Deletion.user_id == user.id))
    if pseudonym is None:
        return gettext(ERASED_BEFORE, identity=identity)
    while erasure.anonymise(user.id, pseudonym, autocommit=True):
        pass
    text = N_("{identity}: erased.") if erasure.erase(user.id, pseudonym) else ERASED_BEFORE
    return gettext(text, identity=identity)


def _cancel_deletion(identity: str, user: User) -> str:
    kept = deletion.cancel_requested(user, late=True, by="operator")
    return gettext(N_("{identity}: kept.") if kept else N_("{identity}: wasn't going to be erased."), identity=identity)
