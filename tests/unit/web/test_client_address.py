"""The client's IP address, in every notation that proxies use."""

from __future__ import annotations

import pytest

from app.web.client import client_address

FORGED = "198.51.100.6"


def behind(entries: str, proxies: int = 1) -> str:
    """Return the address of a caller whose request came with these X-Forwarded-For entries."""
    return client_address({"REMOTE_ADDR": "10.0.0.1", "HTTP_X_FORWARDED_FOR": entries}, proxies)


@pytest.mark.parametrize(
    ("entry", "address"),
    [
        ("203.0.113.9", "203.0.113.9"),
        ("203.0.113.9:51008", "203.0.113.9"),
        ("2001:db8::5", "2001:db8::5"),
        ("2001:DB8:0:0:0:0:0:5", "2001:db8::5"),
        ("[2001:db8::5]", "2001:db8::5"),
        ("[2001:db8::5]:443", "2001:db8::5"),
        ("fe80::1%eth0", "fe80::1"),
        ("[fe80::1%25eth0]:443", "fe80::1"),
        ("::ffff:203.0.113.9", "203.0.113.9"),
        ("[::ffff:203.0.113.9]:51008", "203.0.113.9"),
    ],
)
def test_ports_brackets_and_zones_are_removed(entry, address):
    assert behind(f"{FORGED}, {entry}") == address


@pytest.mark.parametrize(
    "entry",
    [
        "unknown", "_hidden", "for=203.0.113.9", 'for="[2001:db8::5]"', "203.0.113.300", "203.0.113.9:",
        "203.0.113.9:x", "203.0.113.9:123456", "203.0.113.9:٤٤٣",
        "[203.0.113.9]", "[2001:db8::5", "2001:db8::5]", "[2001:db8::5]443",
        "[2001:db8::5]:", "[]", "203.0.113.9 203.0.113.8", "login.example.com:443", "\xfc",
    ],
)  # fmt: skip
def test_invalid_forwarded_entry_is_unknown(entry):
    assert behind(f"{FORGED}, {entry}") == "unknown"


@pytest.mark.parametrize(
    ("entries", "proxies", "address"),
    [
        ("203.0.113.9", 1, "203.0.113.9"),
        (f"{FORGED}, 203.0.113.9", 1, "203.0.113.9"),
        (f"{FORGED}, {FORGED}, 203.0.113.9", 1, "203.0.113.9"),
        ("203.0.113.9, 10.0.0.2", 2, "203.0.113.9"),
        (f"{FORGED}, 203.0.113.9, 10.0.0.2", 2, "203.0.113.9"),
        (f"{FORGED}, {FORGED}, 203.0.113.9:1, [2001:db8::2]:443", 2, "203.0.113.9"),
        (f"{FORGED},, ,203.0.113.9 , ", 1, "203.0.113.9"),
        ("203.0.113.9", 2, "unknown"),
        ("", 1, "unknown"),
    ],
)
def test_forwarded_entries_are_counted_from_the_right(entries, proxies, address):
    assert behind(entries, proxies) == address


def test_forwarded_entries_are_ignored_without_a_trusted_proxy():
    assert behind(FORGED, 0) == "10.0.0.1"


@pytest.mark.parametrize("environ", [{}, {"REMOTE_ADDR": ""}], ids=["none", "empty"])
def test_missing_remote_addr_is_unknown(environ):
    assert client_address(environ, 0) == "unknown"
    assert client_address(environ | {"HTTP_X_FORWARDED_FOR": "203.0.113.9"}, 1) == "203.0.113.9"
