"""Issue challenges, count attempts and spend them. Counting and spending are decided in SQL, never in Python."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import zip_longest
from typing import Any

import sqlalchemy as sa

from app import clock, outbox
from app.audit import record
from app.challenges import idempotency
from app.challenges.bindings import binding_matches, binding_of, binding_params, remember_binding
from app.challenges.models import FOR_CLEANUP, Challenge, challenge_id_in
from app.challenges.passcodes import challenge_context
from app.client import ClientContext
from app.crypto import secrets
from app.db import has_written, serialize_on, use_async_commit
from app.db.compiled import CompiledStatement, Detached, detached_from, session_connection, update_detached
from app.db.retention import delete_batch
from app.enrollments.methods import MAX_SENDING, method_of
from app.enrollments.models import Enrollment
from app.extensions import db, execute_update, keyring, settings
from app.outbox.service import SMS
from app.throttling import by_destination
from app.throttling.cleanup import COUNTED_FOR
from app.users import subject_of

CHANGING = (*by_destination.SETUP_PURPOSES, "change_email", "add_email")
"""Purposes of challenges that change an account."""

_NAMES = [f"method_{number}" for number in range(MAX_SENDING)]
"""One bind parameter for each method that sends codes."""

_METHOD_MATCHES = Challenge.__table__.c.method.in_([sa.bindparam(name) for name in _NAMES])
"""The same SQL for any number of methods, so the statement is compiled only once (ADR 16)."""

AN_HOUR, A_DAY = timedelta(hours=1), timedelta(days=1)
LAST_MINUTE = timedelta(seconds=60)
"""A challenge that expires sooner than this isn't resent. A new one is issued instead."""

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
_is_open = sa.and_(_c.spent_at.is_(None), _c.passcode_expires_at > sa.bindparam("now"), _c.sends > 0)
_in_a_day = _c.last_sent_at > sa.bindparam("day_ago")
_each = (
    sa.case((_c.last_sent_at > sa.bindparam("hour_ago"), _c.sends), else_=0),
    sa.case((_in_a_day, _c.sends), else_=0),
    sa.case((_is_open, 1), else_=0),
)
_browser_sums = [sa.case((binding_matches(_c.binding), each), else_=0) for each in _each]
_SENT = sa.select(
    *(sa.func.coalesce(sa.func.sum(each), 0).label(f"sum_{i}") for i, each in enumerate((*_each, *_browser_sums)))
).where(_c.method == sa.bindparam("method"))
_SET_UP = (
    sa.select(sa.func.count())
    .where(
        _c.subject == sa.bindparam("subject"), sa.or_(*(_c.purpose == each for each in by_destination.SETUP_PURPOSES))
    )
    .where(_c.method == sa.bindparam("method"))
    .where(_c.created_at > sa.bindparam("hour_ago"))
)


def _budget_query(scope: sa.ColumnElement[bool], where: sa.ColumnElement[bool]) -> sa.Select[Any]:
    """Return the statement that finds the open challenge, and the usage of its budgets.

    The columns after the challenge are the sends of the last hour and day and the number of open challenges, first for
    all browsers and then for this one; last, how often the account started to set up this method in the last hour.
    """
    found, sums = _OPEN.where(where).subquery("found"), _SENT.where(scope).subquery("sums")
    set_up = _SET_UP.scalar_subquery()
    return sa.select(*found.c, *sums.c, set_up).select_from(sums.outerjoin(found, sa.true()))


_BUDGETS = {
    "number": sa.and_(_c.destination == sa.bindparam("destination"), _in_a_day),
    "account": _c.subject == sa.bindparam("subject"),  # the range would tempt PostgreSQL to look in the other index
}
_BUDGET_QUERIES = {
    (whose, named): CompiledStatement(
        _budget_query(scope, _c.id == sa.bindparam("which") if named else binding_matches(_c.binding, "which"))
    )
    for whose, scope in _BUDGETS.items()
    for named in (True, False)
}
"""Keyed by the budget's owner, and by whether the challenge is looked up by id or by browser."""
_COUNT = (
    sa.update(_table)
    .where(_c.subject == sa.bindparam("whose"), _c.purpose == sa.bindparam("what_for"))
    .where(_METHOD_MATCHES, _c.sends > 0)
    .where(_c.passcode_expires_at > sa.bindparam("now"), *_unanswered)
    .values(tries=_c.tries + 1)
    .returning(_table)
)
_COUNT_NAMED = CompiledStatement(_COUNT.where(_c.id == sa.bindparam("named")), autocommit=True)
_COUNT_OF_BROWSER = CompiledStatement(_COUNT.where(binding_matches(_c.binding)), autocommit=True)
_COUNT_SEND = CompiledStatement(
    sa.update(_table)
    .where(_c.id == sa.bindparam("resent"))
    .values(sends=_c.sends + sa.bindparam("more", type_=sa.Integer()), last_sent_at=sa.bindparam("now"))
)
_SPEND = CompiledStatement(
    sa.update(_table)
    .where(_c.id == sa.bindparam("spent"), _c.spent_at.is_(None), _c.expires_at > sa.bindparam("now"))
    .values(spent_at=sa.bindparam("now"))
)


@dataclass(frozen=True, slots=True)
class ChallengeRequest:
    """A request for a challenge: its purpose, its method, and where to send the passcode.

    :ivar user_id: None for a decoy
    :ivar identity: canonical identity that was typed; determines a decoy's subject. Another identity of the same user
        gets another challenge, since sharing one would reveal that the two belong together
    :ivar destination: email or phone number to send the passcode to, "" if there is none
    :ivar message_kind: kind of the message to send (``outbox.enqueue``), "" for none
    :ivar suppress: do the same work, but send nothing and accept no answer. For the latter, pass no ``enrolled`` if
        there is no ``pending_secret``
    :ivar reuse_open: reuse the open challenge for a repeated request, even though it has a secret of its own
    :ivar session_id: the session that requests a change, or the pending sign-in; only that one can answer. "" for a
        sign-in
    :ivar is_known: whether the user has signed in from this browser before, or is signed in. It has a send budget of
        its own, since strangers can use up the account's
    :ivar is_verified_user: whether it is for someone whose address was verified before
    :ivar is_unverified: whether the destination may be a stranger's. It then has a budget of its own
        (``by_destination``)
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
    message_kind: str = ""
    suppress: bool = False
    reuse_open: bool = False
    session_id: str = ""
    is_known: bool = False
    is_verified_user: bool = False
    is_unverified: bool = False

    @property
    def rank(self) -> str:
        """The rank of its messages in the service-wide totals: ``known``, ``person``, or "" for everyone else."""
        return "known" if self.is_known else "person" if self.is_verified_user else ""


def issue_challenge(request: ChallengeRequest, client: ClientContext) -> Challenge:
    """Issue and send a challenge for ``request``, or resend the open one that this browser already has.

    A resend has the same passcode. During the resend wait, or over a send budget, nothing is sent but the response is
    the same. Decoys and withheld messages cost the same statements as real ones. Requests for the same account, and for
    the same phone number, are serialized to keep the budgets exact.

    :raises Rejected: ``idempotency_key_reused`` (409); ``too_many_messages`` (429), only if ``is_unverified``
    """
    connection = session_connection()
    if not has_written(connection):
        use_async_commit(connection)
    subject = subject_of(request.user_id, request.identity)
    serialize_on(
        connection,
        *by_destination.lock_names(request.method, request.purpose, subject, request.destination),
    )
    now = clock.now()
    challenge, may_send = _find_open(request, subject, client, now)
    new_id = secrets.row_id()
    if (
        client.idempotency_key
        and request.message_kind
        and not idempotency.claim(client.idempotency_key, challenge.id if challenge else new_id)
    ):
        return remember_binding(idempotency.stored_challenge(client.idempotency_key))
    method = method_of(request.method)
    must_wait = challenge is not None and settings.limits and now < challenge.last_sent_at + method.resend_wait
    may_send = may_send and not must_wait
    if request.is_unverified and request.message_kind and not must_wait and settings.limits:
        by_destination.take(method.sends, request.destination, client.ip_address)
    if challenge is None:
        challenge = _new(new_id, request, subject, client, now, may_send)
    elif not must_wait:
        _count_send(challenge, now, may_send)
    if request.message_kind and not must_wait:
        _send(request, challenge, withheld=not may_send)
    facts: dict[str, Any] = {"method": request.method, "purpose": request.purpose}
    facts["outcome"] = "sent" if may_send else "withheld"
    record("challenge.started", request.user_id, challenge_id=challenge.id, **facts)
    return remember_binding(challenge)


def count_try(purpose: str, methods: Sequence[str], subject: str, client: ClientContext) -> list[Challenge]:
    """Count one try against each open challenge that the passcode may be for; return those that had a try left.

    Committed immediately, and exact under concurrent guesses, since one statement checks and increments the count. A
    challenge that was never sent can't be answered.
    """
    named = challenge_id_in(client.challenge_token) if client.challenge_token else None
    which = {"named": named} if named else binding_params(client.bindings)
    counted = {"whose": subject, "what_for": purpose, "most": settings.challenge_tries, "now": clock.now()}
    rows = (_COUNT_NAMED if named else _COUNT_OF_BROWSER).all(**counted, **_method_params(methods), **which)
    return [challenge for row in rows for challenge in _ROWS.read(row)]


def _method_params(methods: Sequence[str]) -> dict[str, str]:
    """Return the parameters for ``methods``, which must not be empty. Repeats the last one to fill them all."""
    return dict(zip_longest(_NAMES, methods, fillvalue=methods[-1]))


def count_try_of(
    challenge_id: str, user_id: int, purpose: str, session_id: str, methods: Sequence[str]
) -> Challenge | None:
    """Count one try against this enrollment challenge of the user; return None if no try is left.

    Committed immediately, as in ``count_try``. Ignores challenges started by a session or pending sign-in other than
    ``session_id``, and those of methods other than ``methods``.
    """
    counted = (
        sa.update(Challenge)
        .filter_by(id=challenge_id, user_id=user_id, purpose=purpose, session_id=session_id)
        .where(Challenge.spent_at.is_(None), Challenge.expires_at > clock.now())
        .where(Challenge.tries < settings.challenge_tries, Challenge.method.in_(methods))
        .values(tries=Challenge.tries + 1)
        .returning(Challenge)
        .execution_options(autocommit=True, synchronize_session=False)
    )
    return db.session.scalars(counted).first()


def spend(challenge: Challenge) -> bool:
    """Spend ``challenge``; return False if another request spent it first, or it has expired."""
    return _SPEND.run(spent=challenge.id, now=clock.now()) == 1


def end_open(user_id: int) -> None:
    """End every open challenge of a user, so that passcodes and links already sent no longer work."""
    still = (Challenge.user_id == user_id, Challenge.spent_at.is_(None))
    execute_update(sa.update(Challenge).where(*still).values(spent_at=clock.now()))


def end_others(user_id: int, purpose: str, destination: str) -> None:
    """End the user's open challenges for ``purpose`` that were sent to another destination."""
    mine = (Challenge.user_id == user_id, Challenge.purpose == purpose, Challenge.destination != destination)
    execute_update(sa.update(Challenge).where(*mine, Challenge.spent_at.is_(None)).values(spent_at=clock.now()))


def end_changes(user_id: int, *, except_id: str) -> None:
    """End the setups and changes that the user's sessions have started.

    :param except_id: id of a session whose challenges stay open
    """
    theirs = sa.or_(Challenge.session_id.is_(None), Challenge.session_id != except_id)
    begun = (Challenge.user_id == user_id, Challenge.purpose.in_(CHANGING), theirs, Challenge.spent_at.is_(None))
    execute_update(sa.update(Challenge).where(*begun).values(spent_at=clock.now()))


def find(challenge_id: str, purpose: str) -> Challenge | None:
    """Return the challenge with this id and purpose, in any state."""
    return db.session.scalars(sa.select(Challenge).filter_by(id=challenge_id, purpose=purpose)).first()


def latest_in_browser(client: ClientContext, *purposes: str) -> Challenge | None:
    """Return the newest open challenge that this browser requested, so that a page can show it again."""
    mine = (Challenge.binding.in_(client.bindings), Challenge.purpose.in_(purposes))
    still = (Challenge.spent_at.is_(None), Challenge.passcode_expires_at > clock.now())
    found = sa.select(Challenge).where(*mine, *still).order_by(Challenge.created_at.desc())
    return db.session.scalars(found.limit(1)).first() if client.binding else None


def prune_challenges() -> int:
    """Delete a batch of challenges that have ended and no longer count toward a send limit; return how many."""
    ended = sa.and_(Challenge.expires_at < clock.now() - COUNTED_FOR, sa.literal_column(FOR_CLEANUP))
    return delete_batch(db.session, Challenge, ended)


def _find_open(
    request: ChallengeRequest, subject: str, client: ClientContext, now: datetime
) -> tuple[Challenge | None, bool]:
    """Return the open challenge for the same request, and whether the budgets allow another send.

    The challenge must be this browser's, or the one the API client names, with time and tries left. An enrollment gets
    a new one, unless ``reuse_open``. Budgets are per account, or per phone number for SMS: sends per hour, sends per
    day, and open challenges. One statement.
    """
    needs_new = request.pending_secret != "" and not request.reuse_open
    named = challenge_id_in(client.challenge_token) if client.challenge_token and not needs_new else None
    is_text = method_of(request.method).sends == SMS
    which = {"which": named} if named else binding_params(() if needs_new else client.bindings, "which")
    which |= {"subject": subject}
    same = {
        "purpose": request.purpose,
        "method": request.method,
        "destination": request.destination,
    }
    same["asked_as"] = secrets.digest(request.identity)
    times = {"now": now, "then": now + LAST_MINUTE, "hour_ago": now - AN_HOUR, "day_ago": now - A_DAY}
    whose = "number" if is_text else "account"
    given = which | same | times | {"most": settings.challenge_tries} | binding_params(client.bindings)
    row = _BUDGET_QUERIES[whose, named is not None].first(**given) or ()
    challenge = _ROWS.read(row)[0]
    if challenge is not None and (challenge.session_id or "") != request.session_id:
        challenge = None  # belongs to another session in the same browser
    most_open = settings.open_challenges + (challenge is not None)
    within = by_destination.is_within(request.method, request.purpose, row[-7:], most_open, is_known=request.is_known)
    return challenge, request.message_kind != "" and (within or not settings.limits)


def _new(
    new_id: str, request: ChallengeRequest, subject: str, client: ClientContext, now: datetime, sent: bool
) -> Challenge:
    passcode_life = method_of(request.method).code_lifetime
    life = request.lifetime or passcode_life
    row: dict[str, Any] = {
        "id": new_id, "purpose": request.purpose, "method": request.method, "subject": subject,
        "user_id": request.user_id, "enrolled_id": request.enrolled.id if request.enrolled else None,
        "destination": request.destination, "binding": binding_of(new_id, client), "address": client.ip_address,
        "asked_as": secrets.digest(request.identity), "agent": client.user_agent,
        "session_id": request.session_id or None, "tag": secrets.reference(4), "next": request.next, "created_at": now,
        "passcode_expires_at": now + min(passcode_life, life), "expires_at": now + life, "secret": "",
        "sends": int(sent and not (request.suppress and request.pending_secret)), "last_sent_at": now, "tries": 0,
        "carry_tries": 0,
    }  # fmt: skip
    if request.pending_secret:
        context = challenge_context(detached_from(Challenge, row))
        row["secret"] = keyring.seal(request.pending_secret.encode(), *context)
    _INSERT.run(**row)
    return detached_from(Challenge, row)


def _count_send(challenge: Challenge, now: datetime, sent: bool) -> None:
    """Count a send. A withheld one doesn't count, but starts the resend wait all the same."""
    sends = challenge.sends + sent
    _COUNT_SEND.run(resent=challenge.id, more=int(sent), now=now)
    update_detached(challenge, sends=sends, last_sent_at=now)


def _send(request: ChallengeRequest, challenge: Challenge, *, withheld: bool) -> None:
    outbox.enqueue(
        request.message_kind, method_of(request.method).sends, request.destination, user_id=request.user_id,
        challenge_id=challenge.id, expires_at=challenge.expires_at, tag=challenge.tag,
        decoy=request.suppress or withheld, rank=request.rank,
    )  # fmt: skip
