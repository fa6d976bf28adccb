"""Terminal output: display width, tables, progress, and line breaks where a language allows them."""

from __future__ import annotations

import itertools
import re
import sys
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import click

_INVISIBLE = frozenset(("Mn", "Me", "Cf"))
_WIDE = r"\u1100-\u115f\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6"
_OPENING, _CLOSING = r"「『（【", r"、。，．」』）】：；！？ー・々ぁぃぅぇぉっゃゅょァィゥェォッャュョ"
_PIECE = rf"\s+|[{_OPENING}]*[{_WIDE}](?:[{_CLOSING}]|\.(?=\s|$))*|(?:(?![{_WIDE}])\S)+[{_CLOSING}]*"
"""Unbreakable unit of a line: whitespace, a wide character with its opening and closing punctuation, or a word.

It is compiled on use, because servers import this module but never wrap lines.
"""


def display_width(text: str) -> int:
    """Return the display width of ``text`` in terminal columns: East Asian wide characters take two (UAX 11)."""
    if text.isascii():
        return len(text)
    return sum(0 if unicodedata.category(character) in _INVISIBLE else _width_of(character) for character in text)


def _width_of(character: str) -> int:
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def padded(text: str, width: int) -> str:
    """Return ``text`` padded on the right to ``width`` columns; on the left if ``width`` is negative."""
    gap = " " * (abs(width) - display_width(text))
    return gap + text if width < 0 else text + gap


def wrapped(text: str, width: int) -> Iterator[str]:
    """Yield lines of at most ``width`` columns, unless a single word is longer."""
    line = ""
    for piece in re.findall(_PIECE, text):
        if line.strip() and display_width(line + piece.rstrip()) > width:
            yield line.rstrip()
            line = ""
        line += piece if line else piece.lstrip()
    if line.strip():
        yield line.rstrip()


def fields(rows: Iterable[tuple[str, object]], *, width: int = 0) -> Iterator[str]:
    """Yield a line for each title and value. Values are aligned, two columns after the longest title.

    :param width: minimum width of titles in columns
    """
    listed = list(rows)
    widest = max([width, *(display_width(title) for title, _ in listed)])
    for title, value in listed:
        yield f"{padded(title, widest)}  {value}"


@contextmanager
def counted(label: str, total: int | None) -> Iterator[Callable[[int, str | None], None]]:
    """Show a progress bar on standard error, if that is a terminal.

    Yields a function that takes the amount of further progress and the text to show next to the bar from now on.

    :param total: total amount; None if unknown
    """
    with click.progressbar(
        itertools.count() if total is None else None,
        length=total,
        label=label,
        file=sys.stderr,
        hidden=not sys.stderr.isatty(),
        item_show_func=lambda shown: None if shown is None else str(shown),
    ) as bar:
        update: Any = bar.update  # click's types assume that the text is the current item
        yield update


@contextmanager
def status(text: str) -> Iterator[Callable[[str], None]]:
    """Show a status on standard error, if that is a terminal: first ``text``, then texts passed to what it yields."""
    with click.progressbar(
        itertools.count(),
        bar_template="%(info)s",
        file=sys.stderr,
        hidden=not sys.stderr.isatty(),
        item_show_func=lambda shown: text if shown is None else str(shown),
    ) as bar:
        update: Any = bar.update
        yield lambda shown: update(1, shown)


class Table:
    """A table whose columns have a minimum width, or that of their heading if it is wider.

    :param headings: headings of the columns
    :param widths: minimum widths; negative for right-aligned columns
    """

    def __init__(self, headings: Sequence[str], widths: Sequence[int]) -> None:
        self.headings = headings
        wide = (max(display_width(head), abs(width)) for head, width in zip(headings, widths, strict=True))
        self._widths = [-each if width < 0 else each for each, width in zip(wide, widths, strict=True)]

    def head(self) -> str:
        """Return the line with the headings."""
        return self.line(*self.headings)

    def line(self, *cells: object) -> str:
        """Return a row."""
        return "  ".join(padded(str(cell), width) for cell, width in zip(cells, self._widths, strict=True)).rstrip()
