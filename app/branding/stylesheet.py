"""The style sheet that puts the operator's accent color in place of ours."""

from __future__ import annotations

from config.colors import WHITE, Palette, palettes


def stylesheet(color: str, dark: str) -> str:
    """Return CSS that sets the variables of app.css which follow the accent color, in both color schemes."""
    by_day, by_night = (_variables(palette) for palette in palettes(color, dark))
    return f":root {{\n{by_day}}}\n@media (prefers-color-scheme: dark) {{\n:root {{\n{by_night}}}\n}}\n"


def _variables(palette: Palette) -> str:
    values = {
        "main": palette.main,
        "main-hover": palette.hover,
        "on-main": palette.on_main,
        "link": palette.main,
        "mark": palette.panel,
        "key": palette.tint,
        "door": palette.panel,
        "door-deep": palette.deep,
        "door-light": palette.light,
        "on-door": WHITE,
        "on-door-soft": WHITE,
    }
    return "".join(f"  --{name}: {value};\n" for name, value in values.items())
