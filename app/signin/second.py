"""The second step: a code proves it, and the sign-in that waited becomes a session."""

from __future__ import annotations

from typing import Any

from app import limits
from app.audit import record, signals
from app.extensions import db, settings
from app.kit.asking import Asker
from app.kit.refusals import Refused
from app.methods import challenges, codes, enrolling, notices, second
from app.methods.enrollment import enrolled_of, mark_second, note_family
from app.methods.explaining import Miss
from app.methods.proving import Proof
from app.methods.showing import TITLES
from app.sessions import arriving, pending, trust
from app.sessions.known import revoke_browsers
from app.sessions.models import AuthSession
from app.sessions.opening import end_all
from app.sessions.pending import Parked, Waiting
from app.users import hold

FAILED = (
    "Somebody got as far as the second step of signing in, and gave five wrong codes there. Nothing was opened. "
    "The first proof was right: {first}. If that was not you, see that nobody else has it."
)


def validate(code: str | int, asker: Asker) -> tuple[AuthSession, Waiting]:
    """Open the session of the sign-in under way, if ``code`` proves its second step.

    The code is counted before it is looked at; the fifth wrong one ends the sign-in. What cannot be a code
    is not counted.
    :raises Refused: ``two_factor_invalid_token`` on ``code``; ``two_factor_permission_denied`` when none is under
        way, or another step is due; ``two_factor_ended``; ``too_many_requests``
    """
    limits.allow("failures", asker.address)
    waiting = pending.get(asker)
    if not waiting.row.method:
        raise Refused("two_factor_permission_denied")
    if codes.tidy(code, codes.digits_of(waiting.row.method)) is None:
        raise Refused("two_factor_invalid_token", field="code")
    tries = pending.count_try(waiting)
    if not tries:
        raise Refused("two_factor_permission_denied")
    if waiting.row.state == second.SETUP:
        return _enrolled_and_in(waiting, _set_up(waiting, code, asker), asker), waiting
    method, question_id = waiting.row.method, waiting.row.question_id
    proof = second.prove(waiting.user.id, method, question_id, enrolled_of(waiting.user.id), code, asker)
    if isinstance(proof, Miss):
        raise _missed(waiting, proof, tries, asker)
    return arriving.complete(waiting, proof, asker), waiting


def trust_here(waiting: Waiting, asker: Asker) -> str:
    """Skip the second step of this account here for ``LATCHKEY_TRUST_FOR``; return a program's token, "" for a browser.

    After ``validate``, which has made a browser known.
    """
    if not settings.trust_for:
        return ""
    record("second_step.trusted", waiting.user.id)
    if not asker.keeps_cookies:
        return trust.trust_program(waiting.user.id, asker.agent)
    trust.trust_browser(waiting.user.id)
    return ""


def select(which: str, asker: Asker) -> Parked:
    """Ask for the second step by ``which``; a code that is sent goes out.

    :raises Refused: ``invalid_choice`` on ``which``; ``two_factor_permission_denied``; ``too_many_requests``
    """
    limits.take("starts", asker.address)
    waiting = pending.get(asker)
    if waiting.row.state == second.SETUP:
        raise Refused("two_factor_permission_denied")
    if which not in waiting.choices:
        raise Refused("invalid_choice", field="which")
    arriving.ask(waiting, which, asker)
    return Parked(waiting.row)


def _set_up(waiting: Waiting, code: str | int, asker: Asker) -> Proof:
    """Store the second factor that is set up on the way in, unless the account has got one meanwhile."""
    user, row = waiting.user, waiting.row
    fitting = codes.methods_fitting(code)
    challenge = challenges.count_try_of(row.question_id or "", user.id, second.SETUP_PURPOSE, row.id, fitting)
    if challenge is None:
        raise Refused("two_factor_setup_expired")
    hold(user.id)
    if not pending.hold(waiting) or any(each.method in second.SECONDS for each in enrolled_of(user.id)):
        raise Refused("two_factor_permission_denied")
    try:
        enrolling.store(user, challenge, code, None, field="code", as_second=True)
    except Refused as refused:
        limits.take("failures", asker.address)
        if refused.code == "invalid_password_code":
            raise Refused("two_factor_invalid_token", field="code") from None
        raise
    mark_second(user.id, challenge.method)
    record("factor.added", user.id, challenge_id=challenge.id, method=challenge.method)
    record("second_step.on", user.id, method=challenge.method)
    signals.send(signals.tf_profile_changed, user=user, method=challenge.method)
    return Proof(challenge.method, challenge)


def _enrolled_and_in(waiting: Waiting, proof: Proof, asker: Asker) -> AuthSession:
    """Open the session; as after any change of what is asked for, every other one ends, and the owner is told."""
    user_id = waiting.user.id
    revoke_browsers(user_id, but=asker.known)
    try:
        session = arriving.complete(waiting, proof, asker)
    except Refused:
        db.session.rollback()  # it ended at this very moment, and a factor must not stay without its sign-in
        raise
    note_family(user_id, proof.method, session.family)  # so that who denies the session takes it back
    end_all(user_id, but=session.family)
    what = f"Signing in asks for a second step from now on: {TITLES[proof.method]}."
    notices.tell(user_id, what, asker, family=session.family)
    return session


def _missed(waiting: Waiting, miss: Miss, tries: int, asker: Asker) -> Refused:
    limits.take("failures", asker.address)
    is_over = tries >= pending.TRIES
    facts: dict[str, Any] = {"reason": miss.reason, "method": waiting.row.method, "ended": is_over}
    record("second_step.failed", waiting.user.id, challenge_id=waiting.row.answered_id, at_once=True, **facts)
    signals.send(signals.user_failed_authn, user=waiting.user, auth_type="code", tfa=True)
    if not is_over:
        return Refused("two_factor_invalid_token", field="code")
    pending.end(asker)
    if limits.is_news("second_step.failed", str(waiting.user.id), asker.address):
        first = TITLES.get(waiting.row.amr.split(",")[0], "The first proof")
        notices.tell(waiting.user.id, FAILED.format(first=first), asker)
    return Refused("two_factor_ended", field="code")
