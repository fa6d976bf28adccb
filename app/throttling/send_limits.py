"""How much may be sent to one account or number. Known browsers have a share of their own."""

from __future__ import annotations

from collections.abc import Sequence

from app.enrollments.catalog import METHODS
from app.extensions import settings

SETTING_UP = ("setup", "second_setup")
"""Purposes of challenges by which a number is set up."""


def turns_at(method: str, purpose: str, subject: str, destination: str) -> list[str]:
    """Return whose turn a request takes: the account's, and for SMS the number's.

    A second step's code takes its turn at the number alone, whose budget it is. It is sent while the answer to the
    first challenge is being stored, and who asks for that one again has the account's turn: the two would wait for each
    other.
    """
    number = [destination] if METHODS[method].sends == "sms" else []
    return number if number and purpose == "second" else [subject, *number]


def is_within(method: str, purpose: str, used: Sequence[int], most_open: int, *, is_known: bool) -> bool:
    """Say whether one more send stays within every budget.

    A browser that the account knows has as many mails of its own as strangers have, and a few SMS; but however many
    such browsers say they are, no more than for both leave.
    :param used: sends of the hour and the day and what waits, of everybody and then of this browser alone; and how
        often the account has begun to set this method up within the hour, sent or not: a number that is taken counts
        like a free one
    """
    *everybodys, hour, day, waiting, set_ups = used
    if METHODS[method].sends == "sms":
        more = settings.sms_known_browser if is_known else 0
        most = (settings.sms_per_hour + more, settings.sms_per_day + more, most_open + more)
        return _is_below(everybodys, most) and (purpose not in SETTING_UP or set_ups < settings.sms_setups_per_hour)
    most = (settings.mails_per_hour, settings.mails_per_day, most_open)
    if not is_known:
        return _is_below(everybodys, most)
    return _is_below((hour, day, waiting), most) and _is_below(everybodys, [2 * each for each in most])


def _is_below(used: Sequence[int], most: Sequence[int]) -> bool:
    return all(count < figure for count, figure in zip(used, most, strict=True))
