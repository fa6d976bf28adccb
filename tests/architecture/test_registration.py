"""Explicit registration in init_app is easy to forget, so these tests look for omissions."""

from __future__ import annotations

import ast

import pytest

from app.db.retention import registered_cleanups
from tests.architecture.sources import modules

pytestmark = pytest.mark.one_database


def test_every_cleanup_is_registered(app):
    written = {
        f"{module.name.removesuffix('.py').replace('/', '.')}.{node.name}"
        for module in modules()
        for node in module.tree.body
        if isinstance(node, ast.FunctionDef) and node.name.startswith("prune_")
    }
    with app.app_context():
        registered = [f"{each.__module__}.{each.__name__}" for each in registered_cleanups()]
    assert len(written) > 10
    assert written == set(registered)
    assert len(registered) == len(set(registered))
