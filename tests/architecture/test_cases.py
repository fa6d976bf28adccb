"""Each test case runs in both formats and on both databases, each module in all pairs (tests/cases.py)."""

from __future__ import annotations

import subprocess
import sys
from collections import defaultdict
from itertools import product
from types import SimpleNamespace
from typing import Any

import pytest

from tests.cases import left_out
from tests.databases import ROOT

TWO_CASES_IN_FOUR_PAIRS = """
import pytest

@pytest.fixture(params=["form", "json"])
def language(request):
    return request.param

@pytest.fixture(params=["sqlite", "postgresql"])
def database(request):
    return request.param

@pytest.mark.parametrize("case", [1, 2])
def test_x(case, language, database):
    pass
"""


@pytest.fixture
def kept():
    """Returns the cases that run of tests with that many cases each, as (test, language, database, case)."""

    def keep(*cases: int, databases: int = 2) -> list[tuple[int, ...]]:
        axes = range(2), range(databases)
        items = [Item((test, *each)) for test, count in enumerate(cases) for each in product(*axes, range(count))]
        return [item.what for item in items if item not in left_out(items)]

    return keep


class Item:
    """One case of a test in one language (form or JSON), on one database."""

    def __init__(
        self,
        what: tuple[int, ...],
        *,
        mark: str = "",
        axes: tuple[str, ...] = ("language", "database"),
        module: str = "x",
    ) -> None:
        self.what = what
        self.mark = mark
        self.module = module
        self.nodeid = f"test_{module}.py::test_{what[0]}[{what[1:]}]"
        self.callspec = SimpleNamespace(indices=dict(zip(axes, what[1:], strict=False)))

    def get_closest_marker(self, name: str) -> bool:
        """Return whether it has this mark."""
        return name == self.mark


@pytest.mark.parametrize("cases", [(2,), (3,), (1, 1), (3, 1, 2)], ids=str)
def test_half_of_the_combinations_run_and_every_case_is_covered(kept, cases):
    found = kept(*cases)
    assert len(found) == 2 * sum(cases)
    seen = defaultdict(set)
    for test, language, database, case in found:
        seen[test, case] |= {("language", language), ("database", database)}
    assert {len(axes) for axes in seen.values()} == {4}
    assert len({what[1:3] for what in found}) == 4


def test_all_combinations_run_for_a_single_case_or_a_single_database(kept):
    assert (len(kept(1)), len(kept(3, databases=1))) == (4, 6)


@pytest.fixture
def dealt():
    """Returns the cases that run of a test without a language, as (database, case)."""

    def deal(cases: int, mark: str = "") -> list[tuple[int, ...]]:
        items = [Item((0, *each), mark=mark, axes=("database",)) for each in product(range(2), range(cases))]
        return [item.what[1:] for item in items if item not in left_out(items)]

    return deal


@pytest.mark.parametrize("cases", [2, 3, 8, 15])
def test_cases_without_a_language_are_split_between_the_databases(dealt, cases):
    found = dealt(cases)
    assert sorted(case for _, case in found) == list(range(cases))
    assert {database for database, _ in found} == {0, 1}


def test_every_parameter_value_runs_on_both_databases(dealt):
    found = dealt(4)  # two parameters with two values each
    for value in (0, 1):
        assert {database for database, case in found if case % 2 == value} == {0, 1}
        assert {database for database, case in found if case // 2 == value} == {0, 1}


@pytest.mark.parametrize(("cases", "mark"), [(1, "both_databases"), (3, "both_databases"), (3, "every_pair")])
def test_marked_tests_run_on_both_databases(dealt, cases, mark):
    assert len(dealt(cases, mark)) == 2 * cases


def test_single_test_with_one_case_runs_on_both_databases(dealt):
    assert len(dealt(1)) == 2


def test_tests_with_one_case_take_turns_within_their_module():
    assert turns("abbba") == [("a", 0, 0), ("b", 1, 0), ("b", 2, 1), ("b", 3, 0), ("a", 4, 1)]


def test_marked_and_parametrized_tests_take_no_turn():
    assert turns("aaaa", marked=(1,), cases={2: 2}) == [
        ("a", 0, 0),
        ("a", 1, 0),
        ("a", 1, 1),
        ("a", 2, 0),
        ("a", 2, 1),
        ("a", 3, 1),
    ]


def turns(modules: str, *, marked: tuple[int, ...] = (), cases: dict[int, int] | None = None) -> list[tuple[Any, ...]]:
    """Return (module, test, database) of what runs of tests without a language, each in one of the modules."""
    items = [
        Item(
            (test, database, case),
            mark="both_databases" if test in marked else "",
            axes=("database",),
            module=module,
        )
        for test, module in enumerate(modules)
        for database in range(2)
        for case in range((cases or {}).get(test, 1))
    ]
    return [(item.module, *item.what[:2]) for item in items if item not in left_out(items)]


@pytest.mark.parametrize("processes", ["0", "2"])
@pytest.mark.parametrize(("every", "said"), [((), "4 passed, 4 deselected"), (("--every",), "8 passed")])
def test_omitted_combinations_are_reported_as_deselected(tmp_path, processes, every, said):
    (tmp_path / "test_x.py").write_text(TWO_CASES_IN_FOUR_PAIRS)
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "tests.cases",
        "-p",
        "no:cacheprovider",
        "--rootdir",
        str(tmp_path),
    ]
    command += ["-c", "/dev/null", "-n", processes, *every, str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert f"{said} in" in done.stdout, done.stdout + done.stderr
