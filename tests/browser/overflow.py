"""Finds elements that overflow the screen or their own box."""

from __future__ import annotations

from typing import Any

OVERFLOW = """size => {
  const root = document.documentElement;
  root.style.fontSize = size;
  const boxes = ".button, .notice, .card, .badge, .tag, .warning, .field, label, summary, dt, dd, th, .door, .bar";
  const within = (part) => {
    const box = part.getBoundingClientRect();
    if (!box.width || !box.height) return true;
    if (box.left < -1 || box.right > root.clientWidth + 1) return false;
    const { display, overflowX } = getComputedStyle(part);
    const mayNot = part.matches(boxes) || ["hidden", "clip"].includes(overflowX);
    return !mayNot || display === "inline" || part.scrollWidth <= part.clientWidth + 2;
  };
  const apart = ".aside-text, .aside-text *, .skip, .table-frame *, option, svg *, input, textarea, .bar-who > bdi";
  const all = [...document.querySelectorAll("body *")];
  const parts = all.filter((part) => part.checkVisibility() && !part.matches(apart));
  const overflowing = parts.filter((part) => !within(part));
  const inmost = overflowing.filter((part) => !overflowing.some((other) => other !== part && part.contains(other)));
  const faults = inmost.map((part) => `${part.tagName} ${part.className}: ${part.textContent.trim().slice(0, 40)}`);
  const wide = root.scrollWidth > root.clientWidth ? [`${root.scrollWidth} px wide`] : [];
  root.style.fontSize = "";
  return wide.concat(faults);
}"""
"""Excludes tables, which scroll inside themselves, and fields, whose text does."""

ZOOMED, NORMAL = 320, "100%"
"""The width of 1280 px at 400 % zoom, in px; and the default text size."""


def overflowing(page: Any, width: int, size: str = NORMAL) -> list[str]:
    """Return what overflows a screen of this width in px, with text of this size in percent of the default."""
    page.set_viewport_size({"width": width, "height": 800})
    faults: list[str] = page.evaluate(OVERFLOW, size)
    return [f"{width} px, text {size}: {fault}" for fault in faults]
