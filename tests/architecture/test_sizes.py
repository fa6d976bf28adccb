"""Past these sizes there is a second idea in it: find it and give it a name of its own."""

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
    assert active == ["app/login/pending.py"], "what a sign-in under way is called"


def lines_of(function: Function) -> int:
    """Return the lines of a function without those of its docstring: a promise may take its package."""
    plate = function.body[0] if ast.get_docstring(function) else None
    said = plate.end_lineno - plate.lineno + 1 if plate and plate.end_lineno else 0
    return (function.end_lineno or function.lineno) - function.lineno + 1 - said
