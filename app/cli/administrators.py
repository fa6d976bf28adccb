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
@click.option("--off", is_flag=True, help=N_("Let it use the console no more."))
@click.option("--link", is_flag=True, help=N_("Print a one-time link; who opens it first becomes an administrator."))
def admin(identity: str | None, off: bool, link: bool) -> None:
    """Let an account use the console, or list those that may.

    IDENTITY is an email address, phone number or username. The account must be there: `flask users create` opens one.
    """
    if link and (identity or off):
        raise click.UsageError(gettext("Give --link alone."))
    if off and not identity:
        raise click.UsageError(gettext("Name the account that may use the console no more."))
    if link:
        made = access.new_first_link()
        db.session.commit()
        minutes = int(access.FIRST_LINK_LIVES.total_seconds() // 60)
        text = ngettext(
            "For {count} minute, the first to open this and sign in becomes an administrator:",
            "For {count} minutes, the first to open this and sign in becomes an administrator:",
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


ADMINISTRATOR_NO_MORE = N_("{identity}: is no administrator any more.")


def _switch(identity: str, off: bool) -> str:
    user = user_named(identity)
    if off:
        done, text = account_changes.remove_administrator(user, by="operator"), ADMINISTRATOR_NO_MORE
    else:
        done, text = administrators.grant(user.id, by="operator"), N_("{identity}: is an administrator; {url}.")
    if not done:
        before = N_("{identity}: is no administrator.") if off else N_("{identity}: is an administrator already.")
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
    hint = gettext("Make one: flask users admin IDENTITY, or flask users admin --link")
    click.echo(text if found else f"{text} {hint}", err=True)
