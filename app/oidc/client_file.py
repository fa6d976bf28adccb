"""The clients file: apps that the operator defines in TOML, read once at startup (``LATCHKEY_CLIENTS_FILE``).

It holds no plaintext secrets, only digests or paths of files that hold secrets. Every error is reported with its line.

Logos are files next to it, served by us. An app's own logo URL is never loaded, since each page view would tell the
app's server who is looking.
"""

from __future__ import annotations

import difflib
import hashlib
import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from app.crypto import secrets
from app.extensions import this_app
from app.oidc.client_secrets import DIGEST_PREFIX, check_secret
from app.oidc.clients import Client, store_in_memory
from config.environment import read_file
from config.images import Image, image_at
from config.problems import ConfigurationError, Problem, variable
from config.toml_file import WORDS, TomlFile

if TYPE_CHECKING:
    from flask import Flask
    from pydantic_core import ErrorDetails

SETTING = variable("clients_file")
KIND = "clients"
SECRET_FIELDS = ("secret_digest", "secret_file")
LOGO = "logo"
NOT_IN_FILE = ("id", "source", "secret_digests", "logo_url")
FIELDS = (*(name for name in Client.model_fields if name not in NOT_IN_FILE), *SECRET_FIELDS, LOGO)
"""Keys allowed in a client's table."""

REMEDY = "Fix it: docs/apps.md describes the valid values."
DIGEST_REMEDY = "flask clients digest makes one."
HINTS = {
    "client_id": "The ID belongs in the table's header, as in [clients.grafana].",
    "logo_url": 'Put the file next to this one, and write logo = "app.svg".',
    "id": "The ID belongs in the table's header, as in [clients.grafana].",
    "public": 'Write auth_method = "none".',
    "trusted": 'Write consent = "trusted".',
}

LOGOS = "/apps/logo"
_LOGOS_IN_MEMORY = "latchkey.oidc.logos"


def load(app: Flask) -> None:
    """Read the clients file, if there is one, and keep its clients in memory.

    :raises ConfigurationError: with every error found in it
    """
    path = app.extensions["latchkey.settings"].clients_file
    if not path:
        return
    clients, problems, images = _read(path, SETTING)
    if problems:
        raise ConfigurationError(problems)
    store_in_memory(app, clients)
    store_logos(app, images)


def read_clients(path: str, name: str = SETTING) -> tuple[dict[str, Client], list[Problem]]:
    """Return the clients of a file by id, and the problems found. Clients with errors are left out.

    :param name: setting that names the file, for the problem messages
    """
    clients, problems, _ = _read(path, name)
    return clients, problems


def store_logos(app: Flask, logos: Mapping[str, Image]) -> None:
    """Keep the logos of the clients file in memory, by client id."""
    names = {client_id: _logo_name(image) for client_id, image in logos.items()}
    app.extensions[_LOGOS_IN_MEMORY] = names, {names[client_id]: image for client_id, image in logos.items()}


def logo_path(client_id: str) -> str:
    """Return the path where a client's logo is served; "" if it has none."""
    name = _stored_logos()[0].get(client_id)
    return f"{LOGOS}/{name}" if name else ""


def find_logo(name: str) -> Image | None:
    """Return the logo served under this name."""
    return _stored_logos()[1].get(name)


def _stored_logos() -> tuple[Mapping[str, str], Mapping[str, Image]]:
    found: tuple[Mapping[str, str], Mapping[str, Image]] = this_app().extensions.get(_LOGOS_IN_MEMORY, ({}, {}))
    return found


def _logo_name(image: Image) -> str:
    """Return the file name of a logo in its URL. It changes with the content."""
    return f"{hashlib.sha256(image.data).hexdigest()[:32]}.{image.kind}"


def _read(path: str, name: str) -> tuple[dict[str, Client], list[Problem], dict[str, Image]]:
    """Like ``read_clients``, but also return the clients' logos."""
    reader = _Reader(TomlFile(path, name))
    clients = {client.id: client for client in reader.clients()}
    return clients, reader.file.problems, reader.logos


class _Reader:
    """Builds clients from the tables of a file.

    :ivar logos: by client id
    """

    def __init__(self, file: TomlFile) -> None:
        self.file = file
        self.logos: dict[str, Image] = {}
        self._has_fault = False

    def clients(self) -> Iterator[Client]:
        """Yield each client without errors."""
        for client_id, table in self.file.named(KIND, "grafana").items():
            if (client := self._client(client_id, table)) is not None:
                yield client

    def _client(self, client_id: str, table: dict[str, Any]) -> Client | None:
        self._has_fault = False
        self._check_names(client_id, table)
        digests = self._digests(client_id, table)
        self._read_logo(client_id, table)
        fields = {name: value for name, value in table.items() if name in Client.model_fields and name in FIELDS}
        try:
            client = Client(**fields, id=client_id, secret_digests=digests, source="file")
        except ValidationError as error:
            for fault in error.errors(include_url=False, include_input=False):
                self._add(client_id, *_describe_error(fault), REMEDY)
            return None
        if client.auth_method not in ("none", "private_key_jwt") and not digests and not self._has_fault:
            what = ' has no secret: set secret_digest or secret_file, or auth_method = "none"'
            self._add(client_id, "", what, DIGEST_REMEDY)
        return None if self._has_fault else client

    def _check_names(self, client_id: str, table: dict[str, Any]) -> None:
        for field in sorted(table.keys() - set(FIELDS)):
            if field in ("secret", "client_secret"):
                remedy = 'Remove it and write secret_digest = "sha256:..."; flask clients digest prints that line.'
                self._add(client_id, field, " is a secret in plaintext, which doesn't belong in this file", remedy)
                continue
            near = difflib.get_close_matches(field, FIELDS, 1)
            remedy = HINTS.get(field, f"Did you mean {near[0]}?" if near else "docs/apps.md lists the fields.")
            self._add(client_id, field, " isn't a field of a client", remedy)

    def _digests(self, client_id: str, table: dict[str, Any]) -> tuple[str, ...]:
        """Return the digests of a client's secrets: one, or the new and the old one during a rotation."""
        if "secret_file" in table:
            if "secret_digest" in table:
                self._add(client_id, "secret_file", " is set, and so is secret_digest", "Keep one of them.")
            return self._digest_of_file(client_id, table["secret_file"])
        given = table.get("secret_digest", [])
        texts = given if isinstance(given, list) else [given]
        digests = [
            text.removeprefix(DIGEST_PREFIX).lower()
            for text in texts
            if isinstance(text, str) and text.startswith(DIGEST_PREFIX)
        ]
        if len(digests) != len(texts) or not all(re.fullmatch("[0-9a-f]{64}", digest) for digest in digests):
            what = ' must be "sha256:" and 64 hexadecimal digits, or a list of these'
            self._add(client_id, "secret_digest", what, DIGEST_REMEDY)
            return ()
        return tuple(digests)

    def _digest_of_file(self, client_id: str, path: object) -> tuple[str, ...]:
        try:
            if not isinstance(path, str):
                raise ValueError("isn't given as text")
            secret = read_file(str(self.file.folder / path))
        except ValueError as error:
            self._add(client_id, "secret_file", f" points to a file that {error}", "Put only the secret into it.")
            return ()
        try:
            check_secret(secret)
        except ValueError as error:
            what = f" points to a file with a secret that {error}"
            self._add(client_id, "secret_file", what, "flask clients digest makes a better one.")
        return (secrets.digest(secret),)

    def _read_logo(self, client_id: str, table: dict[str, Any]) -> None:
        if LOGO not in table:
            return
        try:
            if not isinstance(table[LOGO], str):
                raise ValueError("isn't given as text")
            self.logos[client_id] = image_at(str(self.file.folder / table[LOGO]))
        except ValueError as error:
            self._add(client_id, LOGO, f" points to a file that {error}", "Use another file, or leave it out.")

    def _add(self, client_id: str, field: str, what: str, remedy: str) -> None:
        self._has_fault = True
        self.file.add(KIND, client_id, what, remedy, field)


def _describe_error(fault: ErrorDetails) -> tuple[str, str]:
    """Return the field an error is about, and what is wrong with it, without its value."""
    field = str(fault["loc"][0]) if fault["loc"] else ""
    text = WORDS.get(fault["type"], fault["msg"].removeprefix("Value error, ").replace("Input should", "must"))
    if len(fault["loc"]) > 1 and fault["type"] in WORDS:
        text = f"a value in the list {text}"
    return ("" if field == "id" else field), f": {text[:1].lower()}{text[1:]}"
