"""Each case is run in each language, on each database, and each module in each pair of the two (tests/cases.py)."""

from __future__ import annotations

from collections import defaultdict
from itertools import product
from types import SimpleNamespace

import pytest

from tests.cases import pytest_collection_modifyitems


@pytest.fixture
def kept():
    """Returns what is left of tests with so many cases each, as (test, language, database, case)."""

    def keep(*cases: int, databases: int = 2, every: bool = False) -> list[tuple[int, ...]]:
        axes = range(2), range(databases)
        items = [Item((test, *each)) for test, count in enumerate(cases) for each in product(*axes, range(count))]
        pytest_collection_modifyitems(SimpleNamespace(getoption=lambda name: every), items)
        return [item.what for item in items]

    return keep


class Item:
    """One case of a test in one language, on one database."""

    def __init__(self, what: tuple[int, ...]) -> None:
        self.what = what
        self.nodeid = f"test_x.py::test_{what[0]}[{what[1:]}]"
        self.callspec = SimpleNamespace(indices={"language": what[1], "database": what[2]})

    def get_closest_marker(self, name: str) -> None:
        """No test here is marked."""


@pytest.mark.parametrize("cases", [(2,), (3,), (1, 1), (3, 1, 2)], ids=str)
def test_half_of_them_are_kept_and_none_is_lost(kept, cases):
    found = kept(*cases)
    assert len(found) == 2 * sum(cases)
    seen = defaultdict(set)
    for test, language, database, case in found:
        seen[test, case] |= {("language", language), ("database", database)}
    assert {len(axes) for axes in seen.values()} == {4}
    assert len({what[1:3] for what in found}) == 4


def test_all_are_kept_of_one_test_and_where_there_are_no_two_databases_and_when_told_so(kept):
    assert (len(kept(1)), len(kept(3, databases=1)), len(kept(3, every=True))) == (4, 6, 12)
