"""Detached rows: model objects read without the unit of work; only statements change them.

On the paths where every microsecond counts, loading rows through the ORM costs more than asking the database for
them. Statements for it are written in tables and their columns, not in mapped attributes, which cost as much again.
What is made here belongs to no session: setting an attribute raises AttributeError.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from functools import lru_cache
from typing import Any, TypeVar, cast

import sqlalchemy as sa

M = TypeVar("M")


class Detached:
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
            made.append(None if values[0] is None else _whole(model, names, values))
        return made


def _whole(model: Any, names: list[str], values: Sequence[Any]) -> Any:
    instance = object.__new__(model)
    instance.__dict__.update(zip(names, values, strict=True))
    return instance


def detached_from(model: type[M], values: dict[str, Any]) -> M:
    """Return an object of ``model`` with these columns; one that is not given is None.

    It has no state of the ORM, and making it costs a tenth of what the constructor does.
    """
    instance = object.__new__(model)
    instance.__dict__.update(_nothing(cast("Hashable", model)))
    instance.__dict__.update(values)
    return instance


@lru_cache(maxsize=64)
def _nothing(model: Any) -> dict[str, None]:
    return dict.fromkeys(column.key for column in model.__table__.columns)


def note(instance: Any, **values: Any) -> None:
    """Let ``instance`` show what a statement has just written to its row."""
    instance.__dict__.update(values)
