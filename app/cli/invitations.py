"""``flask invitations``: create, list and revoke invitations."""

from __future__ import annotations

from datetime import timedelta

import click
import orjson

from app.admin.presenters import invitation_facts
from app.cli.durations import DurationType
from app.cli.group import OperatorGroup
from app.command_language import N_, gettext, in_command_language, ngettext
from app.errors import Rejected
from app.extensions import db
from app.invitations import service
from app.invitations.models import Invitation
from app.invitations.service import Terms, link_of, state_of
from app.web.messages import message

invitations = OperatorGroup("invitations", help=N_("Create, list and revoke invitations."))

SHOWN = 100


@invitations.command("create")
@click.option(
    "--email", default="", help=N_("Email it to this address, for one account. By default, the link is printed.")
)
@click.option("--group", "groups", multiple=True, metavar="NAME", help=N_("A group to join; may be repeated."))
@click.option("--uses", type=int, default=1, show_default=True, help=N_("How many accounts may accept it."))
@click.option(
    "--expires", type=DurationType(), default="7d", show_default=True, help=N_("How long it can be accepted.")
)
@click.option("--language", default="", metavar="CODE", help=N_("Language of the email. Without it: the default one."))
def create(email: str, groups: tuple[str, ...], uses: int, expires: timedelta, language: str) -> None:
    """Create an invitation.

    With --email, the link is emailed and not printed: opening it proves access to that mailbox.
    """
    try:
        made = service.create(Terms(email, groups, uses, expires, language), by="operator")
    except Rejected as rejection:
        with in_command_language():
            raise click.ClickException(str(message(rejection.code, **rejection.facts))) from None
    db.session.commit()
    if made.email:
        text = gettext("Invitation {id} for {email}: the email is on its way.", id=made.id, email=made.email)
        click.echo(text, err=True)
    else:
        text = ngettext(
            "Invitation {id}, to be accepted {count} time. Its link isn't shown again:",
            "Invitation {id}, to be accepted {count} times. Its link isn't shown again:",
            made.uses,
            id=made.id,
        )
        click.echo(text, err=True)
        click.echo(link_of(made))


@invitations.command("list")
@click.option("--all", "everything", is_flag=True, help=N_("Include those that can no longer be accepted."))
@click.option("--json", "as_json", is_flag=True, help=N_("One JSON object per line."))
def list_(everything: bool, as_json: bool) -> None:
    """List invitations, the newest first. Their links aren't shown."""
    before = ""
    while found := service.newest(SHOWN, before=before, only_open=not everything):
        for row in found:
            click.echo(orjson.dumps(invitation_facts(row)).decode() if as_json else _in_words(row))
        before = found[-1].id
    if not before and not as_json:
        click.echo(gettext("No invitations."), err=True)


@invitations.command("revoke")
@click.argument("invitation_id", metavar="ID")
def revoke(invitation_id: str) -> None:
    """Revoke an invitation, so that no one can accept it."""
    found = service.find(invitation_id)
    if found is None:
        raise click.ClickException(
            gettext("There is no invitation {id}. See flask invitations list --all", id=invitation_id)
        )
    revoked = service.revoke(found, by="operator")
    db.session.commit()
    text = N_("Invitation {id}: revoked.") if revoked else N_("Invitation {id}: was already revoked.")
    click.echo(gettext(text, id=found.id))


def _in_words(row: Invitation) -> str:
    whom = row.email or gettext("anyone who has the link")
    if row.groups:
        whom += ", " + gettext("groups {names}", names=", ".join(row.group_names))
    used = gettext("{used} of {uses}", used=row.used, uses=row.uses)
    expires = f"{row.expires_at:%Y-%m-%d %H:%M}"
    until = gettext("until {time}", time=expires)
    return f"{row.id}  {state_of(row)}  {used}  {until}  {whom}"
