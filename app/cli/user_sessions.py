"""``flask users sessions``: list and end an account's sessions."""

from __future__ import annotations

import sys
from typing import Any

import click
import orjson

from app import clock, user_agents
from app.admin.account_changes import record_ended
from app.cli.group import OperatorGroup, user_named
from app.command_language import N_, gettext, ngettext
from app.extensions import db
from app.sessions import api_tokens
from app.sessions.assurance import level
from app.sessions.store import SessionSummary, revoke_all_sessions, revoke_session, sessions_of

sessions = OperatorGroup("sessions", help=N_("List and end the sessions of an account."))


@sessions.command("list")
@click.argument("identity")
@click.option("--json", "as_json", is_flag=True, help=N_("One JSON object per line."))
def list_(identity: str, as_json: bool) -> None:
    """List the sessions of an account, most recently used first.

    IDENTITY is an email address, phone number or username.
    """
    user = user_named(identity)
    summaries, more = sessions_of(user.id)
    for summary in summaries:
        facts = _facts(summary)
        click.echo(orjson.dumps(facts) if as_json else _line(facts))
    if not as_json:
        click.echo(_count(len(summaries), more=more), err=True)
        click.echo(_tokens(user.id), err=True)


@sessions.command("end")
@click.argument("identity")
@click.argument("session", nargs=-1)
@click.option("--all", "every", is_flag=True, help=N_("End all of them."))
@click.option(
    "--tokens", is_flag=True, help=N_("Revoke API tokens as well, and apps' access while no one is signed in.")
)
def end(identity: str, session: tuple[str, ...], every: bool, tokens: bool) -> None:
    """End sessions, with the tokens they issued.

    IDENTITY is an email address, phone number or username; SESSION is an ID from `list`, or use --all.

    They end with the next request, in every process. People can still sign in again: to prevent that, use `users
    disable`.
    """
    if every == bool(session):
        raise click.UsageError(gettext("Specify sessions, or use --all."))
    user = user_named(identity)
    missing = 0
    ended = revoke_all_sessions(user.id) if every else 0
    for name in session:
        ended += (gone := revoke_session(name, user_id=user.id))
        if not gone:
            missing += 1
            text = gettext("{session}: {identity} has no such session.", session=name, identity=identity)
            click.echo(text, err=True)
    revoked = api_tokens.revoke_all(user.id, reason="ended_by_operator") if tokens else 0
    if ended:
        record_ended(user, ended, by="operator")
    db.session.commit()
    text = ngettext(
        "{identity}: {count} session ended, with its tokens.",
        "{identity}: {count} sessions ended, with their tokens.",
        ended,
        identity=identity,
    )
    click.echo(text)
    click.echo(_tokens(user.id, revoked))
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
    times = {name: f"{facts[name]:%Y-%m-%d %H:%M}" for name in ("opened_at", "seen_at")}
    known = {"browser": facts["browser"], "address": facts["address"], "proofs": "+".join(facts["proved_by"])}
    parts = [gettext("{browser}, {address}, by {proofs}, since {opened_at}, seen {seen_at} UTC", **known, **times)]
    if facts["programs"]:
        parts.append(ngettext("{count} token", "{count} tokens", facts["programs"]))
    if facts["refreshes_until"]:
        parts.append(gettext("refreshed {time} UTC", time="{:%Y-%m-%d %H:%M}".format(facts["refreshed_at"])))
    return f"{facts['id']}  {', '.join(parts)}"


def _count(count: int, *, more: bool) -> str:
    if more:
        return ngettext("{count} session or more.", "{count} sessions or more.", count)
    return ngettext("{count} session.", "{count} sessions.", count)


def _tokens(user_id: int, revoked: int = 0) -> str:
    """Return a message about the account's API tokens."""
    if revoked:
        return ngettext("{count} API token revoked.", "{count} API tokens revoked.", revoked)
    if not (left := api_tokens.count_active(user_id)):
        return gettext("No API tokens.")
    return ngettext(
        "{count} API token stays valid (--tokens revokes it).",
        "{count} API tokens stay valid (--tokens revokes them).",
        left,
    )
