"""Which tests run in which language and on which database.

A test that knows both runs in both languages and on both databases, but in two of the four pairs; its next case, or the
next test of its module, has the other two. Nothing but a fault of one behaviour in one language on one database alone
could pass, and what knows the language knows no database (docs/architecture.md). A module whose figures differ by pair
is marked ``every_pair``; ``pytest --every`` runs everything in all four, and so does naming one test.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import pytest

AXES = ("language", "database")
PAIRS = 4

Pairs = dict[tuple[int, ...], list[pytest.Item]]


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add ``--every``."""
    parser.addoption("--every", action="store_true", help="run each case in each language on each database")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the pairs of language and database that the next case or test has."""
    if not config.getoption("--every"):
        modules: dict[str, Pairs] = defaultdict(lambda: defaultdict(list))
        for pairs in by_test(items):
            if len(pairs) == PAIRS:
                for pair, found in pairs.items():
                    modules[found[0].nodeid.partition("::")[0]][pair] += found
        left_out = {item for pairs in modules.values() for item in of_no_turn(pairs)}
        items[:] = [item for item in items if item not in left_out]


def by_test(items: list[pytest.Item]) -> Iterable[Pairs]:
    """Return the cases of each test that knows a language and a database, by the pair of the two."""
    tests: dict[str, Pairs] = defaultdict(lambda: defaultdict(list))
    for item in items:
        if (pair := pair_of(item)) and not item.get_closest_marker("every_pair"):
            tests[item.nodeid.partition("[")[0]][pair].append(item)
    return tests.values()


def of_no_turn(pairs: Pairs) -> list[pytest.Item]:
    """Return what is left out of a module: in each pair every second one, in the next pair the others."""
    if all(len(found) == 1 for found in pairs.values()):
        return []
    return [item for pair, found in pairs.items() for item in found[(sum(pair) + 1) % 2 :: 2]]


def pair_of(item: Any) -> tuple[int, ...]:
    """Return language and database of a test, as numbers; nothing where it does not know both."""
    chosen = item.callspec.indices if hasattr(item, "callspec") else {}
    return tuple(chosen[axis] for axis in AXES) if all(axis in chosen for axis in AXES) else ()
