"""A full run reports branch coverage and fails below the required percentage."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys

import pytest

from tests import branches
from tests.databases import ROOT

READS_SETTINGS = """
from config.settings import Settings

def test_x():
    Settings(environment="development", database_url="sqlite:///x.db", secret_keys="x" * 64)
"""

MODULE = '''
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import nothing


def decide(what):
    """Go one of these ways."""
    if what == 1:
        return "one"
    elif what == 2:
        return "two"
    for letter in what:
        if letter == "b":
            break
    while what == "never":
        pass
    try:
        what.missing()
    except AttributeError:
        pass
    match what:
        case "a":
            return "A"
        case _:
            return "another"


class Promised:
    """Others write what it does."""

    def one(self):
        """Say one."""

    def two(self): ...

    def three(self):
        raise NotImplementedError


async def never():
    while True:
        pass
'''
ENTERED, ONE, NOT_ONE, TWO, NOT_TWO, ROUND, NO_MORE, B, NOT_B = range(9)
WHILE, NOT_WHILE, CAUGHT, A, OTHER, NEVER, ON_AND_ON = range(9, 16)


@pytest.mark.parametrize(("floor", "processes", "status"), [(1, 0, 0), (100, 1, 1)])
def test_run_prints_coverage_and_fails_below_the_floor(tmp_path, floor, processes, status):
    (tmp_path / "test_x.py").write_text(READS_SETTINGS)
    command = [sys.executable, "-m", "pytest", "-p", "tests.branch_coverage", "-p", "no:cacheprovider"]
    command += [f"--floor={floor}", "-n", str(processes), "-c", "/dev/null", "--rootdir", str(tmp_path), "test_x.py"]
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120)
    assert f"The floor is {floor} %." in done.stdout
    assert done.returncode == status, done.stdout + done.stderr


@pytest.fixture
def taken(tmp_path, monkeypatch):
    """Calls ``decide`` with an argument; returns the numbers of the branches taken."""
    file = tmp_path / "deciding.py"
    file.write_text(MODULE)

    def call(what) -> set[int]:
        monkeypatch.setattr(branches.InstrumentingLoader, "found", {})
        loader = branches.InstrumentingLoader("deciding", str(file))
        module = importlib.util.module_from_spec(importlib.util.spec_from_loader("deciding", loader))
        loader.exec_module(module)
        module.decide(what)
        found = branches.InstrumentingLoader.found[str(file)]
        assert len(found) == ON_AND_ON + 1
        return {number for number, once in enumerate(found) if once}

    return call


def test_branches_of_each_decision_are_recorded(taken):
    beyond = {ENTERED, NOT_ONE, NOT_TWO, NOT_WHILE, CAUGHT}
    assert taken(1) == {ENTERED, ONE}
    assert taken(2) == {ENTERED, NOT_ONE, TWO}
    assert taken("a") == beyond | {ROUND, NOT_B, NO_MORE, A}
    assert taken("b") == beyond | {ROUND, B, OTHER}
    assert taken("") == beyond | {NO_MORE, OTHER}


def test_coverage_of_several_processes_is_merged(tmp_path):
    for name, found in {"1": {"a": "000100", "b": "00"}, "2": {"a": "010000"}}.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(found))
    assert branches.merged(tmp_path) == {"a": bytes([1, 1, 0]), "b": bytes([0])}


def test_instrumenting_an_already_loaded_module_fails():
    with pytest.raises(AssertionError, match="too late"):
        branches.instrument(["tests"])
