"""``flask doctor``: report problems and how to fix them, once or continuously."""

from __future__ import annotations

import signal
import sys
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import click
import orjson

from app import clock, shutdown
from app.cli.findings import Finding
from app.cli.health_checks import examine
from app.command_language import N_, TranslatedCommand, gettext, in_english, ngettext

if TYPE_CHECKING:
    from collections.abc import Iterable

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
