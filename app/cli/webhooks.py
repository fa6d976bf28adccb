"""``flask webhooks``: webhook endpoints, their deliveries, and retries."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import click
import orjson

from app import clock, terminal
from app.cli.durations import DurationType, span_text
from app.cli.group import OperatorGroup, switched
from app.command_language import N_, gettext, in_command_language, ngettext, table
from app.errors import Rejected
from app.extensions import db
from app.outbox import wakeups
from app.web.messages import message
from app.webhooks import delivery, endpoints, event_types, subscriptions
from app.webhooks.models import STATES, WebhookDelivery, WebhookEndpoint
from app.webhooks.sender import remedy_for

BY = "operator"

webhooks = OperatorGroup("webhooks", help=N_("Post events to your other services, and check how that goes."))


@webhooks.command("create")
@click.argument("url")
@click.option("--event", "events", multiple=True, required=True, metavar="TYPE",
              help=N_("A type, a group such as 'session.*', or '*'; may be repeated."))  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help=N_("One JSON object."))
def create(url: str, events: tuple[str, ...], as_json: bool) -> None:
    """Add an endpoint at URL, and print the secret that signs what is posted there.

    The secret is shown once. Types are listed by: flask webhooks events
    """
    with _in_words():
        endpoint, secret = endpoints.create(url, events, by=BY)
    db.session.commit()
    if as_json:
        click.echo(orjson.dumps(_facts(endpoint) | {"secret": secret}))
        return
    output = ngettext(
        "Added {id}. It gets events from now on, in {count} second at the latest.",
        "Added {id}. It gets events from now on, in {count} seconds at the latest.",
        round(subscriptions.REFRESH_INTERVAL),
        id=endpoint.id,
    )
    click.echo(output)
    titles = [gettext(title) for title in (N_("URL"), N_("Events"), N_("Secret"))]
    for line in terminal.fields(zip(titles, (endpoint.url, " ".join(endpoint.pattern_list), secret), strict=True)):
        click.echo(f"  {line}")
    click.echo(gettext("Keep the secret now: it is shown this once."), err=True)


@webhooks.command("list")
@click.option("--json", "as_json", is_flag=True, help=N_("One JSON object per line."))
def list_(as_json: bool) -> None:
    """List endpoints, and how many events wait for each."""
    found = endpoints.health()
    for each in found:
        facts = _facts(each.endpoint) | {"waiting": each.waiting, "abandoned": each.abandoned}
        if as_json:
            click.echo(orjson.dumps(facts))
            continue
        counts = gettext("{waiting} waiting, {abandoned} given up", waiting=each.waiting, abandoned=each.abandoned)
        shown = (each.endpoint.id, facts["state"], _without_query(each.endpoint.url), " ".join(facts["events"]), counts)
        click.echo("  ".join(shown))
    if not as_json:
        click.echo(ngettext("{count} endpoint.", "{count} endpoints.", len(found)), err=True)


@webhooks.command("show")
@click.argument("endpoint_id", metavar="ID")
@click.option("--json", "as_json", is_flag=True, help=N_("One JSON object."))
def show(endpoint_id: str, as_json: bool) -> None:
    """Show an endpoint. Its secret isn't shown: see rotate-secret."""
    facts = _facts(_named(endpoint_id))
    if as_json:
        click.echo(orjson.dumps(facts))
        return
    for name, value in facts.items():
        text = " ".join(value) if isinstance(value, list) else value
        if text not in (None, ""):
            click.echo(f"{name:<14} {text}")
    if remedy := remedy_for(facts["last_error"]):
        click.echo(f"-> {remedy}")


@webhooks.command("change")
@click.argument("endpoint_id", metavar="ID")
@click.option("--url", help=N_("New URL; waiting events go there, too."))
@click.option(
    "--event", "events", multiple=True, metavar="TYPE", help=N_("Replaces all events that it gets; may be repeated.")
)
def change(endpoint_id: str, url: str | None, events: tuple[str, ...]) -> None:
    """Change the URL of an endpoint, or which events it gets. Its secret stays."""
    if url is None and not events:
        raise click.UsageError(gettext("Specify --url or --event."))
    with _in_words():
        endpoints.change(endpoint_id, by=BY, url=url, patterns=events or None)
    db.session.commit()
    click.echo(gettext("{name}: changed.", name=endpoint_id))


@webhooks.command("rotate-secret")
@click.argument("endpoint_id", metavar="ID")
@click.option("--overlap", type=DurationType(or_zero=True), default="24h", show_default=True,
              help=N_("How long the old one also signs; 0: not at all."))  # fmt: skip
def rotate_secret(endpoint_id: str, overlap: timedelta) -> None:
    """Give an endpoint a new secret, and print it once. Events have both signatures in the meantime."""
    with _in_words():
        secret = endpoints.rotate_secret(endpoint_id, overlap, by=BY)
    db.session.commit()
    click.echo(secret)
    output = gettext("The previous secret also signs for {time}.", time=span_text(overlap))
    click.echo(output if overlap else gettext("Only the new one signs now."), err=True)


@webhooks.command("disable")
@click.argument("endpoint_id", metavar="ID")
def disable(endpoint_id: str) -> None:
    """Disable an endpoint. It gets no new events; waiting ones are posted if it is enabled within 5 days."""
    with _in_words():
        done = endpoints.disable(endpoint_id, by=BY)
    db.session.commit()
    click.echo(switched(endpoint_id, off=True, done=done))


@webhooks.command("enable")
@click.argument("endpoint_id", metavar="ID")
def enable(endpoint_id: str) -> None:
    """Enable a disabled endpoint. Events that happened while it was disabled aren't posted."""
    with _in_words():
        done = endpoints.enable(endpoint_id, by=BY)
    db.session.commit()
    wakeups.wake()
    click.echo(switched(endpoint_id, off=False, done=done))


@webhooks.command("delete")
@click.argument("endpoint_id", metavar="ID")
@click.option("--yes", is_flag=True, help=N_("Don't ask for confirmation."))
def delete(endpoint_id: str, yes: bool) -> None:
    """Delete an endpoint, its secret, and its waiting events."""
    endpoint = _named(endpoint_id)
    if not yes:
        asked = gettext("Delete {id} ({url}) and its waiting events?", id=endpoint_id, url=_without_query(endpoint.url))
        click.confirm(asked, abort=True)
    endpoints.delete(endpoint_id, by=BY)
    db.session.commit()
    click.echo(gettext("{name}: deleted.", name=endpoint_id))


@webhooks.command("test")
@click.argument("endpoint_id", metavar="ID")
def test(endpoint_id: str) -> None:
    """Post a webhook.test from this machine now, and show how the endpoint responds.

    Exits with 1 if it isn't accepted.
    """
    _named(endpoint_id)
    answer = delivery.send_test(endpoint_id)
    if answer is None:
        sys.exit(1)
    if answer.is_accepted:
        click.echo(gettext("{id}: answered {status}.", id=endpoint_id, status=str(answer.status)))
        return
    remedy = remedy_for(answer.reason)
    click.echo(f"{endpoint_id}: {answer.reason}.{f' -> {remedy}' if remedy else ''}")
    sys.exit(1)


@webhooks.command("deliveries")
@click.argument("endpoint_id", metavar="[ID]", required=False, default="")
@click.option("--state", type=click.Choice(STATES), multiple=True, help=N_("Only these states; may be repeated."))
@click.option(
    "--limit",
    type=click.IntRange(1, endpoints.MAX_LISTED),
    default=50,
    show_default=True,
    help=N_("Only the newest ones, this many."),
)
@click.option("--json", "as_json", is_flag=True, help=N_("One JSON object per line."))
def deliveries(endpoint_id: str, state: tuple[str, ...], limit: int, as_json: bool) -> None:
    """List posted and waiting deliveries, newest first."""
    if endpoint_id:
        _named(endpoint_id)
    found = endpoints.deliveries(endpoint_id=endpoint_id, states=state, limit=limit)
    if not found and not as_json:
        click.echo(gettext("No deliveries."))
        return
    if not as_json:
        click.echo(table(HEADS, ROOMS).head())
    for each in found:
        click.echo(orjson.dumps(_delivery_facts(each)) if as_json else _line(each))


@webhooks.command("retry")
@click.argument("ids", nargs=-1, metavar="[ID]...")
@click.option("--failed", "endpoint_id", metavar="ENDPOINT", help=N_("All that failed for this endpoint."))
def retry(ids: tuple[str, ...], endpoint_id: str | None) -> None:
    """Post deliveries again now, by their IDs or webhook-ids; or all that failed at an endpoint.

    Also those that were accepted: their webhook-id tells the receiver that it already has them.
    """
    if bool(ids) == bool(endpoint_id):
        raise click.UsageError(
            gettext("Specify deliveries by their IDs (flask webhooks deliveries), or an endpoint by --failed.")
        )
    with _in_words():
        again = endpoints.retry_failed(endpoint_id) if endpoint_id else len(endpoints.retry(ids))
    db.session.commit()
    wakeups.wake()
    click.echo(ngettext("{count} delivery will be tried now.", "{count} deliveries will be tried now.", again))
    if ids and not again:
        sys.exit(1)


@webhooks.command("events")
def events() -> None:
    """List the types of events."""
    for each in event_types.ALL:
        says = gettext(each.description)
        click.echo(f"{each.name:<28} {says}")


HEADS = (
    N_("ID"), N_("WEBHOOK-ID"), N_("TYPE"), N_("STATE"), N_("TRIES"), N_("ANSWER"), N_("NEXT TRY"), N_("WHY NOT"),
)  # fmt: skip
ROOMS = (-8, 36, 28, 9, -5, -6, 20, 0)


def _line(each: WebhookDelivery) -> str:
    facts = _delivery_facts(each)
    shown = (each.id, each.message_id, each.type, each.state, each.attempts, each.last_status or "-")
    return table(HEADS, ROOMS).line(*shown, facts["next_attempt_at"] or "-", each.last_error)


def _delivery_facts(each: WebhookDelivery) -> dict[str, Any]:
    return {
        "id": each.id,
        "webhook_id": each.message_id,
        "endpoint": each.endpoint_id,
        "type": each.type,
        "at": _time(each.at),
        "state": each.state,
        "attempts": each.attempts,
        "next_attempt_at": _time(each.next_attempt_at),
        "last_attempt_at": _time(each.last_attempt_at),
        "last_status": each.last_status,
        "last_error": each.last_error,
    }


def _facts(endpoint: WebhookEndpoint) -> dict[str, Any]:
    overlaps = endpoint.old_secret_until is not None and endpoint.old_secret_until > clock.now()
    return {
        "id": endpoint.id,
        "url": endpoint.url,
        "events": endpoint.pattern_list,
        "state": f"disabled ({endpoint.disabled_reason})" if endpoint.disabled_at else "enabled",
        "created_at": _time(endpoint.created_at),
        "last_sent_at": _time(endpoint.last_sent_at),
        "failing_since": _time(endpoint.failing_since),
        "failures": endpoint.failures,
        "last_error": endpoint.last_error,
        "old_secret_signs_until": _time(endpoint.old_secret_until) if overlaps else None,
    }


def _time(moment: datetime | None) -> str | None:
    return None if moment is None else f"{moment:%Y-%m-%dT%H:%M:%SZ}"


def _without_query(url: str) -> str:
    """Return a URL without its query string, where receivers put their own secrets."""
    parts = urlsplit(url)
    return parts._replace(query="...").geturl() if parts.query else url


def _named(endpoint_id: str) -> WebhookEndpoint:
    with _in_words():
        return endpoints.get_endpoint(endpoint_id)


@contextmanager
def _in_words() -> Iterator[None]:
    """Turn a rejection into a command error.

    :raises click.ClickException: instead of Rejected
    """
    try:
        yield
    except Rejected as rejection:
        with in_command_language():
            raise click.ClickException(message(rejection.code, **rejection.facts)) from None
