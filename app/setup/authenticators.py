"""Authenticator apps of somebody who is signed in: renamed and removed one by one. ``flow`` adds them."""

from __future__ import annotations

from app.audit import record, signals
from app.kit.asking import Asker
from app.kit.refusals import Refused
from app.methods import authenticators, notices, removing
from app.sessions.models import AuthSession
from app.setup.flow import shut_out_others, take_turns
from app.users import User


def rename(user: User, session: AuthSession, app_id: str, name: str) -> None:
    """Give one of the user's apps another name.

    :raises Refused: ``authenticator_not_found`` on ``id``; on ``name`` what is wrong with it; ``api_error`` when the
        session has ended meanwhile
    """
    tidy = authenticators.checked(name)
    take_turns(user, session)
    if not authenticators.rename(user.id, app_id, tidy):
        raise Refused("authenticator_not_found", field="id")
    record("authenticator.renamed", user.id, method=authenticators.METHOD)


def remove(user: User, session: AuthSession, app_id: str, asker: Asker) -> None:
    """Remove one of the user's apps; its codes are refused at once, and the others stay.

    :raises Refused: ``authenticator_not_found``, ``last_method`` or ``last_second_factor`` on ``id``; ``api_error``
        when the session has ended meanwhile
    """
    take_turns(user, session)
    if authenticators.find(user.id, app_id) is None:
        raise Refused("authenticator_not_found", field="id")
    removing.allow(user, [], "id", app=app_id)
    authenticators.remove(user.id, app_id)
    shut_out_others(user, session, asker)
    record("factor.removed", user.id, method=authenticators.METHOD)
    notices.tell(user.id, "An authenticator app was removed.", asker, family=session.family)
    signals.send(signals.us_profile_changed, user=user, methods=[authenticators.METHOD], delete=True)
