"""Shared parts of the operator's commands: readable database errors, and account lookup."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from typing import Any, NoReturn

import click
import sqlalchemy as sa
from flask.cli import AppGroup
from sqlalchemy.exc import OperationalError, ProgrammingError

from app.command_language import N_, TranslatedGroup, gettext, in_command_language
from app.crypto.secrets import is_row_id
from app.db import PoolerFound, unavailable
from app.extensions import db
from app.users import User, find_by_identity, kinds_in_words, read_identity

MISSING_TABLES = ("no such table", "no such column", "UndefinedTable", "UndefinedColumn")


class OperatorGroup(TranslatedGroup, AppGroup):
    """A group whose commands run in an app context. Database outages are reported as a sentence, not a traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except Exception as error:
            raise _explained(error) from error


def _explained(error: Exception) -> Exception:
    """Return a readable replacement for ``error``, or ``error`` itself."""
    if isinstance(error, PoolerFound):
        return click.ClickException(str(error))
    if isinstance(error, (OperationalError, ProgrammingError)):
        text = f"{type(error.orig).__name__} {error.orig}"
        if any(sign in text for sign in MISSING_TABLES):
            return click.ClickException(
                gettext("The database doesn't have all its tables. Bring it up to date: flask db upgrade")
            )
    if unavailable(error):
        return click.ClickException(gettext("The database doesn't answer. Find out why: flask doctor"))
    return error


def switched(name: str, *, off: bool, done: bool) -> str:
    """Return the message for something disabled (``off``) or enabled. Not ``done`` means that it already was."""
    if off:
        return gettext(N_("{name}: disabled.") if done else N_("{name}: already disabled."), name=name)
    return gettext(N_("{name}: enabled.") if done else N_("{name}: already enabled."), name=name)


def user_named(text: str) -> User:
    """Return the account with this identity or handle (its ID in other programs).

    :raises click.ClickException: when there is none, or the text can't be either
    """
    typed = read_identity(text)
    user = find_by_identity(typed) if typed else None
    if user is None and is_row_id(text):
        user = db.session.scalars(sa.select(User).where(User.handle == text)).first()
    if user is not None:
        return user
    if typed is None:
        with in_command_language():
            kinds = kinds_in_words()
        raise click.ClickException(gettext("{text} isn't {kinds}.", text=repr(text), kinds=kinds))
    raise click.ClickException(gettext("{identity}: no account has that.", identity=text))


def for_each(identities: Iterable[str], do: Callable[[str, User], str]) -> NoReturn:
    """Apply ``do`` to each account, commit, print the result, and exit.

    Unknown identities are reported without affecting the others, and make the exit status 1.
    :param do: takes the identity as typed and its account; returns the text to print
    """
    missing = 0
    for text in identities:
        try:
            user = user_named(text)
        except click.ClickException as unknown:
            missing += 1
            click.echo(unknown.message, err=True)
            continue
        line = do(text, user)
        db.session.commit()
        click.echo(line)
    sys.exit(1 if missing else 0)
