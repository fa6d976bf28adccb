"""Enrollments: begin, prove and confirm them; remove what is set up."""

from __future__ import annotations

from collections.abc import Sequence

from app import limits
from app.audit import record, signals
from app.kit.asking import Asker
from app.kit.refusals import Refused
from app.methods import REGISTRY, Challenge, challenges, codes, enrolling, enrollment, notices, removing
from app.methods.enrolling import Enrollment
from app.methods.handles import challenge_id_of
from app.methods.registry import enabled_methods
from app.methods.showing import TITLES
from app.sessions import guesses
from app.sessions.changing import shut_out_others as shut_out_others
from app.sessions.changing import take_turns as take_turns
from app.sessions.freshness import freshen
from app.sessions.models import AuthSession
from app.users import User, drop_identity, identities_of

PURPOSE = "setup"


def begin(user: User, session: AuthSession, method: str, phone: str | None, asker: Asker) -> Enrollment:
    """Begin to set up ``method``; the user's account stays as it is until this session proves it.

    :raises Refused: ``us_method_not_available`` on ``chosen_method``; ``phone_invalid`` or
        ``identity_already_associated`` on ``phone``; ``too_many_requests``
    """
    if method not in enabled_methods():
        raise Refused("us_method_not_available", field="chosen_method")
    limits.take("starts", asker.address)
    begun = enrolling.begin(user, method, phone, PURPOSE, session.family, asker)
    if REGISTRY[method].sends:
        signals.send(signals.us_security_token_sent, user=user, method=method, send_magic_link=False)
    return begun


def still_open(user: User, session: AuthSession, state: str) -> Enrollment | None:
    """Return the enrollment that ``state`` names, without its key, if this session can still prove it."""
    return enrolling.still_open(user, state, PURPOSE, session.family)


def confirm(user: User, session: AuthSession, state: str, passcode: str | int, asker: Asker) -> Challenge:
    """Store the enrollment that ``state`` names if ``passcode`` proves it, and this very session began it.

    :raises Refused: ``api_error`` or ``us_setup_expired`` on the form; ``invalid_password_code`` or a password's
        own refusal on ``passcode``; ``identity_already_associated`` when the number was taken meanwhile
    """
    challenge_id = challenge_id_of(state) or ""
    fitting = codes.methods_fitting(passcode)
    challenge = challenges.count_try_of(challenge_id, user.id, PURPOSE, session.family, fitting)
    if challenge is None:
        raise enrolling.why_not(user, challenge_id, PURPOSE, session.family)
    guess = guesses.reserve(user.id, "", family=session.family) if REGISTRY[challenge.method].sends else guesses.FREE
    if guess is None:
        raise Refused("invalid_password_code", field="passcode")
    take_turns(user, session)
    number_before = _number_of(user) if challenge.method == "sms" else ""
    enrolling.store(user, challenge, passcode, session.family)
    guesses.give_back(guess)
    if challenge.method != "password":  # which nobody has proved yet: it was only chosen
        freshen(session, challenge.method)
    shut_out_others(user, session, asker)
    also = [number_before] if number_before not in ("", challenge.destination) else []
    _tell(user, session, "factor.added", challenge.method, asker, challenge.id, also)
    signals.send(signals.us_profile_changed, user=user, methods=[challenge.method], delete=False)
    return challenge


def allow_removal(user: User, session: AuthSession, names: Sequence[str]) -> None:
    """Go on only if some way to sign in is left without ``names``; until the commit no other request can remove any.

    :raises Refused: ``us_method_not_available``, ``last_method`` or ``last_second_factor`` on ``delete_method``;
        ``api_error`` when the session has ended meanwhile
    """
    if any(name not in REGISTRY for name in names):
        raise Refused("us_method_not_available", field="delete_method")
    take_turns(user, session)
    removing.allow(user, names, "delete_method")


def remove(user: User, session: AuthSession, names: Sequence[str], asker: Asker) -> None:
    """Remove ways to sign in, which ``allow_removal`` let go. A removed phone number finds nobody any more."""
    gone = [name for name in dict.fromkeys(names) if enrollment.remove(user.id, name)]
    for name in gone:
        number = _number_of(user) if name == "sms" else ""
        if name == "sms":
            drop_identity(user, "phone")
        _tell(user, session, "factor.removed", name, asker, also=[number] if number else [])
    if gone:
        shut_out_others(user, session, asker)
        signals.send(signals.us_profile_changed, user=user, methods=gone, delete=True)


def _number_of(user: User) -> str:
    return identities_of(user.id).get("phone", "")


def _tell(
    user: User,
    session: AuthSession,
    event: str,
    name: str,
    asker: Asker,
    its_id: str | None = None,
    also: Sequence[str] = (),
) -> None:
    """Record what was done and tell the owner of it; a number that went, too, by its last text message."""
    record(event, user.id, challenge_id=its_id, method=name)
    done = event.partition(".")[2]
    notices.tell(user.id, f"{TITLES[name]} was {done}.", asker, also=also, family=session.family)
