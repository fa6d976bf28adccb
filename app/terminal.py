"""Text on a terminal: how many columns it takes, tables, and lines that are broken where a language allows it."""

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
"""What a line is not broken within: a space, a wide sign with what opens before or closes after it, or a word.

It is compiled where it is used: a server, which loads this too, breaks no lines.
"""


def columns(text: str) -> int:
    """Return how many columns of a terminal ``text`` takes: signs of East Asian scripts take two (UAX 11)."""
    if text.isascii():
        return len(text)
    return sum(0 if unicodedata.category(sign) in _INVISIBLE else _columns_of(sign) for sign in text)


def _columns_of(sign: str) -> int:
    return 2 if unicodedata.east_asian_width(sign) in "WF" else 1


def padded(text: str, room: int) -> str:
    """Return ``text`` with blanks behind it up to ``room`` columns; before it when ``room`` is below 0."""
    gap = " " * (abs(room) - columns(text))
    return gap + text if room < 0 else text + gap


def wrapped(text: str, room: int) -> Iterator[str]:
    """Yield lines of at most ``room`` columns, unless a word alone is longer."""
    line = ""
    for piece in re.findall(_PIECE, text):
        if line.strip() and columns(line + piece.rstrip()) > room:
            yield line.rstrip()
            line = ""
        line += piece if line else piece.lstrip()
    if line.strip():
        yield line.rstrip()


def fields(rows: Iterable[tuple[str, object]], *, room: int = 0) -> Iterator[str]:
    """Yield a line for each title with its value; values begin below each other, two columns after the longest title.

    :param room: columns that titles have at least
    """
    listed = list(rows)
    widest = max([room, *(columns(title) for title, _ in listed)])
    for title, value in listed:
        yield f"{padded(title, widest)}  {value}"


@contextmanager
def counted(label: str, total: int | None) -> Iterator[Callable[[int, str | None], None]]:
    """Show on standard error, if that is a terminal, how much is done.

    What it gives takes how much more that is, and what is said beside it from now on.
    :param total: all that is to be done; None where that isn't known
    """
    with click.progressbar(
        itertools.count() if total is None else None,
        length=total,
        label=label,
        file=sys.stderr,
        hidden=not sys.stderr.isatty(),
        item_show_func=lambda said: None if said is None else str(said),
    ) as bar:
        update: Any = bar.update  # typed as if what is said were what is counted
        yield update


@contextmanager
def status(doing: str) -> Iterator[Callable[[str], None]]:
    """Show on standard error, if that is a terminal, what is being done: ``doing``, then what is said."""
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
    """Rows in columns that are as wide as is said, or as what stands above them.

    :param heads: what stands above each column
    :param rooms: the least width of each; below 0 where it is aligned to the right
    """

    def __init__(self, heads: Sequence[str], rooms: Sequence[int]) -> None:
        self.heads = heads
        wide = (max(columns(head), abs(room)) for head, room in zip(heads, rooms, strict=True))
        self._rooms = [-each if room < 0 else each for each, room in zip(wide, rooms, strict=True)]

    def head(self) -> str:
        """Return the first line."""
        return self.line(*self.heads)

    def line(self, *cells: object) -> str:
        """Return a row."""
        return "  ".join(padded(str(cell), room) for cell, room in zip(cells, self._rooms, strict=True)).rstrip()
