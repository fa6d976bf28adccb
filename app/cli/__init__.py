"""The operator's commands: ``flask users``, ``groups``, ``clients``, ``attempts``, ``keys``, ``mail`` and others.

Guarantees that each command reports what it did in one line, exits with 1 when something needs fixing, can be
interrupted and repeated at any time, and never prints a secret that it didn't just generate.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import click
    from flask import Flask

GROUPS = {
    "users": ("users", "administrators"),
    "groups": ("groups",),
    "invitations": ("invitations",),
    "clients": ("clients", "client_check"),
    "apps": ("apps",),
    "webhooks": ("webhooks",),
    "attempts": ("attempts",),
    "keys": ("keys",),
    "mail": ("mail",),
    "bounces": ("bounces",),
    "templates": ("templates",),
    "selftest": ("selftest",),
    "doctor": ("doctor",),
    "backup": ("backups",),
    "restore": ("backups",),
}
"""Each command with its module, followed by modules that add subcommands."""


def init_app(app: Flask) -> None:
    """Register the operator's commands."""
    from app.commands import add_command, from_modules

    for name, modules in GROUPS.items():
        add_command(app, name, from_modules(name, *(f"app.cli.{module}" for module in modules)))
    add_command(app, "db", partial(_database, app))


def _database(app: Flask) -> click.Command:
    """Return Flask-Migrate's command group, extended with our commands."""
    from app.cli import backups
    from app.db import migrations

    migrations.bound_to(app)
    return backups.commands()
