"""``flask groups``: create, list and delete groups, and add and remove members."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NoReturn

import click
import orjson

from app.cli.group import OperatorGroup, for_each
from app.command_language import N_, gettext, ngettext, number_text, table
from app.extensions import db
from app.groups import service
from app.groups.models import MAX_NAME_LENGTH, MAX_TITLE_LENGTH
from app.groups.service import GroupSummary, UnknownGroup
from app.users import User

SHOWN = 20
"""Groups listed when an unknown one was requested."""

groups = OperatorGroup("groups", help=N_("Create and delete groups, add and remove members."))


@groups.command("create")
@click.argument("name")
@click.option("--title", default="", help=N_("Name that people see. Default: NAME."))
def create(name: str, title: str) -> None:
    """Create a group.

    NAME is what apps see: lower-case letters, digits, ".", "_" and "-", at most 63. It can't be changed later.
    """
    refuse_name(name)
    title = title.strip()
    if len(title) > MAX_TITLE_LENGTH or not title.isprintable():
        raise click.ClickException(
            gettext(
                "{option}: must be one line of at most {count} characters.", option="--title", count=MAX_TITLE_LENGTH
            )
        )
    if not service.create(name, title, by="operator"):
        raise click.ClickException(gettext("There is already a group {group}.", group=name))
    db.session.commit()
    click.echo(gettext("Created the group {group}. Add accounts to it: flask groups add {group} IDENTITY", group=name))


@groups.command("delete")
@click.argument("name")
@click.option("--yes", is_flag=True, help=N_("Don't ask for confirmation."))
def delete(name: str, yes: bool) -> None:
    """Delete a group. Its members keep their accounts.

    No account can use an app through this group any more.
    """
    group = group_named(name)
    if not yes:
        asked = ngettext(
            "Delete the group {group} with {count} member?",
            "Delete the group {group} with {count} members?",
            group.members,
            group=name,
        )
        click.confirm(asked, abort=True)
    try:
        left = service.delete(name, by="operator")
    except UnknownGroup:
        raise unknown_group(name) from None
    db.session.commit()
    message = ngettext(
        "Deleted the group {group}, which had {count} member.",
        "Deleted the group {group}, which had {count} members.",
        left,
        group=name,
    )
    click.echo(message)


@groups.command("add")
@click.argument("name")
@click.argument("identity", nargs=-1, required=True)
def add(name: str, identity: tuple[str, ...]) -> None:
    """Add accounts to the group NAME.

    Each IDENTITY is an email address, phone number or username.
    """

    def do(user: User) -> str:
        added = service.add_member(name, user.id, by="operator")
        return N_("{identity}: added to {group}.") if added else N_("{identity}: is already in {group}.")

    _each(name, identity, do)


@groups.command("remove")
@click.argument("name")
@click.argument("identity", nargs=-1, required=True)
def remove(name: str, identity: tuple[str, ...]) -> None:
    """Remove accounts from the group NAME.

    Each IDENTITY is an email address, phone number or username.
    """

    def do(user: User) -> str:
        removed = service.remove_member(name, user.id, by="operator")
        return N_("{identity}: removed from {group}.") if removed else N_("{identity}: isn't in {group}.")

    _each(name, identity, do)


@groups.command("list")
@click.option("--json", "as_json", is_flag=True, help=N_("One JSON object per line."))
def list_(as_json: bool) -> None:
    """List groups, with how many members each has.

    Who they are: flask users list --group NAME
    """
    found = service.groups()
    if found and not as_json:
        click.echo(table((N_("NAME"), N_("MEMBERS"), N_("TITLE")), (0, 0, 0)).head())
    for group in found:
        click.echo(orjson.dumps(group) if as_json else f"{group.name}  {number_text(group.members)}  {group.title}")
    if not as_json:
        click.echo(ngettext("{count} group.", "{count} groups.", len(found)), err=True)


def group_named(name: str) -> GroupSummary:
    """Return the group with this name.

    :raises click.ClickException: when there is none
    """
    group = service.summary_of(name)
    if group is None:
        raise unknown_group(name)
    return group


def unknown_group(name: str) -> click.ClickException:
    """Return an error saying that there is no such group, listing those that exist."""
    names = [group.name for group in service.groups()]
    if not names:
        message = gettext(
            "There is no group {group}, nor any other. Create one: flask groups create NAME", group=repr(name)
        )
        return click.ClickException(message)
    facts = {"group": repr(name), "names": ", ".join(names[:SHOWN])}
    if len(names) <= SHOWN:
        return click.ClickException(gettext("There is no group {group}. There are: {names}.", **facts))
    message = N_("There is no group {group}. There are: {names} and {count} more (flask groups list).")
    return click.ClickException(gettext(message, count=len(names) - SHOWN, **facts))


def refuse_name(name: str) -> None:
    """Reject names that groups can't have.

    :raises click.ClickException: when the name is invalid
    """
    if service.is_name(name):
        return
    tidy = re.sub(r"[^a-z0-9._-]+", "-", name.lower()).strip("._-")[:MAX_NAME_LENGTH]
    message = gettext(
        "{name} can't be the name of a group: it has lower-case letters, digits, . _ and -, at most {most}, "
        "and begins with a letter or digit.",
        name=repr(name),
        most=MAX_NAME_LENGTH,
    )
    instead = gettext("Try: {name}", name=tidy)
    raise click.ClickException(f"{message} {instead}" if tidy else message)


def _each(name: str, identities: tuple[str, ...], do: Callable[[User], str]) -> NoReturn:
    """Apply ``do`` to each account like ``for_each``; ``do`` returns a text with placeholders to fill in."""
    group_named(name)

    def change(text: str, user: User) -> str:
        try:
            return gettext(do(user), identity=text, group=name)
        except UnknownGroup:
            raise unknown_group(name) from None

    for_each(identities, change)
