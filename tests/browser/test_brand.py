"""An operator's colors, logo and links are readable and usable in both color schemes and at all widths."""

from __future__ import annotations

import pytest

from config.colors import palettes
from tests.browsing import serious_faults
from tests.images import svg

COLOR = "#7a1fa2"
WIDE = '<rect width="90" height="9" fill="#7a1fa2"/>'


@pytest.fixture
def live_server(make_server, fresh_database, tmp_path):
    """A service with an operator's branding."""
    for name in ("logo.svg", "image.svg"):
        (tmp_path / name).write_bytes(svg(WIDE))
    return make_server(
        fresh_database,
        workers=1,
        LATCHKEY_BRAND_LOGO=str(tmp_path / "logo.svg"),
        LATCHKEY_BRAND_IMAGE=str(tmp_path / "image.svg"),
        LATCHKEY_BRAND_COLOR=COLOR,
        LATCHKEY_BRAND_LINE="One account for everything.",
        LATCHKEY_TERMS_URL="https://acme.example/terms",
        LATCHKEY_PRIVACY_URL="https://acme.example/privacy",
        LATCHKEY_SUPPORT_CONTACT="help@acme.example",
    )


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_brand_logo_keeps_its_size_without_horizontal_scrolling(page, scheme):
    page.emulate_media(color_scheme=scheme)
    for path in ("/register", "/us-signin"):
        page.goto(path)
        for width in (1280, 390):
            page.set_viewport_size({"width": width, "height": 800})
            logo = page.locator(".logo").bounding_box()
            assert logo["height"] > 30, (path, width)
            assert logo["width"] > 60, (path, width)
            assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0, (path, width)


def test_button_uses_the_brand_color_of_each_color_scheme(page):
    page.goto("/register")
    button = page.locator(".button-main").first
    for scheme, palette in zip(("light", "dark"), palettes(COLOR), strict=True):
        page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        assert button.evaluate("each => getComputedStyle(each).backgroundColor") == in_words(palette.main)


def in_words(color: str) -> str:
    """Return ``#rrggbb`` as browsers serialize it."""
    return "rgb({}, {}, {})".format(*(int(color[start : start + 2], 16) for start in (1, 3, 5)))


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_branded_pages_have_no_serious_accessibility_faults(page, scheme):
    page.emulate_media(color_scheme=scheme)
    for path in ("/register", "/us-signin"):
        page.goto(path)
        for width in (1280, 390):
            page.set_viewport_size({"width": width, "height": 800})
            assert serious_faults(page) == []
