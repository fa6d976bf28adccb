"""Which tests run in which language and on which database.

A test that knows both runs in both languages and on both databases, but in two of the four pairs; its next case, or the
next test of its module, has the other two. Nothing but a fault of one behaviour in one language on one database alone
could pass, and what knows the language knows no database (docs/architecture.md). A module whose figures differ by pair
is marked ``every_pair``; ``pytest --every`` runs everything in all four, and so does naming one test.

A test that knows a database and no language runs on both; where it has several cases, each of them on one of the two,
unless they are marked ``both_databases``: what they ask of the database differs. What is left out is reported as
deselected.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
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
    """Deselect the pairs of language and database that the next case or test has."""
    collected = len(items)
    if not config.getoption("--every") and (deselected := left_out(items)):
        items[:] = [item for item in items if item not in deselected]
        config.hook.pytest_deselected(items=list(deselected))
    yield
    if hasattr(config, "workeroutput"):
        config.workeroutput["deselected"] = collected - len(items)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Report what the test processes of pytest-xdist deselected, once: each of them collects the same tests."""
    count = getattr(node, "workeroutput", {}).get("deselected", 0)
    if count and not node.config.stash.get(REPORTED, False):
        node.config.stash[REPORTED] = True
        node.config.hook.pytest_deselected(items=[node] * count)  # counted only


def left_out(items: list[pytest.Item]) -> set[pytest.Item]:
    """Return the cases that the next case or test stands in for."""
    modules: dict[str, Pairs] = defaultdict(lambda: defaultdict(list))
    for pairs in by_test(items):
        if len(pairs) == PAIRS:
            for pair, found in pairs.items():
                modules[found[0].nodeid.partition("::")[0]][pair] += found
    return {item for pairs in modules.values() for item in of_no_turn(pairs)} | set(on_the_other_database(items))


def by_test(items: list[pytest.Item]) -> Iterable[Pairs]:
    """Return the cases of each test that knows a language and a database, by the pair of the two."""
    tests: dict[str, Pairs] = defaultdict(lambda: defaultdict(list))
    for item in items:
        if (pair := pair_of(item)) and not marked(item, "every_pair"):
            tests[item.nodeid.partition("[")[0]][pair].append(item)
    return tests.values()


def of_no_turn(pairs: Pairs) -> list[pytest.Item]:
    """Return what is left out of a module: in each pair every second one, in the next pair the others."""
    if all(len(found) == 1 for found in pairs.values()):
        return []
    return [item for pair, found in pairs.items() for item in found[(sum(pair) + 1) % 2 :: 2]]


def on_the_other_database(items: list[pytest.Item]) -> Iterator[pytest.Item]:
    """Yield what is left out of tests that know a database and no language.

    Cases take turns as the bits of their numbers add up (0110 1001 ...), so that each value of two parameters, too,
    meets both databases.
    """
    tests: dict[str, dict[int, list[pytest.Item]]] = defaultdict(lambda: defaultdict(list))
    for item in items:
        chosen = indices_of(item)
        if "database" in chosen and "language" not in chosen and not marked(item, "every_pair", "both_databases"):
            tests[item.nodeid.partition("[")[0]][chosen["database"]].append(item)
    for cases in tests.values():
        if len(cases) == len(KINDS) and len(cases[0]) > 1:
            for database, found in cases.items():
                yield from (item for number, item in enumerate(found) if number.bit_count() % 2 != database)


def marked(item: pytest.Item, *names: str) -> bool:
    """Say whether a test has one of these marks."""
    return any(item.get_closest_marker(name) for name in names)


def indices_of(item: Any) -> dict[str, int]:
    """Return which value a test has of each parameter."""
    return item.callspec.indices if hasattr(item, "callspec") else {}


def pair_of(item: Any) -> tuple[int, ...]:
    """Return language and database of a test, as numbers; nothing where it does not know both."""
    chosen = indices_of(item)
    return tuple(chosen[axis] for axis in AXES) if all(axis in chosen for axis in AXES) else ()
