"""What messages about challenges say. The passcode and the link are derived here, when they leave."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote, urlsplit

import sqlalchemy as sa

from app.database.plain import Plain
from app.extensions import db, settings, this_app
from app.kit import clock
from app.methods.codes import passcode_of, root_of
from app.methods.links import link_token
from app.methods.models import Challenge, EnrolledMethod
from app.methods.showing import asked
from app.outbox import Letter, Message, Text, renderer

LINK_PATHS = {"sign_in": "/us-verify-link?token=", "confirm": "/confirm/"}
"""Where the link in a letter of this kind leads; other letters have none."""

_ROWS = Plain(Challenge, EnrolledMethod)
_challenge, _enrolled = Challenge.__table__, EnrolledMethod.__table__
_BY_ID = (
    _ROWS.select()
    .select_from(_challenge.outerjoin(_enrolled, _enrolled.c.id == _challenge.c.enrolled_id))
    .where(_challenge.c.id == sa.bindparam("id"))
)


@renderer("sign_in")
@renderer("verify")
@renderer("setup")
@renderer("confirm")
def passcode_letter(message: Message) -> Letter | Text | None:
    """Say the passcode, and the link where there is one; nothing once the challenge is over."""
    found = db.session.execute(_BY_ID, {"id": message.challenge_id}).first()
    challenge, enrolled = _ROWS.read(found) if found else (None, None)
    if challenge is None or not challenge.is_open(clock.now()):
        return None
    root = root_of(challenge, enrolled)
    link = None
    if message.kind in LINK_PATHS and message.channel == "mail":
        link = settings.origin + LINK_PATHS[message.kind] + quote(link_token(challenge, root), safe="")
    minutes = int((challenge.passcode_expires_at - challenge.created_at).total_seconds() // 60)
    return _write(message, code=passcode_of(challenge, root), link=link, asked=asked(challenge), minutes=minutes)


@renderer("already_registered")
def already_registered(message: Message) -> Letter | Text | None:
    """Tell the owner of an address that somebody tried to open an account with it."""
    challenge = db.session.get(Challenge, message.challenge_id)
    if challenge is None:
        return None
    return _write(message, link=settings.origin + "/us-signin", asked=asked(challenge))


@renderer("changed")
def changed(message: Message) -> Letter | Text:
    """Tell the owner of an account what was changed about it."""
    return _write(message, what=message.facts["what"], browser=message.facts["browser"], when=message.created_at)


def _write(message: Message, **facts: Any) -> Letter | Text:
    context = {"brand": settings.brand_name, "public_url": settings.origin, "tag": message.tag} | facts
    context["host"] = urlsplit(settings.origin).hostname
    if message.channel == "sms":
        return Text(_render(f"sms/{message.kind}.txt", context))
    stem = f"mail/{message.kind}"
    subject = _render(f"{stem}.subject.txt", context)
    return Letter(subject, _render(f"{stem}.txt", context), _render(f"{stem}.html", context))


def _render(template: str, context: dict[str, Any]) -> str:
    return this_app().jinja_env.get_template(template).render(context).strip()
