"""The floors of docs/architecture.md: who may import whom."""

import ast
import subprocess
import sys

from tests.architecture.sources import modules
from tests.databases import ROOT


def test_rooms_import_downward_only():
    command = [sys.executable, "-c", "from importlinter.cli import lint_imports_command as lint; lint()"]
    checked = subprocess.run(
        [*command, "--no-cache", "--no-logo"], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_below_the_journeys_nobody_asks_for_the_request_under_another_name():
    """``app.extensions`` hands out Flask's request and g; the floors are held to the same names as for Flask itself."""
    allowed = (
        "app/web/",
        "app/i18n.py",
        "app/observability.py",
        "app/audit/recorder.py",
        "app/sessions/known_devices.py",
        "app/sessions/store.py",
    )
    takers = [
        module.name
        for module in modules()
        for node in ast.walk(module.tree)
        if isinstance(node, ast.ImportFrom) and node.module == "app.extensions"
        if {"request", "g"} & {name.name for name in node.names}
    ]
    assert takers
    assert [name for name in takers if not name.startswith(allowed)] == []
