"""Build requests as bytes."""

from typing import Any

import orjson

HOST = "login.example.com"
AGENT = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
_HEAD = f"Host: {HOST}\r\nUser-Agent: {AGENT}\r\nAccept: "


def get(path: str, *, cookies: str = "", accept: str = "application/json", caller: str = "") -> bytes:
    """Return a GET request.

    :param cookies: value of the Cookie header
    :param caller: IP address of the client, as reported by a proxy
    """
    more = f"Cookie: {cookies}\r\n" if cookies else ""
    if caller:
        more += f"X-Forwarded-For: {caller}\r\n"
    return f"GET {path} HTTP/1.1\r\n{_HEAD}{accept}\r\n{more}\r\n".encode()


def post(path: str, body: dict[str, Any], *, cookies: str = "", csrf: str = "", caller: str = "") -> bytes:
    """Return a POST request with a JSON body, as a page's script would send it; ``caller`` as in ``get``."""
    data = orjson.dumps(body)
    more = f"Content-Type: application/json\r\nContent-Length: {len(data)}\r\n"
    if caller:
        more += f"X-Forwarded-For: {caller}\r\n"
    if cookies:
        more += f"Cookie: {cookies}\r\n"
    if csrf:
        more += f"X-CSRF-Token: {csrf}\r\n"
    return f"POST {path} HTTP/1.1\r\n{_HEAD}application/json\r\n{more}\r\n".encode() + data


def cookie_line(cookies: dict[str, str]) -> str:
    """Return cookies as the value of a Cookie header."""
    return "; ".join(f"{name}={value}" for name, value in cookies.items())
