"""When the second step can't be taken: use a recovery code, or ask the operator for help."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from app import outbox, throttling
from app.audit import record, signals
from app.authenticators import recovery_codes
from app.challenges.diagnosis import VerificationFailure
from app.client import ClientContext
from app.errors import Rejected
from app.extensions import settings
from app.login import completion, pending, second_factor
from app.login.pending import StartedPending
from app.notifications.notices import notify_of_use
from app.sessions.models import AuthSession
from app.users import identities_of


def options(waiting: StartedPending) -> dict[str, str]:
    """Return by name where somebody goes who can't take the step. Mail is none: it never stands in for a factor.

    A recovery code is offered to whoever has one left.
    """
    if waiting.row.state == second_factor.SETUP:
        return {}
    found = {"recovery_code": "/mf-recovery"} if recovery_codes.stock_of(waiting.user.id).left else {}
    return found | ({"help": "/tf-rescue"} if settings.support_mail else {})


def use_code(code: str | int, client: ClientContext) -> tuple[AuthSession, StartedPending]:
    """Open the session of the sign-in under way, if ``code`` is one of its owner's recovery codes.

    It is counted before it is looked at, among the five codes that a sign-in has, and among the guesses at recovery
    codes that the account has in an hour; what cannot be a code counts as neither.
    :raises Rejected: ``invalid_recovery_code`` on ``code``; ``two_factor_permission_denied`` when no sign-in is under
        way, or it has to set a factor up; ``two_factor_ended``; ``too_many_requests``
    """
    throttling.allow("failures", client.ip_address)
    waiting = pending.get(client)
    if waiting.row.state == second_factor.SETUP:
        raise Rejected("two_factor_permission_denied")
    if recovery_codes.read(code) is None:
        raise Rejected("invalid_recovery_code", field="code")
    tries = pending.count_try(waiting)
    if not tries:
        raise Rejected("two_factor_permission_denied")
    found = recovery_codes.find(waiting.user.id, code)
    if isinstance(found, VerificationFailure):
        raise _missed(waiting, found, tries, client)
    if not pending.hold(waiting):  # another request was first, and this code is good for another time
        raise Rejected("two_factor_permission_denied")
    proof = recovery_codes.use(found)
    if isinstance(proof, VerificationFailure):
        raise _missed(waiting, proof, tries, client)
    session = completion.complete(waiting, proof, client)
    notify_of_use(waiting.user.id, client, session.session_id)
    return session, waiting


def ask_for_help(client: ClientContext) -> StartedPending:
    """Tell whoever runs the service, by mail, that somebody can't take the second step; once in a while for each.

    :raises Rejected: ``invalid_choice`` on ``help_setup`` where nobody is to be asked; ``two_factor_permission_denied``
    """
    throttling.take("starts", client.ip_address)
    waiting = pending.get(client)
    if not settings.support_mail:
        raise Rejected("invalid_choice", field="help_setup")
    if throttling.is_news("help", str(waiting.user.id), client.ip_address):
        whose = ", ".join(_without_links(identities_of(waiting.user.id)))
        facts: dict[str, Any] = {"whose": whose, "agent": client.user_agent, "address": client.ip_address}
        outbox.enqueue("help_asked", "mail", settings.support_mail, user_id=waiting.user.id, **facts)
        record("second_step.help_asked", waiting.user.id)
    return waiting


def _without_links(identities: Mapping[str, str]) -> list[str]:
    """Return what finds an account, to be told by mail: a username that is a host's name would become a link there."""
    return [value.replace(".", " dot ") if kind == "username" else value for kind, value in identities.items()]


def _missed(waiting: StartedPending, miss: VerificationFailure, tries: int, client: ClientContext) -> Rejected:
    throttling.take("failures", client.ip_address)
    is_over = tries >= pending.TRIES
    facts = {"reason": miss.reason, "method": recovery_codes.METHOD, "ended": is_over}
    record("second_step.failed", waiting.user.id, challenge_id=waiting.row.answered_id, at_once=True, **facts)
    signals.send(signals.user_failed_authn, user=waiting.user, auth_type="recovery_code", tfa=True)
    if not is_over:
        return Rejected("invalid_recovery_code", field="code")
    pending.end(client)
    return Rejected("two_factor_ended", field="code")
