"""Which cases of a test run in which language and on which database.

A test with cases runs each of them in both languages and on both databases, but not in each of the four pairs: a case
has two of them, the next case the other two. So each pair is there for each test, and nothing but a fault of one case
in one language on one database alone could pass: what knows the language knows no database (docs/architecture.md).
A test without cases runs in all four. ``pytest --every`` runs everything in all four.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import pytest

AXES = ("language", "database")
PAIRS = 4


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add ``--every``."""
    parser.addoption("--every", action="store_true", help="run each case in each language on each database")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the pairs of language and database that other cases of the same test have."""
    tests: dict[str, dict[tuple[int, ...], list[pytest.Item]]] = defaultdict(lambda: defaultdict(list))
    for item in items:
        if pair := pair_of(item):
            tests[item.nodeid.partition("[")[0]][pair].append(item)
    left_out = set()
    for pairs in tests.values():
        cases = {len(found) for found in pairs.values()}
        if len(pairs) == PAIRS and cases != {1} and not config.getoption("--every"):
            left_out |= {item for pair, found in pairs.items() for item in found[(sum(pair) + 1) % 2 :: 2]}
    items[:] = [item for item in items if item not in left_out]


def pair_of(item: Any) -> tuple[int, ...]:
    """Return language and database of a test, as numbers; nothing where it does not know both."""
    chosen = item.callspec.indices if hasattr(item, "callspec") else {}
    return tuple(chosen[axis] for axis in AXES) if all(axis in chosen for axis in AXES) else ()
