"""Light and dark schemes differ only in colors, so everything else is checked in one of them."""

from __future__ import annotations

import re

import pytest

from tests.databases import ROOT

SHEETS = sorted((ROOT / "app" / "static").rglob("*.css"))
DARK = re.compile(r"@media \(prefers-color-scheme: \w+\) \{\s*:root \{([^{}]*)\}\s*\}")
COLOUR = re.compile(r"\s*--[a-z-]+:[^;]*;")


@pytest.mark.parametrize("sheet", SHEETS, ids=lambda sheet: sheet.name)
def test_dark_scheme_sets_only_colours(sheet):
    text = re.sub(r"/\*.*?\*/", "", sheet.read_text(), flags=re.DOTALL)
    assert text.count("prefers-color-scheme") == len(DARK.findall(text))
    assert [COLOUR.sub("", body).strip() for body in DARK.findall(text)] == [""] * len(DARK.findall(text))
