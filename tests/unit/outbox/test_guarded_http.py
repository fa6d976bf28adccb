"""Fetching a URL that a stranger chose: what is connected to, what is read, and for how long."""

from __future__ import annotations

import contextlib
import gzip
import json
import socket
import threading
import time

import pytest

from app.outbox.channels import guarded_http
from app.outbox.channels.guarded_http import NotFetched, fetch_json, is_public, is_public_or_loopback

MOST = 5120


def fetch(url: str, *, within: float = 3.0, allows=is_public_or_loopback):
    return fetch_json(url, most=MOST, within=within, allows=allows)


def reason(url: str, **options) -> str:
    with pytest.raises(NotFetched) as caught:
        fetch(url, **options)
    return caught.value.reason


def test_document_is_fetched(site):
    url = site.publish()
    found = fetch(url)
    assert json.loads(found.body)["client_id"] == url
    assert found.max_age is None


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("max-age=600", 600), ("public, Max-Age=600", 600), ("no-store", 0), ("no-cache, max-age=600", 0),
        ('max-age="60"', 60), ("max-age=soon", None), ("private", None), ("", None), ("max-age=600, max-age=5", 5),
        ("max-age=99999999999999", None),
    ],
)  # fmt: skip
def test_cache_control_sets_max_age(site, header, seconds):
    site.headers["Cache-Control"] = header
    assert fetch(site.publish()).max_age == seconds


# --- where it may be ----------------------------------------------------------------------------

PUBLIC = ["93.184.216.34", "8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8", "2002:808:808::1", "64:ff9b::808:808"]
NOT_PUBLIC = [
    "127.0.0.1", "127.1.2.3", "0.0.0.0", "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "169.254.169.254",
    "100.64.0.1", "192.0.0.1", "192.0.0.192", "192.0.2.1", "198.18.0.1", "198.51.100.1", "203.0.113.1", "224.0.0.1",
    "239.1.1.1",
    "240.0.0.1", "255.255.255.255", "::", "::1", "::7f00:1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "fe80::1",
    "fe80::1%lo", "fec0::1", "fc00::1", "fd12:3456::1", "ff02::1", "2001:db8::1", "2001::1", "2002:7f00:1::1",
    "2002:a00:1::", "2002:c000:c0::", "64:ff9b::c000:c0",
    "64:ff9b::7f00:1", "64:ff9b::a00:1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::808:808", "100::1",
    "4000::1", "5f00::1",
]  # fmt: skip


@pytest.mark.parametrize("address", PUBLIC)
def test_internet_address_is_public(address):
    assert is_public(address)


@pytest.mark.parametrize("address", NOT_PUBLIC)
def test_private_or_reserved_address_is_not_public(address):
    assert not is_public(address)


def test_private_and_unreachable_addresses_have_the_same_error_text():
    assert guarded_http.REASONS["address"] == guarded_http.REASONS["unreachable"]


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "10.0.0.1", "169.254.169.254", "fe80::1", "fd00::1"])
def test_name_resolving_to_a_private_address_is_rejected(site, names, address):
    names["agent.example.com"] = [address]
    assert reason(site.publish(), allows=is_public) == "address"
    assert site.asked == []


def test_name_with_any_private_address_is_rejected(site, names):
    names["agent.example.com"] = ["93.184.216.34", "10.0.0.1"]
    assert reason(site.publish(), allows=is_public) == "address"


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "2130706433", "0x7f.1", "0177.0.0.1", "127.1", "[::1]"])
def test_alternative_spellings_of_loopback_are_rejected(site, host):
    assert reason(f"https://{host}:{site.port}/client.json", allows=is_public) in ("address", "unreachable")
    assert site.asked == []


def test_name_is_resolved_only_once(site, names):
    """A second look-up could have another answer than the one that was checked."""
    answers = [["127.0.0.1"], ["10.0.0.1"]]
    names["agent.example.com"] = lambda: answers.pop(0)
    assert fetch(site.publish()).body
    assert names.asked == ["agent.example.com"]


def test_number_of_tried_addresses_is_limited(site, names, monkeypatch):
    tried = []

    def refusing(address, *_given, **_more):
        tried.append(address[0])
        raise ConnectionRefusedError

    names["agent.example.com"] = [f"127.0.1.{number}" for number in range(100)]
    monkeypatch.setattr(socket, "create_connection", refusing)
    assert reason(site.publish()) == "unreachable"
    assert tried == [f"127.0.1.{number}" for number in range(guarded_http.MAX_ADDRESSES)]


def test_certificate_for_another_host_is_rejected(site, names):
    names["wrong.example.net"] = ["127.0.0.1"]
    assert reason(site.publish(host="wrong.example.net")) == "certificate"
    assert site.asked == []


def test_certificate_of_an_untrusted_ca_is_rejected(site, monkeypatch):
    monkeypatch.delenv("SSL_CERT_FILE")
    assert reason(site.publish()) == "certificate"
    assert site.asked == []


def test_unresolvable_name_and_closed_port_are_unreachable(site, names, monkeypatch):
    def unknown():
        raise socket.gaierror(socket.EAI_NONAME, "unknown")

    names["agent.example.com"] = unknown
    assert reason(site.publish()) == "unreachable"
    assert reason(f"https://{'a' * 64}.example.com/client.json") == "unreachable"
    names["agent.example.com"] = ["127.0.0.1"]
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    assert reason(f"https://agent.example.com:{port}/client.json") == "unreachable"


# --- what it may send ---------------------------------------------------------------------------


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirect_is_not_followed(site, status):
    site.status = status
    site.headers["Location"] = site.publish("/other.json")
    assert reason(site.publish()) == "redirect"
    assert site.asked == ["/client.json"]


@pytest.mark.parametrize("status", [201, 204, 400, 401, 404, 500, 503])
def test_status_other_than_200_is_rejected(site, status):
    site.status = status
    assert reason(site.publish()) == "status"


@pytest.mark.parametrize(
    "kind", ["text/html", "text/json", "application/json5", "application/jsonp", "", "application/x-json", "json"]
)
def test_content_type_other_than_json_is_rejected(site, kind):
    site.headers["Content-Type"] = kind
    assert reason(site.publish()) == "type"


@pytest.mark.parametrize("kind", ["application/json", "application/json; charset=utf-8", "application/cimd+json"])
def test_json_content_type_is_accepted(site, kind):
    site.headers["Content-Type"] = kind
    assert fetch(site.publish()).body


def test_oversized_document_is_rejected_by_content_length(site):
    site.documents["/client.json"] = b"x" * 10_000_000
    assert reason(site.url()) == "large"
    site.documents["/client.json"] = b"x" * (MOST + 1)
    assert reason(site.url()) == "large"
    site.documents["/client.json"] = b"x" * MOST
    assert len(fetch(site.url()).body) == MOST


def test_oversized_document_without_content_length_is_cut_off(site):
    sent = []

    def endless(handler, over):
        start(handler, {"Content-Type": "application/json"})
        while not over.is_set() and len(sent) < 200_000:
            handler.wfile.write(b"x" * 1024)
            sent.append(1)

    site.answer = endless
    assert reason(site.url()) == "large"


def test_oversized_chunked_document_is_cut_off(site):
    def chunks(handler, over):
        handler.protocol_version = "HTTP/1.1"
        start(handler, {"Content-Type": "application/json", "Transfer-Encoding": "chunked"})
        while not over.is_set():
            handler.wfile.write(b"400\r\n" + b"x" * 1024 + b"\r\n")

    site.answer = chunks
    assert reason(site.url()) == "large"


@pytest.mark.parametrize("size", ["-1", "-40000000", "+0x10", "1_0", " 5", "fffffffff"])
def test_malformed_chunk_size_does_not_bypass_the_limit(site, size):
    sent = []

    def endless(handler, over):
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n")
        handler.wfile.write(f"{size}\r\n".encode())
        while not over.is_set() and len(sent) < 200:
            handler.wfile.write(b" " * 65536)
            sent.append(65536)

    site.answer = endless
    assert reason(site.publish()) in ("broken", "large")
    assert len(sent) < 200, "the connection is closed before all of it was taken"


def test_oversized_headers_are_rejected(site):
    def long_header(handler, over):
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n")
        for number in range(90):
            handler.wfile.write(f"X-{number}: {'x' * 60_000}\r\n".encode())
        handler.wfile.write(b"Content-Length: 2\r\n\r\n{}")

    site.answer = long_header
    assert reason(site.publish()) == "broken"


@pytest.mark.parametrize("encoding", ["gzip", "br", "deflate", "zstd", "gzip, identity"])
def test_compressed_response_is_rejected(site, encoding):
    bomb = gzip.compress(b"0" * 3_000_000)
    assert len(bomb) < MOST
    site.documents["/client.json"] = bomb
    site.headers["Content-Encoding"] = encoding
    assert reason(site.url()) == "encoding"


def test_truncated_response_is_rejected(site):
    site.headers["Content-Length"] = "3000"
    assert reason(site.publish()) == "broken"


@pytest.mark.parametrize(
    "said", [b"SSH-2.0\r\n", b"HTTP/1.1 999999999 x\r\n\r\n", b"HTTP/1.1 200 OK\r\n" + b"a" * 70_000]
)
def test_non_http_response_is_rejected(site, said):
    site.answer = lambda handler, over: handler.wfile.write(said)
    assert reason(site.url()) in ("broken", "slow")


# --- deadlines ----------------------------------------------------------------------------------


def timed(*given, within: float = 0.4, **options) -> str:
    """Return the reason, and check that it came in time."""
    began = time.monotonic()
    found = reason(*given, within=within, **options)
    assert time.monotonic() - began < within + 0.5
    return found


def test_silent_server_times_out(site):
    site.answer = lambda handler, over: over.wait(10)
    assert timed(site.url()) == "slow"


def test_slow_body_does_not_extend_the_timeout(site):
    def drip(handler, over):
        start(handler, {"Content-Type": "application/json", "Content-Length": "1000"})
        while not over.wait(0.05):
            handler.wfile.write(b" ")

    site.answer = drip
    assert timed(site.url()) == "slow"


def test_slow_headers_do_not_extend_the_timeout(site):
    def drip(handler, over):
        handler.wfile.write(b"HTTP/1.1 200 OK\r\n")
        while not over.wait(0.05):
            handler.wfile.write(b"X-More: yes\r\n")

    site.answer = drip
    assert timed(site.url()) == "slow"


def test_silent_tls_handshake_does_not_extend_the_timeout(names):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        assert timed(f"https://agent.example.com:{silent.getsockname()[1]}/client.json") == "slow"


def test_slow_tls_handshake_does_not_extend_the_timeout(names):
    over = threading.Event()

    def drip() -> None:
        peer, _ = server.accept()
        with peer, contextlib.suppress(OSError):
            peer.sendall(b"\x16\x03\x03\x40\x00\x02\x00\x3f\xfc")  # a ServerHello of 16 kB begins
            while not over.wait(0.05):
                peer.sendall(b"x")

    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=drip, daemon=True).start()
        assert timed(f"https://agent.example.com:{server.getsockname()[1]}/client.json") == "slow"
        over.set()


def test_slow_name_resolution_does_not_extend_the_timeout(site, names):
    def slow():
        time.sleep(1.5)
        return ["127.0.0.1"]

    names["agent.example.com"] = slow
    assert timed(site.url()) == "slow"


def test_connections_are_closed(site, names, monkeypatch):
    made = []

    class Noted(guarded_http.HTTPSConnection):
        def __init__(self, *given, **more):
            super().__init__(*given, **more)
            made.append(self)

    monkeypatch.setattr(guarded_http, "HTTPSConnection", Noted)
    names["wrong.example.net"] = ["127.0.0.1"]
    fetch(site.publish())
    assert reason(site.url(host="wrong.example.net")) == "certificate"
    site.status = 500
    assert reason(site.url()) == "status"
    assert [each.sock for each in made] == [None] * 3


def start(handler, headers: dict[str, str]) -> None:
    """Send status and headers."""
    handler.send_response(200)
    for name, value in headers.items():
        handler.send_header(name, value)
    handler.end_headers()
