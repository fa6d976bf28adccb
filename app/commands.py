"""Lazy loading of ``flask`` commands: a command's module is only imported when the command is run.

A server only needs one of them. Importing all took a tenth of its startup time, and memory in every process.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING, cast

import click
from flask.cli import AppGroup

if TYPE_CHECKING:
    from flask import Flask

Load = Callable[[], click.Command]


class LazyGroup(AppGroup):
    """A group that loads commands on demand, and all of them for ``--help``."""

    def __init__(self) -> None:
        super().__init__()
        self.unloaded: dict[str, Load] = {}

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all commands, loaded or not."""
        return sorted({*super().list_commands(ctx), *self.unloaded})

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        """Return a command, loading it if necessary."""
        if load := self.unloaded.pop(name, None):
            self.add_command(load(), name)
        return super().get_command(ctx, name)


def add_command(app: Flask, name: str, load: Load) -> None:
    """Add a command or group to ``flask``; ``load`` imports and returns it."""
    cast("LazyGroup", app.cli).unloaded[name] = load


def from_modules(attribute: str, *modules: str) -> Load:
    """Return a loader that imports these modules and returns an attribute of the first one.

    The other modules add commands to it.
    """

    def load() -> click.Command:
        first, *_ = [import_module(module) for module in modules]
        return cast("click.Command", getattr(first, attribute))

    return load
