"""Branding settings: name, images, colors, links, templates."""

from typing import Annotated

from pydantic import AfterValidator, BaseModel, Field

from config import types
from config.colors import Color

PLAIN_LINE = r"^[^\x00-\x1f\x7f-\x9f\u2028\u2029<>]*$"


class BrandSettings(BaseModel, defer_build=True):
    """The operator's branding."""

    brand_name: str = Field(
        default="Latchkey",
        min_length=1,
        max_length=60,
        pattern=PLAIN_LINE,
        description="Name on pages and in emails.",
    )
    brand_logo: str = Field(
        default="",
        description="Path of the logo, shown instead of the built-in one and the name: a PNG, SVG or WebP file, up "
        "to 256 KiB.",
    )
    brand_logo_dark: str = Field(
        default="", description="Path of the logo for dark backgrounds; if empty, the other logo is shown on white."
    )
    brand_icon: str = Field(
        default="",
        description="Path of the icon in browser tabs: a PNG or SVG file, up to 256 KiB; if empty, the built-in one.",
    )
    brand_color: Color = Field(
        default="",
        description="Accent color of buttons, links, the side panel and emails, such as `#17503f`; if empty, the "
        "built-in one.",
    )
    brand_color_dark: Color = Field(
        default="",
        description="Accent color of buttons and links in the dark color scheme; if empty, a lighter shade of the "
        "other one.",
    )
    brand_line: str = Field(
        default="",
        max_length=160,
        pattern=PLAIN_LINE,
        description="Line of text in the side panel of pages for people who aren't signed in.",
    )
    brand_image: str = Field(
        default="",
        description="Path of an image that fills the side panel: a PNG, SVG, WebP or JPEG file, up to 1 MiB.",
    )
    templates_folder: str = Field(
        default="",
        description="Folder with your own templates, which take precedence over the built-in ones; if empty, none.",
    )
    terms_url: Annotated[str, AfterValidator(types.check_target)] = Field(
        default="", description="Your terms of service: a URL, or a path on this host."
    )
    privacy_url: Annotated[str, AfterValidator(types.check_target)] = Field(
        default="", description="Your privacy policy: a URL, or a path on this host."
    )
    support_contact: str = Field(
        default="", max_length=200, description="Email address or URL where people can get help."
    )
