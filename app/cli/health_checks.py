"""What ``flask doctor`` looks at: everything the service depends on, with what is wrong and how to fix it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from urllib.parse import urlsplit

import sqlalchemy as sa

from app import clock
from app.audit import backups as made_backups
from app.authenticators.keys import sealed_columns, sealed_rows
from app.cli.findings import Finding, HealthCheck
from app.crypto.encryption import DecryptionError
from app.db import DatabaseReadOnly, PoolerFound, clock_sync, read_only, readiness, refuse_unless_writable
from app.db.faults import why_unreached
from app.enrollments.catalog import methods_reaching
from app.extensions import db, keyring, settings
from app.outbox import jobs, providers, suppressions, wakeups
from app.outbox.channels import mail, sms
from app.outbox.channels.attempt import Failed
from app.outbox.channels.provider_gate import REFUSES_US, remedy_for
from app.outbox.models import ABANDONED, Message
from app.outbox.schedule import oldest_due, waiting_messages
from app.throttling import service_totals
from app.webhooks import endpoints
from app.webhooks.delivery import FAILING, GONE
from app.webhooks.sender import remedy_for as remedy_of_endpoint
from config import checks, environment
from config.settings import Settings

PATIENCE = timedelta(seconds=5)
"""How long another server may take to answer."""

STUCK = timedelta(minutes=10)
"""A worker that takes longer for a round of its other work hangs, or does a cleanup as it never had to before."""

LATE = timedelta(minutes=1)
"""A message due for longer than this was forgotten."""

OLD_BACKUP = timedelta(days=2)
"""Where backups are made, one a day is missed at the most."""

LEAST_BOUNCES, MOST_BOUNCES = 20, 0.05
"""So many mails that come back in a day, and so great a share of all, are worth a look: providers block above."""

NEED_DATABASE = frozenset(
    ("migrations", "keys", "sms", "providers", "bounces", "outbox", "budgets", "webhooks", "backups")
)
"""Examinations that say nothing while the database does not answer."""


def examine() -> list[Finding]:
    """Look at everything once. Needs an app context, and leaves no transaction open."""
    found: list[Finding] = []
    unreachable: set[str] = set()
    for name, examination, remedy in CHECKS:
        if name in NEED_DATABASE and "database" in unreachable:
            continue
        findings: list[HealthCheck] = []
        try:
            findings.extend(examination())
        except Exception as error:  # whatever a driver raises is what we came to find
            db.session.rollback()
            unreachable.add(name)
            findings.append(unanswered(error, remedy))
        found += [Finding(name, each) for each in findings]
    db.session.remove()
    return found


def unanswered(error: Exception, remedy: str) -> HealthCheck:
    """Return what is to be said when an examination could not be made."""
    if isinstance(error, DatabaseReadOnly):
        what = "takes no writes: it is a standby, or it was set to be read-only"
        return HealthCheck(what, "Point LATCHKEY_DATABASE_URL at the primary.", wrong=True)
    if isinstance(error, PoolerFound):
        what, remedy = str(error).split(". ", 1)
        return HealthCheck(what, remedy, wrong=True)
    if isinstance(error, sa.exc.DBAPIError) and (known := why_unreached(error)):
        return HealthCheck(*known, wrong=True)
    return HealthCheck(f"does not answer ({type(error).__name__})", remedy, wrong=True)


def settings_hold() -> Iterator[HealthCheck]:
    """Nothing unsafe or misspelt."""
    held: list[HealthCheck] = [HealthCheck(f"{problem.setting} {problem.what}", problem.remedy, wrong=True)
                           for problem in checks.problems(settings)]  # fmt: skip
    held += [HealthCheck(f"{problem.setting} {problem.what}", problem.remedy) for problem in checks.warnings(settings)]
    unknown = environment.unknown_variables(Settings.model_fields)
    held += [
        HealthCheck(f"{name} is set, but there is no such setting", "Look in docs/settings.md.") for name in unknown
    ]
    yield from held or [HealthCheck(f"sound, for {settings.environment}")]


def database_answers() -> Iterator[HealthCheck]:
    """It can be read and written, with the durability we count on."""
    with db.engine.connect() as connection:
        refuse_unless_writable(connection)
        if (found := read_only.state(connection)) is not None:
            what = "takes no changes: it was moved" if found.for_good else "takes no changes: it is being moved"
            remedy = "Set LATCHKEY_DATABASE_URL to the new one and restart; or stay here: flask db read-write"
            yield HealthCheck(what, remedy, wrong=found.for_good)
        if settings.is_sqlite:
            mode = connection.exec_driver_sql("PRAGMA journal_mode").scalar_one()
            version = connection.exec_driver_sql("SELECT sqlite_version()").scalar_one()
            yield HealthCheck(f"SQLite {version}, can be written")
            if mode not in ("wal", "memory"):
                remedy = "Put the file on a local disk: WAL does not work on network file systems."
                yield HealthCheck(f"its journal mode is {mode}, not WAL", remedy, wrong=True)
            return
        version = connection.exec_driver_sql("SELECT version()").scalar_one()
        yield HealthCheck(f"{' '.join(version.split()[:2])}, can be written")
        if abs(clock.correction()) > clock_sync.TOLERATED:
            what = (
                f"its clock and this machine's differ by {abs(clock.correction()):.0f} s; the service goes by its clock"
            )
            yield HealthCheck(
                what, "Let both machines keep time by NTP. Authenticator apps need the right time.", wrong=True
            )


def migrations_are_current() -> Iterator[HealthCheck]:
    """The tables are those that this release works with."""
    with db.engine.connect() as connection:
        found = readiness.fit(connection)
    if found.fault:
        yield HealthCheck(found.fault.removesuffix("."), found.remedy, wrong=True)
    elif found.newer:
        remedy = "Install it here as well. Only the release right before it works with its tables."
        yield HealthCheck(
            f"the tables are those of a newer release (revision {found.newer}, ours {found.head})", remedy
        )
    else:
        yield HealthCheck(f"up to date, at {found.head}")


def keys_fit() -> Iterator[HealthCheck]:
    """Each key that something is sealed under is in the ring, and opens it."""
    counts = sealed_rows()
    for kid in counts.keys() - set(keyring.kids):
        remedy = "Put the key back at the end of LATCHKEY_SECRET_KEYS, then: flask keys rotate"
        yield HealthCheck(f"{counts[kid]:,} rows are sealed under key {kid}, which is missing", remedy, wrong=True)
    for kid in keyring.kids:
        if not _opens(kid):
            remedy = "Compare the database with a backup; its owner has to set up that method anew."
            yield HealthCheck(f"a row sealed under key {kid} was changed or moved", remedy, wrong=True)
        elif kid == keyring.kid:
            yield HealthCheck(f"current key {kid}, {counts[kid]:,} rows")
        elif counts[kid]:
            yield HealthCheck(f"older key {kid}, {counts[kid]:,} rows", "Run: flask keys rotate")
        else:
            remedy = "New: put it first, once every server has it. Old: take it out, a day after keys rotate."
            yield HealthCheck(f"further key {kid} seals nothing", remedy)


def _opens(kid: str) -> bool:
    """Try one row of each table that is sealed under this key."""
    for column in sealed_columns():
        row = db.session.scalar(sa.select(column.model).where(column.texts.like(f"v1.{kid}.%")).limit(1))
        try:
            if row is not None:
                keyring.open(getattr(row, column.secret), *column.context(row))
        except DecryptionError:
            return False
    return True


def mail_server_answers() -> Iterator[HealthCheck]:
    """It can be reached, with TLS and sign-in as set. Nothing is sent."""
    if not settings.mail_url and not settings.is_production:
        yield HealthCheck("no mail server is set: flask serve keeps mail and shows it at /dev/inbox")
        return
    if not settings.mail_url:
        yield HealthCheck("no mail server is set", "Set LATCHKEY_MAIL_URL.", wrong=bool(methods_reaching("email")))
        return
    for name, url in mail.urls_of(settings).items():
        parts, of_two = urlsplit(url), f"{name}: " if settings.mail_fallback_url else ""
        try:
            mail.check(settings.model_copy(update={"mail_timeout": min(PATIENCE, settings.mail_timeout)}), name)
        except Failed as failure:
            remedy = failure.remedy or f"Look at {mail.SETTINGS[name]}, and whether that server runs."
            yield HealthCheck(of_two + failure.reason, remedy, wrong=True)
        else:
            yield HealthCheck(f"{of_two}{parts.hostname} answers by {parts.scheme}")


def sms_provider_answers() -> Iterator[HealthCheck]:
    """Its machine takes connections, and it has not refused us. Nothing is sent."""
    if not methods_reaching("phone") or not settings.can_send_sms:
        yield HealthCheck("not in use")
        return
    known = sms.accesses()
    for name, access in known.items():
        of_two = f"{name}: " if len(known) > 1 else ""
        try:
            sms.check(name)
        except Failed as failure:
            yield HealthCheck(of_two + failure.reason, failure.remedy, wrong=True)
        else:
            yield HealthCheck(f"{of_two}{urlsplit(access.url).hostname} answers")
    if why := _refused_by_provider():
        yield HealthCheck(f"text messages wait: {why}", remedy_for(why), wrong=True)


def _refused_by_provider() -> str:
    """Return why the provider takes no text messages of ours, "" when it does: the newest says it."""
    lately = (Message.channel == "sms", Message.created_at > clock.now() - timedelta(days=1))
    refused = sa.select(Message.created_at, Message.last_error).where(*lately, Message.last_error.contains(REFUSES_US))
    newest = db.session.execute(refused.order_by(Message.created_at.desc()).limit(1)).first()
    if newest is None:
        return ""
    sent = sa.select(Message.id).where(Message.channel == "sms", Message.sent_at > newest.created_at).limit(1)
    return "" if db.session.scalar(sent) else newest.last_error


def providers_send() -> Iterator[HealthCheck]:
    """Where there are two providers, how each did: one that fails is not missed while the other one sends."""
    known = providers.states()
    doubled = [each for each in known if sum(other.channel == each.channel for other in known) > 1]
    for each in doubled:
        name = f"{each.channel} {each.name} ({each.host})"
        if each.state == providers.FAILS:
            since = f", took its last message at {each.sent_at:%Y-%m-%d %H:%M} UTC" if each.sent_at else ""
            remedy = "Mend it: the other one is alone now. See flask outbox providers"
            yield HealthCheck(f"{name} fails: {each.reason}{since}", remedy)
        else:
            yield HealthCheck(f"{name} {each.state}, {each.sent_lately:,} messages in the last day")
    if not doubled:
        yield HealthCheck("one for each channel")


def mail_arrives() -> Iterator[HealthCheck]:
    """Little of it comes back, and reports of that come in."""
    found = suppressions.summary()
    back, spam = (sum(found.lately.get(kind, 0) for kind in kinds) for kinds in (("hard", "soft"), ("complaint",)))
    what = f"{back:,} came back and {spam:,} were called spam in the last day; {found.suppressed:,} suppressed"
    much = back + spam >= LEAST_BOUNCES and back + spam > found.sent * MOST_BOUNCES
    remedy = "Look why: flask mail suppressions list. Look at SPF, DKIM and the reputation of your domain."
    yield HealthCheck(what, remedy if much else "")


def queue_answers() -> Iterator[HealthCheck]:
    """Workers can be woken when a message waits. Otherwise they find it by looking, a second later."""
    where = wakeups.location(settings)
    kind = "this machine" if where.startswith("sqlite") else where.partition(":")[0]
    try:
        listening = wakeups.count_listeners(where)
    except FileNotFoundError:
        listening = 0
    yield HealthCheck(f"wakes workers through {kind}" + ("" if listening is None else f"; {listening} listen"))


def redis_answers() -> Iterator[HealthCheck]:
    """All replicas count together."""
    if not settings.redis_url:
        yield HealthCheck("not in use: each process counts by itself")
        return
    from redis import Redis

    seconds = PATIENCE.total_seconds()
    Redis.from_url(settings.redis_url, socket_timeout=seconds, socket_connect_timeout=seconds).ping()
    yield HealthCheck("answers")


def messages_leave() -> Iterator[HealthCheck]:
    """Workers run, nothing waits longer than it should, and nothing was given up."""
    due, now, signs = oldest_due(), clock.now(), jobs.live_workers()
    workers = len(signs)
    if due is not None and now - due > LATE:
        minutes = int((now - due) / timedelta(minutes=1))
        remedy = "Start a worker: flask worker"
        if workers:
            remedy = "The workers are too slow. Look at the mail server, and raise LATCHKEY_WORKER_THREADS."
        yield HealthCheck(f"the oldest message has been due for {minutes} min", remedy, wrong=True)
    waiting = waiting_messages()
    for each in waiting:
        what = f"{each.count:,} {'message waits' if each.count == 1 else 'messages wait'} for another try"
        yield HealthCheck(f"{what} at {each.destination}: {each.reason}", "They leave by themselves once that is over.")
    lately = (Message.state == ABANDONED, Message.created_at > now - timedelta(days=1))
    given_up = db.session.scalar(sa.select(sa.func.count()).select_from(Message).where(*lately)) or 0
    if given_up:
        yield HealthCheck(f"{given_up:,} messages were given up in the last day", "Look why: flask outbox list")
    if due is None and not given_up and not waiting:
        yield HealthCheck("nothing waits")
    yield HealthCheck(f"{workers} {'worker runs' if workers == 1 else 'workers run'}")
    yield from map(_worker, signs)


def _worker(sign: jobs.WorkerSign) -> HealthCheck:
    """Say where a worker runs, which release it is, and when it was last through with its other work."""
    where = f"worker on {sign.replica}" if sign.replica else "worker"
    what = f"{where}, release {sign.version or 'older than 0.1.0'}"
    if sign.started_at is None:
        return HealthCheck(what)
    now, since = clock.now(), sign.swept_at or sign.started_at
    what += f", started {sign.started_at:%Y-%m-%d %H:%M} UTC"
    if now - since > STUCK:
        minutes = int((now - since) / timedelta(minutes=1))
        remedy = "Look at its log for worker.task_failed, and start it again."
        return HealthCheck(f"{what}, has not finished a round of its other work for {minutes} min", remedy, wrong=True)
    return HealthCheck(f"{what}, last round {int((now - since).total_seconds())} s ago")


def budgets_suffice() -> Iterator[HealthCheck]:
    """What may leave of the whole service is not used up."""
    for total in service_totals.used():
        per = {"mail": "mails in an hour", "sms": "text messages in a day"}[total.channel]
        what = f"{per}, {service_totals.NAMES[total.which]}: {min(total.count, total.most):,} of {total.most:,} used"
        what += f", counted from {total.began_at:%H:%M} UTC on"
        setting = service_totals.SETTINGS[total.channel]
        if total.count > total.most:
            yield HealthCheck(
                f"{what}; the rest did not leave", f"Raise {setting} if they are your people.", wrong=True
            )
        else:
            yield HealthCheck(
                what, f"Raise {setting} before it is used up." if total.percent >= service_totals.NEARLY else ""
            )
    mails, texts = (service_totals.most_of(channel, "overall") for channel in ("mail", "sms"))
    yield HealthCheck(f"{mails:,} mails in an hour and {texts:,} text messages in a day may leave")


def backups_are_made() -> Iterator[HealthCheck]:
    """Where our command makes them, the last one is not old."""
    made = made_backups.latest()
    if made is None:
        yield HealthCheck("none is known of; flask backup makes one")
        return
    what, is_old = f"the last one was made at {made:%Y-%m-%d %H:%M} UTC", clock.now() - made > OLD_BACKUP
    yield HealthCheck(what, "Run: flask backup FILE. Look why the job that does has not." if is_old else "")


def webhooks_are_taken() -> Iterator[HealthCheck]:
    """Endpoints take what is posted to them, and none was disabled for not doing so."""
    found = endpoints.health()
    for each in found:
        name, why = each.endpoint.id, each.endpoint.last_error
        if each.endpoint.disabled_reason in (GONE, FAILING):
            what = f"endpoint {name} was disabled ({why})"
            yield HealthCheck(what, f"Look at it, then: flask webhooks enable {name}, or delete it", wrong=True)
        elif each.endpoint.failures and each.endpoint.disabled_at is None:
            what = f"endpoint {name} takes nothing since {each.endpoint.failing_since:%Y-%m-%d %H:%M} UTC: {why}"
            remedy = remedy_of_endpoint(why) or f"Look: flask webhooks deliveries {name}"
            yield HealthCheck(f"{what}; {each.waiting:,} waiting", remedy)
        elif each.abandoned:
            what = f"{each.abandoned:,} events for endpoint {name} were given up"
            yield HealthCheck(what, f"To post them again: flask webhooks retry --failed {name}")
    enabled = sum(each.endpoint.disabled_at is None for each in found)
    yield HealthCheck(f"{enabled} of {len(found)} endpoints enabled" if found else "not in use")


CHECKS: tuple[tuple[str, Callable[[], Iterator[HealthCheck]], str], ...] = (
    ("settings", settings_hold, "Look at the LATCHKEY_ variables."),
    ("database", database_answers, "Look at LATCHKEY_DATABASE_URL, and whether the database runs."),
    ("migrations", migrations_are_current, "Run: flask db upgrade"),
    ("keys", keys_fit, "Run: flask db upgrade"),
    ("mail", mail_server_answers, "Look at LATCHKEY_MAIL_URL."),
    ("sms", sms_provider_answers, "Look at LATCHKEY_SMS_URL."),
    ("providers", providers_send, "Look at the database."),
    ("bounces", mail_arrives, "Run: flask db upgrade"),
    ("queue", queue_answers, "Look at LATCHKEY_QUEUE_URL, and whether the queue runs."),
    ("redis", redis_answers, "Look at LATCHKEY_REDIS_URL, and whether Redis runs."),
    ("outbox", messages_leave, "Run: flask db upgrade"),
    ("budgets", budgets_suffice, "Run: flask db upgrade"),
    ("webhooks", webhooks_are_taken, "Run: flask db upgrade"),
    ("backups", backups_are_made, "Run: flask db upgrade"),
)
"""Name, examination, and what to do when it cannot even be made."""
