"""A mail as octets (RFC 5322 and 2045), for the few shapes ours have: one recipient, text alone or beside HTML.

The email package writes any mail there is, and takes ten times as long for one of these. The same mail always
gives the same octets. Text is 7bit where it can be, else quoted-printable, which every server takes.
"""

from __future__ import annotations

from binascii import b2a_qp
from collections.abc import Iterable
from email.header import Header

LONGEST_LINE = 998
"""Octets (RFC 5322, section 2.1.1)."""

USUAL_LINE = 78
"""Characters of a header's line that are passed on as they are; longer ones are folded."""


def written(headers: Iterable[tuple[str, str]], text: str, html: str | None, boundary: str) -> bytes:
    """Return a whole mail with CRLF at each line's end, the last one too.

    :param headers: all but those of MIME; values without line breaks
    :param boundary: what stands between text and HTML, and nowhere in them
    """
    head = "".join(header(name, value) for name, value in headers) + "MIME-Version: 1.0\r\n"
    if html is None:
        return head.encode() + part(text, "plain")
    head += f'Content-Type: multipart/alternative;\r\n boundary="{boundary}"\r\n\r\n'
    between = f"\r\n--{boundary}".encode()  # its own line break is no part's (RFC 2046, section 5.1.1)
    first, second = part(text, "plain"), part(html, "html")
    return b"".join((head.encode(), between[2:], b"\r\n", first, between, b"\r\n", second, between, b"--\r\n"))


def header(name: str, value: str) -> str:
    """Return one header with its line's end; encoded where it is not ASCII (RFC 2047), folded where it is long."""
    if len(name) + 2 + len(value) <= USUAL_LINE and value.isascii() and value.isprintable():
        return f"{name}: {value}\r\n"
    charset = "us-ascii" if value.isascii() else "utf-8"
    return f"{name}: {Header(value, charset, header_name=name).encode(linesep=chr(13) + chr(10))}\r\n"


def part(text: str, subtype: str) -> bytes:
    """Return headers and body of one part; the body's last line has its end."""
    octets = text.encode()
    lines = octets.splitlines()
    if octets.isascii() and b"\0" not in octets and max(map(len, lines), default=0) <= LONGEST_LINE:
        encoding, body = "7bit", b"\r\n".join(lines)
    else:
        encoding, body = "quoted-printable", b2a_qp(b"\n".join(lines), istext=True).replace(b"\n", b"\r\n")
    head = f'Content-Type: text/{subtype}; charset="utf-8"\r\nContent-Transfer-Encoding: {encoding}\r\n\r\n'
    return head.encode() + body + b"\r\n"
