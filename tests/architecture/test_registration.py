"""What packages register in init_app: explicit registration can be forgotten, so this looks for what was."""

from __future__ import annotations

import ast
from inspect import iscoroutinefunction

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


def test_no_handler_and_no_hook_is_a_coroutine(app):
    """``Service.ensure_sync`` takes that for granted."""
    hooks = (app.before_request_funcs, app.after_request_funcs, app.teardown_request_funcs)
    found = [*app.view_functions.values(), *app.teardown_appcontext_funcs]
    found += [each for by_blueprint in hooks for functions in by_blueprint.values() for each in functions]
    found += [each for codes in app.error_handler_spec.values() for kinds in codes.values() for each in kinds.values()]
    assert len(found) > 200
    assert [each.__qualname__ for each in found if iscoroutinefunction(each)] == []
