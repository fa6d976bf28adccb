"""The accent color: parsed, measured, and rejected if text on it would be unreadable."""

import re

import pytest

from config import colors
from config.settings import ConfigurationError, Settings
from tests.databases import ROOT

pytestmark = pytest.mark.one_database


@pytest.mark.parametrize(
    ("one", "other", "figure"),
    [
        ("#000000", "#ffffff", 21.0),
        ("#ffffff", "#ffffff", 1.0),
        ("#777777", "#ffffff", 4.48),
        ("#767676", "#ffffff", 4.54),
        ("#ff0000", "#ffffff", 4.0),
        ("#0000ff", "#ffffff", 8.59),
    ],
)
def test_contrast_matches_wcag(one, other, figure):
    assert colors.contrast(one, other) == colors.contrast(other, one) == pytest.approx(figure, abs=0.005)


@pytest.mark.parametrize(("text", "color"), [("#17503F", "#17503f"), ("17503f", "#17503f"), ("#a0c", "#aa00cc")])
def test_accent_color_is_parsed(set_up, production, text, color):
    set_up(brand_color=text)
    assert Settings.load().brand_color == color


@pytest.mark.parametrize(
    "text",
    ["green", "#17503", "#17503f80", "rgb(23,80,63)", "#gggggg", "#17503f;x", "#\uff11750\uff13f"],
)
def test_invalid_color_is_rejected(set_up, production, text):
    set_up(brand_color=text)
    with pytest.raises(ConfigurationError, match="LATCHKEY_BRAND_COLOR is invalid: a color has three or six"):
        Settings.load()


def refusal(set_up, **texts: str) -> str:
    """Return what is said of the one problem with these settings."""
    set_up(**texts)
    with pytest.raises(ConfigurationError) as refused:
        Settings.load()
    return str(refused.value)


def test_light_accent_color_is_rejected_with_its_contrast_and_a_suggestion(set_up, production):
    assert refusal(set_up, brand_color="#ffcc00") == (
        "LATCHKEY_BRAND_COLOR has a contrast of 1.39:1 with the background of light pages, but text needs 4.5:1. "
        "Choose a darker color: #866b00 can be read."
    )


def test_dark_color_for_the_dark_scheme_is_rejected(set_up, production):
    said = refusal(set_up, brand_color="#0057b8", brand_color_dark="#0057b8")
    assert said.startswith(
        "LATCHKEY_BRAND_COLOR_DARK has a contrast of 2.39:1 with the background of cards in the dark color scheme"
    )
    assert "Choose a lighter color: #" in said


def test_suggested_color_is_accepted(set_up, production):
    for field in ("brand_color", "brand_color_dark"):
        named = re.search(r"color: (#\w{6}) can be read", refusal(set_up, **{field: "#7f7f7f"}))
        set_up(**{field: named[1]})
    assert Settings.load().brand_color


def test_contrast_is_not_rounded_up_to_the_minimum():
    what, _ = colors.unreadable("#747474", dark=False)
    assert colors.contrast("#747474", "#f4f6f5") == pytest.approx(4.4, abs=0.1)
    assert float(re.search(r"of ([\d.]+):1", what)[1]) <= colors.contrast("#747474", "#f4f6f5")


@pytest.mark.parametrize("color", ["#17503f", "#0057b8", "#7a1fa2", "#b00020", "#000000", "#595959"])
def test_palettes_of_an_accent_color_have_enough_contrast(color):
    day, night = colors.palettes(color)
    assert colors.unreadable(day.main, dark=False) is None
    assert colors.unreadable(night.main, dark=True) is None
    for scheme in (day, night):
        assert colors.contrast(scheme.on_main, scheme.main) >= colors.NEEDED
        assert colors.contrast(scheme.on_main, scheme.hover) >= colors.NEEDED
        assert colors.contrast(colors.WHITE, scheme.panel) >= colors.NEEDED


def test_measured_backgrounds_match_the_style_sheet():
    style = (ROOT / "app/static/app.css").read_text()
    light, dark = re.findall(r"--page: (#\w+);\s+--surface: (#\w+);", style)[:2]
    assert set(light) == set(colors.LIGHT_GROUNDS) | {light[0]}
    assert set(dark) == set(colors.DARK_GROUNDS)
    mains = re.findall(r"--main: (#\w+);\s+--main-hover: (#\w+);\s+--on-main: (#\w+);", style)
    assert mains == [(scheme.main, scheme.hover, scheme.on_main) for scheme in colors.BUILT_IN]
