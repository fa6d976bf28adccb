"""The operator's TOML files with named tables, such as [clients.grafana]. Errors include line numbers."""

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from config.files import read_text
from config.problems import Problem

MAX_BYTES = 1_048_576

WORDS = {
    "tuple_type": 'must be a list, as in ["a", "b"]',
    "string_type": "must be text in quotes",
    "int_type": "must be a whole number",
    "dict_type": "must be a table",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "missing": "is missing",
}
"""Messages for pydantic's error types."""


class TomlFile:
    """The tables of a file, and its problems.

    :ivar folder: directory that paths in the file are relative to
    :ivar tables: empty when the file can't be read
    :ivar problems: in line order
    """

    def __init__(self, path: str, name: str) -> None:
        """Read the file.

        :param name: name of the setting that points to the file, for the problems
        """
        self.folder = Path(path).parent
        self.tables: Mapping[str, Any] = {}
        self._name = name
        self._problems: list[tuple[int, Problem]] = []
        self._lines: list[str] = []
        try:
            text = read_text(path, MAX_BYTES)
            self.tables = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            what = str(error)
            self._say(0, f"isn't valid TOML: {what[:1].lower()}{what[1:]}", "Fix that line; see https://toml.io.")
        except ValueError as error:
            self._say(0, f"points to a file that {error}", "Use another file, or unset it.")
        else:
            self._lines = text.splitlines()

    @property
    def problems(self) -> list[Problem]:
        """The problems found, in line order."""
        return [found for _, found in sorted(self._problems, key=lambda each: each[0])]

    def named(self, kind: str, example: str) -> dict[str, dict[str, Any]]:
        """Return the tables of a kind by name. Anything else in the file is a problem.

        :param kind: ``clients``, for [clients.grafana]
        """
        remedy = f"Begin each with its name: [{kind}.{example}]."
        for other in sorted(self.tables.keys() - {kind}):
            self.add("", other, f" isn't a table of {kind}", remedy)
        found = self.tables.get(kind, {})
        if not isinstance(found, dict) or not all(isinstance(table, dict) for table in found.values()):
            self.add("", kind, " contains more than tables", remedy)
            return {}
        return found

    def add(self, kind: str, name: str, what: str, remedy: str, field: str = "") -> None:
        """Add a problem with a table or one of its fields.

        :param kind: ``clients``; "" when ``name`` is a top-level table
        :param what: continues the sentence after the name: ``" is missing"``
        """
        where = ".".join(filter(None, (kind, name, field)))
        number = self._line_of(kind, name, field)
        self._say(number, f"{f'line {number}: ' if number else ''}{where}{what}", remedy)

    def _say(self, number: int, what: str, remedy: str) -> None:
        self._problems.append((number, Problem(self._name, what, remedy)))

    def _line_of(self, kind: str, name: str, field: str) -> int:
        """Return the line of a table's field, else of its header, else 0. tomllib doesn't report lines of values."""
        if not kind:
            named = _assignment(name)
            return next((at for at, line in enumerate(self._lines, 1) if named.match(line)), 0)
        header = re.compile(rf"""\s*\[+\s*{kind}\s*\.\s*(["']?){re.escape(name)}\1\s*[\].]""")
        begin = next((at for at, line in enumerate(self._lines, 1) if header.match(line)), 0)
        named = _assignment(field)
        for at, line in enumerate(self._lines[begin:] if begin and field else (), begin + 1):
            if line.lstrip().startswith("[") and not header.match(line):
                break
            if named.match(line):
                return at
        return begin


def _assignment(field: str) -> re.Pattern[str]:
    return re.compile(rf"""\s*\[*\s*(["']?){re.escape(field)}\1\s*[=\].]""")
