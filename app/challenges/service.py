"""Issue, count and spend challenges. The database decides counts and spending, never Python."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from app import clock, outbox
from app.audit import record
from app.challenges import idempotency
from app.challenges.bindings import binding_of, browser_meant, is_of_browser, kept
from app.challenges.models import Challenge, challenge_id_in
from app.challenges.passcodes import challenge_context
from app.challenges.queries import IS_ONE_OF_THE_METHODS, methods_meant
from app.client import ClientContext
from app.crypto import secrets
from app.db import has_written, serialize_on, use_async_commit
from app.db.compiled import CompiledStatement, Detached, detached_from, note, session_connection
from app.enrollments.catalog import method_of
from app.enrollments.models import Enrollment
from app.extensions import changed, db, keyring, settings
from app.outbox.service import SMS
from app.throttling import by_destination
from app.users import subject_of

AN_HOUR, A_DAY = timedelta(hours=1), timedelta(days=1)
LAST_MINUTE = timedelta(seconds=60)
"""A challenge with less time left than this is not sent again; a new one is issued."""

_ROWS = Detached(Challenge)
_table = Challenge.__table__
_c = _table.c
_unanswered = (_c.spent_at.is_(None), _c.tries < sa.bindparam("most"))
_INSERT = CompiledStatement.into(_table)
_OPEN = (
    _ROWS.select()
    .where(_c.subject == sa.bindparam("subject"), _c.purpose == sa.bindparam("purpose"))
    .where(_c.method == sa.bindparam("method"), _c.destination == sa.bindparam("destination"))
    .where(_c.asked_as == sa.bindparam("asked_as"))
    .where(_c.passcode_expires_at > sa.bindparam("then"), *_unanswered)
    .order_by(_c.created_at.desc())
    .limit(1)
)
_waits = sa.and_(_c.spent_at.is_(None), _c.passcode_expires_at > sa.bindparam("now"), _c.sends > 0)
_each = (
    sa.case((_c.last_sent_at > sa.bindparam("hour_ago"), _c.sends), else_=0),
    _c.sends,
    sa.case((_waits, 1), else_=0),
)
_here = [sa.case((is_of_browser(_c.binding), each), else_=0) for each in _each]
_SENT = sa.select(
    *(sa.func.coalesce(sa.func.sum(each), 0).label(f"sum_{i}") for i, each in enumerate((*_each, *_here)))
).where(_c.method == sa.bindparam("method"), _c.last_sent_at > sa.bindparam("day_ago"))
_SET_UP = (
    sa.select(sa.func.count())
    .where(_c.subject == sa.bindparam("subject"), sa.or_(*(_c.purpose == each for each in by_destination.SETTING_UP)))
    .where(_c.method == sa.bindparam("method"))
    .where(_c.created_at > sa.bindparam("hour_ago"))
)


def _before(scope: sa.ColumnElement[bool], where: sa.ColumnElement[bool]) -> sa.Select[Any]:
    """Return the statement that finds the open challenge, and sums the sends of an hour and a day and what waits.

    Once for everybody, once for this browser alone; then how often the account has begun to set this method up.
    """
    found, sums = _OPEN.where(where).subquery("found"), _SENT.where(scope).subquery("sums")
    set_up = _SET_UP.scalar_subquery()
    return sa.select(*found.c, *sums.c, set_up).select_from(sums.outerjoin(found, sa.true()))


_BUDGETS = {
    "number": _c.destination == sa.bindparam("destination"),
    "account": _c.subject == sa.bindparam("subject"),
}
_BEFORE = {
    (whose, named): CompiledStatement(
        _before(scope, _c.id == sa.bindparam("which") if named else is_of_browser(_c.binding, "which"))
    )
    for whose, scope in _BUDGETS.items()
    for named in (True, False)
}
"""By whose the budget is, and whether the challenge is named or the browser's."""
_COUNT = (
    sa.update(_table)
    .where(_c.subject == sa.bindparam("whose"), _c.purpose == sa.bindparam("what_for"))
    .where(IS_ONE_OF_THE_METHODS, _c.sends > 0)
    .where(_c.passcode_expires_at > sa.bindparam("now"), *_unanswered)
    .values(tries=_c.tries + 1)
    .returning(_table)
)
_COUNT_NAMED = CompiledStatement(_COUNT.where(_c.id == sa.bindparam("named")), at_once=True)
_COUNT_OF_BROWSER = CompiledStatement(_COUNT.where(is_of_browser(_c.binding)), at_once=True)
_COUNT_SEND = CompiledStatement(
    sa.update(_table)
    .where(_c.id == sa.bindparam("again"))
    .values(sends=_c.sends + sa.bindparam("more", type_=sa.Integer()), last_sent_at=sa.bindparam("now"))
)
_SPEND = CompiledStatement(
    sa.update(_table)
    .where(_c.id == sa.bindparam("spent"), _c.spent_at.is_(None), _c.expires_at > sa.bindparam("now"))
    .values(spent_at=sa.bindparam("now"))
)


@dataclass(frozen=True, slots=True)
class ChallengeRequest:
    """What is to be proved, by which method, and where the passcode goes.

    :ivar user_id: None for a decoy
    :ivar identity: canonical identity that was typed; names a decoy's subject. Another identity of the same user is
        another question, or its answer would tell that the two belong together
    :ivar destination: address the passcode goes to, "" when there is none
    :ivar silent: all the work is done, nothing leaves; and nothing answers it, which without a secret of its own
        takes no ``enrolled`` either
    :ivar again: whether the same question asked again is the same challenge, though it has a secret of its own
    :ivar session_id: the session that asks for a change, or the sign-in under way, which alone can answer; "" for a
        sign-in
    :ivar is_known: whether the user has signed in from the client's browser before, or is signed in: it has sends of
        its own, for strangers use up the account's
    :ivar is_person: whether it is asked for somebody whose address was proved before
    :ivar is_unproved: whether the destination may be a stranger's; it has a budget of its own then (``by_destination``)
    """

    purpose: str
    method: str
    user_id: int | None
    identity: str
    destination: str
    enrolled: Enrollment | None = None
    pending_secret: str = ""
    lifetime: timedelta | None = None
    next: str = ""
    letter: str = ""
    silent: bool = False
    again: bool = False
    session_id: str = ""
    is_known: bool = False
    is_person: bool = False
    is_unproved: bool = False

    @property
    def rank(self) -> str:
        """What its letters are counted as in the service's totals: ``known``, ``person``, or "" for anybody's."""
        return "known" if self.is_known else "person" if self.is_person else ""


def issue_challenge(request: ChallengeRequest, client: ClientContext) -> Challenge:
    """Issue the challenge for ``request``, or find the one this browser was given just now, and send it.

    A resend carries the same passcode. Inside the resend wait, and past the send budgets, nothing is sent and the
    answer is the same: a decoy costs the same statements as a real one, and so does what is withheld. Requests for one
    account, and for one number, come one after the other, so that the budgets are exact.

    :raises Rejected: ``idempotency_key_reused`` (409); ``too_many_messages`` (429), for what is not proved alone
    """
    connection = session_connection()
    if not has_written(connection):
        use_async_commit(connection)
    subject = subject_of(request.user_id, request.identity)
    serialize_on(
        connection,
        *by_destination.turns_at(request.method, request.purpose, subject, request.destination),
    )
    now = clock.now()
    challenge, may_send = _look_before(request, subject, client, now)
    new_id = secrets.row_id()
    if (
        client.idempotency_key
        and request.letter
        and not idempotency.is_first(client.idempotency_key, challenge.id if challenge else new_id)
    ):
        return kept(idempotency.earlier(client.idempotency_key))
    method = method_of(request.method)
    waits = challenge is not None and settings.limits and now < challenge.last_sent_at + method.resend_wait
    may_send = may_send and not waits
    if request.is_unproved and request.letter and not waits and settings.limits:
        by_destination.take(method.sends, request.destination, client.ip_address)
    if challenge is None:
        challenge = _new(new_id, request, subject, client, now, may_send)
    elif not waits:
        _count_send(challenge, now, may_send)
    if request.letter and not waits:
        _send(request, challenge, withheld=not may_send)
    facts: dict[str, Any] = {"method": request.method, "purpose": request.purpose}
    facts["outcome"] = "sent" if may_send else "withheld"
    record("challenge.started", request.user_id, challenge_id=challenge.id, **facts)
    return kept(challenge)


def count_try(purpose: str, methods: Sequence[str], subject: str, client: ClientContext) -> list[Challenge]:
    """Count one try against each open challenge that could be meant, and return those that were let through.

    Committed at once, and exact under parallel guesses: the database raises and checks it in one statement. What was
    never sent cannot be answered.
    """
    named = challenge_id_in(client.challenge_token) if client.challenge_token else None
    which = {"named": named} if named else browser_meant(client.bindings)
    counted = {"whose": subject, "what_for": purpose, "most": settings.challenge_tries, "now": clock.now()}
    rows = (_COUNT_NAMED if named else _COUNT_OF_BROWSER).all(**counted, **methods_meant(methods), **which)
    return [challenge for row in rows for challenge in _ROWS.read(row)]


def count_try_of(named: str, user_id: int, purpose: str, session_id: str, methods: Sequence[str]) -> Challenge | None:
    """Count one try against the enrollment ``named`` of this user; None when no try is left.

    As ``count_try``. What another session, or another sign-in, than ``session_id`` began doesn't count, nor does what
    no method here proves.
    """
    counted = (
        sa.update(Challenge)
        .filter_by(id=named, user_id=user_id, purpose=purpose, session_id=session_id)
        .where(Challenge.spent_at.is_(None), Challenge.expires_at > clock.now())
        .where(Challenge.tries < settings.challenge_tries, Challenge.method.in_(methods))
        .values(tries=Challenge.tries + 1)
        .returning(Challenge)
        .execution_options(at_once=True, synchronize_session=False)
    )
    return db.session.scalars(counted).first()


def spend(challenge: Challenge) -> bool:
    """Use ``challenge`` up; False when somebody else was first, or it has expired meanwhile."""
    return _SPEND.run(spent=challenge.id, now=clock.now()) == 1


def end_open(user_id: int) -> None:
    """End every open challenge of a user, so that no passcode or link that was sent is good any more."""
    still = (Challenge.user_id == user_id, Challenge.spent_at.is_(None))
    changed(sa.update(Challenge).where(*still).values(spent_at=clock.now()))


def find(challenge_id: str, purpose: str) -> Challenge | None:
    """Return the challenge with this id, whatever became of it."""
    return db.session.scalars(sa.select(Challenge).filter_by(id=challenge_id, purpose=purpose)).first()


def latest_in_browser(client: ClientContext, *purposes: str) -> Challenge | None:
    """Return the challenge that this browser asked for last and that is still open, for a page to show again."""
    mine = (Challenge.binding.in_(client.bindings), Challenge.purpose.in_(purposes))
    still = (Challenge.spent_at.is_(None), Challenge.passcode_expires_at > clock.now())
    found = sa.select(Challenge).where(*mine, *still).order_by(Challenge.created_at.desc())
    return db.session.scalars(found.limit(1)).first() if client.binding else None


def _look_before(
    request: ChallengeRequest, subject: str, client: ClientContext, now: datetime
) -> tuple[Challenge | None, bool]:
    """Return the open challenge for the same question, and whether one more send stays within the budgets.

    It is the one this browser holds, or this program names, with time and tries left; an enrollment is always new.
    The budgets are of the account, or of the number: an hour's, a day's, how many may be open. One statement.
    """
    anew = request.pending_secret != "" and not request.again
    named = challenge_id_in(client.challenge_token) if client.challenge_token and not anew else None
    is_text = method_of(request.method).sends == SMS
    which = {"which": named} if named else browser_meant(() if anew else client.bindings, "which")
    which |= {"subject": subject}
    same = {
        "purpose": request.purpose,
        "method": request.method,
        "destination": request.destination,
    }
    same["asked_as"] = _digest(request.identity)
    times = {"now": now, "then": now + LAST_MINUTE, "hour_ago": now - AN_HOUR, "day_ago": now - A_DAY}
    whose = "number" if is_text else "account"
    given = which | same | times | {"most": settings.challenge_tries} | browser_meant(client.bindings)
    row = _BEFORE[whose, named is not None].first(**given) or ()
    challenge = _ROWS.read(row)[0]
    if challenge is not None and (challenge.session_id or "") != request.session_id:
        challenge = None  # another session's, in the same browser
    most_open = settings.open_challenges + (challenge is not None)
    within = by_destination.is_within(request.method, request.purpose, row[-7:], most_open, is_known=request.is_known)
    return challenge, request.letter != "" and (within or not settings.limits)


def _new(
    new_id: str, request: ChallengeRequest, subject: str, client: ClientContext, now: datetime, sent: bool
) -> Challenge:
    passcode_life = method_of(request.method).code_lifetime
    life = request.lifetime or passcode_life
    row: dict[str, Any] = {
        "id": new_id, "purpose": request.purpose, "method": request.method, "subject": subject,
        "user_id": request.user_id, "enrolled_id": request.enrolled.id if request.enrolled else None,
        "destination": request.destination, "binding": binding_of(new_id, client), "address": client.ip_address,
        "asked_as": _digest(request.identity), "agent": client.user_agent, "session_id": request.session_id or None,
        "tag": secrets.reference(4), "next": request.next, "created_at": now,
        "passcode_expires_at": now + min(passcode_life, life), "expires_at": now + life, "secret": "",
        "sends": int(sent and not (request.silent and request.pending_secret)), "last_sent_at": now, "tries": 0,
        "carry_tries": 0,
    }  # fmt: skip
    if request.pending_secret:
        context = challenge_context(detached_from(Challenge, row))
        row["secret"] = keyring.seal(request.pending_secret.encode(), *context)
    _INSERT.run(**row)
    return detached_from(Challenge, row)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _count_send(challenge: Challenge, now: datetime, sent: bool) -> None:
    """Count one more send; one that was withheld is none, but the next is waited for like after any."""
    sends = challenge.sends + sent
    _COUNT_SEND.run(again=challenge.id, more=int(sent), now=now)
    note(challenge, sends=sends, last_sent_at=now)


def _send(request: ChallengeRequest, challenge: Challenge, *, withheld: bool) -> None:
    outbox.enqueue(
        request.letter, method_of(request.method).sends, request.destination, user_id=request.user_id,
        challenge_id=challenge.id, expires_at=challenge.expires_at, tag=challenge.tag,
        decoy=request.silent or withheld, rank=request.rank,
    )  # fmt: skip
