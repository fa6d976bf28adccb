"""Links in notices: "this wasn't me" (report links), and reverting a change of addresses (undo links).

Neither contains an identity or signs anyone in, and opening one changes nothing until a button is pressed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Literal

import sqlalchemy as sa

from app import clock
from app.challenges.models import Challenge
from app.crypto.signed_tokens import SignedToken
from app.db.compiled import Detached
from app.extensions import db, execute_update, keyring, settings, this_app
from app.users import AddressChange

if TYPE_CHECKING:
    from flask import Flask

Kind = Literal["challenge", "session"]

REPORT: dict[Kind, SignedToken] = {"challenge": SignedToken("deny", mark="c"), "session": SignedToken("deny", mark="s")}
REPORT_PATH = "/not-me/"
REPORTED_WITHIN = timedelta(hours=24)
"""How long a request or sign-in can be reported. Reports don't revoke older sessions."""

UNDO = SignedToken("undo")  # valid for LATCHKEY_CHANGE_UNDO_WITHIN
UNDO_PATH = "/change-email/undo/"

OnReport = Callable[[Challenge], None]
"""Called with each reported challenge, in the transaction of the report, with the account locked."""

_REGISTERED = "latchkey.report_hooks"

_ROWS = Detached(Challenge)
_c = Challenge.__table__.c
_BY_ID = _ROWS.select().where(_c.id == sa.bindparam("id"))
_MARK_REPORTED = (
    sa.update(Challenge.__table__)
    .where(_c.id == sa.bindparam("reported"), _c.denied_at.is_(None))
    .values(
        denied_at=sa.bindparam("now"),
        refused_at=sa.func.coalesce(_c.refused_at, sa.bindparam("now")),
        spent_at=sa.func.coalesce(_c.spent_at, sa.bindparam("now")),
    )
)


@dataclass(frozen=True, slots=True)
class Report:
    """The subject of a report link: a challenge or a session, by id."""

    kind: Kind
    id: str


def report_link(kind: Kind, subject_id: str, since: datetime) -> str:
    """Return the URL to report a challenge or session, valid for 24 hours after ``since``; the same on every call."""
    return (
        settings.public_url
        + REPORT_PATH
        + REPORT[kind].sign(keyring, settings.public_url, subject_id, since + REPORTED_WITHIN)
    )


def open_report(token: str) -> Report | None:
    """Return the subject of a report token; None if it isn't ours or has expired. No statement."""
    for kind, signed in REPORT.items():
        if claims := signed.verify(keyring, settings.public_url, token):
            return None if claims.has_expired else Report(kind, claims.id)
    return None


def find_reported(challenge_id: str) -> Challenge | None:
    """Return the challenge with this id, in any state; None when it was deleted."""
    found = db.session.execute(_BY_ID, {"id": challenge_id}).first()
    return _ROWS.read(found)[0] if found else None


def mark_reported(challenge: Challenge) -> bool:
    """Mark ``challenge`` as reported and end it, used or not; return False if it was already reported."""
    return execute_update(_MARK_REPORTED, {"reported": challenge.id, "now": clock.now()}) == 1


def register_report_hook(app: Flask, hook: OnReport) -> None:
    """Register a hook that revokes more than sessions when a challenge is reported."""
    app.extensions.setdefault(_REGISTERED, []).append(hook)


def report_hooks() -> list[OnReport]:
    """Return the hooks registered with the current app."""
    return list(this_app().extensions.get(_REGISTERED, ()))


def undo_link(change: AddressChange) -> str:
    """Return the URL that undoes ``change``; the same on every call."""
    until = change.created_at + settings.change_undo_within
    return settings.public_url + UNDO_PATH + UNDO.sign(keyring, settings.public_url, change.id, until)


def open_undo(token: str) -> str | None:
    """Return the id of the change that ``token`` undoes; None if the token isn't ours or has expired."""
    claims = UNDO.verify(keyring, settings.public_url, token)
    return None if claims is None or claims.has_expired else claims.id
