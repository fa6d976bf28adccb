"""The style sheet uses start and end, not left and right, so that pages in Arabic are mirrored."""

from __future__ import annotations

import re

from tests.databases import ROOT

RULE = re.compile(r"([^{}]+)\{([^{}]*)\}")
SIDED = re.compile(r"(?:^|[;\s])((?:[\w-]+-)?(?:left|right)(?:-[\w-]+)?|float|clear)\s*:")
SHORT = re.compile(r"\b(padding|margin|inset|border-width)\s*:\s*([^;{}]+)")


def sided(text: str) -> list[str]:
    """Return the declarations of a style sheet that are correct for only one text direction."""
    found = []
    for selectors, body in RULE.findall(re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL)):
        if "[dir=" in selectors:
            continue
        where = selectors.strip()
        found += [f"{where}: {name}" for name in SIDED.findall(body)]
        found += [f"{where}: text-align" for _ in re.findall(r"text-align:\s*(?:left|right)", body)]
        for name, value in SHORT.findall(body):
            parts = value.split()
            if len(parts) == 4 and parts[1] != parts[3]:
                found.append(f"{where}: {name}")
    return found


def test_style_sheet_uses_logical_directions_only():
    text = (ROOT / "app" / "static" / "app.css").read_text()
    assert sided(text) == ["summary::before: border-width"]  # an arrow, which is rotated


def test_one_sided_style_declarations_are_detected():
    assert sided("a { padding: 1px 2px 3px 4px } b { color: red; margin-left: 0; text-align: right }") == [
        "a: padding",
        "b: margin-left",
        "b: text-align",
    ]
    assert sided("a { padding: 1px 2px 3px 2px; object-position: left } [dir=rtl] b { left: 0 }") == []
