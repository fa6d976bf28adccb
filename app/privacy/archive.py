"""The archive of an export: a zip with JSON and CSV files, written piece by piece."""

from __future__ import annotations

import csv
import io
import textwrap
import zipfile
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

import orjson

from app.db.export import ExportPart
from app.extensions import settings
from app.i18n import datetime_text
from app.spreadsheets import harmless

CHUNK = 64 * 1024
"""Bytes handed on at a time; a little more than that is in memory."""

WIDTH = 78
"""Of README.txt, in characters."""

_JSON = orjson.OPT_UTC_Z | orjson.OPT_SORT_KEYS

Rows = Iterable[Sequence[dict[str, Any]]]


class Archive:
    """A zip that is written from its beginning to its end, and handed on in pieces of ``CHUNK`` bytes.

    :param hand_on: takes each piece, in order
    :param at: the time stamp of all its files
    """

    def __init__(self, hand_on: Callable[[bytes], None], at: datetime) -> None:
        self._out = _Pieces(hand_on)
        self._zip = zipfile.ZipFile(self._out, "w", zipfile.ZIP_DEFLATED)
        self._at = at

    @property
    def size(self) -> int:
        """Bytes written so far."""
        return self._out.size

    def add_json(self, name: str, batches: Rows) -> None:
        """Add a file that holds one JSON list, a row to a line."""
        with self._zip.open(self._info(name), "w") as file:
            before = b"[\n"
            for rows in batches:
                for row in rows:
                    file.write(before + orjson.dumps(row, option=_JSON))
                    before = b",\n"
            file.write(b"\n]\n" if before == b",\n" else b"[]\n")

    def add_csv(self, name: str, columns: Sequence[str], batches: Rows) -> None:
        """Add a file for spreadsheets (RFC 4180): UTF-8 with its mark, a line to a row, and no formula in any cell."""
        with self._zip.open(self._info(name), "w") as file:
            file.write(b"\xef\xbb\xbf" + _lines([columns]))
            for rows in batches:
                file.write(_lines([[cell(row[column]) for column in columns] for row in rows]))

    def add_text(self, name: str, text: str) -> None:
        """Add a file that holds ``text``."""
        with self._zip.open(self._info(name), "w") as file:
            file.write(text.encode())

    def abandon(self) -> None:
        """Hand on nothing more, not even when Python closes the unfinished zip."""
        self._out.abandoned = True
        self._zip.close()

    def close(self) -> None:
        """Write the end of the zip and hand on what is left."""
        self._zip.close()
        self._out.finish()

    def _info(self, name: str) -> zipfile.ZipInfo:
        at = self._at.astimezone(UTC)
        info = zipfile.ZipInfo(name, (at.year, at.month, at.day, at.hour, at.minute, at.second))
        info.compress_type = zipfile.ZIP_DEFLATED
        info.external_attr = 0o600 << 16
        return info


class _Pieces(io.RawIOBase):
    """A write-only file that hands on its content in pieces of one size."""

    def __init__(self, hand_on: Callable[[bytes], None]) -> None:
        super().__init__()
        self._hand_on = hand_on
        self._held = bytearray()
        self.size = 0
        self.abandoned = False

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        """Take ``data`` and hand on each whole piece; after an error, nothing more."""
        if self.abandoned:
            return len(data)
        self._held += data
        self.size += len(data)
        while len(self._held) >= CHUNK:
            self._give(bytes(self._held[:CHUNK]))
            del self._held[:CHUNK]
        return len(data)

    def _give(self, piece: bytes) -> None:
        try:
            self._hand_on(piece)
        except BaseException:
            self.abandoned = True  # closing the zip would write the rest
            raise

    def finish(self) -> None:
        """Hand on what is left."""
        if self._held:
            self._give(bytes(self._held))
            self._held.clear()


def cell(value: Any) -> str:
    """Return ``value`` as a spreadsheet may show it: with an apostrophe before whatever would be a formula."""
    if value is None:
        return ""
    text = value if isinstance(value, str) else orjson.dumps(value, option=_JSON).decode().strip('"')
    return harmless(text)


def _lines(rows: Iterable[Sequence[str]]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text).writerows(rows)
    return text.getvalue().encode()


def readme(at: datetime, parts: Sequence[ExportPart], cut: Sequence[str]) -> str:
    """Return the text of README.txt.

    :param cut: names of parts of which only the newest rows are included
    """
    listed = [f"{part.name}.json, {part.name}.csv\n{_indented(part.says)}" for part in parts]
    more = [f"Only the newest rows are in: {', '.join(cut)}. There were too many for one archive."] if cut else []
    return "\n\n".join([*_about(at), *map(_filled, more), *listed, ""])


def _about(at: datetime) -> list[str]:
    return [
        f"What {settings.brand_name} keeps about your account\n{settings.public_url}\nMade {datetime_text(at)}",
        _filled(
            "Each kind of record is here twice: as JSON for programs, and as CSV for a spreadsheet (UTF-8, separated by"
            " commas). Times are in UTC. In the CSV files an apostrophe stands before a text that a spreadsheet would"
            " take for a formula; a telephone number begins with one, for example. The JSON files have it as it is."
        ),
        _filled(
            "Secrets are not in here: what signs you in, such as the key of an authenticator app or the token of a"
            " session, is kept sealed or only as a fingerprint, and nobody can take it out."
        ),
    ]


def _filled(text: str) -> str:
    return textwrap.fill(text, WIDTH)


def _indented(text: str) -> str:
    return textwrap.fill(text, WIDTH, initial_indent="    ", subsequent_indent="    ")
