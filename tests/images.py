"""Small valid images for tests of custom branding."""

import struct
import zlib


def chunk(kind: bytes, data: bytes) -> bytes:
    """Return one chunk of a PNG (PNG specification, 5.3)."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int = 4, height: int = 4, color: bytes = b"\x11\x66\xcc") -> bytes:
    """Return a PNG of one color."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    rows = (b"\0" + color * width) * height
    start = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header)
    return start + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def svg(inside: str = '<rect width="9" height="9" fill="#0057b8"/>', attributes: str = "", before: str = "") -> bytes:
    """Return an SVG with this content."""
    name = 'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'
    return f'{before}<svg {name} viewBox="0 0 90 9" {attributes}>{inside}</svg>'.encode()


WEBP = bytes.fromhex("524946461a000000574542505650384c0d0000002f00000010071011118888fe0700")
"""A lossless image of one pixel."""

JPEG = b"\xff\xd8\xff\xe0" + bytes(40) + b"\xff\xd9"
"""Has only the start and end markers of a JPEG."""
