"""Assurance levels of a user's authenticators, and the cooldown in which a new one counts as weak.

An intruder who only has the owner's mailbox may have added it. For ``LATCHKEY_NEW_METHOD_WAIT`` it is worth no more
than a mailed code: it can't remove or replace the older methods, stand in for them, or ask more of the owner than they
do. Every address and phone of the account is told.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from app import clock
from app.authenticators.models import Passkey
from app.authenticators.webauthn import passkeys
from app.enrollments.catalog import WEAK, method_of, usable_methods
from app.enrollments.models import Enrollment
from app.extensions import db, settings
from app.sessions.assurance import strength_of
from app.sessions.models import AuthSession


@dataclass(frozen=True, slots=True)
class AssuranceLevels:
    """What a sensitive action requires of a user.

    :ivar wanted: what a proof must be worth, 1 to 3
    :ivar enough: names of the methods by which such a proof can be given, passkeys first, then in configured order
    :ivar weaker: names of the others
    :ivar held: names among these that count no more than a mailed code for now (``cooldown``)
    :ivar asked: names of the second step, where it is all that keeps a mailed code from being enough
    """

    wanted: int
    enough: list[str]
    weaker: list[str]
    held: frozenset[str] = frozenset()
    asked: frozenset[str] = frozenset()

    def satisfied_by(self, amr: str) -> bool:
        """Say whether this proof is enough: where a second step is asked for, only with what it asks for in it."""
        worth = self.worth_of(amr)
        return worth >= self.wanted and (worth > WEAK or not self.asked or bool(self.asked & set(amr.split(","))))

    def worth_of(self, amr: str) -> int:
        """Return what a proof is worth for this user: one by what is held no more than a mailed code."""
        names = set(amr.split(","))
        if self.held & names:
            names -= self.held | {"uv"}
            return max(WEAK, strength_of(names))
        return strength_of(names)


def assurance_levels_of(enrolled: Iterable[Enrollment], *, always: bool = False) -> AssuranceLevels:
    """Return what is wanted of whom ``enrolled`` belongs to: a proof as strong as the strongest (ASVS 7.5.3).

    Only methods that the operator allows count, so that nobody is asked for what does not work here. Who has passkeys
    costs one statement: what those are worth that are past their cooldown.
    :param always: also where ``LATCHKEY_FRESHNESS_STRENGTH`` is ``any``
    """
    rows, now = list(enrolled), clock.now()
    worth = {name: strength_of(name) for name in usable_methods(rows)}
    held = {row.method for row in rows} - {row.method for row in rows if not row.in_cooldown(now)}
    for row in rows:
        method = method_of(row.method)
        if method.is_enabled and not method.is_typed:
            amr = passkeys.strongest_of(row.user_id)
            worth = {row.method: strength_of(amr)} | worth
            held |= {row.method} if not amr else set()
    worth |= dict.fromkeys(held & worth.keys(), WEAK)
    any_will_do = settings.freshness_strength == "any" and not always
    wanted = WEAK if any_will_do else max(worth.values(), default=WEAK)
    asked = frozenset(row.method for row in rows if row.is_second and row.method in worth)
    if any_will_do or wanted > WEAK or settings.second_factor == "off":
        asked = frozenset()
    enough = [name for name, strength in worth.items() if strength >= wanted and (not asked or name in asked)]
    return AssuranceLevels(wanted, enough, [name for name in worth if name not in enough], frozenset(held), asked)


def ends_at(session: AuthSession, enrolled: Sequence[Enrollment]) -> datetime | None:
    """Return until when a method that ``session`` adds now counts as weak; None when it counts at once.

    It waits when the session's last proof is worth less than the strongest that its owner can give, whatever
    ``LATCHKEY_FRESHNESS_STRENGTH`` asks for.
    :param enrolled: what the owner has set up, before the new method takes the place of an earlier one
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
    """Return the methods of a user that are in their cooldown, each passkey for itself, the newest first.

    One statement. The row that stands for all passkeys says nothing of one that was added beside another.
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
