"""``flask attempts``: explain sign-in attempts."""

from __future__ import annotations

import sys
from typing import Any

import click
import orjson

from app.admin.attempts import TimelineEntry, latest, reason_of, timeline
from app.cli.group import OperatorGroup, user_named
from app.command_language import N_, gettext, in_command_language, in_english, ngettext
from app.extensions import settings

attempts = OperatorGroup("attempts", help=N_("Explain attempts to sign in."))


@attempts.command("show")
@click.argument("support_id", metavar="ID")
@click.option("--json", "as_json", is_flag=True, help=N_("One JSON object per line."))
def show(support_id: str, as_json: bool) -> None:
    """Explain the attempt that a support ID belongs to.

    Times are UTC, then seconds since the attempt began, a reason and what else is known.
    """
    with in_english() if as_json else in_command_language():
        moments = timeline(support_id)
    if not moments:
        days = settings.events_keep.days
        text = ngettext(
            "Nothing is known about {support_id}. Events are kept for {count} day.",
            "Nothing is known about {support_id}. Events are kept for {count} days.",
            days,
            support_id=repr(support_id),
        )
        click.echo(text, err=True)
        sys.exit(1)
    for moment in moments:
        _print_entry(moment, as_json)


@attempts.command("list")
@click.argument("identity", required=False)
@click.option("--identity", "named", hidden=True, help=N_("As it was named before."))
@click.option(
    "--limit", type=click.IntRange(1, 1000), default=20, show_default=True, help=N_("Only the newest ones, this many.")
)
@click.option("--json", "as_json", is_flag=True, help=N_("One JSON object per line."))
def list_attempts(identity: str | None, named: str | None, limit: int, as_json: bool) -> None:
    """List the last attempts at an account, newest first.

    IDENTITY is an email address, phone number or username. Each line has the support id that `attempts show` explains.
    """
    if bool(identity) == bool(named):
        raise click.UsageError(gettext("Specify one account: flask attempts list IDENTITY"))
    user = user_named(str(identity or named))
    for event in latest(user.id, limit):
        facts: dict[str, Any] = {"at": event.at, "support_id": event.support_id, "reason": reason_of(event)}
        if as_json:
            click.echo(orjson.dumps(facts))
        else:
            click.echo(f"{event.at:%Y-%m-%d %H:%M:%S}  {event.support_id}  {facts['reason']}")


def _print_entry(moment: TimelineEntry, as_json: bool) -> None:
    if as_json:
        facts = {"at": moment.at, "since": moment.since, "reason": moment.reason, "detail": moment.detail}
        click.echo(orjson.dumps(facts))
        return
    click.echo(f"{moment.at:%Y-%m-%d %H:%M:%S}  {moment.since:+9.1f} s  {moment.reason:<21}  {moment.detail}".rstrip())
