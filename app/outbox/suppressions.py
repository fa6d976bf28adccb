"""Suppression list: addresses that get no mail after bounces or spam complaints.

Bounces are stored under a keyed digest of the address, with a status code and never text from a foreign server. A hard
bounce or a complaint suppresses an address immediately, soft bounces after several within a time span. A suppression
ends when it expires, when an operator lifts it, or when someone enters a code that was sent to the address.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
import structlog
from sqlalchemy.dialects.postgresql import insert  # SQLite accepts this INSERT as well

from app import clock
from app.audit import record, record_each
from app.db.retention import delete_batch
from app.extensions import db, execute_update, keyring, settings
from app.outbox.models import Bounce, Message, Suppression
from app.users import Identity, identifiers

HARD, SOFT, COMPLAINT = "hard", "soft", "complaint"
KINDS = (HARD, SOFT, COMPLAINT)

NO_COMPLAINTS = frozenset(("not-spam", "auth-failure"))
"""Feedback types that are not complaints about a mail (RFC 5965, section 7.3; RFC 6591, section 3.1)."""

MAX_REPORTS = 1000
"""Maximum reports processed in one call. Providers don't send more."""

STATISTICS_SPAN = timedelta(days=1)
"""Time span of the bounce counts shown to operators."""

REASON = "address suppressed"
"""Prefix of the reason stored with a message dropped because its address is suppressed."""

_CODE = re.compile(r"[245]\.[0-9]{1,3}\.[0-9]{1,3}")
_REPLY = re.compile(r"[245][0-9]{2}(?![0-9.])")
_NO_MAILBOX = ("5.1.", "5.2.1")
"""Status codes (RFC 3463, section 3) for an address that doesn't exist or is disabled."""

log = structlog.get_logger()

_b, _s = Bounce.__table__.c, Suppression.__table__.c
_ACTIVE = sa.select(_s.digest, _s.kind, _s.code).where(
    _s.digest.in_(sa.bindparam("digests", expanding=True)), _s.until > sa.bindparam("now")
)


@dataclass(frozen=True, slots=True)
class Report:
    """A bounce or spam complaint.

    :ivar kind: one of ``KINDS``
    :ivar event: the provider's id for this report, which may be delivered more than once
    :ivar code: from ``code_in``
    """

    address: str
    kind: str
    provider: str
    event: str
    code: str = ""


def code_in(*texts: object) -> str:
    """Return the first status code (RFC 3463) in these texts, else the first SMTP reply code; "" for none."""
    known = [str(text)[:1000] for text in texts if text is not None]
    for pattern in (_CODE, _REPLY):
        for text in known:
            if found := pattern.search(text):
                return found[0]
    return ""


def kind_of(code: str, otherwise: str) -> str:
    """Classify a permanent rejection by its code. Policy rejections and full mailboxes are not hard bounces.

    :param otherwise: kind for a code that says nothing about the address
    """
    if code.startswith(_NO_MAILBOX):
        return HARD
    return SOFT if code.startswith(("5.", "4.")) and not code.startswith("5.0.") else otherwise


def process_reports(reports: Sequence[Report]) -> int:
    """Store reports and suppress addresses accordingly; return how many reports were new. At most nine statements.

    Ignores duplicates, and addresses that no account has and that were sent no mail recently.
    """
    found = [(address, report) for report in reports[:MAX_REPORTS] if (address := _canonical(report.address))]
    owners = _owners_of({address for address, _ in found})
    known = [(address, report) for address, report in found if address in owners]
    new = _store_new(known, owners)
    if not new:
        return 0
    events = {report: _event(owners[address], report) for address, report in new}
    record_each("address.bounced", [event for report, event in events.items() if report.kind != COMPLAINT])
    record_each("address.complained", [event for report, event in events.items() if report.kind == COMPLAINT])
    to_suppress = {address: report for address, report in new if report.kind != SOFT}
    over_limit = _over_soft_limit({address for address, report in new if report.kind == SOFT} - to_suppress.keys())
    to_suppress |= {address: report for address, report in new if address in over_limit}
    _suppress(to_suppress, owners)
    return len(new)


def reasons_for(addresses: Collection[str]) -> dict[str, str]:
    """Return the suppressed ones of these canonical addresses, with a reason that may be shown. One statement."""
    if not addresses:
        return {}
    by_digest = {digest: address for address in addresses for digest in _digests(address)}
    rows = db.session.execute(_ACTIVE, {"digests": list(by_digest), "now": clock.now()})
    return {by_digest[digest]: f"{REASON} ({' '.join(filter(None, (kind, code)))})" for digest, kind, code in rows}


def lift(address: str, by: str) -> bool:
    """Lift the suppression of a canonical address; return whether it was suppressed. Earlier bounces no longer count.

    :param by: who lifted it, for the event: ``operator``, ``admin:`` and a handle, or ``proved``
    """
    digests = _digests(address)
    user_id = db.session.scalar(sa.select(_s.user_id).where(_s.digest.in_(digests)))
    execute_update(sa.update(Bounce).where(Bounce.digest.in_(digests)).values(counts=False))
    if not execute_update(sa.delete(Suppression).where(Suppression.digest.in_(digests))):
        return False
    record("address.unsuppressed", user_id, by=by)
    return True


def suppressed_of(addresses: Collection[str]) -> dict[str, Suppression]:
    """Return the active suppressions of these canonical addresses, by address. One statement."""
    by_digest = {digest: address for address in addresses for digest in _digests(address)}
    if not by_digest:
        return {}
    active = sa.select(Suppression).where(Suppression.digest.in_(by_digest), Suppression.until > clock.now())
    return {by_digest[row.digest]: row for row in db.session.scalars(active)}


def newest(most: int) -> list[Suppression]:
    """Return up to ``most`` active suppressions, newest first."""
    active = sa.select(Suppression).where(Suppression.until > clock.now()).order_by(Suppression.since.desc())
    return list(db.session.scalars(active.limit(most)))


@dataclass(frozen=True, slots=True)
class Summary:
    """Number of addresses suppressed now, and in the last day, bounces by kind and emails sent."""

    suppressed: int
    by_kind: Mapping[str, int]
    sent: int


def summary() -> Summary:
    """Return statistics for operators. Three statements."""
    sent = (Message.channel == "mail", Message.created_at > clock.now() - STATISTICS_SPAN, Message.state == "sent")
    count = db.session.scalar(sa.select(sa.func.count()).select_from(Message).where(*sent)) or 0
    return Summary(count_suppressed(), came_back(), count)


def count_suppressed() -> int:
    """Return the number of suppressed addresses. One statement."""
    return db.session.scalar(sa.select(sa.func.count()).where(_s.until > clock.now())) or 0


def came_back() -> dict[str, int]:
    """Return the number of bounces and complaints in the last day by kind, without zeros. One statement."""
    recent = sa.select(_b.kind, sa.func.count()).where(_b.at > clock.now() - STATISTICS_SPAN).group_by(_b.kind)
    return dict(db.session.execute(recent).all())


def prune_suppressions() -> int:
    """Delete a batch of expired suppressions."""
    return delete_batch(db.session, Suppression, Suppression.until < clock.now())


def prune_bounces() -> int:
    """Delete a batch of reports too old for any suppression to depend on them."""
    return delete_batch(db.session, Bounce, Bounce.at < clock.now() - settings.suppress_for - settings.soft_bounce_span)


def _canonical(text: str) -> str:
    try:
        return identifiers.email(text)
    except identifiers.InvalidIdentifier:
        return ""


def _digest(address: str, kid: str) -> str:
    return hmac.digest(keyring.derive("suppressions", kid), address.encode(), "sha256").hex()


def _digests(address: str) -> list[str]:
    """Return all digests an address may be stored under, one per key, since keys are rotated."""
    return [_digest(address, kid) for kid in keyring.kids]


def _owners_of(addresses: Collection[str]) -> dict[str, int | None]:
    """Return the addresses that belong to an account or were recently sent mail, with the user id. Two statements."""
    if not addresses:
        return {}
    sent = sa.select(Message.to).where(Message.to.in_(addresses), Message.channel == "mail").distinct()
    owners: dict[str, int | None] = dict.fromkeys(db.session.scalars(sent))
    owned = sa.select(Identity.value, Identity.user_id).where(Identity.kind == "email", Identity.value.in_(addresses))
    return owners | dict(db.session.execute(owned).all())


def _store_new(reports: Sequence[tuple[str, Report]], owners: Mapping[str, int | None]) -> list[tuple[str, Report]]:
    """Store new reports and return them. One statement."""
    by_event = {_event_digest(address, report): (address, report) for address, report in reports}
    if not by_event:
        return []
    rows = [
        {
            "event": event, "digest": _digest(address, keyring.kid), "kind": report.kind, "at": clock.now(),
            "provider": report.provider[:16], "code": report.code[:16], "user_id": owners[address], "counts": True,
        }
        for event, (address, report) in by_event.items()
    ]  # fmt: skip
    statement = insert(Bounce.__table__).values(rows).on_conflict_do_nothing(index_elements=[_b.event])
    kept = set(db.session.scalars(statement.returning(_b.event)))
    return [each for event, each in by_event.items() if event in kept]


def _event_digest(address: str, report: Report) -> str:
    return hashlib.sha256(
        "\0".join((report.provider, report.kind, report.event, address)).encode("utf-8", "replace")
    ).hexdigest()


def _over_soft_limit(addresses: Collection[str]) -> set[str]:
    """Return the addresses with enough soft bounces within the time span to be suppressed. One statement."""
    if not addresses:
        return set()
    by_digest = {digest: address for address in addresses for digest in _digests(address)}
    recent = (_b.digest.in_(by_digest), _b.kind == SOFT, _b.counts, _b.at > clock.now() - settings.soft_bounce_span)
    counted = sa.select(_b.digest).where(*recent).group_by(_b.digest)
    enough = counted.having(sa.func.count() >= settings.soft_bounces)
    return {by_digest[digest] for digest in db.session.scalars(enough)}


def _suppress(to_suppress: Mapping[str, Report], owners: Mapping[str, int | None]) -> None:
    """Suppress these addresses because of these reports. If one is already suppressed, the later end applies."""
    if not to_suppress:
        return
    now = clock.now()
    already = reasons_for(to_suppress)
    rows = [
        {
            "digest": _digest(address, keyring.kid), "masked": identifiers.mask("email", address),
            "kind": report.kind, "provider": report.provider[:16], "code": report.code[:16],
            "since": now, "until": now + _duration_of(report.kind), "user_id": owners[address],
        }
        for address, report in to_suppress.items()
    ]  # fmt: skip
    row = insert(Suppression.__table__).values(rows)
    newer = {name: row.excluded[name] for name in ("kind", "provider", "code", "until", "since", "user_id")}
    is_longer = row.excluded.until > _s.until
    db.session.execute(row.on_conflict_do_update(index_elements=[_s.digest], set_=newer, where=is_longer))
    record_each(
        "address.suppressed",
        [_event(owners[address], report) for address, report in to_suppress.items() if address not in already],
    )
    log.info("address.suppressed", addresses=len(to_suppress))


def _duration_of(kind: str) -> timedelta:
    return min(settings.suppress_for, settings.soft_bounce_span) if kind == SOFT else settings.suppress_for


def _event(user_id: int | None, report: Report) -> dict[str, Any]:
    facts = {"kind": report.kind, "provider": report.provider, "code": report.code}
    return {"user_id": user_id, "challenge_id": None, "facts": facts}


def lift_verified(verified: Iterable[tuple[str, datetime]]) -> int:
    """Lift suppressions that began before a code sent to the address was entered; return how many.

    :param verified: canonical addresses, and when a code sent there was entered
    """
    lifted = 0
    for address, verified_at in verified:
        since = db.session.scalar(sa.select(_s.since).where(_s.digest.in_(_digests(address))))
        if since is not None and since < verified_at:
            lifted += lift(address, "proved")
    return lifted
