"""A request's WSGI environment, from its raw bytes."""

from __future__ import annotations

import pytest

from app.serving.asgi import AmbiguousRequest, add_headers, environ_of

SCOPE = {
    "type": "http",
    "method": "GET",
    "path": "/",
    "raw_path": b"/",
    "query_string": b"",
    "http_version": "1.1",
    "scheme": "http",
    "server": ("127.0.0.1", "8000"),
    "client": ("192.0.2.7", "51234"),
    "headers": [],
}


def headers(*lines: tuple[bytes, bytes]) -> dict[str, str]:
    """Return the variables of these headers."""
    environ: dict[str, str] = {}
    add_headers(environ, lines)
    return environ


@pytest.mark.parametrize(
    "name", [b"x_forwarded_for", b"x-forwarded_for", b"x_forwarded-for", b"authentication_token", b"content_length"]
)
def test_header_name_with_an_underscore_is_dropped(name):
    assert headers((name, b"198.51.100.6")) == {}


def test_header_with_an_underscore_does_not_affect_the_one_with_a_hyphen():
    forged, true = (b"x_forwarded_for", b"198.51.100.6"), (b"x-forwarded-for", b"203.0.113.9")
    assert headers(forged, true) == headers(true, forged) == {"HTTP_X_FORWARDED_FOR": "203.0.113.9"}


def test_header_values_are_decoded_as_latin_1():
    assert headers((b"cookie", b"a=\xc3\xbc; b=\xfc")) == {"HTTP_COOKIE": "a=\xc3\xbc; b=\xfc"}


def test_repeated_headers_are_joined_in_order():
    lines = [(b"x-forwarded-for", b"192.0.2.1"), (b"cookie", b"a=b"), (b"x-forwarded-for", b"192.0.2.2, 192.0.2.3")]
    assert headers(*lines, (b"cookie", b"c=d")) == {
        "HTTP_X_FORWARDED_FOR": "192.0.2.1, 192.0.2.2, 192.0.2.3",
        "HTTP_COOKIE": "a=b; c=d",
    }


def test_content_length_and_type_have_no_http_prefix():
    assert headers((b"content-type", b"a/b"), (b"content-length", b"5"), (b"content-length", b"5")) == {
        "CONTENT_TYPE": "a/b",
        "CONTENT_LENGTH": "5",
    }


@pytest.mark.parametrize("name", [b"host", b"content-length", b"content-type"])
def test_conflicting_single_value_headers_are_rejected(name):
    with pytest.raises(AmbiguousRequest):
        headers((name, b"5"), (name, b"6"))


def test_path_and_query_are_latin_1_strings():
    environ = environ_of(SCOPE | {"raw_path": b"/a%C3%BC%2Fb\xff", "query_string": b"x=%C3%BC\xfc"})
    assert (environ["PATH_INFO"], environ["QUERY_STRING"]) == ("/a\xc3\xbc/b\xff", "x=%C3%BC\xfc")


@pytest.mark.parametrize(("client", "address"), [(("192.0.2.7", "51234"), "192.0.2.7"), (None, ""), (("", 0), "")])
def test_unix_socket_client_has_an_empty_remote_addr(client, address):
    assert environ_of(SCOPE | {"client": client, "server": None})["REMOTE_ADDR"] == address
