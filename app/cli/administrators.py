"""``flask users admin``: who may use the console."""

from __future__ import annotations

import click

from app.admin import access, account_changes
from app.admin.people import AccountFilter, accounts
from app.audit import record
from app.cli.group import user_named
from app.cli.users import in_one_line, users
from app.command_language import N_, gettext, ngettext
from app.extensions import db, settings
from app.users import administrators


@users.command("admin")
@click.argument("identity", required=False)
@click.option("--off", is_flag=True, help=N_("Stop it from using the console."))
@click.option(
    "--link", is_flag=True, help=N_("Print a one-time link. The first person to open it becomes an administrator.")
)
def admin(identity: str | None, off: bool, link: bool) -> None:
    """Let an account use the console, or list those that can.

    IDENTITY is an email address, phone number or username. The account must exist: `flask users create` creates one.
    """
    if link and (identity or off):
        raise click.UsageError(gettext("Use --link alone."))
    if off and not identity:
        raise click.UsageError(gettext("Specify the account to stop from using the console."))
    if link:
        made = access.new_first_link()
        db.session.commit()
        minutes = int(access.FIRST_LINK_LIVES.total_seconds() // 60)
        text = ngettext(
            "For {count} minute, the first person to open this and sign in becomes an administrator:",
            "For {count} minutes, the first person to open this and sign in becomes an administrator:",
            minutes,
        )
        click.echo(text, err=True)
        click.echo(made)
    elif identity:
        click.echo(_switch(identity, off))
    else:
        _list()
    if not settings.admin:
        click.echo(gettext("Note: LATCHKEY_ADMIN=off, so there is no console here."), err=True)


ADMINISTRATOR_NO_MORE = N_("{identity}: is no longer an administrator.")


def _switch(identity: str, off: bool) -> str:
    user = user_named(identity)
    if off:
        done, text = account_changes.remove_administrator(user, by="operator"), ADMINISTRATOR_NO_MORE
    else:
        done, text = administrators.grant(user.id, by="operator"), N_("{identity}: is an administrator; {url}.")
    if not done:
        before = N_("{identity}: isn't an administrator.") if off else N_("{identity}: is already an administrator.")
        return gettext(before, identity=identity)
    if not off:
        record("administrator.added", user.id, by="operator")
    db.session.commit()
    url = settings.public_url + "/admin"
    return gettext(text, identity=identity, url=url)


def _list() -> None:
    found = list(accounts(AccountFilter(state="administrator")))
    for account in found:
        click.echo(in_one_line(account))
    text = ngettext("{count} administrator.", "{count} administrators.", len(found))
    hint = gettext("Add one: flask users admin IDENTITY, or flask users admin --link")
    click.echo(text if found else f"{text} {hint}", err=True)
