"""``flask users second-step``: show a user's second step, and switch it off for who lost it."""

from __future__ import annotations

import click
from flask.cli import with_appcontext

from app.audit import record
from app.authenticators import enrollments
from app.authenticators.presenters import TITLES
from app.cli.lookup import user_named
from app.client import ClientContext
from app.extensions import db
from app.notifications import notices
from app.sessions.known_devices import revoke_browsers
from app.sessions.store import revoke_all_sessions
from app.users import lock_account


@click.command("second-step")
@click.argument("identity")
@click.option("--off", is_flag=True, help="Ask for none any more. Make sure first who it is that asks you.")
@with_appcontext
def second_step(identity: str, off: bool) -> None:
    """Show an account's second step, or switch it off.

    IDENTITY is an email address, phone number or username. Off is for an owner who has lost what it needs.

    What was asked for stays a way to sign in. Every session of the account ends, and its owner is told.
    """
    user = user_named(identity)
    if not off:
        rows = enrollments.enrolled_of(user.id)
        marked = dict.fromkeys(TITLES.get(row.method, row.method) for row in rows if row.is_second)
        click.echo(f"{identity}: {', '.join(marked) or 'no second step is set up'}.")
        return
    lock_account(user.id)
    if not enrollments.unmark_seconds(user.id):
        click.echo(f"{identity}: no second step is set up.")
        return
    ended = revoke_all_sessions(user.id)
    revoke_browsers(user.id)
    record("second_step.off", user.id, by="operator")
    what = "Whoever runs this service switched the second step off. Signing in asks for one proof alone."
    notices.notify(user.id, what, ClientContext("", "", ""))
    db.session.commit()
    click.echo(f"{identity}: switched off, {ended} sessions ended.")
