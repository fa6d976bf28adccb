"""Magic links: what opening one does, and for whom it does nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from app.audit import record, signals
from app.extensions import settings
from app.kit import clock, secrets
from app.kit.asking import Asker
from app.kit.refusals import Refused
from app.methods.challenges import spend
from app.methods.links import OpenedLink, has_expired, open_link
from app.methods.models import Challenge
from app.methods.proving import Proof
from app.sessions.models import AuthSession
from app.signin.flow import PURPOSE, finish
from app.users import User


@dataclass(frozen=True, slots=True)
class Followed:
    """What became of a link: a session here, or a page that says where it was asked for.

    :ivar session: opened just now, or None when this browser is not the one that asked
    """

    challenge: Challenge
    user: User
    session: AuthSession | None


def follow(token: str, asker: Asker) -> Followed:
    """Sign in the browser that asked for this link; change nothing for any other.

    :param asker: with an empty binding for a request that must not change anything, such as a prefetch
    :raises Refused: ``generic_authn_failed`` (explicit: ``invalid_code``, ``disabled_account``), ``link_expired``
    """
    opened = open_link(token, PURPOSE)
    if opened is None:
        raise Refused(_no("invalid_code"))
    if not opened.challenge.is_open(clock.now()):
        raise _over(opened, token)
    if not asker.binding or not secrets.same(asker.binding, opened.challenge.binding):
        return Followed(opened.challenge, opened.user, None)
    if not opened.user.is_active:
        raise Refused(_no("disabled_account"))
    if not spend(opened.challenge):
        raise _over(opened, token)
    session = finish(opened.user, Proof("email", opened.challenge), asker, remember=False)
    return Followed(opened.challenge, opened.user, session)


def _over(opened: OpenedLink, token: str) -> Refused:
    why = "expired" if has_expired(token) else "spent"
    facts: dict[str, Any] = {"reason": why, "purpose": PURPOSE, "method": "email"}
    record("sign_in.failed", opened.user.id, challenge_id=opened.challenge.id, at_once=True, **facts)
    signals.send(signals.user_failed_authn, user=opened.user, auth_type="code", tfa=False)
    if why == "expired":
        return Refused("link_expired", minutes=int(settings.email_code_lifetime.total_seconds() // 60))
    return Refused(_no("invalid_code"))


def _no(code: str) -> str:
    return "generic_authn_failed" if settings.generic_responses else code
