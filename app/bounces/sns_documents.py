"""Documents the worker fetches from Amazon SNS: signing certificates, and URLs that confirm a subscription."""

from __future__ import annotations

import threading
from datetime import timedelta

import sqlalchemy as sa
import structlog
from sqlalchemy.dialects.postgresql import insert  # SQLite accepts this INSERT as well

from app import clock
from app.bounces.models import SnsDocument
from app.db.retention import delete_batch
from app.extensions import changed, db, settings
from app.outbox.channels import Interrupted
from app.outbox.channels.guarded_http import NotFetched, fetch, is_public
from app.outbox.leases import claim_rows, claiming

CERTIFICATE, CONFIRMATION = "certificate", "confirmation"
MAX_URL_LENGTH = 1000
MAX_BYTES = 64 * 1024
FETCH_TIMEOUT = 5.0

MAX_WAITING = 16
"""Maximum documents waiting to be fetched, because anyone can cause a fetch."""

KEEP_FOR = timedelta(days=30)
RETRY_FOR = timedelta(hours=1)
RETRY_INTERVAL = timedelta(minutes=1)

log = structlog.get_logger()

_c = SnsDocument.__table__.c
_CLAIM = claiming(_c.url, _c.due_at)
_IS_DUE = sa.select(sa.exists().where(_c.due_at <= sa.bindparam("now")))


def certificate(url: str) -> str | None:
    """Return the certificate at a URL; if it hasn't been fetched yet, schedule that and return None."""
    pem = db.session.scalar(sa.select(_c.body).where(_c.url == url, _c.kind == CERTIFICATE))
    if not pem:
        _schedule(url, CERTIFICATE)
    return pem or None


def schedule_confirmation(url: str) -> None:
    """Have the worker confirm a subscription."""
    _schedule(url, CONFIRMATION)


def _schedule(url: str, kind: str) -> None:
    """Have the worker fetch a document. Commits separately, because the request may be rejected."""
    waiting = db.session.scalar(sa.select(sa.func.count()).where(_c.due_at.is_not(None))) or 0
    if waiting >= MAX_WAITING:
        log.warning("bounces.too_many_documents", waiting=waiting)
        return
    now = clock.now()
    row = {"url": url, "kind": kind, "body": "", "due_at": now, "created_at": now}
    statement = insert(SnsDocument.__table__).values(**row).on_conflict_do_nothing()
    db.session.execute(statement.execution_options(autocommit=True))


def fetch_due(stop: threading.Event) -> bool:
    """Fetch one due document; return whether there may be more."""
    if not settings.bounces_ses_topics or stop.is_set():
        return False
    if not db.session.scalar(_IS_DUE, {"now": clock.now()}):
        return False
    claimed = claim_rows(_CLAIM)
    db.session.close()  # don't hold a connection while waiting for another server
    for row in claimed:
        _fetch(row.url, row.kind)
    return bool(claimed)


def _fetch(url: str, kind: str) -> None:
    is_document = SnsDocument.url == url
    try:
        body = fetch(url, most=MAX_BYTES, within=FETCH_TIMEOUT, allows=is_public).body
    except Interrupted:
        changed(sa.update(SnsDocument).where(is_document).values(due_at=clock.now()))
        return
    except NotFetched as error:
        log.warning("bounces.not_fetched", kind=kind, reason=error.reason)
        created_before = clock.now() - (timedelta(0) if kind == CERTIFICATE else RETRY_FOR)  # ordered again when needed
        if not changed(sa.delete(SnsDocument).where(is_document, SnsDocument.created_at <= created_before)):
            changed(sa.update(SnsDocument).where(is_document).values(due_at=clock.now() + RETRY_INTERVAL))
        return
    if kind == CERTIFICATE:
        text = body.decode("ascii", "replace")
        changed(sa.update(SnsDocument).where(is_document).values(body=text, due_at=None))
    else:
        changed(sa.delete(SnsDocument).where(is_document))
        log.info("bounces.topic_confirmed")


def prune_documents() -> int:
    """Delete a batch of old documents."""
    return delete_batch(db.session, SnsDocument, SnsDocument.created_at < clock.now() - KEEP_FOR)
