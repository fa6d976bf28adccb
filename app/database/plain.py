"""Rows read past the unit of work: objects of a model to look at, which only statements change.

On the paths where every microsecond counts, loading rows through the ORM costs more than asking the database for
them. Statements for it are written in tables and their columns, not in mapped attributes, which cost as much again.
What is read here belongs to no session: setting an attribute stores nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa


class Plain:
    """The columns of one or several models in a row, and how to make objects of them again."""

    def __init__(self, *models: Any) -> None:
        self._models = models
        self._names = [[column.key for column in model.__table__.columns] for model in models]
        self.tables = [model.__table__ for model in models]

    def select(self) -> sa.Select[Any]:
        """Return the beginning of a statement that reads these models, in this order."""
        return sa.select(*self.tables)

    def read(self, row: Sequence[Any]) -> list[Any]:
        """Return an object for each model, in order; None where an outer join found nothing. What follows is left."""
        made, begin = [], 0
        for model, names in zip(self._models, self._names, strict=True):
            values = row[begin : begin + len(names)]
            begin += len(names)
            made.append(None if values[0] is None else _make(model, names, values))
        return made


def _make(model: Any, names: list[str], values: Sequence[Any]) -> Any:
    instance = sa.inspect(model).class_manager.new_instance()
    instance.__dict__.update(zip(names, values, strict=True))
    return instance
