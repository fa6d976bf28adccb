"""Branch coverage of app and config in a full run: which branches no test took (tests/branches.py).

All tests count, but only in the test processes themselves, not in servers that tests start. ``make coverage``
measures line coverage and lists the lines.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

import pytest

from tests import branches

PACKAGES = ("app", "config")
DATA = pytest.StashKey[Path]()
REPORT = pytest.StashKey[str]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add ``--floor``."""
    text = "measure branch coverage; fail under so many percent"
    parser.addoption("--floor", type=float, metavar="PERCENT", help=text)


def pytest_configure(config: pytest.Config) -> None:
    """Create one directory for the measurements of all test processes."""
    if config.getoption("--floor") is not None:
        shared = getattr(config, "workerinput", {}).get("coverage")
        config.stash[DATA] = Path(shared or tempfile.mkdtemp(prefix="latchkey-coverage-"))


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Pass the directory to a pytest-xdist worker."""
    if DATA in node.config.stash:
        node.workerinput["coverage"] = str(node.config.stash[DATA])


def pytest_sessionstart(session: pytest.Session) -> None:
    """Import the whole application, so that modules that no test imports count, too."""
    if DATA in session.config.stash and not session.config.getoption("numprocesses", None):
        branches.instrument(PACKAGES)
        from tests import preloaded  # noqa: F401


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Store this process's measurements; at the end of the run, fail if coverage is below the floor."""
    config = session.config
    if DATA not in config.stash:
        return
    branches.save(config.stash[DATA])
    if hasattr(config, "workerinput"):
        return
    whole = branches.merged(config.stash[DATA])
    shutil.rmtree(config.stash[DATA])
    if not whole:
        return  # the run was interrupted
    floor = config.getoption("--floor")
    taken = [branch for found in whole.values() for branch in found]
    percent = 100 * sum(taken) / len(taken)
    config.stash[REPORT] = f"Branch coverage of app and config: {percent:.2f} %. The floor is {floor:g} %."
    if percent < floor and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Print the coverage."""
    if REPORT in config.stash:
        terminalreporter.section("coverage")
        terminalreporter.write_line(config.stash[REPORT])
