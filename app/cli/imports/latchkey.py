"""Our own JSON lines format."""

from __future__ import annotations

from app.cli.account_drafts import NotUsable
from app.cli.imports.account import Account
from app.cli.imports.product import Choices, Joins, Part, Row, Values


class Latchkey:
    """Our own JSON lines format, which ``account_drafts.read_draft`` reads directly."""

    name = "latchkey"
    title = "Latchkey"
    lists: tuple[str, ...] = ()
    joins: Joins = "never"

    def knows(self, values: Values) -> bool:
        """See ``Product``."""
        return False

    def part(self, row: Row) -> Part | None:
        """See ``Product``."""
        return None

    def account(self, values: Values, choices: Choices) -> Account:
        """See ``Product``. Never called."""
        raise NotUsable("is read as it is")
