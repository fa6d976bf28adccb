"""The layers of docs/architecture.md: which packages may import which."""

import ast
import subprocess
import sys

from tests.architecture.sources import modules
from tests.databases import ROOT


def test_packages_import_only_lower_layers():
    command = [sys.executable, "-c", "from importlinter.cli import lint_imports_command as lint; lint()"]
    checked = subprocess.run(
        [*command, "--no-cache", "--no-logo"], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_request_and_g_are_imported_only_from_flask():
    """Imported from elsewhere, they would escape the contract "Only features use HTTP"."""
    importers = [
        module.name
        for module in modules()
        for node in ast.walk(module.tree)
        if isinstance(node, ast.ImportFrom) and node.module == "app.extensions"
        if {"request", "g"} & {name.name for name in node.names}
    ]
    assert importers == []
