"""Branding images: read whole, identified by their first bytes, and checked to be safe to serve."""

import re
from dataclasses import dataclass
from pathlib import Path
from xml.parsers import expat

KIB = 1024
MAX_BYTES = {"brand_image": 1024 * KIB}
DEFAULT_MAX_BYTES = 256 * KIB

KINDS = {
    "brand_logo": ("png", "svg", "webp"),
    "brand_logo_dark": ("png", "svg", "webp"),
    "brand_icon": ("png", "svg"),
    "brand_image": ("png", "svg", "webp", "jpeg"),
}
"""Image formats each setting accepts. Browsers show no other formats as an icon."""

LOGO_KINDS = KINDS["brand_logo"]

MEDIA_TYPES = {"png": "image/png", "svg": "image/svg+xml", "webp": "image/webp", "jpeg": "image/jpeg"}

SVG = "http://www.w3.org/2000/svg"
ACTIVE = frozenset(("script", "foreignobject", "iframe", "object", "embed", "audio", "video", "handler", "listener"))
ADDRESS = re.compile(r"url\(([^)]*)", re.IGNORECASE)
INSIDE = re.compile(r"\s*(#|data:image/(png|jpeg|webp|gif)[;,])", re.IGNORECASE)
PLAIN = "save it as plain SVG"


@dataclass(frozen=True)
class Image:
    """An image file in memory.

    :ivar kind: ``png``, ``svg``, ``webp`` or ``jpeg``
    """

    kind: str
    data: bytes

    @property
    def media_type(self) -> str:
        return MEDIA_TYPES[self.kind]


def read_image(field: str, path: str) -> Image:
    """Return the image at ``path``, the value of the setting ``field``. Raises ValueError like ``image_at``."""
    return image_at(path, KINDS[field], MAX_BYTES.get(field, DEFAULT_MAX_BYTES))


def image_at(path: str, kinds: tuple[str, ...] = LOGO_KINDS, largest: int = DEFAULT_MAX_BYTES) -> Image:
    """Return the image at ``path``.

    :param largest: maximum size in bytes
    :raises ValueError: when it is unreadable, too large, damaged, not one of ``kinds``, or an SVG that runs or loads
        anything
    """
    try:
        with Path(path).open("rb") as file:
            data = file.read(largest + 1)
    except OSError as error:
        raise ValueError(f"can't be read ({error.strerror})") from None
    except ValueError:
        raise ValueError("can't be read (it isn't a path)") from None
    if len(data) > largest:
        raise ValueError(f"is larger than {largest // KIB} KiB")
    kind = kind_of(data)
    if kind not in kinds:
        *first, last = map(str.upper, kinds)
        raise ValueError(f"isn't a {', '.join(first)} or {last} image")
    if kind == "svg":
        check_svg(data)
    elif not is_whole(kind, data):
        raise ValueError(f"is a damaged {kind.upper()} image")
    return Image(kind, data)


def kind_of(data: bytes) -> str:
    """Return the image format that these first bytes indicate; "" for an unknown one."""
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "png"
    if data.startswith(b"\xff\xd8\xff"):
        return "jpeg"
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "webp"
    return "svg" if re.search(rb"<(\w+:)?svg[\s>]", data) else ""


def is_whole(kind: str, data: bytes) -> bool:
    """Return whether an image ends as its format requires. A truncated copy doesn't."""
    if kind == "png":
        return data[12:16] == b"IHDR" and data.rstrip(b"\0")[-8:-4] == b"IEND"
    if kind == "webp":
        return int.from_bytes(data[4:8], "little") + 8 <= len(data) + 1
    return data.rstrip(b"\0").endswith(b"\xff\xd9")


def check_svg(data: bytes) -> None:
    """Accept an SVG that is static and self-contained.

    It is embedded with ``<img>``, in which browsers don't run or load anything, and served with a content security
    policy that prevents both when it is opened directly. This check is the third layer: an unsafe file that an operator
    was sent is rejected before it is ever served.

    :raises ValueError: when it isn't an SVG, or contains a script, event handler, entity, or link to an external
        resource
    """
    parser = expat.ParserCreate(namespace_separator=" ")
    depth = 0

    def start(name: str, attributes: dict[str, str]) -> None:
        nonlocal depth
        space, _, local = name.rpartition(" ")
        if depth == 0 and (space, local) != (SVG, "svg"):
            raise ValueError("is XML, but not an SVG image")
        depth += 1
        if local.lower() in ACTIVE:
            raise ValueError(f"is an SVG with <{local}>: {PLAIN}")
        for attribute, value in attributes.items():
            check_attribute(attribute.rpartition(" ")[2].lower(), value)

    def end(_name: str) -> None:
        nonlocal depth
        depth -= 1

    def doctype(_name: str, _system: str | None, _public: str | None, has_more: int) -> None:
        if has_more:
            raise ValueError(f"is an SVG with entities: {PLAIN}")

    def instruction(target: str, _data: str) -> None:
        raise ValueError(f"is an SVG with <?{target}?>: {PLAIN}")

    parser.StartElementHandler, parser.EndElementHandler = start, end
    parser.StartDoctypeDeclHandler, parser.ProcessingInstructionHandler = doctype, instruction
    parser.CharacterDataHandler = check_text
    parser.buffer_text = True
    try:
        parser.Parse(data, True)
    except expat.ExpatError as error:
        raise ValueError(f"is a damaged SVG image (line {error.lineno})") from None


def check_attribute(name: str, value: str) -> None:
    """Accept an attribute that neither runs nor loads anything. Raises ValueError."""
    if name.startswith("on") or (name == "attributename" and re.match(r"\s*(on|(\w+:)?href)", value, re.IGNORECASE)):
        raise ValueError(f"is an SVG with an event handler or a changing link ({name}): {PLAIN}")
    if name in ("href", "src") and not INSIDE.match(value):
        raise ValueError(f"is an SVG with a link ({name}): {PLAIN}")
    check_text(value)


def check_text(text: str) -> None:
    """Accept text, such as a style sheet, that loads nothing. Raises ValueError."""
    addresses = (address.strip(" \t\r\n'\"") for address in ADDRESS.findall(text))
    if "@import" in text.lower() or not all(map(INSIDE.match, addresses)):
        raise ValueError(f"is an SVG that loads another file: {PLAIN}")
