"""Lazy loading of the ``flask`` commands: a command's module is imported when the command is run.

A server needs one of them. The modules of all took a tenth of its start, and the memory of every process.
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
    """A group that loads a command when it is asked for, and all of them for ``--help``."""

    def __init__(self) -> None:
        super().__init__()
        self.unloaded: dict[str, Load] = {}

    def list_commands(self, ctx: click.Context) -> list[str]:
        """As click: loaded or not."""
        return sorted({*super().list_commands(ctx), *self.unloaded})

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        """As click, after loading it."""
        if load := self.unloaded.pop(name, None):
            self.add_command(load(), name)
        return super().get_command(ctx, name)


def add_command(app: Flask, name: str, load: Load) -> None:
    """Add a command or a group of commands to ``flask``; ``load`` returns it."""
    cast("LazyGroup", app.cli).unloaded[name] = load


def from_modules(attribute: str, *modules: str) -> Load:
    """Return what imports these modules, and returns this attribute of the first. The others add commands to it."""

    def load() -> click.Command:
        first, *_ = [import_module(module) for module in modules]
        return cast("click.Command", getattr(first, attribute))

    return load
