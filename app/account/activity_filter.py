"""Which events a filter of the account's activity shows, and which wrong codes were their owner's own mistake."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Any

import sqlalchemy as sa

from app.audit import Event
from app.errors import Rejected
from app.extensions import db
from app.i18n import N_

FILTERS = {
    "all": N_("All activity"),
    "sign_ins": N_("Sign-ins"),
    "changes": N_("Changes"),
    "warnings": N_("Security warnings"),
}
"""By the value of ``show``, what each filter is called."""

_SIGN_INS = (
    "sign_in.", "sign_in_link.", "session.", "link.", "app.signed_", "app.token_reused", "budget.", "challenge.started",
    "refresh.", "recovery.code_used", "second_step.asked", "second_step.failed", "second_step.skipped",
)  # fmt: skip
"""How the names of events of signing in and out begin; what isn't one of them is a change."""

_FAILURES = ("challenge.failed", "delivery.failed", "passkey.counter_regressed", "second_step.failed", "sign_in.failed")
_OF_LINKS = ("link.characters_wrong", "link.denied_by_user", "link.refused")
WARNINGS = frozenset(
    ("app.token_reused", "budget.exhausted", "recovery.started", "refresh.reused", *_FAILURES, *_OF_LINKS)
)
"""What went wrong, or what a stranger may have done."""

_MISTAKES = ("wrong_code", "older_code", "expired", "spent")
_SIGNED_IN = ("sign_in.succeeded", "sign_in.step_up")
_PUT_RIGHT_BY = {
    "sign_in.failed": _SIGNED_IN,
    "second_step.failed": _SIGNED_IN,
    "challenge.failed": ("factor.added", "second_step.on", "address.added", "address.change_confirmed"),
}
"""By a failure, what says that the person who made it knew the code after all."""

PUT_RIGHT_WITHIN = timedelta(minutes=15)
_MOST = 1000
"""Events that are looked at; a failure whose success is beyond them stays a warning."""

_c = Event.__table__.c


def names_shown(show: str, names: Iterable[str]) -> list[str]:
    """Return those of ``names`` that the filter ``show`` lets through.

    :raises Rejected: ``api_error`` when there is no such filter
    """
    if show not in FILTERS:
        raise Rejected("api_error", field="show")
    return [name for name in names if _is_shown(show, name)]


def own_mistakes(user_id: int, events: Sequence[Event]) -> set[int]:
    """Return the ids of the failures among ``events`` that are no alarm. One statement, or none.

    Those are a single failure of a browser that was followed by its success within ``PUT_RIGHT_WITHIN``. A second one
    in that time may have been guessing, so both stay warnings.
    """
    failures = [event for event in events if _may_be_mistake(event)]
    if not failures:
        return set()
    times = [event.at for event in failures]
    near = _c.at.between(min(times) - PUT_RIGHT_WITHIN, max(times) + PUT_RIGHT_WITHIN)
    names = {*_PUT_RIGHT_BY, *(name for names in _PUT_RIGHT_BY.values() for name in names)}
    columns = sa.select(_c.id, _c.at, _c.name, _c.agent, _c.address)
    found = columns.where(_c.user_id == user_id, near, _c.name.in_(sorted(names))).order_by(_c.at, _c.id).limit(_MOST)
    around = db.session.execute(found).all()
    return {event.id for event in failures if _is_put_right(event, around)}


def _is_shown(show: str, name: str) -> bool:
    if show == "warnings":
        return name in WARNINGS
    return show == "all" or name.startswith(_SIGN_INS) is (show == "sign_ins")


def _may_be_mistake(event: Event) -> bool:
    is_typed = event.name != "sign_in.failed" or event.facts.get("reason") in _MISTAKES
    return event.name in _PUT_RIGHT_BY and is_typed and bool(event.agent)


def _is_put_right(failure: Event, around: Sequence[Any]) -> bool:
    browser = (failure.agent, failure.address)
    same = [row for row in around if (row.agent, row.address) == browser and row.id != failure.id]
    near = [row for row in same if abs(row.at - failure.at) <= PUT_RIGHT_WITHIN]
    alone = not any(row.name in _PUT_RIGHT_BY for row in near)
    return alone and any(row.name in _PUT_RIGHT_BY[failure.name] and row.at >= failure.at for row in near)
