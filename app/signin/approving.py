"""A link opened elsewhere: the person carries characters there, and the browser that asked goes on by itself.

The browser that opens the link never gets a session (NIST SP 800-63B 3.1.3: approving alone is not enough).
"""

from __future__ import annotations

from app import limits
from app.audit import record
from app.kit import clock
from app.kit.asking import Asker
from app.kit.refusals import Refused
from app.methods import Challenge, carrying
from app.methods.links import OpenedLink, open_link
from app.methods.newcomers import is_newcomers
from app.methods.proving import Proof
from app.sessions.models import AuthSession
from app.sessions.pending import Parked
from app.signin.flow import PURPOSE, finish, join
from app.signin.links import expired, is_here, no, over


def note_elsewhere(opened: OpenedLink, asker: Asker) -> None:
    """Record that the link was opened in a browser that did not ask, and how many seconds after the mail.

    Once for each network address in a window: whoever has the link can open it as often as they like.
    """
    if is_here(opened, asker):
        return  # it only looked ahead
    if not limits.is_news("link.opened_unbound", opened.challenge.id, asker.address):
        return
    after = int((clock.now() - opened.challenge.last_sent_at).total_seconds())
    record(
        "link.opened_unbound", opened.challenge.user_id, challenge_id=opened.challenge.id, at_once=True, seconds=after
    )


def approve(opened: OpenedLink, token: str, typed: str, asker: Asker) -> None:
    """Let the browser that asked go on, if ``typed`` are the characters that it shows.

    The try is counted before it is looked at; what cannot be those characters is no try. Who approves what is approved
    already has done it.
    :raises Refused: ``link_characters_wrong``, ``link_refused`` when no try is left, ``too_many_requests``;
        otherwise as for a link that is over
    """
    limits.allow("failures", asker.address)
    if opened.user is not None and not opened.user.is_active:
        raise Refused(no("disabled_account"))
    challenge = opened.challenge
    characters = carrying.read_characters(typed)
    if characters is None:
        raise Refused("link_characters_wrong", field="characters")
    if not carrying.count_carry(challenge):
        return _decided(token, asker)
    if not carrying.are_right(challenge, opened.enrolled, characters):
        raise _wrong(opened, asker)
    if not carrying.approve(challenge):
        return _decided(token, asker)
    record("link.approved", opened.challenge.user_id, challenge_id=challenge.id)
    return None


def state(asker: Asker) -> str:
    """Return what became of the link that ``asker`` was mailed; what is not theirs reads as expired."""
    asked = carrying.asked_by(asker, PURPOSE)
    return carrying.state_of(asked.challenge) if asked else carrying.EXPIRED


def go_on(asker: Asker, *, remember: bool) -> tuple[AuthSession | Parked, Challenge]:
    """Sign in the browser or program that asked, as was approved elsewhere.

    :raises Refused: ``link_not_approved``, ``link_refused``, ``link_expired``; ``generic_authn_failed`` when it was
        used already (explicit: ``invalid_code``, ``disabled_account``)
    """
    asked = carrying.asked_by(asker, PURPOSE)
    state = carrying.state_of(asked.challenge) if asked else carrying.EXPIRED
    if state == carrying.WAITING:
        raise Refused("link_not_approved")
    if state == carrying.REFUSED:
        raise Refused("link_refused")
    if asked is None or state == carrying.EXPIRED:
        raise expired()
    if state == carrying.SPENT or (asked.user is None and not is_newcomers(asked.challenge)):
        raise Refused(no("invalid_code"))
    if asked.user is not None and not asked.user.is_active:
        raise Refused(no("disabled_account"))
    if not carrying.spend_approved(asked.challenge):
        raise Refused(no("invalid_code"))
    proof, on = Proof("email", asked.challenge), asked.challenge.next
    if asked.user is None:
        return join(proof, asker, remember=remember, next_page=on), asked.challenge
    arrived = finish(asked.user, proof, asker, remember=remember, has_second=asked.has_second, next_page=on)
    return arrived, asked.challenge


def _decided(token: str, asker: Asker) -> None:
    """Return if the link was approved meanwhile, or before; else raise why it can't be any more."""
    opened = open_link(token, PURPOSE)
    if opened is None:
        raise Refused(no("invalid_code"))
    state = carrying.state_of(opened.challenge)
    if state == carrying.APPROVED:
        return
    if state in (carrying.REFUSED, carrying.WAITING):  # waiting: who had the last try has not compared it yet
        raise Refused("link_refused", field="characters")
    raise over(opened, token, asker)


def _wrong(opened: OpenedLink, asker: Asker) -> Refused:
    ended = carrying.refuse_if_used_up(opened.challenge)
    name = "link.refused" if ended else "link.characters_wrong"
    record(name, opened.challenge.user_id, challenge_id=opened.challenge.id, at_once=True)
    limits.take("failures", asker.address)
    return Refused("link_refused" if ended else "link_characters_wrong", field="characters")
