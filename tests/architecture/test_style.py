"""Style and types are checked by a test, too."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CHECKS = {
    "style": ["ruff", "check", "."],
    "format": ["ruff", "format", "--check", "."],
    "types": ["mypy"],
}

pytestmark = pytest.mark.one_database


@pytest.mark.long
@pytest.mark.parametrize("command", CHECKS.values(), ids=CHECKS)
def test_style_and_type_checks_pass(command):
    done = subprocess.run([sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
