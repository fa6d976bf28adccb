"""``flask doctor``: check everything the service depends on, and say how to fix it, once or continuously."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext
from datetime import timedelta
from typing import Any

import click
import orjson
import sqlalchemy as sa

from app import clock, shutdown
from app.audit.recorder import last_backup
from app.authenticators.keys import sealed_columns, sealed_rows
from app.cli import delivery_checks as delivery
from app.cli.health_checks import Finding, HealthCheck
from app.command_language import N_, TranslatedCommand, gettext, in_english, ngettext
from app.crypto.encryption import DecryptionError
from app.db import DatabaseReadOnly, PoolerFound, clock_sync, read_only, readiness, refuse_unless_writable
from app.db.faults import unreachable_reason
from app.extensions import db, keyring, settings
from config import checks, environment
from config.settings import Settings

COLOURS = {"mend": "red", "note": "yellow", "ok": "green", "over": "green"}
"""``over``: a finding that no longer applies."""

SHOWN = {"mend": "fix"}
"""States that are printed as another word than in ``--json``, whose values don't change."""


@click.command("doctor", cls=TranslatedCommand)
@click.option("--watch", is_flag=True, help=N_("Keep checking, and print changes, until Ctrl-C or SIGTERM."))
@click.option(
    "--every",
    type=click.FloatRange(min=0, max=3600),
    default=10.0,
    show_default=True,
    help=N_("Seconds between two checks of --watch."),
)
@click.option("--rounds", type=click.IntRange(min=1), help=N_("Stop --watch after this many checks."))
@click.option("--json", "as_json", is_flag=True, help=N_("One JSON object per line."))
@click.pass_obj
def doctor(info: Any, watch: bool, every: float, rounds: int | None, as_json: bool) -> None:
    """Check settings and services, and say how to fix them.

    Checks settings, database, migrations, keys, mail, SMS, queue, Redis and outbox. Changes and sends nothing. Exits
    with 1 if something has to be fixed; with --watch, the last check counts. A note is something that works but could
    be better.
    """
    app = info.load_app()
    if rounds is not None and not watch:
        raise click.UsageError(gettext("--rounds requires --watch."))
    stop = shutdown.event_set_by(signal.SIGINT, signal.SIGTERM) if watch else None
    known: list[Finding] = []
    looks = 0
    while True:
        with app.app_context(), in_english() if as_json else nullcontext():
            found = examine()
        looks += 1
        print_findings(changes(known, found) if watch else [(each.state, each) for each in found], as_json, dated=watch)
        known = found
        if stop is None or looks == rounds or stop.wait(every):
            break
    wrong = sum(finding.check.wrong for finding in known)
    if not as_json:
        click.echo(ngettext("{count} to fix.", "{count} to fix.", wrong) if wrong else gettext("All is well."))
    sys.exit(1 if wrong else 0)


def changes(before: list[Finding], now: list[Finding]) -> list[tuple[str, Finding]]:
    """Return findings that are new or gone since the last check, with their state. Changed numbers are ignored."""
    known, found = {each.same_as() for each in before}, {each.same_as() for each in now}
    over = [("over", each) for each in before if each.same_as() not in found and each.state != "ok"]
    return over + [(each.state, each) for each in now if each.same_as() not in known]


def print_findings(findings: Iterable[tuple[str, Finding]], as_json: bool, *, dated: bool) -> None:
    """Print findings, one per line."""
    at = f"{clock.now():%Y-%m-%dT%H:%M:%SZ}"
    for state, finding in findings:
        what, remedy = finding.check.what, finding.check.remedy if state != "over" else ""
        if as_json:
            facts = {"at": at, "state": state, "subject": finding.subject, "what": what, "remedy": remedy}
            click.echo(orjson.dumps(facts).decode())
        else:
            mark = click.style(f"{SHOWN.get(state, state):<5}", fg=COLOURS[state])
            more = f" -> {remedy}" if remedy else ""
            click.echo(f"{f'{at} ' if dated else ''}{mark} {finding.subject:<11} {what}{more}")
    sys.stdout.flush()


# --- checks -------------------------------------------------------------------------------------


NEED_DATABASE = frozenset(
    ("migrations", "keys", "sms", "providers", "bounces", "outbox", "budgets", "webhooks", "backups")
)
"""Checks that are skipped while the database doesn't respond."""


def examine() -> list[Finding]:
    """Run all checks once. Requires an app context, and leaves no transaction open."""
    found: list[Finding] = []
    unreachable: set[str] = set()
    for name, examination, remedy in CHECKS:
        if name in NEED_DATABASE and "database" in unreachable:
            continue
        findings: list[HealthCheck] = []
        try:
            findings.extend(examination())
        except Exception as error:  # any driver error is a finding
            db.session.rollback()
            unreachable.add(name)
            findings.append(unanswered(error, gettext(remedy)))
        found += [Finding(name, each) for each in findings]
    db.session.remove()
    return found


def unanswered(error: Exception, remedy: str) -> HealthCheck:
    """Return the finding for a check that failed with an exception."""
    if isinstance(error, DatabaseReadOnly):
        what = gettext("accepts no writes: it is a standby, or it was set to be read-only")
        return HealthCheck(what, gettext("Point LATCHKEY_DATABASE_URL at the primary."), wrong=True)
    if isinstance(error, PoolerFound):
        what, remedy = str(error).split(". ", 1)
        return HealthCheck(what, remedy, wrong=True)
    if isinstance(error, sa.exc.DBAPIError) and (known := unreachable_reason(error)):
        return HealthCheck(*known, wrong=True)
    return HealthCheck(gettext("doesn't answer ({error})", error=type(error).__name__), remedy, wrong=True)


def settings_hold() -> Iterator[HealthCheck]:
    """No setting is unsafe or misspelled."""
    held: list[HealthCheck] = [HealthCheck(f"{problem.setting} {problem.what}", problem.remedy, wrong=True)
                           for problem in checks.problems(settings)]  # fmt: skip
    held += [HealthCheck(f"{problem.setting} {problem.what}", problem.remedy) for problem in checks.warnings(settings)]
    unknown = environment.unknown_variables(Settings.model_fields)
    look = gettext("See docs/settings.md.")
    held += [
        HealthCheck(gettext("{setting} is set, but there is no such setting", setting=name), look) for name in unknown
    ]
    yield from held or [HealthCheck(gettext("valid, for {environment}", environment=settings.environment))]


WRITABLE = N_("{version}, writable")


def database_answers() -> Iterator[HealthCheck]:
    """The database is readable and writable, with the durability we rely on."""
    with db.engine.connect() as connection:
        refuse_unless_writable(connection)
        if (found := read_only.state(connection)) is not None:
            moving, moved = (
                gettext("accepts no changes: it is being moved"),
                gettext("accepts no changes: it was moved"),
            )
            remedy = gettext(
                "Set LATCHKEY_DATABASE_URL to the new one and restart; or keep using this one: flask db read-write"
            )
            yield HealthCheck(moved if found.permanent else moving, remedy, wrong=found.permanent)
        if settings.is_sqlite:
            mode = connection.exec_driver_sql("PRAGMA journal_mode").scalar_one()
            version = connection.exec_driver_sql("SELECT sqlite_version()").scalar_one()
            yield HealthCheck(gettext(WRITABLE, version="SQLite " + version))
            if mode not in ("wal", "memory"):
                remedy = gettext("Put the file on a local disk: WAL doesn't work on network file systems.")
                yield HealthCheck(gettext("its journal mode is {mode}, not WAL", mode=mode), remedy, wrong=True)
            return
        version = connection.exec_driver_sql("SELECT version()").scalar_one()
        yield HealthCheck(gettext(WRITABLE, version=" ".join(version.split()[:2])))
        if abs(clock.correction()) > clock_sync.WARNING_DIFFERENCE:
            what = gettext(
                "its clock and this machine's differ by {seconds} s; the service uses its clock",
                seconds=round(abs(clock.correction())),
            )
            remedy = gettext("Synchronize both machines by NTP. Authenticator apps need the right time.")
            yield HealthCheck(what, remedy, wrong=True)


def migrations_are_current() -> Iterator[HealthCheck]:
    """The tables are compatible with this release."""
    with db.engine.connect() as connection:
        found = readiness.schema_state(connection)
    if found.fault:
        yield HealthCheck(found.fault.removesuffix("."), found.remedy, wrong=True)
    elif found.newer:
        remedy = gettext("Install it here as well. Only the release right before it works with its tables.")
        what = gettext(
            "the tables are those of a newer release (revision {newer}, ours {ours})",
            newer=found.newer,
            ours=found.head,
        )
        yield HealthCheck(what, remedy)
    else:
        yield HealthCheck(gettext("up to date, at {revision}", revision=found.head))


def keys_fit() -> Iterator[HealthCheck]:
    """Every key that rows are encrypted with is in the key ring and decrypts them."""
    counts = sealed_rows()
    for kid in counts.keys() - set(keyring.kids):
        remedy = gettext("Put the key back at the end of LATCHKEY_SECRET_KEYS, then: flask keys rotate")
        what = ngettext(
            "{count} row is encrypted with key {key}, which is missing",
            "{count} rows are encrypted with key {key}, which is missing",
            counts[kid],
            key=kid,
        )
        yield HealthCheck(what, remedy, wrong=True)
    for kid in keyring.kids:
        if not _opens(kid):
            remedy = gettext("Compare the database with a backup; its owner has to set up that method again.")
            yield HealthCheck(
                gettext("a row encrypted with key {key} was changed or moved", key=kid), remedy, wrong=True
            )
        elif kid == keyring.kid:
            what = ngettext("current key {key}, {count} row", "current key {key}, {count} rows", counts[kid], key=kid)
            yield HealthCheck(what)
        elif counts[kid]:
            what = ngettext("older key {key}, {count} row", "older key {key}, {count} rows", counts[kid], key=kid)
            yield HealthCheck(what, gettext("Run: flask keys rotate"))
        else:
            remedy = N_("New: put it first, once every server has it. Old: remove it, a day after keys rotate.")
            yield HealthCheck(gettext("additional key {key} encrypts nothing", key=kid), gettext(remedy))


def _opens(kid: str) -> bool:
    """Try to decrypt one row of each table encrypted with this key."""
    for column in sealed_columns():
        row = db.session.scalar(sa.select(column.model).where(column.texts.like(f"v1.{kid}.%")).limit(1))
        try:
            if row is not None:
                keyring.open(getattr(row, column.secret), *column.context(row))
        except DecryptionError:
            return False
    return True


OLD_BACKUP = timedelta(days=2)
"""With daily backups, this allows for one that was missed."""


def backups_are_made() -> Iterator[HealthCheck]:
    """The last backup isn't old, if our command makes them."""
    made = last_backup()
    if made is None:
        yield HealthCheck(gettext("none is known; flask backup makes one"))
        return
    what = gettext("the last one was made at {time}", time=made)
    remedy = gettext("Run: flask backup FILE. Check why the job that does this hasn't.")
    yield HealthCheck(what, remedy if clock.now() - made > OLD_BACKUP else "")


CHECKS: tuple[tuple[str, Callable[[], Iterator[HealthCheck]], str], ...] = (
    ("settings", settings_hold, N_("Check the LATCHKEY_ variables.")),
    ("database", database_answers, N_("Check LATCHKEY_DATABASE_URL, and whether the database is running.")),
    ("migrations", migrations_are_current, N_("Run: flask db upgrade")),
    ("keys", keys_fit, N_("Run: flask db upgrade")),
    ("mail", delivery.mail_server_answers, N_("Check LATCHKEY_MAIL_URL.")),
    ("sms", delivery.sms_provider_answers, N_("Check LATCHKEY_SMS_URL.")),
    ("providers", delivery.providers_send, N_("Check the database.")),
    ("bounces", delivery.mail_arrives, N_("Run: flask db upgrade")),
    ("queue", delivery.queue_answers, N_("Check LATCHKEY_QUEUE_URL, and whether the queue is running.")),
    ("redis", delivery.redis_answers, N_("Check LATCHKEY_REDIS_URL, and whether Redis is running.")),
    ("outbox", delivery.messages_leave, N_("Run: flask db upgrade")),
    ("budgets", delivery.budgets_suffice, N_("Run: flask db upgrade")),
    ("webhooks", delivery.webhooks_are_taken, N_("Run: flask db upgrade")),
    ("backups", backups_are_made, N_("Run: flask db upgrade")),
)
"""Name, check, and what to do when the check itself fails."""
