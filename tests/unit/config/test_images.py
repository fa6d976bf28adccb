"""Brand images: recognized by their first bytes, complete, small enough, and without active content."""

import pytest

from config.images import read_image
from config.settings import ConfigurationError, Settings
from tests.images import JPEG, WEBP, png, svg

pytestmark = pytest.mark.one_database

REMEDY = "Use another file, or unset it."


@pytest.mark.parametrize(
    ("setting", "data", "kind"),
    [
        ("brand_logo", png(), "png"),
        ("brand_logo", svg(), "svg"),
        ("brand_logo", svg(before='<?xml version="1.0"?>\n<!-- drawn by hand -->\n'), "svg"),
        ("brand_logo", svg('<use href="#a"/><image xlink:href="data:image/png;base64,AAAA"/>'), "svg"),
        ("brand_logo", svg("<style>.a { fill: url(#shade) }</style><g style=\"fill:url( '#b' )\"/>"), "svg"),
        ("brand_logo", WEBP, "webp"),
        ("brand_image", JPEG, "jpeg"),
        ("brand_icon", svg(), "svg"),
    ],
)
def test_image_type_is_detected_by_content(tmp_path, setting, data, kind):
    (tmp_path / "image.txt").write_bytes(data)
    image = read_image(setting, str(tmp_path / "image.txt"))
    assert (image.kind, image.data) == (kind, data)


@pytest.mark.parametrize(
    ("setting", "data", "what"),
    [
        ("brand_logo", b"GIF89a" + bytes(40), "isn't a PNG, SVG or WEBP image"),
        ("brand_logo", b"", "isn't a PNG, SVG or WEBP image"),
        ("brand_logo", b"<html><body>logo</body></html>", "isn't a PNG, SVG or WEBP image"),
        ("brand_logo", JPEG, "isn't a PNG, SVG or WEBP image"),
        ("brand_icon", WEBP, "isn't a PNG or SVG image"),
        ("brand_logo", png()[:-6], "is a damaged PNG image"),
        ("brand_logo", WEBP[:-8], "is a damaged WEBP image"),
        ("brand_image", JPEG[:-9], "is a damaged JPEG image"),
        ("brand_logo", svg()[:-6], "is a damaged SVG image"),
        ("brand_logo", b"<svg><rect/></svg>", "is XML, but not an SVG image"),
        ("brand_logo", b'<p xmlns="x"><svg xmlns="http://www.w3.org/2000/svg"/></p>', "is XML, but not an SVG image"),
        ("brand_logo", png() + bytes(256 * 1024), "is larger than 256 KiB"),
        ("brand_image", JPEG + bytes(1024 * 1024), "is larger than 1024 KiB"),
    ],
)
def test_invalid_damaged_or_oversized_image_is_rejected(tmp_path, setting, data, what):
    (tmp_path / "image").write_bytes(data)
    with pytest.raises(ValueError, match=what):
        read_image(setting, str(tmp_path / "image"))


@pytest.mark.parametrize(
    "data",
    [
        svg("<script>alert(1)</script>"),
        svg('<x:script xmlns:x="http://www.w3.org/1999/xhtml">alert(1)</x:script>'),
        svg("<foreignObject/>"),
        svg('<rect onclick="alert(1)"/>'),
        svg(attributes='onload="alert(1)"'),
        svg('<a href="javascript:alert(1)"><rect/></a>'),
        svg('<a xlink:href="https://evil.example/"><rect/></a>'),
        svg('<image href="https://evil.example/dot.png"/>'),
        svg('<image href="data:image/svg+xml;base64,AAAA"/>'),
        svg('<use href="/static/app.css#x"/>'),
        svg('<set attributeName="href" to="javascript:alert(1)"/>'),
        svg('<animate attributeName="xlink:href" values="javascript:alert(1)"/>'),
        svg("<style>@import 'https://evil.example/a.css';</style>"),
        svg("<style>.a { fill: url(https://evil.example/#a) }</style>"),
        svg("<rect style=\"fill:url('//evil.example/#a')\"/>"),
        svg('<rect fill="url(https://evil.example/#a)"/>'),
        svg("&a;", before='<!DOCTYPE svg [<!ENTITY a "a">]>'),
        svg(before='<?xml-stylesheet href="https://evil.example/a.css"?>'),
    ],
)
def test_svg_with_scripts_or_external_references_is_rejected(tmp_path, data):
    (tmp_path / "logo.svg").write_bytes(data)
    with pytest.raises(ValueError, match="save it as plain SVG"):
        read_image("brand_logo", str(tmp_path / "logo.svg"))


def test_start_with_an_unreadable_image_is_refused(set_up, production, tmp_path):
    (tmp_path / "logo.png").write_bytes(png())
    set_up(brand_logo=str(tmp_path / "logo.png"), brand_icon=str(tmp_path / "none.svg"), brand_image=str(tmp_path))
    with pytest.raises(ConfigurationError) as refused:
        Settings.load()
    said = [str(problem).replace(str(tmp_path), "") for problem in refused.value.problems]
    assert [line.partition(" points to a file that ") for line in said] == [
        ("LATCHKEY_BRAND_ICON", " points to a file that ", f"can't be read (No such file or directory). {REMEDY}"),
        ("LATCHKEY_BRAND_IMAGE", " points to a file that ", f"can't be read (Is a directory). {REMEDY}"),
    ]


@pytest.mark.parametrize("name", ["none", "n" * 5000])
def test_start_without_the_templates_folder_is_refused(set_up, production, tmp_path, name):
    set_up(templates_folder=str(tmp_path / name))
    with pytest.raises(ConfigurationError, match="LATCHKEY_TEMPLATES_FOLDER isn't a folder that can be read"):
        Settings.load()


def test_dark_logo_requires_the_light_one(set_up, production, tmp_path):
    (tmp_path / "logo.png").write_bytes(png())
    set_up(brand_logo_dark=str(tmp_path / "logo.png"))
    with pytest.raises(ConfigurationError, match="LATCHKEY_BRAND_LOGO_DARK is set, but LATCHKEY_BRAND_LOGO isn't"):
        Settings.load()
