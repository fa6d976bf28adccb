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


def columns(text: str) -> int:
    """Return the display width of ``text`` in terminal columns: East Asian wide characters take two (UAX 11)."""
    if text.isascii():
        return len(text)
    return sum(0 if unicodedata.category(sign) in _INVISIBLE else _columns_of(sign) for sign in text)


def _columns_of(sign: str) -> int:
    return 2 if unicodedata.east_asian_width(sign) in "WF" else 1


def padded(text: str, room: int) -> str:
    """Return ``text`` padded on the right to ``room`` columns; on the left if ``room`` is negative."""
    gap = " " * (abs(room) - columns(text))
    return gap + text if room < 0 else text + gap


def wrapped(text: str, room: int) -> Iterator[str]:
    """Yield lines of at most ``room`` columns, unless a single word is longer."""
    line = ""
    for piece in re.findall(_PIECE, text):
        if line.strip() and columns(line + piece.rstrip()) > room:
            yield line.rstrip()
            line = ""
        line += piece if line else piece.lstrip()
    if line.strip():
        yield line.rstrip()


def fields(rows: Iterable[tuple[str, object]], *, room: int = 0) -> Iterator[str]:
    """Yield a line for each title and value. Values are aligned, two columns after the longest title.

    :param room: minimum width of titles in columns
    """
    listed = list(rows)
    widest = max([room, *(columns(title) for title, _ in listed)])
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
        item_show_func=lambda said: None if said is None else str(said),
    ) as bar:
        update: Any = bar.update  # click's types assume that the text is the current item
        yield update


@contextmanager
def status(doing: str) -> Iterator[Callable[[str], None]]:
    """Show a status on standard error, if that is a terminal: first ``doing``, then texts passed to what it yields."""
    with click.progressbar(
        itertools.count(),
        bar_template="%(info)s",
        file=sys.stderr,
        hidden=not sys.stderr.isatty(),
        item_show_func=lambda said: doing if said is None else str(said),
    ) as bar:
        update: Any = bar.update
        yield lambda said: update(1, said)


class Table:
    """A table whose columns have a minimum width, or that of their heading if it is wider.

    :param heads: headings of the columns
    :param rooms: minimum widths; negative for right-aligned columns
    """

    def __init__(self, heads: Sequence[str], rooms: Sequence[int]) -> None:
        self.heads = heads
        wide = (max(columns(head), abs(room)) for head, room in zip(heads, rooms, strict=True))
        self._rooms = [-each if room < 0 else each for each, room in zip(wide, rooms, strict=True)]

    def head(self) -> str:
        """Return the line with the headings."""
        return self.line(*self.heads)

    def line(self, *cells: object) -> str:
        """Return a row."""
        return "  ".join(padded(str(cell), room) for cell, room in zip(cells, self._rooms, strict=True)).rstrip()
