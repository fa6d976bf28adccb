"""``flask invitations``: create, list and revoke invitations."""

from __future__ import annotations

from datetime import timedelta

import click
import orjson

from app import i18n
from app.admin.presenters import invitation_facts
from app.cli.durations import DurationType
from app.cli.group import OperatorGroup
from app.errors import Rejected
from app.extensions import db
from app.invitations import service
from app.invitations.models import Invitation
from app.invitations.service import Terms, link_of, state_of
from app.web.messages import message

invitations = OperatorGroup("invitations", help="Create, list and revoke invitations.")

SHOWN = 100


@invitations.command("create")
@click.option("--email", default="", help="Mail it to this address, for one account. Without it the link is printed.")
@click.option("--group", "groups", multiple=True, metavar="NAME", help="A group to join; may be repeated.")
@click.option("--uses", type=int, default=1, show_default=True, help="How many accounts may accept it.")
@click.option("--expires", type=DurationType(), default="7d", show_default=True, help="How long it can be accepted.")
@click.option("--language", default="", metavar="CODE", help="Language of the mail. Without it: the default one.")
def create(email: str, groups: tuple[str, ...], uses: int, expires: timedelta, language: str) -> None:
    """Create an invitation.

    With --email the link is mailed and not printed: who opens it proves that they read that mailbox.
    """
    try:
        made = service.create(Terms(email, groups, uses, expires, language), by="operator")
    except Rejected as refused:
        with i18n.in_english():
            raise click.ClickException(str(message(refused.code, **refused.facts))) from None
    db.session.commit()
    if made.email:
        click.echo(f"Invitation {made.id} for {made.email}: the mail is on its way.", err=True)
    else:
        click.echo(f"Invitation {made.id}, to be accepted {made.uses} times. Its link isn't shown again:", err=True)
        click.echo(link_of(made))


@invitations.command("list")
@click.option("--all", "everything", is_flag=True, help="Those that can't be accepted any more, too.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object to a line.")
def list_(everything: bool, as_json: bool) -> None:
    """List invitations, the newest first. Their links are not shown."""
    before = ""
    while found := service.newest(SHOWN, before=before, only_open=not everything):
        for row in found:
            click.echo(orjson.dumps(invitation_facts(row)).decode() if as_json else _in_words(row))
        before = found[-1].id
    if not before and not as_json:
        click.echo("No invitations.", err=True)


@invitations.command("revoke")
@click.argument("invitation_id", metavar="ID")
def revoke(invitation_id: str) -> None:
    """Let nobody accept an invitation any more."""
    found = service.find(invitation_id)
    if found is None:
        raise click.ClickException(f"There is no invitation {invitation_id}. See flask invitations list --all")
    revoked = service.revoke(found, by="operator")
    db.session.commit()
    click.echo(f"Invitation {found.id}: {'revoked' if revoked else 'was revoked already'}.")


def _in_words(row: Invitation) -> str:
    whom = row.email or "anyone who has the link"
    where = f", groups {', '.join(row.group_names)}" if row.groups else ""
    return f"{row.id}  {state_of(row)}  {row.used} of {row.uses}  until {row.expires_at:%Y-%m-%d %H:%M}  {whom}{where}"
