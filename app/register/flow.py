"""Opening an account: nothing is opened before its address is proved."""

from __future__ import annotations

from typing import Any

from app import limits
from app.audit import record, signals
from app.extensions import settings
from app.kit import addresses, clock
from app.kit.asking import Asker
from app.kit.refusals import Refused
from app.methods import Challenge, EnrolledMethod, enrollment, password, reaching
from app.methods.challenges import Question, ask, spend
from app.methods.explaining import Miss
from app.methods.first_proof import prove_address
from app.methods.links import OpenedLink, has_expired, open_link
from app.methods.proving import Proof, prove
from app.methods.reaching import Reached
from app.register.opening import keep_password, open_account
from app.sessions.arriving import arrive
from app.sessions.models import AuthSession
from app.sessions.pending import Parked
from app.users import TypedIdentity, User, find_by_identity

CONFIRM = "confirm"


def register(email: str, new_password: str | None, asker: Asker, next_page: str = "") -> Challenge:
    """Open an account for ``email`` and send the code and link that confirm it; return their challenge.

    In generic mode somebody who has an account gets the same answer, and a mail that says so.
    :raises Refused: ``invalid_email_address``, ``password_...``, ``registration_closed``, ``too_many_requests``,
        ``too_many_messages``;
        in explicit mode ``email_already_associated``
    """
    if not settings.registration:
        raise Refused("registration_closed", status=403)
    limits.take("starts", asker.address)
    typed = _read(email)
    hashed = password.hash_password(new_password, [typed.value]) if new_password else None
    found = reaching.reach(typed, "email")
    if found is not None and not settings.generic_responses:
        raise Refused("email_already_associated", field="email", email=typed.value)
    reached = open_account(typed, found)
    if reached.user.confirmed_at is not None:
        signals.send(signals.user_not_registered, user=reached.user, existing_email=True, existing_username=False)
        challenge = ask(_question(reached.user.id, typed.value, None, next_page, letter="already_registered"), asker)
    else:
        challenge = _send_confirmation(reached, typed.value, asker, next_page)
    if hashed:
        keep_password(reached, hashed, challenge.binding, asker)
    return challenge


def send_again(email: str, asker: Asker, next_page: str = "") -> Challenge:
    """Send the confirmation once more, to an address that waits for it.

    :param next_page: where its owner goes on; a request that is still open keeps its own
    :raises Refused: ``too_many_requests``, ``too_many_messages``; in explicit mode ``user_does_not_exist`` or
        ``already_confirmed``
    """
    limits.take("starts", asker.address)
    typed = _read(email)
    reached = reaching.reach(typed, "email")
    if not settings.generic_responses and reached is None:
        raise Refused("user_does_not_exist", field="email")
    if not settings.generic_responses and reached is not None and reached.user.confirmed_at is not None:
        raise Refused("already_confirmed", field="email")
    if reached is None or reached.user.confirmed_at is not None or not reached.user.is_active:
        user_id = reached.user.id if reached else None
        return ask(_question(user_id, typed.value, None, next_page, letter="confirm", silent=True), asker)
    return _send_confirmation(reached, typed.value, asker, next_page)


def confirm_by_code(
    email: str, passcode: str | int, asker: Asker, *, remember: bool = False
) -> tuple[AuthSession | Parked, str]:
    """Confirm ``email`` by the code in its mail, and sign its owner in; return also where they were going.

    :raises Refused: ``invalid_password_code`` on ``passcode``; ``too_many_requests``
    """
    limits.allow("failures", asker.address)
    typed = _read(email)
    user = find_by_identity(typed)
    user_id = user.id if user else None
    enrolled = enrollment.enrolled_of(user_id)
    proof = prove(CONFIRM, user_id, typed.value, enrolled, passcode, asker, sent_only=True)
    challenge, guess = (None, None) if isinstance(proof, Miss) else (proof.challenge, proof.guess)
    if user is None or challenge is None or not user.is_active:
        limits.take("failures", asker.address)
        miss = proof if isinstance(proof, Miss) else Miss("refused", challenge.id if challenge else None)
        facts: dict[str, Any] = {"reason": miss.reason, "error": "invalid_password_code", "purpose": CONFIRM}
        record("sign_in.failed", user_id, challenge_id=miss.challenge_id, at_once=True, **facts)
        raise Refused("invalid_password_code", field="passcode")
    prove_address(user, challenge, browsers=(challenge.binding, *asker.bindings))
    has_second = any(row.is_second for row in enrolled)
    proof = Proof("confirm", challenge, guess=guess)
    on = challenge.next
    return arrive(user, proof, asker, remember=remember, has_second=has_second, next_page=on), on


def look_at_link(token: str, asker: Asker) -> tuple[OpenedLink, bool]:
    """Return what a confirmation link names, and whether this is the browser that asked.

    :raises Refused: ``invalid_confirmation_token``, ``confirmation_expired`` or ``already_confirmed``
    """
    opened = open_link(token, CONFIRM)
    if opened is None or opened.user is None or not opened.user.is_active:
        raise Refused("invalid_confirmation_token")
    if opened.user.confirmed_at is not None or opened.challenge.spent_at is not None:
        raise _over(opened, asker, "spent", "already_confirmed")
    if not opened.challenge.is_open(clock.now()) or has_expired(token):
        raise _over(opened, asker, "expired", "confirmation_expired")
    here = asker.is_bound_to(opened.challenge.binding)
    return opened, here


def confirm_by_link(token: str, asker: Asker) -> tuple[User, AuthSession | Parked | None]:
    """Confirm the address that ``token`` was mailed to; sign in only the browser that asked.

    :raises Refused: as ``look_at_link``
    """
    opened, here = look_at_link(token, asker)
    challenge, user = opened.challenge, opened.user
    assert user is not None  # look_at_link has seen to it
    if not spend(challenge):
        raise Refused("already_confirmed")
    prove_address(user, challenge, browsers=asker.bindings if here else ())
    if not here:
        return user, None
    proof, on = Proof("confirm", challenge), challenge.next
    return user, arrive(user, proof, asker, remember=False, has_second=opened.has_second, next_page=on)


def _over(opened: OpenedLink, asker: Asker, why: str, code: str) -> Refused:
    """Return the refusal of a link that was good once, after recording why, once for each address in a window."""
    if limits.is_news(f"link.{why}", opened.challenge.id, asker.address):
        facts: dict[str, Any] = {"reason": why, "purpose": CONFIRM, "method": "email"}
        record("challenge.failed", opened.challenge.user_id, challenge_id=opened.challenge.id, at_once=True, **facts)
    return Refused(code)


def _send_confirmation(reached: Reached, email: str, asker: Asker, next_page: str = "") -> Challenge:
    signals.send(signals.confirm_instructions_sent, user=reached.user, confirmation_token=None)
    return ask(_question(reached.user.id, email, reached.enrolled, next_page, letter="confirm"), asker)


def _question(user_id: int | None, email: str, mailbox: EnrolledMethod | None, next_page: str, **how: Any) -> Question:
    """Return the question whether ``email`` is one's own: the same one whoever has it, answered only with a mailbox."""
    how |= {"lifetime": settings.confirm_email_within, "next": next_page, "is_unproved": True}
    return Question(CONFIRM, "email", user_id, email, email, mailbox, **how)


def _read(email: str) -> TypedIdentity:
    try:
        return TypedIdentity("email", addresses.email(email))
    except addresses.InvalidAddress:
        raise Refused("invalid_email_address", field="email") from None
