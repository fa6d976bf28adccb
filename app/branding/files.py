"""The operator's branding on pages, and the files it consists of."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from config.checks import brand_images
from config.colors import WHITE, Palette, palettes
from config.images import KINDS, read_image
from config.problems import ConfigurationError

if TYPE_CHECKING:
    from config.settings import Settings

EMAIL = re.compile(r"[^\s@/:?&]+@[^\s@/:?&]+\.[^\s@/:?&]+")


def stylesheet(color: str, dark: str) -> str:
    """Return CSS that sets the app.css variables derived from the accent color, for both color schemes."""
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


@dataclass(frozen=True)
class BrandFile:
    """A served file.

    :ivar kind: ``png``, ``svg``, ``webp``, ``jpeg`` or ``css``
    """

    kind: str
    content_type: str
    data: bytes


@dataclass(frozen=True)
class Branding:
    """The branding shown on pages. Paths the operator hasn't configured are "".

    :ivar files: served files by their name below ``/brand``
    :ivar support_url: link for ``LATCHKEY_SUPPORT_CONTACT``, when that is an email address or a URL
    """

    logo: str = ""
    logo_dark: str = ""
    icon: str = ""
    icon_type: str = ""
    image: str = ""
    stylesheet: str = ""
    line: str = ""
    terms_url: str = ""
    privacy_url: str = ""
    support_url: str = ""
    files: Mapping[str, BrandFile] = field(default_factory=dict, repr=False)

    @property
    def is_own(self) -> bool:
        """The pages use the operator's branding instead of ours."""
        return bool(self.logo or self.image or self.stylesheet)

    @classmethod
    def of(cls, settings: Settings) -> Branding:
        """Build the branding from the settings.

        :raises ConfigurationError: when a file isn't an image, or no longer is since the settings were checked
        """
        if found := list(brand_images(settings)):
            raise ConfigurationError(found)
        images = {name: read_image(name, path) for name in KINDS if (path := getattr(settings, name))}
        files = {name: BrandFile(image.kind, image.media_type, image.data) for name, image in images.items()}
        if settings.brand_color or settings.brand_color_dark:
            style = stylesheet(settings.brand_color, settings.brand_color_dark)
            files["brand_style"] = BrandFile("css", "text/css; charset=utf-8", style.encode())
        names = {name: _name(name, file) for name, file in files.items()}
        paths = {name: f"/brand/{file_name}" for name, file_name in names.items()}
        return cls(
            logo=paths.get("brand_logo", ""),
            logo_dark=paths.get("brand_logo_dark", ""),
            icon=paths.get("brand_icon", ""),
            icon_type=images["brand_icon"].media_type if "brand_icon" in images else "",
            image=paths.get("brand_image", ""),
            stylesheet=paths.get("brand_style", ""),
            line=settings.brand_line,
            terms_url=settings.terms_url,
            privacy_url=settings.privacy_url,
            support_url=contact_url(settings.support_contact),
            files={names[name]: file for name, file in files.items()},
        )


def _name(setting: str, file: BrandFile) -> str:
    """Return a file's name in its URL: ``logo-dark-0123456789abcdef.png``. It changes with the file's content."""
    digest = hashlib.sha256(file.data).hexdigest()[:16]
    return f"{setting.removeprefix('brand_').replace('_', '-')}-{digest}.{file.kind}"


def contact_url(contact: str) -> str:
    """Return the link for a support contact; "" for one that is only text, such as a phone number."""
    if EMAIL.fullmatch(contact):
        return f"mailto:{contact}"
    return contact if re.fullmatch(r"https?://[^\s\"<>]+", contact) else ""
