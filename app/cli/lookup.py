"""Find the account that an operator names."""

from __future__ import annotations

import click

from app.users import User, find_by_identity, kinds_in_words, read_identity


def user_named(text: str) -> User:
    """Return the account that ``text`` names.

    :raises click.ClickException: when it names none, or cannot name one
    """
    typed = read_identity(text)
    if typed is None:
        raise click.ClickException(f"{text!r} isn't {kinds_in_words()}.")
    user = find_by_identity(typed)
    if user is None:
        raise click.ClickException(f"{text}: nobody has that.")
    return user
