"""Table rows from CSV with a header, and from PostgreSQL's plain dumps (COPY, or INSERT with columns).

NULL becomes None. Rows are parsed from lines, so that an unbalanced quote only affects its own row.
"""

from __future__ import annotations

import csv
import io
import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial

from app.cli.imports.product import Fault, Place, Row, Values

MAX_LINES = 200
"""Maximum lines per row. Quoted text can contain newlines, and an unclosed quote would consume the rest of the file."""

NumberedLines = Iterator[tuple[int, str]]

_COPY = re.compile(r"COPY\s+(\S+)\s*\((.*)\)\s+FROM\s+stdin;\s*\Z", re.IGNORECASE)
_INSERT = re.compile(
    r'INSERT\s+INTO\s+((?:"[^"]+"|\w+)(?:\.(?:"[^"]+"|\w+))?)\s*(\([^)]*\))?\s*'
    r"(?:OVERRIDING\s+SYSTEM\s+VALUE\s+)?VALUES\s*(.*)",
    re.IGNORECASE | re.DOTALL,
)
_DUMP = re.compile(rb"^(--|SET |COPY |INSERT INTO |BEGIN|\\restrict|PRAGMA )", re.MULTILINE)
_VALUE = re.compile(
    r"\s*(?:'((?:[^']|'')*)'(?:::[\w ]+)?|(NULL|true|false|-?[0-9.][0-9.eE+-]*))\s*(,|\Z)", re.IGNORECASE
)
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_ESCAPES = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}


class BrokenRow(ValueError):
    """A row can't be parsed. The message gives the reason."""


def is_dump(begin: bytes) -> bool:
    """Return whether a file that starts like this is an SQL dump rather than CSV."""
    return _DUMP.match(begin.lstrip()) is not None


def csv_rows(lines: NumberedLines, file: str) -> Iterator[Row | Fault]:
    """Yield rows of CSV. The first line has the column names, separated by commas, semicolons or tabs."""
    number, head = next(lines, (0, ""))
    comma = max(",;\t", key=head.count)
    columns = next(csv.reader([head], delimiter=comma), [])
    if len(columns) < 2 or len(set(columns)) < len(columns):
        yield Fault(Place(file, number), "is neither JSON, a dump of SQL, nor CSV with the columns' names", head[:200])
        return

    def read(text: str) -> Values:
        return csv_values(text, columns, comma)

    yield from _parse_rows(lines, file, '"', read, columns=columns, form=comma)


def csv_values(text: str, columns: Sequence[str], comma: str = ",") -> Values:
    """Return the values of a CSV row by column.

    :raises BrokenRow: when it isn't such a row
    """
    try:
        (cells,) = csv.reader(io.StringIO(text, newline=""), delimiter=comma, strict=True)
    except (csv.Error, ValueError):
        raise BrokenRow("is no row of CSV: look at its quotes") from None
    return _by_column(columns, cells)


def copied_values(text: str, columns: Sequence[str]) -> Values:
    """Return the values of a COPY line by column.

    :raises BrokenRow: when their number differs from that of the columns
    """
    cells = [None if cell == r"\N" else _ESCAPE.sub(_unescaped, cell) for cell in text.rstrip("\r\n").split("\t")]
    return _by_column(columns, cells)


def _unescaped(found: re.Match[str]) -> str:
    return _ESCAPES.get(found[1], found[1])


def inserted_values(text: str, columns: Sequence[str]) -> Values:
    """Return the values between the parentheses of an INSERT by column.

    :raises BrokenRow: when it isn't such a list
    """
    cells: list[str | None] = []
    place = 0
    while found := _VALUE.match(text, place):
        quoted, bare, comma = found.groups()
        cells.append(quoted.replace("''", "'") if quoted is not None else None if bare.upper() == "NULL" else bare)
        place = found.end()
        if not comma:
            break
    if place != len(text):
        raise BrokenRow("is no list of values: look at its quotes")
    return _by_column(columns, cells)


READERS: dict[str, Callable[[str, Sequence[str]], Values]] = {
    "copy": copied_values,
    "insert": inserted_values,
    **{comma: partial(csv_values, comma=comma) for comma in ",;\t"},
}
"""Parser for each row format, as named in the file of rejected records."""


def copied_rows(lines: NumberedLines, file: str) -> Iterator[Row | Fault]:
    """Yield the rows of all tables in a plain dump, from COPY or from INSERT with columns."""
    pending = _Pending(lines)
    for number, line in pending:
        if copy := _COPY.match(line.strip()):
            yield from _copied(pending, file, _table(copy[1]), _names(copy[2]))
        elif insert := _INSERT.match(line.lstrip()):
            yield from _inserted(pending, file, number, line, insert)


def _copied(lines: NumberedLines, file: str, table: str, columns: list[str]) -> Iterator[Row | Fault]:
    for number, line in lines:
        if line.rstrip("\r\n") == r"\.":
            return
        place = Place(file, number)
        try:
            yield Row(place, copied_values(line, columns), table)
        except BrokenRow as error:
            yield Fault(place, str(error), line.rstrip("\r\n"), table, columns, "copy")


def _inserted(lines: _Pending, file: str, number: int, line: str, found: re.Match[str]) -> Iterator[Row | Fault]:
    """Yield the rows of an INSERT: all on its line, or one per line after it."""
    table, columns = _table(found[1]), _names((found[2] or "")[1:-1])
    if not columns:
        yield Fault(Place(file, number), "INSERT without columns: dump with --column-inserts", line[:200])
        return
    if found[3].strip():
        lines.put_back(number, found[3])
    read = _in_brackets(columns)
    yield from _parse_rows(lines, file, "'", read, columns=columns, form="insert", table=table, ends=";")


def _in_brackets(columns: list[str]) -> Callable[[str], Values]:
    def read(text: str) -> Values:
        inner = text.strip().rstrip(",;").rstrip()
        inner = re.sub(r"\s+ON CONFLICT DO NOTHING\Z", "", inner)
        if not (inner.startswith("(") and inner.endswith(")")):
            raise BrokenRow("is no list of values: look at its quotes")
        return inserted_values(inner[1:-1], columns)

    return read


def _parse_rows(
    lines: Iterable[tuple[int, str]],
    file: str,
    quote: str,
    read: Callable[[str], Values],
    *,
    columns: list[str],
    form: str,
    table: str = "",
    ends: str = "",
) -> Iterator[Row | Fault]:
    """Yield rows that can contain newlines within quotes. If one can't be parsed, only its first line is reported.

    :param ends: terminator of the last row, if there is one
    """
    pending = lines if isinstance(lines, _Pending) else _Pending(iter(lines))
    for number, line in pending:
        if not line.strip():
            continue
        taken, text = [(number, line)], line
        while text.count(quote) % 2 and len(taken) < MAX_LINES and (more := next(pending, None)):
            taken.append(more)
            text += more[1]
        place = Place(file, number)
        try:
            yield Row(place, read(text), table)
        except BrokenRow as error:
            for each in reversed(taken[1:]):
                pending.put_back(*each)
            text = line
            yield Fault(place, str(error), line.rstrip("\r\n"), table, columns, form)
        if ends and text.rstrip().endswith(ends):
            return


class _Pending:
    """Lines that can be put back and read again."""

    def __init__(self, lines: NumberedLines) -> None:
        self._lines, self._back = lines, deque[tuple[int, str]]()

    def __iter__(self) -> _Pending:
        return self

    def __next__(self) -> tuple[int, str]:
        return self._back.popleft() if self._back else next(self._lines)

    def put_back(self, number: int, line: str) -> None:
        self._back.appendleft((number, line))


def _by_column(columns: Sequence[str], cells: Sequence[str | None]) -> Values:
    if len(cells) != len(columns):
        raise BrokenRow(f"has {len(cells)} values for {len(columns)} columns")
    return dict(zip(columns, cells, strict=True))


def _table(name: str) -> str:
    return name.rpartition(".")[2].strip('"')


def _names(listed: str) -> list[str]:
    return [name.strip().strip('"') for name in listed.split(",") if name.strip()]
