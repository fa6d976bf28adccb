"""Enrollments: begin, prove and confirm them; remove what is set up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from app import limits
from app.audit import record, signals
from app.extensions import db, keyring, settings
from app.kit import addresses, clock
from app.kit.asking import Asker
from app.kit.refusals import Refused
from app.methods import REGISTRY, Challenge, authenticator, challenges, codes, enrollment, notices, password
from app.methods.challenges import Question
from app.methods.handles import challenge_id_of
from app.methods.registry import active_methods, enabled_methods
from app.methods.sendbudget import may_be_texted
from app.methods.showing import TITLES
from app.sessions import guesses
from app.sessions.known import revoke_browsers
from app.sessions.models import AuthSession
from app.sessions.opening import end_all, is_denied, renew_token
from app.users import TypedIdentity, User, add_identity, drop_identity, find_by_identity, hold, identities_of

PURPOSE = "setup"


@dataclass(frozen=True, slots=True)
class Enrollment:
    """A method being set up, unproved.

    :ivar secret: base32 key of an authenticator, shown this once; "" for other methods
    """

    challenge: Challenge
    account: str
    secret: str = ""


def begin(user: User, method: str, phone: str | None, asker: Asker) -> Enrollment:
    """Begin to set up ``method``; the user's account stays as it is until it is proved.

    :raises Refused: ``us_method_not_available`` on ``chosen_method``; ``phone_invalid`` or
        ``identity_already_associated`` on ``phone``; ``too_many_requests``
    """
    if method not in enabled_methods():
        raise Refused("us_method_not_available", field="chosen_method")
    limits.take("starts", asker.address)
    mine = identities_of(user.id)
    destination, taken = mine.get(REGISTRY[method].reaches, ""), False
    if method == "sms":
        destination, taken = _number(phone, user)
    if method == "email" and not destination:
        raise Refused("us_method_not_available", field="chosen_method")
    secret = codes.new_secret()
    letter = "setup" if REGISTRY[method].sends else ""
    question = Question(
        PURPOSE,
        method,
        user.id,
        "",
        destination,
        pending_secret=secret,
        lifetime=settings.us_setup_within,
        letter=letter,
        silent=taken,
    )
    challenge = challenges.ask(question, asker)
    return Enrollment(challenge, _account(mine), secret if method == "authenticator" else "")


def still_open(user: User, state: str) -> Enrollment | None:
    """Return the enrollment that ``state`` names, without its key, if this user can still prove it."""
    challenge_id = challenge_id_of(state)
    challenge = challenges.find(challenge_id, PURPOSE) if challenge_id else None
    if challenge is None or challenge.user_id != user.id or not challenge.is_open(clock.now()):
        return None
    if challenge.tries >= settings.challenge_tries:
        return None
    return Enrollment(challenge, _account(identities_of(user.id)))


def confirm(user: User, session: AuthSession, state: str, passcode: str | int, asker: Asker) -> Challenge:
    """Store the enrollment that ``state`` names if ``passcode`` proves it.

    :raises Refused: ``api_error`` or ``us_setup_expired`` on the form; ``invalid_password_code`` or a password's
        own refusal on ``passcode``; ``identity_already_associated`` when the number was taken meanwhile
    """
    challenge_id = challenge_id_of(state) or ""
    challenge = challenges.count_try_of(challenge_id, user.id, PURPOSE)
    if challenge is None:
        raise _why_not(challenge_id, user)
    guess = guesses.reserve(user.id, "", family=session.family) if REGISTRY[challenge.method].sends else guesses.FREE
    if guess is None:
        raise Refused("invalid_password_code", field="passcode")
    _take_turns(user, session)
    if challenge.method == "password":
        _store_password(challenge, passcode, session.family)
    else:
        _store_proved(user, challenge, passcode, session.family)
    guesses.give_back(guess)
    _shut_out_others(user, session, asker)
    _tell(user, session, "factor.added", challenge.method, asker, challenge.id)
    signals.send(signals.us_profile_changed, user=user, methods=[challenge.method], delete=False)
    return challenge


def allow_removal(user: User, names: Sequence[str]) -> None:
    """Go on only if some way to sign in is left without ``names``; until the commit no other request can remove any.

    :raises Refused: ``us_method_not_available`` or ``last_method`` on ``delete_method``
    """
    if any(name not in REGISTRY for name in names):
        raise Refused("us_method_not_available", field="delete_method")
    _take_turns(user)
    if "sms" in names and not set(identities_of(user.id)) - {"phone"}:
        raise Refused("last_method", field="delete_method")
    active = active_methods(enrollment.enrolled_of(user.id))
    if active and not set(active) - set(names):
        raise Refused("last_method", field="delete_method")


def remove(user: User, session: AuthSession, names: Sequence[str], asker: Asker) -> None:
    """Remove ways to sign in, which ``allow_removal`` let go. A removed phone number finds nobody any more."""
    gone = [name for name in dict.fromkeys(names) if enrollment.remove(user.id, name)]
    for name in gone:
        if name == "sms":
            drop_identity(user, "phone")
        _tell(user, session, "factor.removed", name, asker)
    if gone:
        _shut_out_others(user, session, asker)
        signals.send(signals.us_profile_changed, user=user, methods=gone, delete=True)


def _take_turns(user: User, session: AuthSession | None = None) -> None:
    """Hold the user's row until the commit: two changes of one account come one after the other.

    :param session: that asks for the change; when it was denied meanwhile, nothing is changed any more
    :raises Refused: ``api_error`` when it was
    """
    hold(user.id)
    if session is not None and is_denied(session.family):
        raise Refused("api_error")


def _store_password(challenge: Challenge, typed: str | int, family: str) -> None:
    try:
        hashed = password.hash_password(str(typed))
    except Refused as refused:
        raise Refused(refused.code, field="passcode", **refused.facts) from None
    if not challenges.spend(challenge):
        raise Refused("api_error")
    enrollment.replace(challenge.user_id or 0, "password", hashed, family=family)


def _store_proved(user: User, challenge: Challenge, passcode: str | int, family: str) -> None:
    root = keyring.open(challenge.secret, *codes.challenge_context(challenge))
    step = 0
    if challenge.method == "authenticator":
        step = authenticator.proven_step(root.decode(), passcode, 0) or 0
        proved = step > 0
    else:
        typed = codes.tidy(passcode, codes.digits_of(challenge.method))
        live = clock.now() < challenge.passcode_expires_at and challenge.sends > 0
        proved = live and typed is not None and codes.passcode_matches(challenge, root, typed)
    if not proved:
        late = clock.now() >= challenge.passcode_expires_at and challenge.method != "authenticator"
        facts: dict[str, Any] = {
            "reason": "expired" if late else "wrong_code",
            "purpose": PURPOSE,
            "method": challenge.method,
        }
        record("challenge.failed", user.id, challenge_id=challenge.id, **facts)
        raise Refused("invalid_password_code", field="passcode")
    if not challenges.spend(challenge):
        raise Refused("api_error")
    if challenge.method == "sms":
        with db.session.begin_nested():  # a number taken meanwhile leaves the old one where it was
            drop_identity(user, "phone")
            add_identity(user, TypedIdentity("phone", challenge.destination), confirmed=True)
    enrollment.replace(user.id, challenge.method, root.decode(), last_step=step, family=family)


def _account(mine: dict[str, str]) -> str:
    """Return what an authenticator app calls the account."""
    return mine.get("email") or mine.get("username") or mine.get("phone", "")


def _shut_out_others(user: User, session: AuthSession, asker: Asker) -> None:
    """End the user's other sessions, know no other browser, and change this one's token (ASVS 7.4.3, 7.2.4)."""
    end_all(user.id, but=session.family)
    revoke_browsers(user.id, but=asker.known)
    if session.kind == "browser":
        renew_token(session)


def _number(phone: str | None, user: User) -> tuple[str, bool]:
    """Return the number, and whether somebody else has it; only explicit answers say so before it is proved."""
    try:
        number = addresses.phone(phone or "", settings.phone_region_default)
    except addresses.InvalidAddress:
        raise Refused("phone_invalid", field="phone") from None
    if not may_be_texted(number):
        raise Refused("phone_country_unavailable", field="phone")
    owner = find_by_identity(TypedIdentity("phone", number))
    if owner is not None and (owner.id == user.id or not settings.generic_responses):
        raise Refused("identity_already_associated", field="phone")
    return number, owner is not None


def _why_not(challenge_id: str, user: User) -> Refused:
    """Tell an enrollment that took too long, or was guessed at, from a state that was never this user's."""
    challenge = challenges.find(challenge_id, PURPOSE) if challenge_id else None
    if challenge is None or challenge.user_id != user.id:
        return Refused("api_error")
    late = clock.now() >= challenge.expires_at
    why = "spent" if challenge.spent_at is not None else "expired" if late else "budget_spent"
    facts: dict[str, Any] = {"reason": why, "purpose": PURPOSE, "method": challenge.method}
    record("challenge.failed", user.id, challenge_id=challenge.id, at_once=True, **facts)
    if challenge.spent_at is not None:
        return Refused("api_error")
    if late:
        return Refused("us_setup_expired")
    return Refused("invalid_password_code", field="passcode")


def _tell(user: User, session: AuthSession, event: str, name: str, asker: Asker, its_id: str | None = None) -> None:
    record(event, user.id, challenge_id=its_id, method=name)
    done = event.partition(".")[2]
    notices.tell(user.id, f"{TITLES[name]} was {done}.", asker, family=session.family)
