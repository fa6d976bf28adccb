"""Read rows from JSON lines, a JSON array or object, CSV, or a PostgreSQL data dump, as a stream.

An unreadable row is reported as a ``Fault``, and reading continues after it. Only when a JSON array breaks off is
everything after that lost.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import BinaryIO, cast

import ijson
import orjson

from app.cli.account_drafts import array_hint
from app.cli.imports.files import READ_ERRORS, Guarded, Unreadable, decodable
from app.cli.imports.product import Fault, Place, Product, Row, Values
from app.cli.imports.tables import READERS, BrokenRow, copied_rows, csv_rows, is_dump
from app.cli.imports.values import is_shallow, items

MAX_LINE_LENGTH, MAX_OWN_LINE_LENGTH = 1024 * 1024, 65536
"""Maximum bytes per line in a product's export, and in our own format."""

KEPT = 4096
"""Characters of an overlong line that are kept in the file of rejected records."""

PEEK = 65536
ENDS = "the file breaks off or isn't JSON here: nothing behind it was read"

Rows = Iterator[Row | Fault]


def rows_of(stream: io.BufferedReader, product: Product, file: str) -> Rows:
    """Yield the rows of a file in any of these formats.

    :param stream: in UTF-8, from ``files.opened``
    :param file: file name for locations; "" if it is the only file
    """
    longest = MAX_LINE_LENGTH if product.lists else MAX_OWN_LINE_LENGTH
    begin = stream.peek(PEEK)[:PEEK]
    first = begin.lstrip()[:1]
    try:
        if first == b"[" and product.lists:
            yield from _elements(stream, "item", file)
        elif first == b"{" and product.lists and (found := _lists_in(begin, product)):
            yield from _elements(stream, found, file)
        elif first in (b"{", b"[") or not product.lists:
            yield from _json_lines(stream, file, longest)
        elif is_dump(begin):
            yield from copied_rows(_lines(decodable(stream), file, longest), file)
        else:
            yield from csv_rows(_lines(decodable(stream), file, longest), file)
    except READ_ERRORS:
        yield Fault(Place(file, 0, "end"), "the packed file is damaged or breaks off: nothing behind it was read")


def _lists_in(begin: bytes, product: Product) -> str:
    """Return the path of the accounts in a file with one or more multi-line JSON objects; "" for JSON lines."""
    line, end, rest = begin.lstrip().partition(b"\n")
    try:
        whole = orjson.loads(line)
    except orjson.JSONDecodeError:
        if end and rest.lstrip()[:1] == b"{" and line.rstrip()[-1:] == b"}":
            return ""  # JSON lines with an invalid first line
        members = _members(begin)
        if not members and end:
            return ""
        return next((f"{name}.item" for name in product.lists if name in members), _unknown_members(members, product))
    found = next((name for name in product.lists if isinstance(whole.get(name), list)), "")
    if not found and not rest.strip() and "record" not in whole and "text" not in whole and not product.knows(whole):
        return f"{product.lists[0]}.item"  # a single object, such as a realm without users
    return f"{found}.item" if found else ""


def _unknown_members(members: set[str], product: Product) -> str:
    """Return the path of the accounts when no list is near the start. Each object may be an account itself."""
    seems_account = product.knows(dict.fromkeys(members, "")) or "record" in members
    return " " if seems_account else f"{product.lists[0]}.item"


def _members(begin: bytes) -> set[str]:
    """Return the member names of the JSON object that starts with ``begin``."""
    found: set[str] = set()
    try:
        for prefix, event, value in ijson.parse(Guarded(io.BytesIO(begin)), multiple_values=True):
            if not prefix and event == "map_key":
                found.add(value)
    except (ijson.JSONError, Unreadable):
        pass
    return found


def _elements(stream: io.BufferedReader, prefix: str, file: str) -> Rows:
    number, source = 0, Guarded(cast(BinaryIO, decodable(stream)))
    try:
        values = ijson.items(source, prefix.strip(), multiple_values=True)
        for number, value in enumerate(values, start=1):
            source.begin()
            yield _row(value, Place(file, number, "account"))
    except Unreadable as error:
        yield Fault(Place(file, number + 1, "account"), f"{error}: nothing behind it was read")
    except ijson.JSONError:
        yield Fault(Place(file, number + 1, "account"), ENDS)


def _json_lines(stream: io.BufferedReader, file: str, longest: int) -> Rows:
    for number, line in _raw_lines(stream, longest):
        place = Place(file, number)
        if len(line) > longest:
            yield Fault(place, f"is longer than {longest} bytes", line[:KEPT].decode("utf-8", "replace"))
            continue
        if not line.strip():
            continue
        if hint := array_hint(line):
            yield Fault(place, hint, line.decode("utf-8", "replace").rstrip("\r\n"))
            continue
        try:
            yield _row(orjson.loads(line), place)
        except orjson.JSONDecodeError:
            yield Fault(place, _json_error(line), line.decode("utf-8", "replace").rstrip("\r\n"))


def _json_error(line: bytes) -> str:
    try:
        line.decode()
    except UnicodeDecodeError:
        return "is not JSON: it has bytes that are not UTF-8"
    return "is not JSON"


def _row(value: object, place: Place) -> Row | Fault:
    """Return an element as a row. A rejected record is unwrapped."""
    if not is_shallow(value):
        return Fault(place, "is nested too deeply")
    if not isinstance(value, dict):
        return Fault(place, "is not a JSON object", orjson.dumps(value, default=str).decode())
    if value.keys() <= {"reason", "place", "record", "table"} and "record" in value:
        inner, table = value["record"], str(value.get("table", ""))
        return Row(place, inner, table) if isinstance(inner, dict) else Fault(place, "has no record in it")
    if value.keys() <= {"reason", "place", "text", "table", "columns", "form"} and "text" in value:
        return _rejected_row(value, place)
    return Row(place, value)


def _rejected_row(refused: Values, place: Place) -> Row | Fault:
    """Return the row of a rejected line after it has been corrected."""
    line, table, form = (str(refused.get(name, "")) for name in ("text", "table", "form"))
    columns = [str(name) for name in items(refused.get("columns"))]
    try:
        values = READERS[form](line, columns) if form in READERS else orjson.loads(line)
    except orjson.JSONDecodeError:
        return Fault(place, "is not JSON", line)
    except BrokenRow as error:
        return Fault(place, str(error), line, table, columns, form)
    return Row(place, values, table) if isinstance(values, dict) else Fault(place, "is not a JSON object", line)


def _raw_lines(stream: io.BufferedReader, longest: int) -> Iterator[tuple[int, bytes]]:
    """Yield lines with their numbers. An overlong line is cut, to a length that is still over the limit."""
    number = 0
    while line := stream.readline(longest + 1):
        number += 1
        end = line
        while not end.endswith(b"\n") and (end := stream.readline(PEEK)):
            pass  # the rest of an overlong line is dropped
        yield number, line


def _lines(stream: io.BufferedReader, file: str, longest: int) -> Iterator[tuple[int, str]]:
    for number, line in _raw_lines(stream, longest):
        yield number, line.decode("utf-8", "replace")
