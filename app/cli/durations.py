"""Durations as operators type them: ``24h``, ``7d``, seconds, or ISO 8601."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import click
from pydantic import TypeAdapter, ValidationError

from app import i18n
from app.command_language import gettext, in_command_language
from config.types import DurationOrZero

UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_SHORT = re.compile(r"([0-9]{1,9})([smhdw])", re.ASCII)
_READ: TypeAdapter[timedelta] = TypeAdapter(DurationOrZero)


def span_text(lasts: timedelta) -> str:
    """Return a duration in words: ``7 days``."""
    with in_command_language():
        return i18n.span_text(lasts.total_seconds())


class DurationType(click.ParamType[timedelta]):
    """Option type for ``24h``, ``7d``, ``3600`` or ``PT1H``. 0 is only accepted with ``or_zero``."""

    name = "duration"

    def __init__(self, *, or_zero: bool = False) -> None:
        self.or_zero = or_zero

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> timedelta:
        """Parse a duration."""
        if isinstance(value, timedelta):
            return value
        short = _SHORT.fullmatch(value.strip().lower())
        try:
            found = _READ.validate_python(str(int(short[1]) * UNITS[short[2]]) if short else value)
        except ValidationError:
            message = gettext("{text} isn't a length of time: 24h, 7d, seconds, or ISO 8601 (PT1H).", text=repr(value))
            self.fail(message, param, ctx)
        if not (found or self.or_zero):
            self.fail(gettext("It must be longer than 0."), param, ctx)
        return found
