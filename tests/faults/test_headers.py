"""Raw bytes sent to the real server: headers are parsed as RFC 9110 and PEP 3333 require."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Iterator

import pytest

from tests.faults.accounts import open_one
from tests.faults.visitors import code_for
from tests.serving import Server

ADA = "ada@example.com"
HIGH = [b"\xc3\xbc", b"\xfc", b"\xff\xfe", "日本".encode(), b"\x80" * 200]

pytestmark = pytest.mark.one_database


@pytest.fixture(scope="module")
def database(databases):
    """A database in SQLite, with Ada's account. All tests of this module share it, and the server."""
    made = databases.fresh("sqlite")
    open_one(made, email=ADA, methods=["email"])
    yield made
    made.disconnect()


@pytest.fixture(scope="module")
def server(database, smtp_server, sms_provider, tmp_path_factory) -> Iterator[Server]:
    from tests.serving import environment_of, free_port

    port, directory = free_port(), tmp_path_factory.mktemp("headers")
    environment = environment_of(database, port, directory, smtp_server, sms_provider)
    environment |= {"LATCHKEY_TRUSTED_PROXIES": "1", "LATCHKEY_LIMITS": "off"}
    made = Server(environment, directory / "server.log", port=port, workers=1)
    yield made.start()
    made.kill()


def ask(server: Server, method: str, path: str, *lines: bytes, body: bytes = b"", host: bool = True) -> bytes:
    """Send a request with exactly these header lines; return the whole response."""
    head = [f"{method} {path} HTTP/1.1".encode(), b"Connection: close", *lines]
    if host:
        head.append(f"Host: 127.0.0.1:{server.port}".encode())
    if body:
        head.append(b"Content-Length: %d" % len(body))
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as connection:
        connection.sendall(b"\r\n".join([*head, b"", body]))
        return connection.makefile("rb").read()


def status_of(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])


def post(server: Server, path: str, cookies: bytes, **fields: str) -> bytes:
    """Post JSON as a browser with these cookies."""
    lines = (b"Content-Type: application/json", b"Accept: application/json", b"Cookie: " + cookies)
    return ask(server, "POST", path, *lines, body=json.dumps(fields).encode())


def response(answer: bytes) -> dict:
    return json.loads(answer.partition(b"\r\n\r\n")[2])["response"]


def cookies_of(answer: bytes) -> bytes:
    return b"; ".join(re.findall(rb"set-cookie: (latchkey_[a-z]+=[^;]+);", answer, re.IGNORECASE))


@pytest.mark.parametrize(
    "foreign",
    [b"theme=\xc3\xbc", b"theme=\xfc\xff", b"a b=c", b'a="b', b'a="b"c; d="', b"=; ;;", b"a", b"\xc3\xbc=\xc3\xbc"],
    ids=repr,
)
@pytest.mark.parametrize("where", ["before", "after", "between", "between quotes", "in a line of its own"])
def test_malformed_foreign_cookies_do_not_hide_our_cookies(server, smtp_server, foreign, where):
    def sent(ours: bytes) -> bytes:
        lines = {
            "before": foreign + b"; " + ours,
            "after": ours + b"; " + foreign,
            "between": foreign + b"; " + ours + b'; e="f"; ' + foreign,
            "between quotes": b'e="f; ' + ours + b'; g=h"; ' + foreign,
            "in a line of its own": foreign + b"\r\nCookie: " + ours,
        }
        return lines[where]

    first = ask(server, "GET", "/us-signin", b"Accept: application/json", b"Cookie: " + foreign)
    ours, since = cookies_of(first), len(smtp_server.mails)
    token = response(first)["csrf_token"]
    asked = post(server, "/us-signin/send-code", sent(ours), identity=ADA, chosen_method="email", csrf_token=token)
    assert status_of(asked) == 200, asked
    code = code_for(ADA, smtp_server, since, 10)
    token, ours = response(asked)["csrf_token"], cookies_of(asked)
    signed_in = post(server, "/us-signin", sent(ours), identity=ADA, passcode=code, csrf_token=token)
    assert status_of(signed_in) == 200, signed_in
    session = cookies_of(signed_in)
    assert response(ask(server, "GET", "/", b"Accept: application/json", b"Cookie: " + sent(session)))["user"]


NAMES = [
    b"Accept", b"Accept-Language", b"Authentication-Token", b"Authorization", b"Content-Type", b"Cookie", b"Host",
    b"Forwarded", b"Idempotency-Key", b"If-Modified-Since", b"If-None-Match", b"Origin", b"Purpose", b"Range",
    b"Referer", b"Sec-Fetch-Mode", b"Sec-Fetch-Site", b"Sec-Purpose", b"User-Agent", b"X-CSRF-Token", b"X-CSRFToken",
    b"X-Forwarded-For", b"X-Forwarded-Proto", b"X-Request-ID", b"X-Requested-With", b"X-Unknown",
]  # fmt: skip


@pytest.mark.parametrize("name", NAMES, ids=lambda name: name.decode())
def test_non_ascii_bytes_in_any_header_cause_no_server_error(server, name):
    requests = [
        ("GET", "/us-signin"),
        ("GET", "/static/house.css"),
        ("POST", "/us-signin/send-code"),
        ("POST", "/login"),
    ]
    for high in HIGH:
        for method, path in requests:
            body = b'{"identity": "ada@example.com"}' if method == "POST" else b""
            kind = [b"Content-Type: application/json"] if body and name != b"Content-Type" else []
            line = name + b": " + high
            status = status_of(ask(server, method, path, line, *kind, body=body, host=name != b"Host"))
            assert status < 500, (high, method, path)


def addresses(server: Server) -> list[str]:
    """Return the IP addresses in the log of requests for sign-in pages."""
    lines = [json.loads(line) for line in server.output.splitlines() if line.startswith("{")]
    return [line["address"] for line in lines if line["event"] == "request" and line["route"] == "/us-signin"]


@pytest.mark.parametrize(
    ("lines", "address"),
    [
        ([b"X-Forwarded-For: 203.0.113.9"], "203.0.113.9"),
        ([b"X-Forwarded-For: 203.0.113.9", b"X_Forwarded_For: 198.51.100.6"], "203.0.113.9"),
        ([b"X_Forwarded_For: 198.51.100.6", b"X-Forwarded-For: 203.0.113.9"], "203.0.113.9"),
        ([b"X-Forwarded_For: 198.51.100.6", b"x-forwarded-for: 203.0.113.9"], "203.0.113.9"),
        ([b"X_Forwarded_For: 198.51.100.6"], "unknown"),
        ([b"X-Forwarded-For: 198.51.100.6, 203.0.113.9"], "203.0.113.9"),
        ([b"X-Forwarded-For: 198.51.100.6", b"X-Forwarded-For: 203.0.113.9"], "203.0.113.9"),
        ([b"X-Forwarded-For: 198.51.100.6, \xc3\xbc", b"X-Forwarded-For: 203.0.113.9"], "203.0.113.9"),
        ([b"X-Forwarded-For: \xfc, 203.0.113.9:51008"], "203.0.113.9"),
        ([b"X-Forwarded-For: 198.51.100.6, [2001:db8::5]:443"], "2001:db8::5"),
        ([b"X-Forwarded-For: 203.0.113.9, \xfc"], "unknown"),
        ([b"Forwarded: for=198.51.100.6", b"X-Real-IP: 198.51.100.6"], "unknown"),
    ],
    ids=repr,
)
def test_client_address_is_the_one_the_trusted_proxy_reports(server, lines, address):
    assert status_of(ask(server, "GET", "/us-signin", *lines)) == 200
    assert addresses(server)[-1] == address


def test_unreadable_forwarded_address_is_logged_once_without_its_value(server):
    for _ in range(3):
        ask(server, "GET", "/us-signin", b"X-Forwarded-For: 198.51.100.6, my-own-words")
    said = [line for line in server.output.splitlines() if "request.address_unknown" in line and "unreadable" in line]
    assert len(said) == 1
    assert json.loads(said[0]).items() >= {("level", "warning"), ("trusted_proxies", 1)}
    assert "my-own-words" not in server.output


SECURITY = {
    b"x-content-type-options": b"nosniff",
    b"cache-control": b"no-store",
    b"referrer-policy": b"same-origin",
    b"cross-origin-resource-policy": b"same-origin",
    b"content-security-policy": b"default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
}
CHUNKED = (b"Transfer-Encoding: chunked", b"Content-Type: application/json")


def headers_of(answer: bytes) -> dict[bytes, bytes]:
    lines = answer.partition(b"\r\n\r\n")[0].split(b"\r\n")[1:]
    return {name.lower(): value for name, _, value in (line.partition(b": ") for line in lines)}


@pytest.mark.parametrize(
    ("lines", "status"),
    [(CHUNKED, 411), ([b"Host: evil.example"], 400), ([b"Content-Length: 99999999"], 413)],
    ids=["411", "400", "413"],
)
def test_requests_rejected_before_the_app_carry_security_headers(server, lines, status):
    answer = ask(server, "POST", "/us-signin/send-code", b"Accept: application/json", *lines)
    assert status_of(answer) == status
    assert headers_of(answer).items() >= SECURITY.items()


def test_truncated_body_is_rejected_with_security_headers(server):
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as connection:
        connection.sendall(b"POST /login HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nContent-Length: 9\r\n\r\nhalf" % server.port)
        connection.shutdown(socket.SHUT_WR)
        answer = connection.makefile("rb").read()
    assert status_of(answer) == 400
    assert headers_of(answer).items() >= SECURITY.items()


@pytest.mark.long
def test_body_timeout_returns_408_with_security_headers(server):
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as connection:
        connection.sendall(b"POST /login HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nContent-Length: 9\r\n\r\nhalf" % server.port)
        answer = connection.makefile("rb").read()  # until the server closes the connection
    assert status_of(answer) == 408
    assert headers_of(answer).items() >= SECURITY.items()


@pytest.mark.parametrize(
    ("line", "status"),
    [(b"X-Long: " + b"x" * 300_000, 431), (b"No colon", 400), (b"X : y", 400), (b"X: a\x00b", 400)],
    ids=["431", "no colon", "blank before a colon", "nul"],
)
def test_requests_rejected_by_the_http_server_have_an_empty_body(server, line, status):
    head, _, body = ask(server, "GET", "/us-signin", line).partition(b"\r\n\r\n")
    assert status_of(head) == status
    assert body == b""
    assert b"content-type" not in head.lower()
