"""What goes with every change of an account's addresses: nobody else stays in, and everybody hears of it."""

from __future__ import annotations

from app.kit import addresses
from app.kit.asking import Asker
from app.methods import notices
from app.sessions.changing import shut_out_others
from app.sessions.models import AuthSession
from app.users import User
from app.users.changes import note_change

AFTER = {
    "address.change_confirmed": "Your e-mail address {old} was replaced by {new}.",
    "address.added": "The e-mail address {new} was added.",
    "address.removed": "The e-mail address {old} was removed.",
    "address.made_primary": "The primary e-mail address is no longer {before}.",
}


def told(user: User, session: AuthSession, text: str, old: str, new: str, before: str, asker: Asker) -> None:
    """Keep what was done so that it can be undone, tell every address of it, and let nobody else stay signed in.

    Mail to one address shows enough of another to know it, and too little to write to it.
    """
    change = note_change(user.id, old, new, before, session.family, asker)
    shut_out_others(user, session, asker)
    shown = {name: addresses.mask("email", value) if value else "" for name, value in
             (("old", old), ("new", new), ("before", before))}  # fmt: skip
    also = [old] if old else []
    notices.tell(user.id, text.format(**shown), asker, also=also, family=session.family, change=change)
