"""``flask groups``: create, list and delete groups, add and remove their members."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable

import click
import orjson

from app.cli.group import OperatorGroup, user_named
from app.extensions import db
from app.groups import service
from app.groups.models import NAME_LENGTH, TITLE_LENGTH
from app.groups.service import GroupSummary, UnknownGroup
from app.users import User

SHOWN = 20
"""Groups that are named where one that is not there was asked for."""

groups = OperatorGroup("groups", help="Create and delete groups, add and remove members.")


@groups.command("create")
@click.argument("name")
@click.option("--title", default="", help="What people read. Without it: NAME.")
def create(name: str, title: str) -> None:
    """Create a group.

    NAME is what apps see: lower-case letters, digits, ".", "_" and "-", 63 at most. It can't be changed later.
    """
    refuse_name(name)
    title = title.strip()
    if len(title) > TITLE_LENGTH or not title.isprintable():
        raise click.ClickException(f"--title: give one line of at most {TITLE_LENGTH} characters.")
    if not service.create(name, title, by="operator"):
        raise click.ClickException(f"There is a group {name} already.")
    db.session.commit()
    click.echo(f"Created the group {name}. Add accounts to it: flask groups add {name} IDENTITY")


@groups.command("delete")
@click.argument("name")
@click.option("--yes", is_flag=True, help="Do not ask whether that is meant.")
def delete(name: str, yes: bool) -> None:
    """Delete a group. Its members keep their accounts.

    No account can use an app through this group any more.
    """
    group = group_named(name)
    if not yes:
        click.confirm(f"Delete the group {name} with {_members(group.members)}?", abort=True)
    try:
        left = service.delete(name, by="operator")
    except UnknownGroup:
        raise unknown_group(name) from None
    db.session.commit()
    click.echo(f"Deleted the group {name}, which had {_members(left)}.")


@groups.command("add")
@click.argument("name")
@click.argument("identity", nargs=-1, required=True)
def add(name: str, identity: tuple[str, ...]) -> None:
    """Add accounts to the group NAME.

    Each IDENTITY is an email address, phone number or username.
    """

    def do(user: User) -> str:
        return f"added to {name}" if service.add_member(name, user.id, by="operator") else f"is in {name} already"

    _each(name, identity, do)


@groups.command("remove")
@click.argument("name")
@click.argument("identity", nargs=-1, required=True)
def remove(name: str, identity: tuple[str, ...]) -> None:
    """Remove accounts from the group NAME.

    Each IDENTITY is an email address, phone number or username.
    """

    def do(user: User) -> str:
        return f"removed from {name}" if service.remove_member(name, user.id, by="operator") else f"is not in {name}"

    _each(name, identity, do)


@groups.command("list")
@click.option("--json", "as_json", is_flag=True, help="One JSON object to a line.")
def list_(as_json: bool) -> None:
    """List groups, with how many members each has.

    Who they are: flask users list --group NAME
    """
    found = service.groups()
    if found and not as_json:
        click.echo("NAME  MEMBERS  TITLE")
    for group in found:
        click.echo(orjson.dumps(group) if as_json else f"{group.name}  {group.members:,}  {group.title}")
    if not as_json:
        click.echo(f"{len(found):,} group{'' if len(found) == 1 else 's'}.", err=True)


def group_named(name: str) -> GroupSummary:
    """Return the group of this name.

    :raises click.ClickException: when there is none
    """
    group = service.summary_of(name)
    if group is None:
        raise unknown_group(name)
    return group


def unknown_group(name: str) -> click.ClickException:
    """Return what says that there is no group of this name, and which there are."""
    names = [group.name for group in service.groups()]
    if not names:
        return click.ClickException(f"There is no group {name!r}, nor any other. Create one: flask groups create NAME")
    more = f" and {len(names) - SHOWN:,} more (flask groups list)" if len(names) > SHOWN else ""
    return click.ClickException(f"There is no group {name!r}. There are: {', '.join(names[:SHOWN])}{more}.")


def refuse_name(name: str) -> None:
    """Say what is wrong with a name that no group can have.

    :raises click.ClickException: when it is one
    """
    if service.is_name(name):
        return
    tidy = re.sub(r"[^a-z0-9._-]+", "-", name.lower()).strip("._-")[:NAME_LENGTH]
    instead = f" Try: {tidy}" if tidy else ""
    raise click.ClickException(f"{name!r} can't be the name of a group: it has {service.NAME_RULE}.{instead}")


def _each(name: str, identities: tuple[str, ...], do: Callable[[User], str]) -> None:
    """Do something about each account and commit it; what can be done is done, what cannot is named."""
    group_named(name)
    missing = 0
    for text in identities:
        try:
            said = do(user_named(text))
        except UnknownGroup:
            raise unknown_group(name) from None
        except click.ClickException as unknown:
            missing += 1
            click.echo(unknown.message, err=True)
            continue
        db.session.commit()
        click.echo(f"{text}: {said}.")
    sys.exit(1 if missing else 0)


def _members(count: int) -> str:
    return f"{count:,} member{'' if count == 1 else 's'}"
