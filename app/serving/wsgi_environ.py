"""A request as WSGI (PEP 3333) has it, made from what ASGI servers hand over: headers as a list of bytes.

Made here, because a server that makes it can't be told how. Names with an underscore are left out: ``X_Forwarded_For``
would be the same variable as ``X-Forwarded-For``, and what a proxy has written would not be told from what a stranger
has. Values are Latin-1, as PEP 3333 wants them, whatever their bytes: RFC 9110 (5.5) allows all above 0x7F.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote_to_bytes

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

BARE: Final = frozenset(("CONTENT_TYPE", "CONTENT_LENGTH"))
"""Headers that CGI (RFC 3875, 4.1) knows without the prefix."""

NO_LIST: Final = frozenset((b"host", b"content-length", b"content-type"))
"""Headers that may stand once: with a second that differs a request can be read in two ways (RFC 9112, 3.2)."""


class AmbiguousRequest(ValueError):
    """A request that can be read in two ways."""


def environ_of(scope: Mapping[str, Any]) -> WSGIEnvironment:
    """Return the variables of a request, its body still to come.

    :param scope: of ASGI's type ``http``
    :raises Ambiguous: when a header stands twice that may not
    """
    host, port = scope["server"] or ("", None)
    client = scope["client"] or ("", 0)
    path = scope.get("raw_path") or scope["path"].encode()
    environ: WSGIEnvironment = {
        "REQUEST_METHOD": scope["method"],
        "SCRIPT_NAME": "",
        "PATH_INFO": unquote_to_bytes(path).decode("latin-1"),
        "QUERY_STRING": scope["query_string"].decode("latin-1"),
        "SERVER_NAME": host,
        "SERVER_PORT": str(port or 0),
        "SERVER_PROTOCOL": f"HTTP/{scope['http_version']}",
        "REMOTE_ADDR": client[0],
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": scope["scheme"],
        "wsgi.input": io.BytesIO(),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
    }
    add_headers(environ, scope["headers"])
    return environ


def add_headers(environ: WSGIEnvironment, headers: Iterable[tuple[bytes, bytes]]) -> None:
    """Add headers to the variables; those of one name are joined in their order (RFC 9110, 5.3).

    :raises Ambiguous: as ``environ_of``
    """
    for raw, value in headers:
        if b"_" in raw:
            continue
        name = raw.decode("latin-1").upper().replace("-", "_")
        if name not in BARE:
            name = f"HTTP_{name}"
        text = value.decode("latin-1")
        before = environ.get(name)
        if before is None:
            environ[name] = text
        elif raw in NO_LIST:
            if before != text or raw == b"host":
                raise AmbiguousRequest(name)
        else:  # cookies are the one list that has semicolons (RFC 9113, 8.2.3)
            environ[name] = f"{before}{'; ' if raw == b'cookie' else ', '}{text}"
