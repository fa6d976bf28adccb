"""Magic links: open one, or approve it on another device to let the requesting browser continue.

A browser that opens a link it didn't request never gets a session (NIST SP 800-63B 3.1.3: approving isn't enough).
"""

from __future__ import annotations

from app import clock, throttling
from app.audit import record, signals
from app.authenticators.base import VerifiedFactor
from app.challenges import approvals
from app.challenges.magic_links import OpenedLink, open_link, registers_account
from app.challenges.models import Challenge
from app.challenges.service import spend
from app.client import ClientContext
from app.errors import Rejected
from app.extensions import settings
from app.login.pending import PendingState
from app.login.pipeline import PURPOSE, SignIn, complete_sign_in
from app.sessions.models import AuthSession
from app.users import User


def open_valid(token: str, client: ClientContext) -> OpenedLink:
    """Return the link of ``token`` if it still works.

    :raises Rejected: ``generic_authn_failed`` (explicit: ``invalid_code``), ``link_expired``
    """
    opened = open_link(token, PURPOSE)
    if opened is None:
        raise Rejected(error_code("invalid_code"))
    if not opened.challenge.is_open(clock.now()):
        raise expired_or_spent(opened, client)
    return opened


def is_requesting_browser(opened: OpenedLink, client: ClientContext) -> bool:
    """Return whether this browser requested the link."""
    return client.is_bound_to(opened.challenge.binding)


def follow(opened: OpenedLink, client: ClientContext) -> AuthSession | PendingState:
    """Sign in the browser that requested this link.

    :raises Rejected: as ``open_valid``; ``disabled_account`` in explicit mode
    """
    if opened.user is not None and not opened.user.is_active:
        raise Rejected(error_code("disabled_account"))
    if not spend(opened.challenge):
        raise expired_or_spent(opened, client)
    return _signed_in(opened.challenge, opened.user, client, remember=False, has_second=opened.has_second)


def expired_or_spent(opened: OpenedLink, client: ClientContext) -> Rejected:
    """Return the error for a link that no longer works, and record why, once per network address and window.

    Its ``next`` is the URL to continue to, for the page that requests another link.
    """
    why = "expired" if opened.has_expired else "spent"
    if throttling.first_in_window(f"link.{why}", opened.challenge.id, client.ip_address):
        challenge = opened.challenge
        record(
            "sign_in.failed", challenge.user_id, challenge_id=challenge.id, autocommit=True,
            reason=why, purpose=PURPOSE, method=challenge.method,
        )  # fmt: skip
    if opened.user is not None:
        signals.send(signals.user_failed_authn, user=opened.user, auth_type="code", tfa=False)
    rejected = expired() if why == "expired" else Rejected(error_code("invalid_code"))
    rejected.facts["next"] = opened.challenge.next
    return rejected


def expired() -> Rejected:
    """Return the error for an expired link."""
    return Rejected("link_expired", minutes=int(settings.email_code_lifetime.total_seconds() // 60))


def error_code(code: str) -> str:
    """Return ``code`` if explicit responses are enabled, else the generic error code."""
    return "generic_authn_failed" if settings.generic_responses else code


def record_opened_elsewhere(opened: OpenedLink, client: ClientContext) -> None:
    """Record that the link was opened in a browser that didn't request it, and how many seconds after it was sent.

    Recorded once per network address and window, since anyone with the link can open it as often as they like.
    """
    if is_requesting_browser(opened, client):
        return  # this browser only prefetched it
    if not throttling.first_in_window("link.opened_unbound", opened.challenge.id, client.ip_address):
        return
    after = int((clock.now() - opened.challenge.last_sent_at).total_seconds())
    record(
        "link.opened_unbound", opened.challenge.user_id, challenge_id=opened.challenge.id, autocommit=True,
        seconds=after,
    )  # fmt: skip


def approve(opened: OpenedLink, token: str, typed: str, client: ClientContext) -> None:
    """Let the browser that requested the link continue, if ``typed`` are the characters it shows.

    The attempt is counted before it is checked. Input in the wrong format isn't counted. Approving twice succeeds.
    :raises Rejected: ``link_characters_wrong``, ``link_refused`` if no try is left, ``too_many_requests``;
        otherwise as for a link that no longer works
    """
    throttling.check("failures", client.ip_address)
    if opened.user is not None and not opened.user.is_active:
        raise Rejected(error_code("disabled_account"))
    challenge = opened.challenge
    characters = approvals.read_characters(typed)
    if characters is None:
        raise Rejected("link_characters_wrong", field="characters")
    if not approvals.count_confirmation_try(challenge):
        return _decided(token, client)
    if not approvals.characters_match(challenge, opened.enrolled, characters):
        raise _wrong(opened, client)
    if not approvals.approve(challenge):
        return _decided(token, client)
    record("link.approved", opened.challenge.user_id, challenge_id=challenge.id)
    return None


def state(client: ClientContext) -> str:
    """Return the state of the link that ``client`` requested; ``expired`` if the link isn't theirs."""
    requested = approvals.requested_by(client, PURPOSE)
    return approvals.state_of(requested.challenge) if requested else approvals.EXPIRED


def continue_sign_in(client: ClientContext, *, remember: bool) -> tuple[AuthSession | PendingState, Challenge]:
    """Sign in the browser or API client that requested a link, after it was approved on another device.

    :raises Rejected: ``link_not_approved``, ``link_refused``, ``link_expired``; ``generic_authn_failed`` if it was
        already used (explicit: ``invalid_code``, ``disabled_account``)
    """
    requested = approvals.requested_by(client, PURPOSE)
    state = approvals.state_of(requested.challenge) if requested else approvals.EXPIRED
    if state == approvals.WAITING:
        raise Rejected("link_not_approved")
    if state == approvals.REFUSED:
        raise Rejected("link_refused")
    if requested is None or state == approvals.EXPIRED:
        raise expired()
    if state == approvals.SPENT or (requested.user is None and not registers_account(requested.challenge)):
        raise Rejected(error_code("invalid_code"))
    if requested.user is not None and not requested.user.is_active:
        raise Rejected(error_code("disabled_account"))
    if not approvals.spend_approved(requested.challenge):
        raise Rejected(error_code("invalid_code"))
    outcome = _signed_in(
        requested.challenge, requested.user, client, remember=remember, has_second=requested.has_second
    )
    return outcome, requested.challenge


def _signed_in(
    challenge: Challenge, user: User | None, client: ClientContext, *, remember: bool, has_second: bool
) -> AuthSession | PendingState:
    """Sign in with a link's challenge, which is already spent. Without a user, create the account."""
    factor = VerifiedFactor(challenge.method, challenge)
    return complete_sign_in(
        SignIn(client, remember, challenge.next, user=user, has_second=has_second, factors=(factor,))
    )


def _decided(token: str, client: ClientContext) -> None:
    """Return if the link is already approved; else raise why it can no longer be."""
    opened = open_link(token, PURPOSE)
    if opened is None:
        raise Rejected(error_code("invalid_code"))
    state = approvals.state_of(opened.challenge)
    if state == approvals.APPROVED:
        return
    if state in (approvals.REFUSED, approvals.WAITING):  # waiting: the request with the last try is still running
        raise Rejected("link_refused", field="characters")
    raise expired_or_spent(opened, client)


def _wrong(opened: OpenedLink, client: ClientContext) -> Rejected:
    ended = approvals.refuse_if_used_up(opened.challenge)
    name = "link.refused" if ended else "link.characters_wrong"
    record(name, opened.challenge.user_id, challenge_id=opened.challenge.id, autocommit=True)
    throttling.take("failures", client.ip_address)
    return Rejected("link_refused" if ended else "link_characters_wrong", field="characters")
