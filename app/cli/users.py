"""``flask users``: create, list, show, disable, enable and unlock accounts."""

from __future__ import annotations

import sys
from typing import Any

import click
import orjson

from app import i18n
from app.admin import account_changes
from app.admin.people import Wanted, accounts, described
from app.authenticators import enrollments, recovery_codes
from app.authenticators.presenters import title_of
from app.authenticators.registry import nameable
from app.cli.account_creation import open_accounts
from app.cli.account_drafts import NotUsable, read_draft
from app.cli.group import OperatorGroup, user_named
from app.cli.groups import group_named
from app.cli.imports.command import import_
from app.cli.user_list import in_one_line, in_words
from app.cli.user_sessions import sessions
from app.errors import Rejected
from app.extensions import db, settings
from app.recovery import requests
from app.recovery import service as recovery_service
from app.signin import sent_links
from app.web.messages import message

users = OperatorGroup("users", help="Create, find, disable, unlock and delete accounts.")
users.add_command(sessions)
users.add_command(import_)


@users.command("create")
@click.argument("email")
@click.option("--phone", help="A phone number; with --method sms, codes can go there.")
@click.option("--username", help="A name that finds the account too.")
@click.option("--name", help="What pages and apps call its owner.")
@click.option("--password", help="A password. Others on this machine may see it here; import takes hashes.")
@click.option("--authenticator", metavar="BASE32", help="The secret of an authenticator app.")
@click.option("--method", "methods", multiple=True, metavar="M", help=f"{', '.join(nameable())}; may be repeated.")
@click.option("--group", "groups", multiple=True, metavar="G", help="Put it in this group; may be repeated.")
@click.option("--disabled", is_flag=True, help="Open it, but let nobody in yet.")
@click.option("--unconfirmed", is_flag=True, help="Its owner has still to prove the address.")
def create(unconfirmed: bool, methods: tuple[str, ...], groups: tuple[str, ...], **described: Any) -> None:
    """Open an account for EMAIL. Without --method, its owner signs in by e-mail."""
    try:
        lists = {"methods": list(methods), "groups": list(groups)}
        draft = read_draft(described | lists | {"confirmed": not unconfirmed})
    except NotUsable as error:
        raise click.ClickException(f"No account was opened: {error}") from None
    outcome = open_accounts({1: draft})
    if not outcome.opened:
        raise click.ClickException(f"No account was opened: {outcome.refused.get(1, 'it is there already')}")
    if unused := [name for name in draft.methods if name not in settings.methods]:
        click.echo(f"Note: LATCHKEY_METHODS does not name {', '.join(unused)}, so that works nowhere yet.", err=True)
    click.echo(f"Opened an account for {draft.identities[0].value}: {', '.join(draft.methods)}.")


@users.command("send-link")
@click.argument("identity")
def send_link(identity: str) -> None:
    """Send a one-time sign-in link to the account's own email.

    For people who can't get in from the browser they began in. It is never shown, works once and for 15 minutes, and a
    second step is still asked for.
    """
    user = user_named(identity)
    try:
        sent_links.send(user, by="operator")
    except Rejected as refused:
        with i18n.in_english():
            raise click.ClickException(str(message(refused.code, **refused.facts))) from None
    db.session.commit()
    click.echo(f"{identity}: a sign-in link is on its way to the account's primary email.")


@users.command("list")
@click.argument("search", required=False)
@click.option("--disabled", is_flag=True, help="Only accounts that are disabled.")
@click.option("--group", metavar="NAME", help="Only members of this group.")
@click.option("--limit", type=click.IntRange(min=1), help="At most so many.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object to a line.")
def list_(search: str | None, disabled: bool, group: str | None, limit: int | None, as_json: bool) -> None:
    """List accounts, or search them by a prefix.

    With SEARCH, those with an email address, phone number or username that begins so, in that order.
    """
    if group is not None:
        group_named(group)
    found = accounts(Wanted(search or "", "disabled" if disabled else "", group or ""), limit)
    count = 0
    for account in found:
        if not (count or as_json):
            click.echo("IDENTITIES  METHODS  GROUPS, STATE")
        count += 1
        click.echo(orjson.dumps(account) if as_json else in_one_line(account))
    if not as_json:
        more = " There may be more." if count == limit else ""
        click.echo(f"{count:,} account{'' if count == 1 else 's'}.{more}", err=True)


@users.command("show")
@click.argument("identity")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def show(identity: str, as_json: bool) -> None:
    """Show one account.

    IDENTITY is an email address, phone number or username.
    """
    account = described(user_named(identity))
    if as_json:
        click.echo(orjson.dumps(account))
        return
    for name, value in account.items():
        click.echo(f"{name.replace('_', ' '):<16}{in_words(value)}".rstrip())


@users.command("disable")
@click.argument("identity", nargs=-1, required=True)
def disable(identity: tuple[str, ...]) -> None:
    """Disable accounts: end all sessions, allow no sign-in.

    Each IDENTITY is an email address, phone number or username.
    """
    _switch(identity, off=True)


@users.command("enable")
@click.argument("identity", nargs=-1, required=True)
def enable(identity: tuple[str, ...]) -> None:
    """Enable accounts that were disabled.

    Each IDENTITY is an email address, phone number or username.
    """
    _switch(identity, off=False)


@users.command("unlock")
@click.argument("identity", nargs=-1, required=True)
def unlock(identity: tuple[str, ...]) -> None:
    """Unlock accounts: forget failed codes and passwords.

    Each IDENTITY is an email address, phone number or username.
    """
    missing = 0
    for text in identity:
        try:
            user = user_named(text)
        except click.ClickException as unknown:
            missing += 1
            click.echo(unknown.message, err=True)
            continue
        forgotten = account_changes.unlock(user, by="operator")
        db.session.commit()
        click.echo(f"{text}: {'unlocked' if forgotten else 'had no failures'}.")
    sys.exit(1 if missing else 0)


@users.command("recovery")
@click.argument("identity")
@click.option("--cancel", "cancels", is_flag=True, help="Cancel the recovery that is under way.")
def recovery(identity: str, cancels: bool) -> None:
    """Show recovery codes left and a recovery under way.

    IDENTITY is an email address, phone number or username. Codes are counted, never shown.
    """
    user = user_named(identity)
    stock, under_way = recovery_codes.stock_of(user.id), requests.open_of(user.id)
    if cancels:
        cancelled = under_way is not None and recovery_service.cancel(under_way, "operator")
        db.session.commit()
        click.echo(f"{identity}: {'the recovery is cancelled' if cancelled else 'no recovery is under way'}.")
        return
    if stock.made_at is None:
        click.echo(f"{identity}: no recovery codes.")
    else:
        made = f"{stock.made_at:%Y-%m-%d %H:%M} UTC"
        click.echo(f"{identity}: {stock.left} of {recovery_codes.COUNT} recovery codes left, made {made}.")
    if under_way is not None:
        asked, ready = (f"{at:%Y-%m-%d %H:%M} UTC" for at in (under_way.requested_at, under_way.ready_at))
        click.echo(f"{identity}: being recovered since {asked}, can be completed from {ready} on.")


def _switch(identities: tuple[str, ...], *, off: bool) -> None:
    """Disable or enable each account; what can be done is done, what cannot is named."""
    missing = 0
    state = "disabled" if off else "enabled"
    for text in identities:
        try:
            user = user_named(text)
        except click.ClickException as unknown:
            missing += 1
            click.echo(unknown.message, err=True)
            continue
        ended = account_changes.disable(user, by="operator") if off else 0
        if ended is None or not (off or account_changes.enable(user, by="operator")):
            click.echo(f"{text}: {state} already.")
            continue
        db.session.commit()
        click.echo(f"{text}: {state}{f', {ended} sessions ended' if ended else ''}.")
    sys.exit(1 if missing else 0)


@users.command("second-step")
@click.argument("identity")
@click.option("--off", is_flag=True, help="Ask for none any more. Make sure first who it is that asks you.")
def second_step(identity: str, off: bool) -> None:
    """Show an account's second step, or switch it off.

    IDENTITY is an email address, phone number or username. Off is for an owner who has lost what it needs.

    What was asked for stays a way to sign in. Every session of the account ends, and its owner is told.
    """
    user = user_named(identity)
    if not off:
        rows = enrollments.enrolled_of(user.id)
        marked = dict.fromkeys(title_of(row.method) for row in rows if row.is_second)
        click.echo(f"{identity}: {', '.join(marked) or 'no second step is set up'}.")
        return
    ended = account_changes.turn_off_second_step(user, by="operator")
    if ended is None:
        click.echo(f"{identity}: no second step is set up.")
        return
    db.session.commit()
    click.echo(f"{identity}: switched off, {ended} sessions ended.")
