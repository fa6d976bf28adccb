"""``flask users sessions``: list and revoke a user's sessions."""

from __future__ import annotations

import sys
from typing import Any

import click
import orjson

from app import clock, user_agents
from app.admin.account_changes import record_ended
from app.cli.group import OperatorGroup, user_named
from app.extensions import db
from app.sessions import api_tokens
from app.sessions.assurance import level
from app.sessions.store import SessionSummary, revoke_all_sessions, revoke_session, sessions_of

sessions = OperatorGroup("sessions", help="List and end the sessions of an account.")


@sessions.command("list")
@click.argument("identity")
@click.option("--json", "as_json", is_flag=True, help="One JSON object to a line.")
def list_(identity: str, as_json: bool) -> None:
    """List the sessions of an account, used last first.

    IDENTITY is an email address, phone number or username.
    """
    user = user_named(identity)
    summaries, more = sessions_of(user.id)
    for summary in summaries:
        facts = _facts(summary)
        click.echo(orjson.dumps(facts) if as_json else _line(facts))
    if not as_json:
        click.echo(f"{len(summaries)}{' or more' if more else ''} sessions; {_tokens(user.id)}.", err=True)


@sessions.command("end")
@click.argument("identity")
@click.argument("session", nargs=-1)
@click.option("--all", "every", is_flag=True, help="End all of them.")
@click.option("--tokens", is_flag=True, help="End API tokens as well, and what apps may do when nobody is signed in.")
def end(identity: str, session: tuple[str, ...], every: bool, tokens: bool) -> None:
    """End sessions, with the tokens they gave.

    IDENTITY is an email address, phone number or username; SESSION is as `list` names it, or give --all.

    They are dead at the next request, at every process. It keeps nobody from signing in again: `users disable` does.
    """
    if every == bool(session):
        raise click.UsageError("Name the sessions, or say --all.")
    user = user_named(identity)
    missing = 0
    ended = revoke_all_sessions(user.id) if every else 0
    for name in session:
        ended += (gone := revoke_session(name, of=user.id))
        if not gone:
            missing += 1
            click.echo(f"{name}: {identity} has no such session.", err=True)
    revoked = api_tokens.revoke_all(user.id, reason="ended_by_operator") if tokens else 0
    if ended:
        record_ended(user, ended, by="operator")
    db.session.commit()
    click.echo(f"{identity}: {ended} sessions and tokens of theirs ended; {_tokens(user.id, revoked)}.")
    sys.exit(1 if missing else 0)


def _facts(summary: SessionSummary) -> dict[str, Any]:
    head = summary.head
    return {
        "id": head.session_id,
        "browser": user_agents.label(head.agent),
        "address": head.address,
        "proved_by": head.amr.split(","),
        "aal": level(head, clock.now()),
        "opened_at": head.created_at,
        "seen_at": head.seen_at,
        "expires_at": head.expires_at,
        "programs": len(summary.programs),
        "refreshed_at": summary.refreshed_at,
        "refreshes_until": summary.refreshes_until,
    }


def _line(facts: dict[str, Any]) -> str:
    programs = f", {facts['programs']} tokens" if facts["programs"] else ""
    if facts["refreshes_until"]:
        programs += f", refreshed {facts['refreshed_at']:%Y-%m-%d %H:%M} UTC"
    return (
        f"{facts['id']}  {facts['browser']}, {facts['address']}, by {'+'.join(facts['proved_by'])}, "
        f"since {facts['opened_at']:%Y-%m-%d %H:%M}, seen {facts['seen_at']:%Y-%m-%d %H:%M} UTC{programs}"
    )


def _tokens(user_id: int, revoked: int = 0) -> str:
    """Say what became of the personal tokens."""
    left = api_tokens.count_active(user_id)
    ended = f"{revoked} personal tokens ended" if revoked else ""
    return ended or (f"{left} personal tokens stay (--tokens ends them)" if left else "no personal tokens")
