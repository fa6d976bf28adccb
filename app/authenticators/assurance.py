"""Assurance levels of a user's authenticators, and which are strong enough for a sensitive step."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from app import clock
from app.authenticators.webauthn import passkeys
from app.enrollments.catalog import WEAK, method_of, usable_methods
from app.enrollments.models import Enrollment
from app.extensions import settings
from app.sessions.assurance import strength_of


@dataclass(frozen=True, slots=True)
class AssuranceLevels:
    """What a sensitive step wants of somebody.

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
