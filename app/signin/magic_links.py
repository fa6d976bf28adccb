"""What opening a magic link does, and when it does nothing."""

from __future__ import annotations

from typing import Any

from app import clock, throttling
from app.audit import record, signals
from app.authenticators.base import VerifiedFactor
from app.challenges.magic_links import OpenedLink, open_link
from app.challenges.service import spend
from app.client import ClientContext
from app.errors import Rejected
from app.extensions import settings
from app.login.pending import PendingState
from app.sessions.models import AuthSession
from app.signin.service import PURPOSE, finish, join


def open_good(token: str, client: ClientContext) -> OpenedLink:
    """Return what ``token`` names while that can still be answered.

    :raises Rejected: ``generic_authn_failed`` (explicit: ``invalid_code``), ``link_expired``
    """
    opened = open_link(token, PURPOSE)
    if opened is None:
        raise Rejected(no("invalid_code"))
    if not opened.challenge.is_open(clock.now()):
        raise over(opened, client)
    return opened


def is_here(opened: OpenedLink, client: ClientContext) -> bool:
    """Say whether this is the browser that asked; never for a request that must not change anything."""
    return client.is_bound_to(opened.challenge.binding)


def follow(opened: OpenedLink, token: str, client: ClientContext) -> AuthSession | PendingState:
    """Sign in the browser that asked for this link.

    :raises Rejected: as ``open_good``; ``disabled_account`` in explicit mode
    """
    if opened.user is not None and not opened.user.is_active:
        raise Rejected(no("disabled_account"))
    if not spend(opened.challenge):
        raise over(opened, client)
    proof, go_on = VerifiedFactor("email", opened.challenge), opened.challenge.next
    if opened.user is None:
        return join(proof, client, remember=False, next_page=go_on)
    return finish(opened.user, proof, client, remember=False, has_second=opened.has_second, next_page=go_on)


def over(opened: OpenedLink, client: ClientContext) -> Rejected:
    """Return the refusal of a link that was good once, after recording why, once for each address in a window.

    Its fact ``next`` is where the person was going, for the page that asks for another one.
    """
    why = "expired" if opened.has_expired else "spent"
    if throttling.is_news(f"link.{why}", opened.challenge.id, client.ip_address):
        facts: dict[str, Any] = {"reason": why, "purpose": PURPOSE, "method": "email"}
        record("sign_in.failed", opened.challenge.user_id, challenge_id=opened.challenge.id, at_once=True, **facts)
    if opened.user is not None:
        signals.send(signals.user_failed_authn, user=opened.user, auth_type="code", tfa=False)
    rejected = expired() if why == "expired" else Rejected(no("invalid_code"))
    rejected.facts["next"] = opened.challenge.next
    return rejected


def expired() -> Rejected:
    """Return the refusal of what is too old."""
    return Rejected("link_expired", minutes=int(settings.email_code_lifetime.total_seconds() // 60))


def no(code: str) -> str:
    """Return ``code`` where the operator wants explicit answers, else the one that tells nothing."""
    return "generic_authn_failed" if settings.generic_responses else code
