"""Selects which tests run in which language (form or JSON) and on which database.

A test parametrized by both covers both languages and both databases, but in only two of the four pairs; its next case,
or the next test of its module, covers the other two. The only faults this could miss are those of a single behavior in
a single pair, and code that depends on the language doesn't depend on the database (docs/architecture.md). Modules
whose figures differ by pair are marked ``every_pair``; ``pytest --every``, or naming a single test, runs all four.

A test that has a database but no language runs once: each of its cases runs on one of the two databases, and tests with
a single case take turns within their module. If it is marked ``both_databases``, because the database can make a
difference, each case runs on both; so does ``--every``, and naming a single test that has one case. Omitted tests are
reported as deselected.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from itertools import cycle
from typing import Any

import pytest

from tests.databases import KINDS

AXES = ("language", "database")
PAIRS = 4
REPORTED = pytest.StashKey[bool]()

Pairs = dict[tuple[int, ...], list[pytest.Item]]


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add ``--every``."""
    parser.addoption("--every", action="store_true", help="run each case in each language on each database")


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> Iterator[None]:
    """Deselect the pairs of language and database that the next case or test covers."""
    collected = len(items)
    if not config.getoption("--every") and (deselected := left_out(items)):
        items[:] = [item for item in items if item not in deselected]
        config.hook.pytest_deselected(items=list(deselected))
    yield
    if hasattr(config, "workeroutput"):
        config.workeroutput["deselected"] = collected - len(items)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Report what the pytest-xdist workers deselected, only once: all of them collect the same tests."""
    count = getattr(node, "workeroutput", {}).get("deselected", 0)
    if count and not node.config.stash.get(REPORTED, False):
        node.config.stash[REPORTED] = True
        node.config.hook.pytest_deselected(items=[node] * count)  # only the count matters


def left_out(items: list[pytest.Item]) -> set[pytest.Item]:
    """Return the cases to leave out because the next case or test covers them."""
    modules: dict[str, Pairs] = defaultdict(lambda: defaultdict(list))
    for pairs in by_test(items):
        if len(pairs) == PAIRS:
            for pair, found in pairs.items():
                modules[found[0].nodeid.partition("::")[0]][pair] += found
    return {item for pairs in modules.values() for item in of_no_turn(pairs)} | set(on_the_other_database(items))


def by_test(items: list[pytest.Item]) -> Iterable[Pairs]:
    """Return the cases of each test parametrized by language and database, by pair."""
    tests: dict[str, Pairs] = defaultdict(lambda: defaultdict(list))
    for item in items:
        if (pair := pair_of(item)) and not marked(item, "every_pair"):
            tests[test_of(item)][pair].append(item)
    return tests.values()


def of_no_turn(pairs: Pairs) -> list[pytest.Item]:
    """Return the cases to leave out of a module: every second one of each pair, and the others of the next pair."""
    if all(len(found) == 1 for found in pairs.values()):
        return []
    return [item for pair, found in pairs.items() for item in found[(sum(pair) + 1) % 2 :: 2]]


def on_the_other_database(items: list[pytest.Item]) -> Iterator[pytest.Item]:
    """Yield the cases to leave out of tests parametrized by database only.

    Tests with a single case alternate within their module. The cases of others alternate by the parity of the bits of
    their index (0110 1001 ...), so that with two parameters, too, each value is tested on both databases.
    """
    turns: dict[str, Iterator[int]] = defaultdict(lambda: cycle(range(len(KINDS))))
    named = len({test_of(item) for item in items}) == 1
    for name, cases in by_database(items).items():
        if len(cases) < len(KINDS) or (named and len(cases[0]) == 1):
            continue
        turn = next(turns[name.partition("::")[0]]) if len(cases[0]) == 1 else 0
        for database, found in cases.items():
            yield from (item for number, item in enumerate(found) if (number.bit_count() + turn) % 2 != database)


def by_database(items: list[pytest.Item]) -> dict[str, dict[int, list[pytest.Item]]]:
    """Return the cases, by database, of each unmarked test parametrized by database only."""
    tests: dict[str, dict[int, list[pytest.Item]]] = defaultdict(lambda: defaultdict(list))
    for item in items:
        chosen = indices_of(item)
        if "database" in chosen and "language" not in chosen and not marked(item, "every_pair", "both_databases"):
            tests[test_of(item)][chosen["database"]].append(item)
    return tests


def test_of(item: pytest.Item) -> str:
    """Return the id of the test that this is a case of."""
    return item.nodeid.partition("[")[0]


def marked(item: pytest.Item, *names: str) -> bool:
    """Return whether a test has one of these marks."""
    return any(item.get_closest_marker(name) for name in names)


def indices_of(item: Any) -> dict[str, int]:
    """Return the index of each parameter's value in a test."""
    return item.callspec.indices if hasattr(item, "callspec") else {}


def pair_of(item: Any) -> tuple[int, ...]:
    """Return the language and database of a test as indices; empty if it isn't parametrized by both."""
    chosen = indices_of(item)
    return tuple(chosen[axis] for axis in AXES) if all(axis in chosen for axis in AXES) else ()
