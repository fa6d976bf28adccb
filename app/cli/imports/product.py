"""Interface of the products' modules, and the data passed between reading files and creating accounts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from app.cli.imports.account import Account

Values = dict[str, Any]
"""An account or table row of an export: values by column or member name."""


@dataclass(frozen=True, slots=True)
class Place:
    """A location: the file, and a line number or a position in a list, from 1."""

    file: str
    number: int
    unit: str = "line"

    def __str__(self) -> str:
        return f"{self.file}: {self.unit} {self.number}" if self.file else f"{self.unit} {self.number}"


@dataclass(frozen=True, slots=True)
class Row:
    """A row of a table, or an element of a list.

    :ivar table: table name without schema; "" if the file doesn't say
    """

    place: Place
    values: Values
    table: str = ""


@dataclass(frozen=True, slots=True)
class Fault:
    """Input that can't be read as a row.

    :ivar text: the input, or the beginning of it
    :ivar columns: columns of the table it should be a row of
    :ivar form: format of the row, a key of ``tables.READERS``; "" for JSON
    """

    place: Place
    reason: str
    text: str = ""
    table: str = ""
    columns: Sequence[str] = ()
    form: str = ""


@dataclass(frozen=True, slots=True)
class Part:
    """What a row contains: an account (``name`` is ""), or something that belongs to the account ``owner``.

    :ivar also: another key of the account that parts may refer to
    """

    owner: str
    name: str = ""
    also: str = ""


@dataclass(frozen=True, slots=True)
class Choices:
    """The operator's options.

    :ivar create_groups: create missing groups
    :ivar no_groups: don't import groups and roles
    :ivar unverified: treat addresses as unverified if the export doesn't say
    :ivar skip_unreadable: import accounts without a password or app that can't be carried over
    :ivar hmac: passwords were passed through an HMAC before hashing (Flask-Security)
    :ivar totp_secrets: encryption secrets of authenticator secrets, by tag (Flask-Security)
    """

    create_groups: bool = False
    no_groups: bool = False
    unverified: bool = False
    skip_unreadable: bool = False
    dry_run: bool = False
    hmac: bool = True
    totp_secrets: Mapping[str, str] = field(default_factory=dict, repr=False)


Joins = Literal["never", "files", "always"]


class Skipped(Exception):
    """An account that isn't a person's or was deleted. The message names its kind, for counting."""


class Product(Protocol):
    """A product that accounts can be imported from.

    :ivar name: value of ``--from``
    :ivar title: display name
    :ivar lists: members that contain the accounts when a file is a single JSON object
    :ivar joins: whether an account can be spread over several rows: never, across files, or always
    """

    name: str
    title: str
    lists: tuple[str, ...]
    joins: Joins

    def knows(self, values: Values) -> bool:
        """Return whether these values look like an account of this product and not of another."""

    def part(self, row: Row) -> Part | None:
        """Return what a row contains; None for a row unrelated to accounts. Only called when rows are joined."""

    def account(self, values: Values, choices: Choices) -> Account:
        """Return the account described by these values.

        :param values: values of its row; rows that belong to it are a list under the part's name
        :raises Skipped: when it isn't a person's
        :raises NotUsable: when it isn't an account
        """
