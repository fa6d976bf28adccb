"""Assurance levels of a user's authenticators, and the cooldown during which a new one counts as weak.

A new one may have been added by an intruder who only has access to the owner's mailbox. For
``LATCHKEY_NEW_METHOD_WAIT`` it is only as strong as an emailed code: it can't be used to remove or replace older
methods, can't substitute for them, and doesn't raise the level required of the owner. Every address and phone of the
account is notified.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from app import clock
from app.authenticators.models import Passkey
from app.authenticators.webauthn import passkeys
from app.enrollments.methods import WEAK, method_of, usable_methods
from app.enrollments.models import Enrollment
from app.extensions import db, settings
from app.sessions.assurance import strength_of
from app.sessions.models import AuthSession


@dataclass(frozen=True, slots=True)
class AssuranceLevels:
    """The verification that a sensitive action requires of a user.

    :ivar required: strength that is required, 1 to 3
    :ivar enough: names of the methods that are strong enough, passkeys first, then in configured order
    :ivar weaker: names of the user's other methods
    :ivar in_cooldown: names of methods in their cooldown, which are only as strong as an emailed code
    :ivar second_factors: names of required second factors, if an emailed code alone would be strong enough otherwise
    """

    required: int
    enough: list[str]
    weaker: list[str]
    in_cooldown: frozenset[str] = frozenset()
    second_factors: frozenset[str] = frozenset()

    def satisfied_by(self, amr: str) -> bool:
        """Return whether this verification is strong enough and includes a second factor if one is required."""
        worth = self.worth_of(amr)
        return worth >= self.required and (
            worth > WEAK or not self.second_factors or bool(self.second_factors & set(amr.split(",")))
        )

    def worth_of(self, amr: str) -> int:
        """Return the strength of a verification for this user. Methods in their cooldown count as an emailed code."""
        names = set(amr.split(","))
        if self.in_cooldown & names:
            names -= self.in_cooldown | {"uv"}
            return max(WEAK, strength_of(names))
        return strength_of(names)


def assurance_levels_of(enrolled: Iterable[Enrollment], *, always: bool = False) -> AssuranceLevels:
    """Return the level required of a user with these enrollments: that of their strongest method (ASVS 7.5.3).

    Only enabled methods count, so that no one is asked for a method they can't use. If the user has passkeys, one
    statement looks up the strength of those past their cooldown.
    :param always: ignore ``LATCHKEY_FRESHNESS_STRENGTH=any``
    """
    rows, now = list(enrolled), clock.now()
    worth = {name: strength_of(name) for name in usable_methods(rows)}
    in_cooldown = {row.method for row in rows} - {row.method for row in rows if not row.in_cooldown(now)}
    for row in rows:
        method = method_of(row.method)
        if method.is_enabled and not method.is_typed:
            amr = passkeys.strongest_of(row.user_id)
            worth = {row.method: strength_of(amr)} | worth
            in_cooldown |= {row.method} if not amr else set()
    worth |= dict.fromkeys(in_cooldown & worth.keys(), WEAK)
    any_will_do = settings.freshness_strength == "any" and not always
    required = WEAK if any_will_do else max(worth.values(), default=WEAK)
    second_factors = frozenset(row.method for row in rows if row.is_second and row.method in worth)
    if any_will_do or required > WEAK or settings.second_factor == "off":
        second_factors = frozenset()
    enough = [
        name
        for name, strength in worth.items()
        if strength >= required and (not second_factors or name in second_factors)
    ]
    return AssuranceLevels(
        required, enough, [name for name in worth if name not in enough], frozenset(in_cooldown), second_factors
    )


def cooldown_end(session: AuthSession, enrolled: Sequence[Enrollment]) -> datetime | None:
    """Return the end of the cooldown of a method that ``session`` adds now; None if it has none.

    It has a cooldown if the session's last verification is weaker than the owner's strongest method, regardless of
    ``LATCHKEY_FRESHNESS_STRENGTH``.
    :param enrolled: the owner's enrollments, before the new method replaces an earlier one
    """
    if not settings.new_method_wait:
        return None
    if assurance_levels_of(enrolled, always=True).satisfied_by(session.proved_amr or ""):
        return None
    return clock.now() + settings.new_method_wait


@dataclass(frozen=True, slots=True)
class NewMethod:
    """A method in its cooldown.

    :ivar until: when the cooldown ends
    """

    name: str
    added_at: datetime
    until: datetime


def new_methods(user_id: int) -> list[NewMethod]:
    """Return the user's methods that are in their cooldown, with each passkey separately, newest first.

    One statement. Passkeys are read from their own table, since their shared enrollment row doesn't show the cooldown
    of a passkey that was added to others.
    """
    now = clock.now()
    enrolled, passkey = Enrollment.__table__.c, Passkey.__table__.c
    both = sa.union_all(
        sa.select(enrolled.method, enrolled.created_at, enrolled.weak_until).where(
            enrolled.user_id == user_id, enrolled.method != Passkey.method, enrolled.weak_until > now
        ),
        sa.select(sa.literal(Passkey.method), passkey.created_at, passkey.weak_until).where(
            passkey.user_id == user_id, passkey.weak_until > now
        ),
    )
    found = [NewMethod(*row) for row in db.session.execute(both)]
    return sorted(found, key=lambda each: each.added_at, reverse=True)
