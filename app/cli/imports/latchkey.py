"""Our own JSON lines."""

from __future__ import annotations

from app.cli.account_drafts import NotUsable
from app.cli.imports.account import Account
from app.cli.imports.product import Choices, Joins, Part, Row, Values


class Latchkey:
    """Our own JSON lines, whose fields ``account_drafts.read_draft`` reads as they are."""

    name = "latchkey"
    title = "Latchkey"
    lists: tuple[str, ...] = ()
    joins: Joins = "never"

    def knows(self, values: Values) -> bool:
        """As ``Product``."""
        return False

    def part(self, row: Row) -> Part | None:
        """As ``Product``."""
        return None

    def account(self, values: Values, choices: Choices) -> Account:
        """As ``Product``: never called."""
        raise NotUsable("is read as it is")
