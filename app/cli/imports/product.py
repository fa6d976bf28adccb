"""What a product's module says of its exports, and what passes between reading a file and opening accounts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from app.cli.imports.account import Account

Values = dict[str, Any]
"""What an export says of one account, or one row of a table: columns or members with their values."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where something stands: the file, and its line, or its number in a list, from 1."""

    file: str
    number: int
    unit: str = "line"

    def __str__(self) -> str:
        return f"{self.file}: {self.unit} {self.number}" if self.file else f"{self.unit} {self.number}"


@dataclass(frozen=True, slots=True)
class Row:
    """A row of a table, or an element of a list.

    :ivar table: its table, without a schema; "" where the file does not say
    """

    place: Place
    values: Values
    table: str = ""


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that is no row.

    :ivar text: what stands there instead, or the beginning of it
    :ivar columns: of the table that it should be a row of
    :ivar form: how a row is written there, as ``tables.READERS`` has it; "" for JSON
    """

    place: Place
    reason: str
    text: str = ""
    table: str = ""
    columns: Sequence[str] = ()
    form: str = ""


@dataclass(frozen=True, slots=True)
class Part:
    """What a row is: the account itself (``name`` is ""), or something that belongs to the account ``owner``.

    :ivar also: another name of the account, by which parts may know it
    """

    owner: str
    name: str = ""
    also: str = ""


@dataclass(frozen=True, slots=True)
class Choices:
    """What the operator chose.

    :ivar create_groups: groups that are not there are created
    :ivar no_groups: groups and roles stay behind
    :ivar unverified: addresses that the export says nothing about were not verified
    :ivar skip_unreadable: an account comes without a password or app that can't be carried over
    :ivar hmac: passwords are of an HMAC (Flask-Security)
    :ivar totp_secrets: by tag, what authenticator secrets were encrypted with (Flask-Security)
    """

    create_groups: bool = False
    no_groups: bool = False
    unverified: bool = False
    skip_unreadable: bool = False
    dry_run: bool = False
    hmac: bool = True
    totp_secrets: Mapping[str, str] = field(default_factory=dict, repr=False)


Joins = Literal["never", "files", "always"]


class PassedOver(Exception):
    """An account that is no person's, or no longer there. Its message says what it is, for counting."""


class Product(Protocol):
    """A product that accounts come from.

    :ivar name: as ``--from`` has it
    :ivar title: as people write it
    :ivar lists: members that hold the accounts where a file is one JSON object
    :ivar joins: whether an account can be spread over several rows: never, over several files, or always
    """

    name: str
    title: str
    lists: tuple[str, ...]
    joins: Joins

    def knows(self, values: Values) -> bool:
        """Say whether these values look like an account of this product, and like none of another."""

    def part(self, row: Row) -> Part | None:
        """Say what a row is; None for one that says nothing of an account. Asked only where rows are joined."""

    def account(self, values: Values, choices: Choices) -> Account:
        """Describe an account.

        :param values: of its row; what belongs to it is a list under the name of the part
        :raises PassedOver: when it is nobody's
        :raises NotUsable: when it is none
        """
