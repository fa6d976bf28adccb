"""Checks of ``flask doctor`` on delivery: mail, text messages, webhooks, and the workers."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from urllib.parse import urlsplit

import sqlalchemy as sa

from app import clock
from app.cli.health_checks import HealthCheck
from app.command_language import N_, gettext, ngettext
from app.enrollments.methods import methods_reaching
from app.extensions import db, settings
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

PATIENCE = timedelta(seconds=5)
"""Timeout for other servers to respond."""

STUCK = timedelta(minutes=10)
"""A worker whose round of other work takes longer hangs, or is running an unusually large cleanup."""

LATE = timedelta(minutes=1)
"""A message overdue by more than this was missed."""

MIN_BOUNCES, MAX_BOUNCE_RATE = 20, 0.05
"""Bounces per day, as a number and a share of all mail, worth investigating. Providers block senders above that."""


def mail_server_answers() -> Iterator[HealthCheck]:
    """The mail server is reachable, with TLS and authentication as configured. Nothing is sent."""
    if not settings.mail_url and not settings.is_production:
        yield HealthCheck(gettext("no mail server is set: flask serve keeps mail and shows it at /dev/inbox"))
        return
    if not settings.mail_url:
        remedy = gettext("Set LATCHKEY_MAIL_URL.")
        yield HealthCheck(gettext("no mail server is set"), remedy, wrong=bool(methods_reaching("email")))
        return
    for name, url in mail.urls_of(settings).items():
        parts, of_two = urlsplit(url), f"{name}: " if settings.mail_fallback_url else ""
        try:
            mail.check(settings.model_copy(update={"mail_timeout": min(PATIENCE, settings.mail_timeout)}), name)
        except Failed as failure:
            look = gettext("Check {setting}, and whether that server is running.", setting=mail.SETTINGS[name])
            remedy = failure.remedy or look
            yield HealthCheck(of_two + failure.reason, remedy, wrong=True)
        else:
            facts = {"host": parts.hostname, "protocol": parts.scheme}
            yield HealthCheck(of_two + gettext("{host} answers by {protocol}", **facts))


def sms_provider_answers() -> Iterator[HealthCheck]:
    """The SMS provider accepts connections, and hasn't rejected our account. Nothing is sent."""
    if not methods_reaching("phone") or not settings.can_send_sms:
        yield HealthCheck(gettext("not in use"))
        return
    known = sms.accesses()
    for name, access in known.items():
        of_two = f"{name}: " if len(known) > 1 else ""
        try:
            sms.check(name)
        except Failed as failure:
            yield HealthCheck(of_two + failure.reason, failure.remedy, wrong=True)
        else:
            yield HealthCheck(of_two + gettext("{host} answers", host=urlsplit(access.url).hostname))
    if why := _refused_by_provider():
        yield HealthCheck(gettext("text messages wait: {reason}", reason=why), remedy_for(why), wrong=True)


def _refused_by_provider() -> str:
    """Return why the provider rejects our text messages, "" if it accepts them, judging by the latest one."""
    lately = (Message.channel == "sms", Message.created_at > clock.now() - timedelta(days=1))
    refused = sa.select(Message.created_at, Message.last_error).where(*lately, Message.last_error.contains(REFUSES_US))
    newest = db.session.execute(refused.order_by(Message.created_at.desc()).limit(1)).first()
    if newest is None:
        return ""
    sent = sa.select(Message.id).where(Message.channel == "sms", Message.sent_at > newest.created_at).limit(1)
    return "" if db.session.scalar(sent) else newest.last_error


def providers_send() -> Iterator[HealthCheck]:
    """Status of each provider where there are two, since a failing one goes unnoticed while the other one sends."""
    known = providers.states()
    doubled = [each for each in known if sum(other.channel == each.channel for other in known) > 1]
    for each in doubled:
        name = f"{each.channel} {each.name} ({each.host})"
        if each.state == providers.FAILS:
            remedy = gettext("Fix it: only the other one is left. See flask outbox providers")
            yield HealthCheck(_failing(name, each), remedy)
        else:
            what = ngettext(
                "{provider} {state}, {count} message in the last day",
                "{provider} {state}, {count} messages in the last day",
                each.sent_recently,
                provider=name,
                state=each.state,
            )
            yield HealthCheck(what)
    if not doubled:
        yield HealthCheck(gettext("one for each channel"))


def _failing(name: str, provider: providers.ProviderState) -> str:
    facts = {"provider": name, "reason": provider.reason}
    if not provider.sent_at:
        return gettext("{provider} fails: {reason}", **facts)
    return gettext("{provider} fails: {reason}, accepted its last message at {time}", time=provider.sent_at, **facts)


def mail_arrives() -> Iterator[HealthCheck]:
    """Few emails bounce, and bounce reports arrive."""
    found = suppressions.summary()
    back, spam = (sum(found.by_kind.get(kind, 0) for kind in kinds) for kinds in (("hard", "soft"), ("complaint",)))
    what = gettext(
        "{back} bounced and {spam} were reported as spam in the last day; {suppressed} suppressed",
        back=back,
        spam=spam,
        suppressed=found.suppressed,
    )
    much = back + spam >= MIN_BOUNCES and back + spam > found.sent * MAX_BOUNCE_RATE
    remedy = N_("See why: flask mail suppressions list. Check SPF, DKIM and the reputation of your domain.")
    yield HealthCheck(what, gettext(remedy) if much else "")


def queue_answers() -> Iterator[HealthCheck]:
    """Workers can be woken when a message is waiting. Otherwise they find it by polling, a second later."""
    where = wakeups.location(settings)
    kind = gettext("this machine") if where.startswith("sqlite") else where.partition(":")[0]
    try:
        listening = wakeups.count_listeners(where)
    except FileNotFoundError:
        listening = 0
    if listening is None:
        yield HealthCheck(gettext("wakes workers through {queue}", queue=kind))
        return
    what = ngettext(
        "wakes workers through {queue}; {count} listens",
        "wakes workers through {queue}; {count} listen",
        listening,
        queue=kind,
    )
    yield HealthCheck(what)


def redis_answers() -> Iterator[HealthCheck]:
    """All replicas share their counters."""
    if not settings.redis_url:
        yield HealthCheck(gettext("not in use: each process counts on its own"))
        return
    from redis import Redis

    seconds = PATIENCE.total_seconds()
    Redis.from_url(settings.redis_url, socket_timeout=seconds, socket_connect_timeout=seconds).ping()
    yield HealthCheck(gettext("answers"))


def messages_leave() -> Iterator[HealthCheck]:
    """Workers are running, no message is overdue, and none was given up."""
    due, now, signs = oldest_due(), clock.now(), jobs.live_workers()
    workers = len(signs)
    if due is not None and now - due > LATE:
        minutes = int((now - due) / timedelta(minutes=1))
        remedy = N_("Start a worker: flask worker")
        if workers:
            remedy = N_("The workers are too slow. Check the mail server, and raise LATCHKEY_WORKER_THREADS.")
        what = gettext("the oldest message has been due for {minutes} min", minutes=minutes)
        yield HealthCheck(what, gettext(remedy), wrong=True)
    waiting = waiting_messages()
    for each in waiting:
        what = ngettext(
            "{count} message waits for another try at {destination}: {reason}",
            "{count} messages wait for another try at {destination}: {reason}",
            each.count,
            destination=each.destination,
            reason=each.reason,
        )
        yield HealthCheck(what, gettext("They are sent automatically once that is over."))
    lately = (Message.state == ABANDONED, Message.created_at > now - timedelta(days=1))
    given_up = db.session.scalar(sa.select(sa.func.count()).select_from(Message).where(*lately)) or 0
    if given_up:
        what = ngettext(
            "{count} message was given up in the last day",
            "{count} messages were given up in the last day",
            given_up,
        )
        yield HealthCheck(what, gettext("See why: flask outbox list"))
    if due is None and not given_up and not waiting:
        yield HealthCheck(gettext("nothing waits"))
    yield HealthCheck(ngettext("{count} worker runs", "{count} workers run", workers))
    yield from map(_worker, signs)


def _worker(sign: jobs.WorkerHeartbeat) -> HealthCheck:
    """Report where a worker runs, its release, and when it last completed a round of its other work."""
    release = sign.version or gettext("older than {release}", release="0.1.0")
    where = N_("worker on {replica}, release {release}") if sign.replica else N_("worker, release {release}")
    parts = [gettext(where, replica=sign.replica, release=release)]
    if sign.started_at is None:
        return HealthCheck(parts[0])
    now, since = clock.now(), sign.swept_at or sign.started_at
    parts.append(gettext("started {time}", time=sign.started_at))
    if now - since > STUCK:
        minutes = int((now - since) / timedelta(minutes=1))
        parts.append(gettext("has not finished a round of its other work for {minutes} min", minutes=minutes))
        remedy = gettext("Check its log for worker.task_failed, and restart it.")
        return HealthCheck(", ".join(parts), remedy, wrong=True)
    parts.append(gettext("last round {seconds} s ago", seconds=int((now - since).total_seconds())))
    return HealthCheck(", ".join(parts))


USED = {
    "mail": N_("mails in an hour, {which}: {used} of {most} used, counted from {time} on"),
    "sms": N_("text messages in a day, {which}: {used} of {most} used, counted from {time} on"),
}
TOTALS = {
    "overall": N_("in all"),
    "strangers": N_("to unverified addresses"),
    "known": N_("requested by known browsers"),
}
"""Messages counted by each of ``service_totals.NAMES``."""


def budgets_suffice() -> Iterator[HealthCheck]:
    """The service's overall sending limits aren't exhausted."""
    for total in service_totals.used():
        which = gettext(TOTALS[total.which])
        facts = {"which": which, "used": min(total.count, total.most), "most": total.most}
        since = f"{total.began_at:%H:%M} UTC"
        what = gettext(USED[total.channel], time=since, **facts)
        setting = service_totals.SETTINGS[total.channel]
        if total.count > total.most:
            remedy = gettext("Raise {setting} if they are your users.", setting=setting)
            yield HealthCheck(gettext("{what}; the rest weren't sent", what=what), remedy, wrong=True)
        else:
            remedy = gettext("Raise {setting} before it is used up.", setting=setting)
            yield HealthCheck(what, remedy if total.percent >= service_totals.WARNING_PERCENT else "")
    mails, texts = (service_totals.most_of(channel, "overall") for channel in ("mail", "sms"))
    what = N_("{mails} mails in an hour and {texts} text messages in a day may be sent")
    yield HealthCheck(gettext(what, mails=mails, texts=texts))


def webhooks_are_taken() -> Iterator[HealthCheck]:
    """Endpoints accept what is posted to them, and none was disabled for failing."""
    found = endpoints.health()
    for each in found:
        name, why = each.endpoint.id, each.endpoint.last_error
        if each.endpoint.disabled_reason in (GONE, FAILING):
            what = gettext("endpoint {id} was disabled ({reason})", id=name, reason=why)
            remedy = gettext("Check it, then: flask webhooks enable {id}, or delete it", id=name)
            yield HealthCheck(what, remedy, wrong=True)
        elif each.endpoint.failures and each.endpoint.disabled_at is None:
            what = gettext(
                "endpoint {id} has accepted nothing since {time}: {reason}; {waiting} waiting",
                id=name,
                time=each.endpoint.failing_since,
                reason=why,
                waiting=each.waiting,
            )
            remedy = remedy_of_endpoint(why) or gettext("See: flask webhooks deliveries {id}", id=name)
            yield HealthCheck(what, remedy)
        elif each.abandoned:
            what = ngettext(
                "{count} event for endpoint {id} was given up",
                "{count} events for endpoint {id} were given up",
                each.abandoned,
                id=name,
            )
            yield HealthCheck(what, gettext("To post them again: flask webhooks retry --failed {id}", id=name))
    enabled = sum(each.endpoint.disabled_at is None for each in found)
    what = gettext("{enabled} of {count} endpoints enabled", enabled=enabled, count=len(found))
    yield HealthCheck(what if found else gettext("not in use"))
