"""Addresses that get no mail because it came back, or because their owner called it spam.

What came back is kept by a keyed digest of the address, with a code and never the words of a stranger's server. A
hard bounce and a complaint suppress an address at once, soft bounces when there were several within a while. It ends by
itself, by an operator, or when somebody types a code that was sent there.
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
from sqlalchemy.dialects.postgresql import insert  # SQLite speaks this INSERT as well

from app import clock
from app.audit import record, record_each
from app.db.retention import delete_batch
from app.extensions import changed, db, keyring, settings
from app.outbox.models import Bounce, Message, Suppression
from app.users import Identity, identifiers

HARD, SOFT, COMPLAINT = "hard", "soft", "complaint"
KINDS = (HARD, SOFT, COMPLAINT)

NO_COMPLAINTS = frozenset(("not-spam", "auth-failure"))
"""Types of feedback that blame no mail (RFC 5965, section 7.3; RFC 6591, section 3.1)."""

MOST_REPORTS = 1000
"""Reports that are taken at once: a provider sends no more."""

LATELY = timedelta(days=1)
"""For how long what came back is shown to an operator."""

REASON = "address suppressed"
"""Begins the reason of a message that was dropped for it."""

_CODE = re.compile(r"[245]\.[0-9]{1,3}\.[0-9]{1,3}")
_REPLY = re.compile(r"[245][0-9]{2}(?![0-9.])")
_GONE = ("5.1.", "5.2.1")
"""Status codes (RFC 3463, section 3) of an address that does not exist, or is closed."""

log = structlog.get_logger()

_b, _s = Bounce.__table__.c, Suppression.__table__.c
_AMONG = sa.select(_s.digest, _s.kind, _s.code).where(
    _s.digest.in_(sa.bindparam("digests", expanding=True)), _s.until > sa.bindparam("now")
)


@dataclass(frozen=True, slots=True)
class Report:
    """A mail came back, or its reader called it spam.

    :ivar kind: one of ``KINDS``
    :ivar event: the provider's name for this report: the same one may come again
    :ivar code: from ``code_in``
    """

    address: str
    kind: str
    provider: str
    event: str
    code: str = ""


def code_in(*texts: object) -> str:
    """Return the first status code of these texts (RFC 3463), else the first reply code; "" for none."""
    known = [str(text)[:1000] for text in texts if text is not None]
    for pattern in (_CODE, _REPLY):
        for text in known:
            if found := pattern.search(text):
                return found[0]
    return ""


def kind_of(code: str, otherwise: str) -> str:
    """Return what a final refusal with this code says of the address: policy and full mailboxes are no end of it.

    :param otherwise: for a code that says nothing of that
    """
    if code.startswith(_GONE):
        return HARD
    return SOFT if code.startswith(("5.", "4.")) and not code.startswith("5.0.") else otherwise


def take(reports: Sequence[Report]) -> int:
    """Keep these reports and suppress addresses by them; return how many were new. Seven statements at most.

    Left out is what came before, and addresses that no account has and that were sent no mail lately.
    """
    found = [(address, report) for report in reports[:MOST_REPORTS] if (address := _canonical(report.address))]
    owners = _owners_of({address for address, _ in found})
    known = [(address, report) for address, report in found if address in owners]
    new = _keep_new(known, owners)
    if not new:
        return 0
    events = {report: _event(owners[address], report) for address, report in new}
    record_each("address.bounced", [event for report, event in events.items() if report.kind != COMPLAINT])
    record_each("address.complained", [event for report, event in events.items() if report.kind == COMPLAINT])
    ending = {address: report for address, report in new if report.kind != SOFT}
    tired = _tired({address for address, report in new if report.kind == SOFT} - ending.keys())
    ending |= {address: report for address, report in new if address in tired}
    _suppress(ending, owners)
    return len(new)


def among(addresses: Collection[str]) -> dict[str, str]:
    """Return those of these canonical addresses that are suppressed, with a reason that may be shown. One statement."""
    if not addresses:
        return {}
    by_digest = {digest: address for address in addresses for digest in _digests(address)}
    rows = db.session.execute(_AMONG, {"digests": list(by_digest), "now": clock.now()})
    return {by_digest[digest]: f"{REASON} ({' '.join(filter(None, (kind, code)))})" for digest, kind, code in rows}


def lift(address: str, by: str) -> bool:
    """Write to a canonical address again; return whether it was suppressed. What was counted counts no more.

    :param by: who did it, for the event: ``operator``, ``admin:`` and a handle, or ``proved``
    """
    digests = _digests(address)
    user_id = db.session.scalar(sa.select(_s.user_id).where(_s.digest.in_(digests)))
    changed(sa.update(Bounce).where(Bounce.digest.in_(digests)).values(counts=False))
    if not changed(sa.delete(Suppression).where(Suppression.digest.in_(digests))):
        return False
    record("address.unsuppressed", user_id, by=by)
    return True


def suppressed_of(addresses: Collection[str]) -> dict[str, Suppression]:
    """Return by address which of these canonical addresses are suppressed. One statement."""
    by_digest = {digest: address for address in addresses for digest in _digests(address)}
    if not by_digest:
        return {}
    active = sa.select(Suppression).where(Suppression.digest.in_(by_digest), Suppression.until > clock.now())
    return {by_digest[row.digest]: row for row in db.session.scalars(active)}


def listed(most: int) -> list[Suppression]:
    """Return what is suppressed now, newest first."""
    active = sa.select(Suppression).where(Suppression.until > clock.now()).order_by(Suppression.since.desc())
    return list(db.session.scalars(active.limit(most)))


@dataclass(frozen=True, slots=True)
class Summary:
    """How many addresses are suppressed now, and what came back in the last day, by kind."""

    suppressed: int
    lately: Mapping[str, int]
    sent: int


def summary() -> Summary:
    """Return figures for an operator. Three statements."""
    sent = (Message.channel == "mail", Message.created_at > clock.now() - LATELY, Message.state == "sent")
    count = db.session.scalar(sa.select(sa.func.count()).select_from(Message).where(*sent)) or 0
    return Summary(count_suppressed(), came_back(), count)


def count_suppressed() -> int:
    """Return how many addresses are suppressed now. One statement."""
    return db.session.scalar(sa.select(sa.func.count()).where(_s.until > clock.now())) or 0


def came_back() -> dict[str, int]:
    """Return how many mails came back in the last day, by kind; kinds that none was of are left out. One statement."""
    lately = sa.select(_b.kind, sa.func.count()).where(_b.at > clock.now() - LATELY).group_by(_b.kind)
    return dict(db.session.execute(lately).all())


def prune_suppressions() -> int:
    """Delete a batch of suppressions that are over."""
    return delete_batch(db.session, Suppression, Suppression.until < clock.now())


def prune_bounces() -> int:
    """Delete a batch of reports that are older than any suppression by them."""
    return delete_batch(db.session, Bounce, Bounce.at < clock.now() - settings.suppress_for - settings.soft_bounce_span)


def _canonical(text: str) -> str:
    try:
        return identifiers.email(text)
    except identifiers.InvalidIdentifier:
        return ""


def _digest(address: str, kid: str) -> str:
    return hmac.digest(keyring.derive("suppressions", kid), address.encode(), "sha256").hex()


def _digests(address: str) -> list[str]:
    """Return what an address may be kept under: it was under the key of the time."""
    return [_digest(address, kid) for kid in keyring.kids]


def _owners_of(addresses: Collection[str]) -> dict[str, int | None]:
    """Return the addresses that an account has, with it, and those that were sent mail lately. Two statements."""
    if not addresses:
        return {}
    sent = sa.select(Message.to).where(Message.to.in_(addresses), Message.channel == "mail").distinct()
    owners: dict[str, int | None] = dict.fromkeys(db.session.scalars(sent))
    held = sa.select(Identity.value, Identity.user_id).where(Identity.kind == "email", Identity.value.in_(addresses))
    return owners | dict(db.session.execute(held).all())


def _keep_new(reports: Sequence[tuple[str, Report]], owners: Mapping[str, int | None]) -> list[tuple[str, Report]]:
    """Keep the reports that are new, and return them. One statement."""
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


def _tired(addresses: Collection[str]) -> set[str]:
    """Return the addresses with enough soft bounces within the span. One statement."""
    if not addresses:
        return set()
    by_digest = {digest: address for address in addresses for digest in _digests(address)}
    recent = (_b.digest.in_(by_digest), _b.kind == SOFT, _b.counts, _b.at > clock.now() - settings.soft_bounce_span)
    counted = sa.select(_b.digest).where(*recent).group_by(_b.digest)
    enough = counted.having(sa.func.count() >= settings.soft_bounces)
    return {by_digest[digest] for digest in db.session.scalars(enough)}


def _suppress(ending: Mapping[str, Report], owners: Mapping[str, int | None]) -> None:
    """Suppress these addresses by these reports; one that is suppressed already stays so for the longer time."""
    if not ending:
        return
    now = clock.now()
    already = among(ending)
    rows = [
        {
            "digest": _digest(address, keyring.kid), "masked": identifiers.mask("email", address),
            "kind": report.kind, "provider": report.provider[:16], "code": report.code[:16],
            "since": now, "until": now + _time_of(report.kind), "user_id": owners[address],
        }
        for address, report in ending.items()
    ]  # fmt: skip
    row = insert(Suppression.__table__).values(rows)
    newer = {name: row.excluded[name] for name in ("kind", "provider", "code", "until", "since", "user_id")}
    is_longer = row.excluded.until > _s.until
    db.session.execute(row.on_conflict_do_update(index_elements=[_s.digest], set_=newer, where=is_longer))
    record_each(
        "address.suppressed",
        [_event(owners[address], report) for address, report in ending.items() if address not in already],
    )
    log.info("address.suppressed", addresses=len(ending))


def _time_of(kind: str) -> timedelta:
    return min(settings.suppress_for, settings.soft_bounce_span) if kind == SOFT else settings.suppress_for


def _event(user_id: int | None, report: Report) -> dict[str, Any]:
    facts = {"kind": report.kind, "provider": report.provider, "code": report.code}
    return {"user_id": user_id, "challenge_id": None, "facts": facts}


def lift_proved(proofs: Iterable[tuple[str, datetime]]) -> int:
    """Lift the suppression of addresses at which a code arrived after it began; return how many.

    :param proofs: canonical addresses, and when a code that was sent there was typed
    """
    lifted = 0
    for address, at in proofs:
        since = db.session.scalar(sa.select(_s.since).where(_s.digest.in_(_digests(address))))
        if since is not None and since < at:
            lifted += lift(address, "proved")
    return lifted
