"""Each case is run in each language, on each database, and each test in each pair of the two (tests/cases.py)."""

from __future__ import annotations

from collections import defaultdict
from itertools import product
from types import SimpleNamespace

import pytest

from tests.cases import pytest_collection_modifyitems


@pytest.fixture
def kept():
    """Returns what is left of a test with so many cases, as (language, database, case)."""

    def keep(cases: int, databases: int = 2, every: bool = False) -> list[tuple[int, ...]]:
        items = [Item(each) for each in product(range(2), range(databases), range(cases))]
        pytest_collection_modifyitems(SimpleNamespace(getoption=lambda name: every), items)
        return [item.what for item in items]

    return keep


class Item:
    """One case of a test in one language, on one database."""

    def __init__(self, what: tuple[int, int, int]) -> None:
        self.what = what
        self.nodeid = f"test_x[{what}]"
        self.callspec = SimpleNamespace(indices={"language": what[0], "database": what[1]})


@pytest.mark.parametrize("cases", [2, 3, 8])
def test_half_of_them_are_kept_and_none_is_lost(kept, cases):
    found = kept(cases)
    assert len(found) == 2 * cases
    seen = defaultdict(set)
    for language, database, case in found:
        seen[case] |= {("language", language), ("database", database)}
    assert {len(axes) for axes in seen.values()} == {4}
    assert len({what[:2] for what in found}) == 4


def test_all_are_kept_where_there_are_no_cases_or_no_two_databases_or_when_told_so(kept):
    assert (len(kept(1)), len(kept(3, databases=1)), len(kept(3, every=True))) == (4, 6, 12)
