"""Which sign-in methods may be removed: one way in is left, and a required second factor can be used."""

from __future__ import annotations

from collections.abc import Collection

from app.authenticators import enrollments
from app.authenticators.webauthn.passkeys import signs_in_alone
from app.enrollments.catalog import active_methods
from app.errors import Rejected
from app.extensions import settings
from app.login import second_factor
from app.users import User, identities_of


def allow_removal(user: User, names: Collection[str], field: str, *, but: str = "", app: str = "") -> None:
    """Go on only if the user can still sign in without ``names``. The caller holds the user's row.

    :param field: of the form, for a refusal
    :param but: id of a passkey that goes as well
    :param app: id of an authenticator app that goes as well
    :raises Rejected: ``last_method`` or ``last_second_factor`` on ``field``
    """
    if "sms" in names and not set(identities_of(user.id)) - {"phone"}:
        raise Rejected("last_method", field=field)
    enrolled = enrollments.enrolled_of(user.id)
    left = [row for row in enrolled if row.method not in names and row.id != app]
    had_any = but or active_methods(enrolled)
    if had_any and not active_methods(left) and not signs_in_alone(user.id, but=but):
        raise Rejected("last_method", field=field)
    seconds = [row.method for row in left if row.is_second]
    if seconds and not second_factor.leaves_a_way_in(left, seconds) and not signs_in_alone(user.id, but=but):
        raise Rejected("last_method", field=field)
    had, has = ([row for row in rows if row.method in second_factor.SECONDS] for rows in (enrolled, left))
    if settings.second_factor == "required" and had and not has:
        raise Rejected("last_second_factor", field=field)
