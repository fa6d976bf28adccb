"""The modules of ``app`` and ``config``, parsed for the architecture tests."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from tests.databases import ROOT

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Module:
    """One parsed module; ``name`` is its path from the top of the repository."""

    name: str
    text: str
    tree: ast.Module

    def functions(self) -> Iterator[Function]:
        """Yield every function and method."""
        yield from (node for node in ast.walk(self.tree) if isinstance(node, Function))

    def calls(self, name: str) -> Iterator[ast.Call]:
        """Yield calls whose dotted name is ``name`` or ends with it: ``commit``, ``session.commit``."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Call):
                called = ast.unparse(node.func).replace("()", "")
                if called == name or called.endswith(f".{name}"):
                    yield node


@lru_cache(maxsize=1)
def modules() -> tuple[Module, ...]:
    """Return every module of ``app`` and ``config``."""
    paths = sorted(path for package in ("app", "config") for path in (ROOT / package).rglob("*.py"))
    return tuple(_parsed(path) for path in paths)


def _parsed(path: Path) -> Module:
    text = path.read_text()
    return Module(str(path.relative_to(ROOT)), text, ast.parse(text))
