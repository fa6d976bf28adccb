"""What is beside the screen, or spills out of its own box, on a page as it stands."""

from __future__ import annotations

from typing import Any

BESIDE = """size => {
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
  const beside = parts.filter((part) => !within(part));
  const inmost = beside.filter((part) => !beside.some((other) => other !== part && part.contains(other)));
  const faults = inmost.map((part) => `${part.tagName} ${part.className}: ${part.textContent.trim().slice(0, 40)}`);
  const wide = root.scrollWidth > root.clientWidth ? [`${root.scrollWidth} px wide`] : [];
  root.style.fontSize = "";
  return wide.concat(faults);
}"""
"""Tables are left out, which scroll inside themselves, and fields, whose text does."""

ZOOMED, NORMAL = 320, "100%"
"""What is left of 1280 px at 400 %, in px; and the usual size of text."""


def beside(page: Any, width: int, size: str = NORMAL) -> list[str]:
    """Return what is beside the screen at a width in px, with text of a size in per cent of the usual one."""
    page.set_viewport_size({"width": width, "height": 800})
    faults: list[str] = page.evaluate(BESIDE, size)
    return [f"{width} px, text {size}: {fault}" for fault in faults]
