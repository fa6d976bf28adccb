"""Limits on the size of modules and functions: beyond them, something needs its own name."""

from __future__ import annotations

import ast

from tests.architecture.sources import Function, modules

MODULE_LINES = 400
FUNCTION_LINES = 40
VAGUE = {"common", "core", "helper", "helpers", "lib", "manager", "misc", "shared", "tools", "util", "utils"}


def test_modules_stay_within_the_line_limit():
    lengths = {module.name: len(module.text.splitlines()) for module in modules()}
    assert {name: lines for name, lines in lengths.items() if lines > MODULE_LINES} == {}


def test_functions_stay_within_the_line_limit():
    lengths = {
        f"{module.name}:{function.lineno} {function.name}": lines_of(function)
        for module in modules()
        for function in module.functions()
    }
    assert {name: lines for name, lines in lengths.items() if lines > FUNCTION_LINES} == {}


def test_modules_have_no_vague_names():
    vague = [module.name for module in modules() if VAGUE & set(module.name.removesuffix(".py").split("/"))]
    assert vague == []


def test_module_names_are_nouns_not_activities():
    active = [module.name for module in modules() if module.name.endswith("ing.py")]
    assert active == ["app/login/pending.py"], "the term for an incomplete sign-in"


def lines_of(function: Function) -> int:
    """Return the number of lines of a function without its docstring."""
    first = function.body[0] if ast.get_docstring(function) else None
    docstring = first.end_lineno - first.lineno + 1 if first and first.end_lineno else 0
    return (function.end_lineno or function.lineno) - function.lineno + 1 - docstring
