"""Branch coverage of app and config in a run of everything, at a small price: the first case of each test is measured.

A test that is measured takes two thirds longer. The cases of one test run through much the same code, so one of them is
enough to say what no test reaches. Tests that go many times through what others reach are marked ``unmeasured``.
``make coverage`` measures all of them, and lists the lines.
"""

from __future__ import annotations

import io
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import coverage
import pytest

MEASURED = ("tests/unit/", "tests/functional/")
"""What runs in the test processes themselves. Servers that other tests start are not measured."""

DATA = pytest.StashKey[Path]()
MEASURE = pytest.StashKey[coverage.Coverage]()
CHOSEN = pytest.StashKey[set[pytest.Item]]()
REPORT = pytest.StashKey[str]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add ``--floor``."""
    text = "measure branch coverage; fail under the floor in pyproject.toml"
    parser.addoption("--floor", action="store_true", help=text)


def pytest_configure(config: pytest.Config) -> None:
    """Give all test processes one directory for what they measure."""
    if config.getoption("--floor"):
        shared = getattr(config, "workerinput", {}).get("coverage")
        config.stash[DATA] = Path(shared or tempfile.mkdtemp(prefix="latchkey-coverage-"))


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Tell a test process of pytest-xdist where that directory is."""
    if DATA in node.config.stash:
        node.workerinput["coverage"] = str(node.config.stash[DATA])


def pytest_sessionstart(session: pytest.Session) -> None:
    """Load the application, measured: a module's own lines run once, and any test may be the first to need them."""
    if DATA in session.config.stash and not session.config.getoption("numprocesses", None):
        measure = coverage.Coverage(data_file=session.config.stash[DATA] / "coverage", data_suffix=True)
        session.config.stash[MEASURE] = measure
        measure.start()
        from tests import preloaded  # noqa: F401

        measure.stop()


def pytest_collection_finish(session: pytest.Session) -> None:
    """Choose the first case of each test that is not marked otherwise."""
    first: dict[str, pytest.Item] = {}
    for item in session.items:
        if item.nodeid.startswith(MEASURED) and not item.get_closest_marker("unmeasured"):
            first.setdefault(item.nodeid.partition("[")[0], item)
    session.config.stash[CHOSEN] = set(first.values())


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Measure the chosen tests."""
    measure = item.config.stash.get(MEASURE, None)
    if measure is None or item not in item.config.stash[CHOSEN]:
        return (yield)
    measure.start()
    try:
        return (yield)
    finally:
        measure.stop()


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Keep what this process has measured; at the end of the run fail when it is less than the floor."""
    config = session.config
    if MEASURE in config.stash:
        config.stash[MEASURE].save()
    if DATA not in config.stash or hasattr(config, "workerinput"):
        return
    parts = [str(path) for path in config.stash[DATA].glob("coverage.*")]
    if not parts:
        return  # the run was broken off
    whole = coverage.Coverage(data_file=config.stash[DATA] / "whole")
    whole.combine(parts)
    percent = whole.report(file=io.StringIO())
    floor = float(whole.get_option("report:fail_under") or 0)
    config.stash[REPORT] = f"Branch coverage of app and config: {percent:.1f} %. The floor is {floor:g} %."
    shutil.rmtree(config.stash[DATA])
    if percent < floor and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Print it."""
    if REPORT in config.stash:
        terminalreporter.section("coverage")
        terminalreporter.write_line(config.stash[REPORT])
