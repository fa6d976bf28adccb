"""The operator's commands: ``flask users``, ``groups``, ``clients``, ``attempts``, ``keys``, ``mail`` and others.

Promises that each command says what it did in one line, exits with 1 when something is left to mend, can be
stopped and repeated at any moment, and never prints a secret that it did not just make.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flask import Flask


def init_app(app: Flask) -> None:
    """Add the operator's commands."""
    from app.cli import administrators, client_check, database_move, user_deletion  # noqa: F401 - add commands to groups
    from app.cli.apps import apps
    from app.cli.attempts import attempts
    from app.cli.backups import backup, restore
    from app.cli.bounces import bounces
    from app.cli.clients import clients
    from app.cli.doctor import doctor
    from app.cli.groups import groups
    from app.cli.invitations import invitations
    from app.cli.keys import keys
    from app.cli.mail import mail
    from app.cli.selftest import selftest
    from app.cli.templates import templates
    from app.cli.users import users
    from app.cli.webhooks import webhooks

    people, parties = (users, groups, invitations), (clients, apps, webhooks)
    for group in (*people, *parties, attempts, keys, mail, bounces, templates, selftest, doctor, backup, restore):
        app.cli.add_command(group)
