"""The language of ``flask`` commands, taken from the terminal's locale (ADR 65).

It is independent of the service's languages, because operators and users may speak different ones. Everything logged,
stored, or read by programs (``--json``) is in English, with ``in_english``.
"""

from __future__ import annotations

import copy
import gettext as catalogs
import inspect
import io
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import datetime
from typing import Any

import click

from app import i18n, terminal
from app.i18n import N_ as N_
from config.languages import LANGUAGES

OF_CLICK = (
    N_("Usage:"), N_("Options"), N_("Commands"), N_("Aborted!"), N_("Error: {message}"), N_("Missing command."),
    N_("Show this message and exit."), N_("default: {default}"), N_("required"), N_("(dynamic)"),
    N_("Try '{command} {option}' for help."), N_("Missing argument"), N_("Missing option"),
    N_("Invalid value: {message}"), N_("Invalid value for {param_hint}: {message}"),
    N_("No such option {name!r}."), N_("No such command {name!r}."), N_("Option {name!r} does not take a value."),
    N_("Could not open file {filename!r}: {message}"), N_("Choose from:\n\t{choices}"),
    N_("{value} is not in the range {range}."), N_("{value!r} is not a valid {number_type}."),
    N_("{name} {filename!r} is a file."), N_("{name} {filename!r} is a directory."),
    N_("{name} {filename!r} is not readable."), N_("{name} {filename!r} is not writable."),
    N_("{name} {filename!r} does not exist."), N_("file"), N_("directory"), N_("path"), N_("Error: invalid input"),
    N_("Repeat for confirmation"), N_("Error: The two entered values do not match."), N_("unknown error"),
)  # fmt: skip
"""Texts of click itself that our commands show, as click looks them up with gettext."""


def ngettext_noop(one: str, many: str) -> tuple[str, str]:
    """Mark singular and plural of a text for translation where it is defined."""
    return one, many


PLURALS_OF_CLICK = (
    ngettext_noop("Got unexpected extra argument ({args})", "Got unexpected extra arguments ({args})"),
    ngettext_noop("Did you mean {possibility}?", "(Did you mean one of: {possibilities}?)"),
    ngettext_noop("Option {name!r} requires an argument.", "Option {name!r} requires {nargs} arguments."),
    ngettext_noop("{value!r} is not {choice}.", "{value!r} is not one of {choices}."),
)

_SENTENCE = re.compile(r"\.(?=\s|\Z)|。|\n\n")
"""End of the first sentence of a help text."""

_forced_language: ContextVar[str] = ContextVar("command_language", default="")


def command_language() -> str:
    """Return the language of command output; English if the environment names none of ours.

    The locale comes from the first of LC_ALL, LC_MESSAGES and LANG that is set (POSIX, 8.2). Unless it is C or POSIX,
    the languages listed in LANGUAGE take precedence (GNU gettext, 2.3).
    """
    if language := _forced_language.get():
        return language
    locale = next(filter(None, map(os.environ.get, ("LC_ALL", "LC_MESSAGES", "LANG"))), "C")
    if locale.partition(".")[0] in ("C", "POSIX"):
        return "en"
    names = os.environ.get("LANGUAGE", "").split(":")
    return next((known for name in (*names, locale) if (known := _known(name))), "en")


def _known(name: str) -> str:
    """Return our language for a locale: ``de`` for ``de_AT.UTF-8``, ``pt-BR`` for ``pt_PT``; "" if there is none."""
    tag = name.partition(".")[0].partition("@")[0].replace("_", "-").lower()
    begin = tag.partition("-")[0]
    return next((each for each in LANGUAGES if each.lower().partition("-")[0] == begin), "")


@contextmanager
def in_english() -> Iterator[None]:
    """Use English in this block, for programs and for texts that are stored."""
    token = _forced_language.set("en")
    try:
        with i18n.in_english():
            yield
    finally:
        _forced_language.reset(token)


@contextmanager
def in_command_language() -> Iterator[None]:
    """Use the command's language in this block for texts of pages, such as the message of a ``Rejected``.

    Only use it around code that returns texts, since anything stored in the block would be in that language, too.
    """
    with i18n.in_language(command_language()):
        yield


def gettext(text: str, /, **facts: Any) -> str:
    """Return ``text`` in the command's language, formatted with ``facts``: integers grouped, times in UTC."""
    return _format(i18n.catalog(command_language()).gettext(text), facts)


def ngettext(one: str, many: str, count: int, /, **facts: Any) -> str:
    """Return the singular or plural form for ``count``, translated; ``{count}`` in it is the number."""
    form = i18n.catalog(command_language()).ngettext(one, many, count)
    return _format(form, {"count": count} | facts)


def number_text(count: int) -> str:
    """Return an integer with the language's digit grouping."""
    tag = command_language()
    return f"{count:,}" if tag == "en" else i18n.number_text(count, tag)


def _formatted_value(value: Any) -> Any:
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M} UTC"
    return number_text(value) if type(value) is int else value


def _format(text: str, facts: Mapping[str, Any]) -> str:
    return text.format(**{name: _formatted_value(value) for name, value in facts.items()})


def table(headings: Iterable[str], widths: Iterable[int]) -> terminal.Table:
    """Return a table with translated headings; see ``terminal.Table``."""
    return terminal.Table([gettext(head) for head in headings], list(widths))


def paragraphs(text: str) -> list[str]:
    """Return the paragraphs of a docstring, each as one line, as they appear in the catalogs."""
    return [" ".join(each.split()) for each in inspect.cleandoc(text).split("\n\n") if each.strip()]


CLOSED = N_("This command reads standard input, which is closed. Connect it to a file, a pipe or a terminal.")


class _ClosedInput(io.RawIOBase):
    """Standard input that was closed when the command started, as with ``<&-``. In Python it is None then."""

    def readable(self) -> bool:
        """Return True, so that reads reach ``readinto``."""
        return True

    def readinto(self, _buffer: Any) -> int:
        """Raise click.UsageError, which exits with status 2."""
        raise click.UsageError(gettext(CLOSED), click.get_current_context(silent=True))


def prepare() -> None:
    """Translate click's own texts, and keep output from failing on characters the terminal can't encode.

    Also prepare a closed standard input: only commands that read it fail.
    """
    if sys.stdin is None:
        sys.stdin = io.TextIOWrapper(io.BufferedReader(_ClosedInput()), encoding="utf-8")
    tag = command_language()
    if tag == "en":
        return
    os.environ["LANGUAGE"] = tag.replace("-", "_")  # read by the standard library's gettext, which click uses
    catalogs.bindtextdomain(catalogs.textdomain(), str(i18n.FOLDER))
    for stream in (sys.stdout, sys.stderr):
        reconfigure: Callable[..., None] | None = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="replace")


class TranslatedContext(click.Context):
    """A context whose help is formatted by display width."""

    def make_formatter(self) -> click.HelpFormatter:
        """Return click's formatter for English, and one that breaks lines where the language allows it otherwise."""
        if command_language() == "en":
            return super().make_formatter()
        return ColumnFormatter(width=self.terminal_width, max_width=self.max_content_width)


class ColumnFormatter(click.HelpFormatter):
    """Formats help in languages with double-width characters and without spaces between words."""

    def write_text(self, text: str) -> None:
        """Write paragraphs like click."""
        indent = " " * self.current_indent
        blocks = ["\n".join(indent + line for line in self._lines(each)) for each in text.split("\n\n")]
        self.write("\n\n".join(blocks) + "\n")

    def _lines(self, text: str) -> Iterator[str]:
        return terminal.wrapped(text, self.width - self.current_indent)

    def write_dl(self, rows: Iterable[tuple[str, str]], col_max: int = 30, col_spacing: int = 2) -> None:
        """Write a definition list like click."""
        definitions = list(rows)
        first = min(max(terminal.display_width(name) for name, _ in definitions), col_max) + col_spacing
        for name, text in definitions:
            indent = " " * (self.current_indent + first)
            lines = list(terminal.wrapped(text, max(self.width - len(indent), 10)))
            if lines and terminal.display_width(name) <= first - col_spacing:
                lines[0] = " " * self.current_indent + terminal.padded(name, first) + lines[0]
                lines[1:] = [indent + line for line in lines[1:]]
            else:
                lines = [" " * self.current_indent + name, *(indent + line for line in lines)]
            self.write("\n".join(lines) + "\n")


class TranslatedCommand(click.Command):
    """A command whose help is translated when shown. Docstrings are extracted automatically, options need ``N_``."""

    context_class = TranslatedContext

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        """Return click's context after translating its texts."""
        prepare()
        return super().make_context(info_name, args, parent, **extra)

    def format_help(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write click's help in the command's language."""
        super(TranslatedCommand, self._translated()).format_help(ctx, formatter)

    def get_short_help_str(self, limit: int = 45) -> str:
        """Return click's short help in the command's language."""
        translated = self._translated()
        if command_language() != "en" and translated.help:
            translated.short_help = _SENTENCE.split(translated.help)[0]
        return super(TranslatedCommand, translated).get_short_help_str(limit)

    def _translated(self) -> TranslatedCommand:
        """Return a copy in the command's language; the command itself for English."""
        if command_language() == "en":
            return self
        translated = copy.copy(self)
        translated.help = "\n\n".join(map(gettext_as_it_is, paragraphs(self.help or "")))
        translated.params = [_with_help(param) for param in self.params]
        return translated


def gettext_as_it_is(text: str) -> str:
    """Return a text in the command's language without formatting it, so braces are literal."""
    return i18n.catalog(command_language()).gettext(text)


def _with_help(param: click.Parameter) -> click.Parameter:
    if not isinstance(param, click.Option) or not param.help:
        return param
    translated = copy.copy(param)
    translated.help = gettext_as_it_is(param.help)
    return translated


class TranslatedGroup(TranslatedCommand, click.Group):
    """A group of translated commands."""

    command_class = TranslatedCommand
