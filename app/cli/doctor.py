"""``flask doctor``: check everything the service depends on; report problems and how to fix them."""

from __future__ import annotations

import sys

import click
from flask.cli import with_appcontext

from app.cli.health_checks import CHECKS, NEED_DATABASE, HealthCheck, unanswered
from app.extensions import db


@click.command("doctor")
@with_appcontext
def doctor() -> None:
    """Check settings and services, and say how to fix them.

    Looks at settings, database, migrations, keys, mail, SMS, queue, Redis and outbox. Changes and sends nothing.
    Exits with 1 when something has to be mended. A note is something that works but could be better.
    """
    wrong = 0
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
        for finding in findings:
            _say(name, finding)
        wrong += sum(finding.wrong for finding in findings)
    click.echo(f"{wrong} to mend." if wrong else "All is well.")
    sys.exit(1 if wrong else 0)


def _say(name: str, finding: HealthCheck) -> None:
    mark, colour = ("mend", "red") if finding.wrong else ("note", "yellow") if finding.remedy else ("ok", "green")
    remedy = f" -> {finding.remedy}" if finding.remedy else ""
    click.echo(f"{click.style(f'{mark:<5}', fg=colour)} {name:<11} {finding.what}{remedy}")
