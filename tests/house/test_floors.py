"""The floors of docs/architecture.md: who may import whom."""

import subprocess
import sys

from tests.databases import ROOT


def test_rooms_import_downward_only():
    command = [sys.executable, "-c", "from importlinter.cli import lint_imports_command as lint; lint()"]
    checked = subprocess.run(
        [*command, "--no-cache", "--no-logo"], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr
