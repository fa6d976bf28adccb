"""The operator's accent color: the shades derived from it, and whether text is readable on and next to them."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated

from pydantic import AfterValidator

HEX = re.compile(r"#?([0-9a-f]{3}|[0-9a-f]{6})", re.IGNORECASE | re.ASCII)
NEEDED = 4.5
"""Minimum contrast of text with its background (WCAG 2.2, 1.4.3)."""

WHITE, BLACK = "#ffffff", "#000000"
INK = "#101714"
"""Color of button text in the dark color scheme."""

LIGHT_GROUNDS = {WHITE: "the text of buttons and the background of cards", "#f4f6f5": "the background of light pages"}
DARK_GROUNDS = {
    INK: "the text of buttons and the background of dark pages",
    "#18211d": "the background of cards in the dark color scheme",
}
"""Colors used behind or on top of the accent color, as in app.css and mail/layout.html."""

COMFORTABLE = 7.0
"""Contrast of the color derived for the dark scheme (WCAG 2.2, 1.4.6)."""

STEPS = 40
"""Number of shades tried between a color and black or white."""


def read_color(text: str) -> str:
    """Return a color as ``#rrggbb`` in lower case; "" stays "".

    :raises ValueError: for a color name, or anything else that isn't a hexadecimal color
    """
    if not text:
        return ""
    form = HEX.fullmatch(text.strip())
    if form is None:
        raise ValueError("a color has three or six hexadecimal digits, as in #17503f")
    digits = form[1].lower()
    return "#" + (digits if len(digits) == 6 else "".join(digit * 2 for digit in digits))


Color = Annotated[str, AfterValidator(read_color)]


def luminance(color: str) -> float:
    """Return the relative luminance of ``#rrggbb``, from 0 (black) to 1 (white) (WCAG 2.2, glossary)."""
    parts = [part / 255 for part in _parts(color)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    """Return the contrast of two colors, from 1 (none) to 21 (WCAG 2.2, glossary)."""
    darker, lighter = sorted((luminance(one), luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def mixed(color: str, other: str, share: float) -> str:
    """Return ``color`` with ``share`` (0 to 1) of ``other`` mixed in."""
    pairs = zip(_parts(color), _parts(other), strict=True)
    return "#" + "".join(f"{round(mine + (theirs - mine) * share):02x}" for mine, theirs in pairs)


def _parts(color: str) -> Iterator[int]:
    return (int(color[start : start + 2], 16) for start in (1, 3, 5))


def weakest(color: str, grounds: dict[str, str]) -> tuple[float, str]:
    """Return the lowest contrast of ``color`` with any of ``grounds``, and the description of that background."""
    return min((contrast(color, ground), what) for ground, what in grounds.items())


def readable(color: str, grounds: dict[str, str], toward: str, needed: float = NEEDED) -> str:
    """Return ``color`` mixed with just enough of ``toward`` for a contrast of ``needed`` with all ``grounds``."""
    shades = (mixed(color, toward, step / STEPS) for step in range(STEPS + 1))
    return next(shade for shade in shades if weakest(shade, grounds)[0] >= needed)


def unreadable(color: str, *, dark: bool) -> tuple[str, str] | None:
    """Return what is wrong with an accent color for a color scheme, and how to fix it; None when it is readable."""
    grounds, toward = (DARK_GROUNDS, WHITE) if dark else (LIGHT_GROUNDS, BLACK)
    found, what = weakest(color, grounds)
    if found >= NEEDED:
        return None
    figure = int(found * 100) / 100  # truncated, since 4.499 rounded up would look sufficient
    remedy = f"Choose a {'lighter' if dark else 'darker'} color: {readable(color, grounds, toward)} can be read."
    return f"has a contrast of {figure:.2f}:1 with {what}, but text needs {NEEDED}:1", remedy


@dataclass(frozen=True)
class Palette:
    """The colors of pages and mails that are derived from the accent color, for one color scheme.

    :ivar main: buttons and links
    :ivar hover: button under the pointer
    :ivar on_main: text on a button
    :ivar panel: background of the brand panel on the pages of people who aren't signed in
    :ivar deep: shades of the panel
    :ivar light: edges of the panel
    :ivar tint: lines on the panel, and the key of the built-in logo
    """

    main: str
    hover: str
    on_main: str
    panel: str
    deep: str
    light: str
    tint: str


BUILT_IN = (
    Palette("#17503f", "#0f3f31", WHITE, "#17503f", "#103d30", "#2a6a56", "#d9ab50"),
    Palette("#8fd8b7", "#aae6cb", "#08201a", "#12382c", "#0c2a21", "#1f5342", "#d9ab50"),
)


@lru_cache(maxsize=8)
def palettes(color: str, dark: str = "") -> tuple[Palette, Palette]:
    """Return the colors of the light and the dark color scheme; the built-in ones when no ``color`` is set.

    :param dark: color of buttons and links in the dark scheme; "" for ``color``, lightened enough to be readable
    """
    if not color and not dark:
        return BUILT_IN
    color = color or BUILT_IN[0].main
    dark = dark or readable(color, DARK_GROUNDS, WHITE, COMFORTABLE)
    tint, deep = mixed(color, WHITE, 0.7), mixed(color, BLACK, 0.25)
    night, deep_night = mixed(color, BLACK, 0.35), mixed(color, BLACK, 0.5)
    return (
        Palette(color, mixed(color, BLACK, 0.2), WHITE, color, deep, mixed(color, WHITE, 0.15), tint),
        Palette(dark, mixed(dark, WHITE, 0.25), INK, night, deep_night, mixed(color, BLACK, 0.15), tint),
    )
