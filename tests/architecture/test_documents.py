"""Files, tests, links and the layer diagram in the documents match the code."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from tests.databases import ROOT

pytestmark = pytest.mark.one_database

DECISIONS = sorted((ROOT / "docs/adr").glob("*.md"))
DOCUMENTS = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md")), *DECISIONS]
LINES = 60


def name_of(document: Path) -> str:
    return str(document.relative_to(ROOT))


def test_files_named_in_documents_exist():
    missing = []
    for document in DOCUMENTS:
        named = re.findall(r"`((?:app|bench|config|deploy|docs|migrations|tests)/[\w./-]+)`", document.read_text())
        linked = re.findall(r"\]\((?!https?:|#)([^)#]+)", document.read_text())
        missing += [f"{name_of(document)}: {name}" for name in named if not (ROOT / name).exists()]
        missing += [f"{name_of(document)}: {link}" for link in linked if not (document.parent / link).exists()]
    assert missing == []


def test_sections_linked_from_documents_exist():
    missing = []
    for document in DOCUMENTS:
        for file, anchor in re.findall(r"\]\((?!https?:)([^)#]*)#([^)]+)\)", document.read_text()):
            if anchor not in anchors_of(document.parent / file, document):
                missing.append(f"{name_of(document)}: {file}#{anchor}")
    assert missing == []


def anchors_of(target: Path, document: Path) -> set[str]:
    """Return GitHub's anchors of the sections of ``target``, or of ``document`` if a link names no file."""
    text = (document if target.is_dir() else target).read_text()
    headings = re.findall(r"(?m)^#+ (.*)$", text)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_files_named_in_security_promises_exist():
    """A name without a folder is in the same folder as the previous one."""
    missing, found = [], 0
    for line in (ROOT / "docs/security.md").read_text().splitlines():
        folder = Path()
        for name in map(Path, re.findall(r"`([\w/]+\.py)`", line.rpartition("| ")[2])):
            folder = name.parent if name.parent != Path() else folder
            found += 1
            if not (ROOT / "tests" / folder / name.name).exists():
                missing.append(f"{folder / name.name} of: {line[:80]}")
    assert missing == []
    assert found > 200


def test_tables_of_security_promises_have_no_blank_lines():
    """A blank line ends a table, so the rows below it would be shown as text."""
    text = (ROOT / "docs/security.md").read_text()
    assert re.findall(r"\n\|[^\n]*\n\n\|(?! [^\n]*\n\|---)[^\n]{0,60}", text) == []


def test_decision_records_fit_on_a_page():
    for decision in DECISIONS:
        lines = decision.read_text().splitlines()
        assert len(lines) < LINES, name_of(decision)
        assert [line for line in lines if len(line) > 120 and not line.lstrip().startswith("|")] == [], decision.name


def test_layer_diagram_matches_the_import_contract():
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    layers = next(contract for contract in contracts if contract["type"] == "layers")["layers"]
    text = (ROOT / "docs/architecture.md").read_text()
    picture = re.search(r"(?s)```mermaid\nflowchart(.*?)```", text)[1]
    boxes = re.findall(r'\w+\["([^"]+)"\]', re.sub(r"(?m)^ *subgraph .*", "", picture))
    drawn = [set(re.findall(r"\w+", box)) for box in boxes]
    assert drawn == [set(re.findall(r"\w+", layer)) for layer in layers]
