"""The clients file: apps that the operator describes in TOML, read once at start (``LATCHKEY_CLIENTS_FILE``).

No secret stands in it: digests do, or paths of files that hold secrets. Every fault is named with its line.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from app.crypto import secrets
from app.oidc import logos
from app.oidc.client_secrets import MARK, check_secret
from app.oidc.clients import Client, keep_in_memory
from config.environment import read_file
from config.images import Image, image_at
from config.problems import ConfigurationError, Problem, variable

if TYPE_CHECKING:
    from flask import Flask
    from pydantic_core import ErrorDetails

SETTING = variable("clients_file")
LARGEST = 1_048_576
OF_SECRETS = ("secret_digest", "secret_file")
LOGO = "logo"
NOT_IN_FILE = ("id", "source", "secret_digests", "logo_url")
FIELDS = (*(name for name in Client.model_fields if name not in NOT_IN_FILE), *OF_SECRETS, LOGO)
"""What a client's table may have."""

REMEDY = "Mend it; docs/apps.md says what it takes."
DIGEST_REMEDY = "flask clients digest makes one."
HINTS = {
    "client_id": "The id stands in the header, as in [clients.grafana].",
    "logo_url": 'Put the file beside this one, and write logo = "app.svg".',
    "id": "The id stands in the header, as in [clients.grafana].",
    "public": 'Write auth_method = "none".',
    "trusted": 'Write consent = "trusted".',
}
WORDS = {
    "tuple_type": 'must be a list, as in ["a", "b"]',
    "string_type": "must be text in quotes",
    "int_type": "must be a whole number",
    "dict_type": "must be a table",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "missing": "is missing",
}


def load(app: Flask) -> None:
    """Read the clients file, if there is one, and keep its clients in memory.

    :raises ConfigurationError: with every fault found in it
    """
    path = app.extensions["latchkey.settings"].clients_file
    if not path:
        return
    clients, problems, images = _read(path, SETTING)
    if problems:
        raise ConfigurationError(problems)
    keep_in_memory(app, clients)
    logos.keep_in_memory(app, images)


def read_clients(path: str, name: str = SETTING) -> tuple[dict[str, Client], list[Problem]]:
    """Return the clients of a file by id, and what is wrong with it; a client with a fault is left out.

    :param name: of what names the file, for the problems
    """
    clients, problems, _ = _read(path, name)
    return clients, problems


def _read(path: str, name: str) -> tuple[dict[str, Client], list[Problem], dict[str, Image]]:
    """Return the same, and the clients' logos."""
    try:
        text = _text_of(path)
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        what = str(error)
        remedy = "Mend that line; see https://toml.io."
        return {}, [Problem(name, f"is no TOML: {what[:1].lower()}{what[1:]}", remedy)], {}
    except ValueError as error:
        return {}, [Problem(name, f"names a file that {error}", "Name another file, or unset it.")], {}
    reader = _Reader(name, text, Path(path).parent)
    clients = {client.id: client for client in reader.clients(tables)}
    return clients, [found for _, found in sorted(reader.problems, key=lambda each: each[0])], reader.logos


def _text_of(path: str) -> str:
    """Return the text of the file. Raises ValueError."""
    try:
        with Path(path).open("rb") as file:
            data = file.read(LARGEST + 1)
    except OSError as error:
        raise ValueError(f"can't be read ({error.strerror})") from None
    if len(data) > LARGEST:
        raise ValueError("is larger than 1 MiB")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        raise ValueError("is not UTF-8 text") from None


class _Reader:
    """Makes clients of the tables of one file, and collects what is wrong with them.

    :ivar folder: to which the paths of secrets and logos are relative
    :ivar problems: each with its line, 0 where that is not known
    :ivar logos: by the id of their client
    """

    def __init__(self, name: str, text: str, folder: Path) -> None:
        self.name = name
        self.folder = folder
        self.problems: list[tuple[int, Problem]] = []
        self.logos: dict[str, Image] = {}
        self._lines = text.splitlines()

    def clients(self, tables: Mapping[str, Any]) -> Iterator[Client]:
        """Yield each client that has no fault."""
        for other in sorted(tables.keys() - {"clients"}):
            self._add("", other, " is no table of clients", "Begin each client with its id, as in [clients.grafana].")
        found = tables.get("clients", {})
        if not isinstance(found, dict) or not all(isinstance(table, dict) for table in found.values()):
            self._add("", "clients", " holds more than tables", "Begin each client with its id: [clients.grafana].")
            return
        for client_id, table in found.items():
            if (client := self._client(client_id, table)) is not None:
                yield client

    def _client(self, client_id: str, table: dict[str, Any]) -> Client | None:
        before = len(self.problems)
        self._check_names(client_id, table)
        digests = self._digests(client_id, table)
        self._read_logo(client_id, table)
        fields = {name: value for name, value in table.items() if name in Client.model_fields and name in FIELDS}
        try:
            client = Client(**fields, id=client_id, secret_digests=digests, source="file")
        except ValidationError as error:
            for fault in error.errors(include_url=False, include_input=False):
                self._add(client_id, *_said(fault), REMEDY)
            return None
        if client.auth_method not in ("none", "private_key_jwt") and not digests and len(self.problems) == before:
            what = ' has no secret: set secret_digest or secret_file, or auth_method = "none"'
            self._add(client_id, "", what, DIGEST_REMEDY)
        return client if len(self.problems) == before else None

    def _check_names(self, client_id: str, table: dict[str, Any]) -> None:
        for field in sorted(table.keys() - set(FIELDS)):
            if field in ("secret", "client_secret"):
                remedy = 'Take it out and write secret_digest = "sha256:..."; flask clients digest prints that line.'
                self._add(client_id, field, " is a secret in clear, which has no place in this file", remedy)
                continue
            near = difflib.get_close_matches(field, FIELDS, 1)
            remedy = HINTS.get(field, f"Did you mean {near[0]}?" if near else "docs/apps.md lists the fields.")
            self._add(client_id, field, " is no field of a client", remedy)

    def _digests(self, client_id: str, table: dict[str, Any]) -> tuple[str, ...]:
        """Return the digests of a client's secrets: one, or the new and the old one of a rotation."""
        if "secret_file" in table:
            if "secret_digest" in table:
                self._add(client_id, "secret_file", " is set, and secret_digest too", "Keep one of them.")
            return self._digest_of_file(client_id, table["secret_file"])
        given = table.get("secret_digest", [])
        texts = given if isinstance(given, list) else [given]
        digests = [text.removeprefix(MARK).lower() for text in texts if isinstance(text, str) and text.startswith(MARK)]
        if len(digests) != len(texts) or not all(re.fullmatch("[0-9a-f]{64}", digest) for digest in digests):
            what = ' must be "sha256:" and 64 hexadecimal digits, or a list of such texts'
            self._add(client_id, "secret_digest", what, DIGEST_REMEDY)
            return ()
        return tuple(digests)

    def _digest_of_file(self, client_id: str, path: object) -> tuple[str, ...]:
        try:
            if not isinstance(path, str):
                raise ValueError("is named by no text")
            secret = read_file(str(self.folder / path))
        except ValueError as error:
            self._add(client_id, "secret_file", f" names a file that {error}", "Put the secret, and only it, into it.")
            return ()
        try:
            check_secret(secret)
        except ValueError as error:
            what = f" names a file with a secret that {error}"
            self._add(client_id, "secret_file", what, "flask clients digest makes a better one.")
        return (secrets.digest(secret),)

    def _read_logo(self, client_id: str, table: dict[str, Any]) -> None:
        if LOGO not in table:
            return
        try:
            if not isinstance(table[LOGO], str):
                raise ValueError("is named by no text")
            self.logos[client_id] = image_at(str(self.folder / table[LOGO]))
        except ValueError as error:
            self._add(client_id, LOGO, f" names a file that {error}", "Name a logo, or leave it out.")

    def _add(self, client_id: str, field: str, what: str, remedy: str) -> None:
        where = ".".join(filter(None, ("clients" if client_id else "", client_id, field)))
        number = self._line_of(client_id, field)
        found = Problem(self.name, f"{f'line {number}: ' if number else ''}{where}{what}", remedy)
        self.problems.append((number, found))

    def _line_of(self, client_id: str, field: str) -> int:
        """Return the line of a client's field, else that of its header, else 0: tomllib tells no line of a value."""
        named = re.compile(rf"""\s*\[*\s*(["']?){re.escape(field)}\1\s*[=\].]""")
        if not client_id:
            return next((at for at, line in enumerate(self._lines, 1) if named.match(line)), 0)
        header = re.compile(rf"""\s*\[+\s*clients\s*\.\s*(["']?){re.escape(client_id)}\1\s*[\].]""")
        begin = next((at for at, line in enumerate(self._lines, 1) if header.match(line)), 0)
        for at, line in enumerate(self._lines[begin:] if begin and field else (), begin + 1):
            if line.lstrip().startswith("[") and not header.match(line):
                break
            if named.match(line):
                return at
        return begin


def _said(fault: ErrorDetails) -> tuple[str, str]:
    """Return which field a fault is of, and what is wrong with it, without its value."""
    field = str(fault["loc"][0]) if fault["loc"] else ""
    text = WORDS.get(fault["type"], fault["msg"].removeprefix("Value error, ").replace("Input should", "must"))
    if len(fault["loc"]) > 1 and fault["type"] in WORDS:
        text = f"a value in the list {text}"
    return ("" if field == "id" else field), f": {text[:1].lower()}{text[1:]}"
