"""Branch coverage by instrumentation: each branch starts with an extra statement that records it.

A tracer of the interpreter is called for each line of the frameworks, too, and made runs half as long again. This
costs a fiftieth, so that all tests can be measured.

A branch is a possible outcome of a decision: the body of a function, the body of an ``if`` and its ``else``, written or
not, an iteration of a loop and its normal end, an exception handler, a case of a ``match``.
"""

from __future__ import annotations

import ast
import json
import os
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from operator import or_
from pathlib import Path
from types import ModuleType

TAKEN = "__taken__"
"""Name of the module variable that records branches, one byte each."""

Function = ast.FunctionDef | ast.AsyncFunctionDef


class Instrumenter(ast.NodeTransformer):
    """Instruments a module so that each branch records that it was taken.

    :ivar branches: number of branches
    """

    def __init__(self) -> None:
        self.branches = 0

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        return self._function(node)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> ast.AST:
        return self._function(node)

    def visit_If(self, node: ast.If) -> ast.AST:
        if isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            return node  # never true at runtime
        return self._begin(node, node.body, node.orelse)

    def visit_For(self, node: ast.For) -> ast.AST:
        return self._begin(node, node.body, node.orelse)

    def visit_AsyncFor(self, node: ast.AsyncFor) -> ast.AST:
        return self._begin(node, node.body, node.orelse)

    def visit_While(self, node: ast.While) -> ast.AST:
        ends = [] if isinstance(node.test, ast.Constant) else [node.orelse]
        return self._begin(node, node.body, *ends)

    def visit_ExceptHandler(self, node: ast.ExceptHandler) -> ast.AST:
        return self._begin(node, node.body)

    def visit_match_case(self, node: ast.match_case) -> ast.AST:
        return self._begin(node, node.body)

    def _function(self, node: Function) -> ast.AST:
        documented = ast.get_docstring(node, clean=False) is not None
        if all(_is_placeholder(each) for each in node.body):
            return node
        return self._begin(node, node.body, at=int(documented))

    def _begin(self, node: ast.AST, *bodies: list[ast.stmt], at: int = 0) -> ast.AST:
        first = self.branches
        self.branches += len(bodies)
        self.generic_visit(node)
        for number, body in enumerate(bodies, first):
            target = ast.Subscript(ast.Name(TAKEN, ast.Load()), ast.Constant(number), ast.Store())
            where = body[at] if body else node
            body.insert(at, ast.fix_missing_locations(ast.copy_location(ast.Assign([target], ast.Constant(1)), where)))
        return node


def _is_placeholder(statement: ast.stmt) -> bool:
    """Return whether a statement is only a placeholder: ``...``, a docstring, or ``raise NotImplementedError``."""
    if isinstance(statement, ast.Raise):
        return isinstance(statement.exc, ast.Name) and statement.exc.id == "NotImplementedError"
    return isinstance(statement, ast.Expr) and statement.value.__class__ is ast.Constant


class InstrumentingLoader(SourceFileLoader):
    """Loads a module with instrumentation. Compiled files are not changed."""

    found: dict[str, bytearray] = {}
    """By the module's path: 1 for each branch taken."""

    def exec_module(self, module: ModuleType) -> None:
        """Execute the instrumented module."""
        instrumenter = Instrumenter()
        tree = instrumenter.visit(ast.parse(self.get_data(self.path)))
        taken = self.found.setdefault(self.path, bytearray(instrumenter.branches))
        module.__dict__[TAKEN] = taken
        exec(compile(tree, self.path, "exec", dont_inherit=True), module.__dict__)


class InstrumentingFinder(MetaPathFinder):
    """Finds the modules of some packages, for InstrumentingLoader to load."""

    def __init__(self, packages: Sequence[str]) -> None:
        self.packages = packages

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return the spec of a module, or None if it belongs to another package."""
        if fullname.partition(".")[0] not in self.packages:
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec and isinstance(spec.loader, SourceFileLoader):
            spec.loader = InstrumentingLoader(spec.loader.name, spec.loader.path)
        return spec


def instrument(packages: Sequence[str]) -> None:
    """Instrument all modules of these packages from now on. None of them may be imported yet."""
    loaded = sorted({name.partition(".")[0] for name in sys.modules} & set(packages))
    assert not loaded, f"too late: {loaded}"
    sys.meta_path.insert(0, InstrumentingFinder(packages))


def save(directory: Path) -> None:
    """Write this process's branches to a file of its own in ``directory``, if it recorded any."""
    if InstrumentingLoader.found:
        found = {path: taken.hex() for path, taken in InstrumentingLoader.found.items()}
        (directory / f"{os.getpid()}.json").write_text(json.dumps(found))


def merged(directory: Path) -> dict[str, bytes]:
    """Return the branches taken by any of the processes, by path: 1 or 0 for each."""
    whole: dict[str, bytes] = {}
    for file in directory.glob("*.json"):
        for path, taken in json.loads(file.read_text()).items():
            one = bytes.fromhex(taken)
            whole[path] = bytes(map(or_, one, whole.get(path, bytes(len(one)))))
    return whole
