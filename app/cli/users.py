"""``flask users``: create, list, show, disable, enable, unlock and delete accounts."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import click
import orjson
import sqlalchemy as sa

from app import terminal
from app.admin import account_changes
from app.admin.people import AccountFilter, accounts, described
from app.authenticators import enrollments, recovery_codes
from app.authenticators.presenters import title_of
from app.authenticators.registry import configurable_methods
from app.cli.account_creation import open_accounts
from app.cli.account_drafts import NotUsable, read_draft
from app.cli.group import OperatorGroup, for_each, switched, user_named
from app.cli.groups import group_named
from app.cli.imports.command import import_
from app.cli.user_sessions import sessions
from app.command_language import N_, gettext, in_command_language, ngettext, table
from app.errors import Rejected
from app.extensions import db, execute_update, settings
from app.privacy import deletion
from app.privacy.models import Deletion
from app.recovery import requests
from app.recovery import service as recovery_service
from app.signin import sent_links
from app.users import User
from app.web.messages import message

users = OperatorGroup("users", help=N_("Create, find, disable, unlock and delete accounts."))
users.add_command(sessions)
users.add_command(import_)

TITLES = {
    "handle": N_("handle"), "email": N_("email"), "phone": N_("phone"), "username": N_("username"), "name": N_("name"),
    "methods": N_("methods"), "groups": N_("groups"), "disabled": N_("disabled"), "deletes_at": N_("deletes at"),
    "confirmed": N_("confirmed"), "created_at": N_("created at"), "administrator": N_("administrator"),
    "authenticators": N_("authenticators"), "identities": N_("identities"),
}  # fmt: skip
"""Labels of an account's fields. JSON uses the field names."""


@users.command("create")
@click.argument("email")
@click.option("--phone", help=N_("A phone number; with --method sms, codes can go there."))
@click.option("--username", help=N_("A name that identifies the account too."))
@click.option("--name", help=N_("Display name of its owner, on pages and in apps."))
@click.option("--password", help=N_("A password. Others on this machine may see it here; import takes hashes."))
@click.option("--authenticator", metavar="BASE32", help=N_("The secret of an authenticator app."))
@click.option("--method", "methods", multiple=True, metavar=f"[{'|'.join(configurable_methods())}]",
              help=N_("A sign-in method; may be repeated."))  # fmt: skip
@click.option("--group", "groups", multiple=True, metavar="G", help=N_("Put it in this group; may be repeated."))
@click.option("--disabled", is_flag=True, help=N_("Create it, but let no one sign in yet."))
@click.option("--unconfirmed", is_flag=True, help=N_("Its owner still has to verify the address."))
def create(unconfirmed: bool, methods: tuple[str, ...], groups: tuple[str, ...], **described: Any) -> None:
    """Create an account for EMAIL. Without --method, its owner signs in by email."""
    try:
        lists = {"methods": list(methods), "groups": list(groups)}
        draft = read_draft(described | lists | {"confirmed": not unconfirmed})
    except NotUsable as error:
        raise _not_opened(str(error)) from None
    outcome = open_accounts({1: draft})
    if not outcome.created:
        raise _not_opened(outcome.rejected.get(1) or gettext("it already exists"))
    if unused := [name for name in draft.methods if name not in settings.methods]:
        output = gettext(
            "Note: LATCHKEY_METHODS doesn't include {methods}, so that doesn't work yet.", methods=", ".join(unused)
        )
        click.echo(output, err=True)
    facts = {"identity": draft.identities[0].value, "methods": ", ".join(draft.methods)}
    click.echo(gettext("Created an account for {identity}: {methods}.", **facts))


def _not_opened(reason: str) -> click.ClickException:
    """Return the error for a rejected account. The reason is worded as in files of rejected records."""
    return click.ClickException(gettext("No account was created: {reason}", reason=reason))


@users.command("send-link")
@click.argument("identity")
def send_link(identity: str) -> None:
    """Send a one-time sign-in link to the account's own email.

    For people who can't sign in from the browser they started in. It is never shown, works once and for 15 minutes, and
    a second step is still required.
    """
    user = user_named(identity)
    try:
        sent_links.send(user, by="operator")
    except Rejected as rejection:
        with in_command_language():
            raise click.ClickException(str(message(rejection.code, **rejection.facts))) from None
    db.session.commit()
    output = gettext("{identity}: a sign-in link is on its way to the account's primary email.", identity=identity)
    click.echo(output)


@users.command("list")
@click.argument("search", required=False)
@click.option("--disabled", is_flag=True, help=N_("Only accounts that are disabled."))
@click.option("--group", metavar="NAME", help=N_("Only members of this group."))
@click.option("--limit", type=click.IntRange(min=1), help=N_("At most this many."))
@click.option("--json", "as_json", is_flag=True, help=N_("One JSON object per line."))
def list_(search: str | None, disabled: bool, group: str | None, limit: int | None, as_json: bool) -> None:
    """List accounts, or search them by a prefix.

    With SEARCH, those with an email address, phone number or username that begins with it, in that order.
    """
    if group is not None:
        group_named(group)
    found = accounts(AccountFilter(search or "", "disabled" if disabled else "", group or ""), limit)
    count = 0
    for account in found:
        if not (count or as_json):
            click.echo(table((N_("IDENTITIES"), N_("METHODS"), N_("GROUPS, STATE")), (0, 0, 0)).head())
        count += 1
        click.echo(orjson.dumps(account) if as_json else in_one_line(account))
    if not as_json:
        output = ngettext("{count} account.", "{count} accounts.", count)
        more = gettext("There may be more.")
        click.echo(f"{output} {more}" if count == limit else output, err=True)


@users.command("show")
@click.argument("identity")
@click.option("--json", "as_json", is_flag=True, help=N_("One JSON object."))
def show(identity: str, as_json: bool) -> None:
    """Show one account.

    IDENTITY is an email address, phone number or username.
    """
    account = described(user_named(identity))
    if as_json:
        click.echo(orjson.dumps(account))
        return
    for line in terminal.fields([(field_title(name), in_words(value)) for name, value in account.items()]):
        click.echo(line)


@users.command("disable")
@click.argument("identity", nargs=-1, required=True)
def disable(identity: tuple[str, ...]) -> None:
    """Disable accounts: end all sessions, allow no sign-in.

    Each IDENTITY is an email address, phone number or username.
    """
    for_each(identity, _disable)


@users.command("enable")
@click.argument("identity", nargs=-1, required=True)
def enable(identity: tuple[str, ...]) -> None:
    """Enable accounts that were disabled.

    Each IDENTITY is an email address, phone number or username.
    """
    for_each(identity, _enable)


@users.command("unlock")
@click.argument("identity", nargs=-1, required=True)
def unlock(identity: tuple[str, ...]) -> None:
    """Unlock accounts: forget failed codes and passwords.

    Each IDENTITY is an email address, phone number or username.
    """

    def do(text: str, user: User) -> str:
        forgotten = account_changes.unlock(user, by="operator")
        output = N_("{identity}: unlocked.") if forgotten else N_("{identity}: had no failures.")
        return gettext(output, identity=text)

    for_each(identity, do)


@users.command("recovery")
@click.argument("identity")
@click.option("--cancel", "cancels", is_flag=True, help=N_("Cancel the recovery that is under way."))
def recovery(identity: str, cancels: bool) -> None:
    """Show recovery codes left and a recovery under way.

    IDENTITY is an email address, phone number or username. Codes are counted, never shown.
    """
    user = user_named(identity)
    code_count, under_way = recovery_codes.count_of(user.id), requests.open_of(user.id)
    if cancels:
        cancelled = under_way is not None and recovery_service.cancel(under_way, "operator")
        db.session.commit()
        output = N_("{identity}: the recovery is canceled.") if cancelled else NO_RECOVERY
        click.echo(gettext(output, identity=identity))
        return
    if code_count.made_at is None:
        click.echo(gettext("{identity}: no recovery codes.", identity=identity))
    else:
        facts = {"left": code_count.left, "count": recovery_codes.COUNT, "time": code_count.made_at}
        output = gettext("{identity}: {left} of {count} recovery codes left, made {time}.", identity=identity, **facts)
        click.echo(output)
    if under_way is not None:
        output = N_("{identity}: being recovered since {since}, can be completed from {ready} on.")
        click.echo(gettext(output, identity=identity, since=under_way.requested_at, ready=under_way.ready_at))


NO_RECOVERY = N_("{identity}: no recovery is under way.")


def _disable(identity: str, user: User) -> str:
    ended = account_changes.disable(user, by="operator")
    return _disabled(identity, ended) if ended else switched(identity, off=True, done=ended is not None)


def _enable(identity: str, user: User) -> str:
    return switched(identity, off=False, done=account_changes.enable(user, by="operator"))


def _disabled(identity: str, ended: int) -> str:
    return ngettext(
        "{identity}: disabled, {count} session ended.",
        "{identity}: disabled, {count} sessions ended.",
        ended,
        identity=identity,
    )


NO_SECOND_STEP = N_("{identity}: no second step is set up.")


@users.command("second-step")
@click.argument("identity")
@click.option("--off", is_flag=True, help=N_("Turn it off. First make sure who is asking you to."))
def second_step(identity: str, off: bool) -> None:
    """Show an account's second step, or turn it off.

    IDENTITY is an email address, phone number or username. --off is for owners who have lost what it needs.

    What was required remains a sign-in method. Every session of the account ends, and its owner is notified.
    """
    user = user_named(identity)
    if not off:
        rows = enrollments.enrolled_of(user.id)
        with in_command_language():
            marked = dict.fromkeys(title_of(row.method) for row in rows if row.is_second)
        click.echo(f"{identity}: {', '.join(marked)}." if marked else gettext(NO_SECOND_STEP, identity=identity))
        return
    ended = account_changes.turn_off_second_step(user, by="operator")
    if ended is None:
        click.echo(gettext(NO_SECOND_STEP, identity=identity))
        return
    db.session.commit()
    output = ngettext(
        "{identity}: turned off, {count} session ended.",
        "{identity}: turned off, {count} sessions ended.",
        ended,
        identity=identity,
    )
    click.echo(output)


def in_one_line(account: dict[str, Any]) -> str:
    """Return an account as a line of a list."""
    names = " ".join(filter(None, (account["email"], account["phone"], account["username"])))
    marks = {
        N_("disabled"): account["disabled"],
        N_("unconfirmed"): not account["confirmed"],
        N_("deleting"): account["deletes_at"],
    }
    methods = ",".join(account["methods"]) or gettext("nothing to sign in with")
    groups = account["groups"] and gettext("in {groups}", groups=",".join(account["groups"]))
    return "  ".join(filter(None, (names, methods, groups, *(gettext(mark) for mark, holds in marks.items() if holds))))


def field_title(name: str) -> str:
    """Return the label of an account's field."""
    return gettext(TITLES[name])


def in_words(value: Any) -> str:
    """Format the value of an account's field."""
    if isinstance(value, bool):
        return gettext("yes") if value else gettext("no")
    if isinstance(value, list):
        return ", ".join(value) or gettext("none")
    return f"{value:%Y-%m-%d %H:%M} UTC" if isinstance(value, datetime) else str(value or gettext("none"))


@users.command("delete")
@click.argument("identity", nargs=-1, required=True)
@click.option("--now", "at_once", is_flag=True, help=N_("Erase it immediately. This can't be undone."))
@click.option("--yes", is_flag=True, help=N_("With --now: don't ask for confirmation."))
def delete(identity: tuple[str, ...], at_once: bool, yes: bool) -> None:
    """Close accounts and have them erased.

    Each IDENTITY is an email address, phone number or username.

    Its owner is notified by email, and has LATCHKEY_DELETE_WAIT to keep it; ``undelete`` does the same.
    """
    if at_once and not yes:
        asked = ngettext("Erase {count} account for good?", "Erase {count} accounts for good?", len(identity))
        click.confirm(asked, abort=True)
    for_each(identity, _erase if at_once else _schedule_deletion)


@users.command("undelete")
@click.argument("identity", nargs=-1, required=True)
def undelete(identity: tuple[str, ...]) -> None:
    """Keep accounts that were going to be erased.

    Each IDENTITY is an email address, phone number or username. Sessions that were ended stay ended.
    """
    for_each(identity, _cancel_deletion)


def _schedule_deletion(identity: str, user: User) -> str:
    if user.deletes_at is not None:
        text, at = N_("{identity}: will be erased at {time} already."), user.deletes_at
    else:
        text = N_("{identity}: closed, will be erased at {time}.")
        at = deletion.schedule_deletion(user, by="operator")
    return gettext(text, identity=identity, time=at)


ERASED_BEFORE = N_("{identity}: already erased.")


def _erase(identity: str, user: User) -> str:
    account_changes.erase_now(user, by="operator")
    drawn = sa.func.coalesce(Deletion.pseudonym, deletion.new_pseudonym())
    execute_update(sa.update(Deletion).where(Deletion.user_id == user.id).values(pseudonym=drawn))
    db.session.commit()
    pseudonym = db.session.scalar(sa.select(Deletion.pseudonym).where(Deletion.user_id == user.id))
    if pseudonym is None:
        return gettext(ERASED_BEFORE, identity=identity)
    while deletion.anonymise(user.id, pseudonym, autocommit=True):
        pass
    text = N_("{identity}: erased.") if deletion.erase(user.id, pseudonym) else ERASED_BEFORE
    return gettext(text, identity=identity)


def _cancel_deletion(identity: str, user: User) -> str:
    kept = deletion.cancel_requested(user, late=True, by="operator")
    return gettext(N_("{identity}: kept.") if kept else N_("{identity}: wasn't going to be erased."), identity=identity)
