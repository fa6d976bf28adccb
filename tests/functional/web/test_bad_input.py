"""Invalid input at every path: an error in the envelope or on a page, nothing stored, never a 500.

What is refused before a form sees it is sent to each path in some of its variants (``shared_out``).
"""

from __future__ import annotations

import itertools
import json

import pytest

from tests.functional.admin.conftest import make_administrator
from tests.functional.web.conftest import addresses, shared_out, wants_signed_in
from tests.signed_in import sign_in

pytestmark = pytest.mark.settings(limits=False)

NESTED = 5000
UNREADABLE = {
    "no JSON": b"{",
    "a form": b"identity=ada&passcode=1",
    "nothing but a name": b"identity",
    "two objects": b"{}{}",
    "a trailing comma": b'{"a": 1,}',
    "single quotes": b"{'a': 1}",
    "NaN": b'{"passcode": NaN}',
    "Infinity": b'{"passcode": -Infinity}',
    "a NUL": b'{"identity": "a\x00b"}',
    "an escaped NUL": b'{"identity": "a\\u0000b"}',
    "a NUL in a name": b'{"a\\u0000b": 1}',
    "a lone surrogate": b'{"identity": "\\ud800"}',
    "a surrogate in a name": b'{"\\udfff": "x"}',
    "surrogates the wrong way round": b'{"identity": "\\udc00\\ud800"}',
    "a raw surrogate": b'{"identity": "\xed\xa0\x80"}',
    "no UTF-8": b'{"identity": "\xff\xfe"}',
    "UTF-16": '{"identity": "ada"}'.encode("utf-16"),
    "UTF-16 without a mark": '{"identity": "ada"}'.encode("utf-16-le"),
    "UTF-32": '{"identity": "ada"}'.encode("utf-32"),
    "a byte order mark": b'\xef\xbb\xbf{"identity": "ada"}',
    "a name twice": b'{"identity": "a", "identity": "b"}',
    "a name twice inside": b'{"identity": {"a": 1, "a": 2}}',
    "deep lists": b'{"identity": ' + b"[" * NESTED + b"]" * NESTED + b"}",
    "deep objects": b'{"a":' * NESTED + b"1" + b"}" * NESTED,
    "deep and unfinished": b"[" * NESTED,
    "33 levels": b'{"a":' * 33 + b"1" + b"}" * 33,
    "a very long number": b'{"passcode": ' + b"9" * 5000 + b"}",
    "a control character": b'{"identity": "a\nb"}',
}
NO_OBJECT = {"a list": b"[1, 2]", "pairs": b'[["identity", "ada"]]', "text": b'"x"', "a number": b"5", "true": b"true"}
ODD = [
    5,
    -5,
    0,
    1.5,
    1e308,
    10**400,
    True,
    False,
    None,
    "",
    " ",
    "\u202e",
    "x" * 4000,
    "🔑" * 500,
    "a\r\nb",
    "%00",
    "'--",
    [],
    [[]],
    [None],
    [1, "a"],
    {},
    {"a": 1},
    {"$gt": ""},
]
BUTTONS = (
    "/admin/invitations",
    "/admin/outbox/retry",
    "/logout",
    "/mf-recovery-codes",
    "/my-data/export",
    "/oauth/logout/confirm",
    "/passkey-offer/not-now",
    "/recover/stop",
    "/sessions/end-others",
    "/tokens/revoke-all",
    "/wan-register",
    "/wan-signin",
)
"""What needs nothing filled in."""

BUTTONS_OF_NOTHING = (
    "/known-browsers/x/ask-again",
    "/known-browsers/x/forget",
    "/admin/invitations/x/revoke",
    "/invite/x",
    "/my-data/undo/x",
    "/recover/cancel/x",
    "/sessions/x/end",
    "/sign-in-link/x",
    "/tokens/x/revoke",
)
"""The same, of something that is not there."""

FORMS_OF_NOTHING = (
    "/admin/groups/x/members",
    "/admin/people/x/groups",
)
"""The same with something to fill in, which is looked at first."""


def is_of_nothing(path: str) -> bool:
    """Return whether a path refers to something that doesn't exist."""
    return path in BUTTONS_OF_NOTHING or (
        path.startswith(tuple(f"/admin/{kind}/x/" for kind in ("groups", "outbox", "people", "webhooks")))
        and path not in FORMS_OF_NOTHING
    )


FIELDS = (
    "identity",
    "passcode",
    "email",
    "phone",
    "chosen_method",
    "delete_method",
    "next",
    "challenge",
    "remember",
    "password",
    "password_confirm",
    "token",
    "csrf_token",
)

TYPED = {
    "identity": "nobody@example.com",
    "email": "nobody@example.com",
    "chosen_method": "email",
    "passcode": "12345678",
}


def refused_as_json(answer, status: int, code: str) -> bool:
    """Return whether a response is an error envelope."""
    body = answer.get_json()
    told = body["response"]
    return (answer.status_code, body["meta"]["code"], told["error_codes"]) == (status, status, [code]) and all(
        told[key] for key in ("errors", "support_id")
    )


@pytest.fixture
def send(json_wire, people):
    """Sends bytes as JSON, with a valid CSRF token in a header: ``send("/us-signin", b"{")``."""
    json_wire.fetch_csrf()
    ada = make_administrator(json_wire.app, people.open(email="ada@example.com"))
    hers = sign_in(json_wire.elsewhere(), ada)
    hers.fetch_csrf()

    def post(path: str, body: bytes, content_type: str = "application/json", **headers: str):
        client = hers if wants_signed_in(path) else json_wire
        headers = {"X-CSRFToken": client._csrf, "Accept": "application/json"} | headers
        answer = client.client.post(path, data=body, content_type=content_type, headers=headers)
        told = answer.get_json(silent=True) or {}
        client._csrf = told.get("response", {}).get("csrf_token", client._csrf)  # some steps return a new session's
        return answer

    return post


@pytest.mark.one_database
def test_invalid_json_body_is_rejected_everywhere(app, send, unchanged):
    with unchanged():
        for path, name in shared_out(addresses(app, "POST"), list(UNREADABLE), each=5):
            assert refused_as_json(send(path, UNREADABLE[name]), 400, "json_invalid"), (path, name)


@pytest.mark.one_database
def test_json_other_than_an_object_is_rejected_everywhere(app, send, unchanged):
    with unchanged():
        for path, name in shared_out(addresses(app, "POST"), list(NO_OBJECT), each=3):
            assert refused_as_json(send(path, NO_OBJECT[name]), 400, "json_not_an_object"), (path, name)


@pytest.mark.parametrize("body", [b"", b"{}", b" \n", b'{"unknown": {"a": [1, {}]}}'])
@pytest.mark.one_database
def test_body_without_known_fields_is_treated_as_empty_form(app, send, body):
    for path in addresses(app, "POST"):
        answer = send(path, body)
        assert answer.status_code == (200 if path in BUTTONS else 404 if is_of_nothing(path) else 400), path
        assert answer.get_json()["meta"]["code"] == answer.status_code


@pytest.mark.both_databases
def test_json_values_of_any_type_cause_no_server_error(app, database, send):
    half = len(ODD) // 2
    for path, value in shared_out(addresses(app, "POST"), ODD, each=half, first=half * (database.kind == "sqlite")):
        answer = send(path, json.dumps(dict.fromkeys(FIELDS, value)).encode())
        assert answer.status_code < 500, (path, str(value)[:60])
        assert answer.get_json()["meta"]["code"] == answer.status_code


@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.one_database
def test_single_json_value_of_the_wrong_type_causes_no_server_error(app, send, field):
    values = 5, {"a": 1}, "x" * 3000, True, ["a", 1], "\r\n"
    for path, value in shared_out(addresses(app, "POST"), values, each=3, first=FIELDS.index(field)):
        answer = send(path, json.dumps(TYPED | {field: value}).encode())
        assert answer.status_code < 500, (path, field, str(value)[:60])


@pytest.mark.both_databases
@pytest.mark.long
def test_odd_form_values_cause_no_server_error(app, database, people, browser_wire):
    sign_in(browser_wire, people.open(email="ada@example.com"))
    other = browser_wire.elsewhere()
    values = "", "\x00", "a\x00b", "x" * 5000, "🔑" * 200, "\r\n", "%", "\u202e", ["a", "b"] * 40
    forms = [dict.fromkeys(FIELDS[:-1], value) for value in values]
    forms += [TYPED | {"next": value, "phone": value} for value in values]
    first = 9 * (database.kind == "sqlite")
    for path, fields in shared_out(addresses(app, "POST"), forms, each=5, first=first):
        client = browser_wire if wants_signed_in(path) else other
        assert client.post(path, **fields).status < 500, (path, str(fields)[:90])


@pytest.mark.one_database
def test_undecodable_form_bodies_are_rejected_everywhere(app, visitor):
    bodies = b"identity=%ff%fe&email=%ed%a0%80", b"identity=\xff\x00", b"=&=&&==", b"%" * 500, b"\x00" * 50
    kinds = "application/x-www-form-urlencoded", "multipart/form-data", "multipart/form-data; boundary=x"
    for path, (body, kind) in shared_out(addresses(app, "POST"), list(itertools.product(bodies, kinds)), each=4):
        client = visitor(path).client
        assert client.post(path, data=body, content_type=kind).status_code == 400, (path, body, kind)


@pytest.mark.one_database
@pytest.mark.parametrize("kind", ["application/json", "application/x-www-form-urlencoded", "text/plain", ""])
def test_oversized_body_is_rejected_everywhere(app, send, unchanged, kind):
    body = b'{"identity": "' + b"x" * 1_000_000 + b'"}'
    with unchanged():
        for path in addresses(app, "POST"):
            answer = send(path, body, kind)
            if kind == "text/plain" or not kind:
                assert answer.status_code in (400, 413, 200), path
            else:
                assert refused_as_json(answer, 413, "request_entity_too_large"), path


@pytest.mark.one_database
def test_too_many_or_too_large_form_fields_are_rejected(browser_wire):
    browser_wire.fetch_csrf()
    part = b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n'
    for body in (part * 500 + b"--x--\r\n", part.replace(b"1\r\n", b"1" * 65_000 + b"\r\n") * 2 + b"--x--\r\n"):
        answer = browser_wire.client.post("/us-signin", data=body, content_type="multipart/form-data; boundary=x")
        assert answer.status_code == 413
        assert "too many fields" in answer.text
    assert browser_wire.client.post("/us-signin", data={f"f{n}": "x" for n in range(3000)}).status_code == 400


@pytest.mark.one_database
def test_file_upload_is_rejected_as_a_text_field(browser_wire):
    from io import BytesIO

    fields = {"identity": (BytesIO(b"ada@example.com"), "a.txt"), "csrf_token": browser_wire.fetch_csrf()}
    answer = browser_wire.client.post("/us-signin/send-code", data=fields, content_type="multipart/form-data")
    assert answer.status_code == 400


KINDS = [
    "application/json; charset=utf-16",
    "APPLICATION/JSON",
    "application/json;;;",
    "application/json; charset=\xff",
    "application/x-www-form-urlencoded; charset=utf-7",
    "multipart/form-data; boundary=",
    "multipart/form-data; boundary=\xe9",
    "text/html",
    "image/png",
    "a",
    "/",
    ";",
    "application/json, text/html",
    "x" * 5000,
]
"""Content types that nobody sends, or that say too much."""


@pytest.mark.one_database
def test_odd_content_types_cause_no_server_error(app, send):
    bodies = (b"", b"{}", b'{"identity": "ada@example.com"}', b"identity=ada", b"\xff")
    for path, (kind, body) in shared_out(addresses(app, "POST"), list(itertools.product(KINDS, bodies)), each=11):
        assert send(path, body, kind).status_code < 500, (path, kind[:40], body)


@pytest.mark.one_database
@pytest.mark.parametrize(
    "header", ["Accept", "User-Agent", "Cookie", "Referer", "Content-Language", "Range", "If-None-Match"]
)
def test_odd_headers_cause_no_server_error(app, header):
    for value in (
        "",
        " ",
        "*",
        "*/*;q=x",
        "application/json;q=",
        "application/json;q=1e9",
        ",,,",
        "é",
        "a/b" * 2000,
        "text/*",
        'application/json; x="',
    ):
        client = app.test_client()
        for path in ("/", "/us-signin", "/static/app.css", "/nothing"):
            assert client.get(path, headers={header: value}).status_code < 500, (path, value[:40])
        assert client.post("/us-signin", headers={header: value}).status_code < 500, value[:40]


@pytest.mark.one_database
def test_odd_queries_cause_no_server_error(app, visitor):
    for path in addresses(app, "GET"):
        client = visitor(path).client
        for query in (
            "%00",
            "next=%00",
            "next=%ff",
            "\xff\xfe",
            "token=%ed%a0%80",
            "next=//x",
            "=",
            "&" * 500,
            "token=" + "x" * 5000,
        ):
            answer = client.get(path, environ_overrides={"QUERY_STRING": query})
            assert answer.status_code < 500, (path, query)


@pytest.mark.one_database
@pytest.mark.parametrize("query", ["\xff\xfe", "next=/%41\xed\xa0\x80"])
def test_undecodable_query_is_rejected_everywhere(app, visitor, unchanged, query):
    with unchanged():
        for method in ("GET", "POST"):
            for path in addresses(app, method):
                answer = app.test_client().open(path, method=method, environ_overrides={"QUERY_STRING": query})
                assert answer.status_code == 400, path


@pytest.mark.one_database
@pytest.mark.parametrize(
    "path",
    [
        "/%00",
        "/%ff",
        "/us-setup/%ff",
        "/confirm/%00",
        "/%2e%2e/%2e%2e/etc/passwd",
        "//evil.example",
        "/static/../app.css",
        "/static/%2e%2e/__init__.py",
        "/static/%00",
        "/us-signin/",
        "/" + "a" * 9000,
    ],
)
def test_odd_paths_and_methods_cause_no_server_error(app, path):
    for method in ("GET", "POST", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "PROPFIND"):
        assert app.test_client().open(path, method=method).status_code < 500, method


@pytest.mark.one_database
@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "localhost.evil.example",
        "localhost@evil.example",
        "evil.example:80",
        "",
        " ",
        "localhost,evil",
        "[::1",
        "[evil]",
        "localhost:port",
        "é",
        "local host",
        "\x00",
        "localhost/x",
        "127.0.0.1.evil.example",
    ],
)
def test_unknown_host_is_rejected(client, host, unchanged):
    with unchanged():
        for path in ("/", "/us-signin", "/static/app.css", "/nothing"):
            answer = client.get(path, environ_overrides={"HTTP_HOST": host})
            if host != "localhost:port":
                assert answer.status_code == 400, path
            assert answer.status_code < 500
            assert "evil" not in answer.headers.get("Location", "")


@pytest.mark.one_database
def test_unknown_host_error_is_json_for_api_clients(client):
    answer = client.get("/us-signin", headers={"Accept": "application/json", "Host": "evil.example"})
    assert refused_as_json(answer, 400, "host_unknown")


@pytest.mark.one_database
@pytest.mark.parametrize(
    "header",
    [
        "X-Forwarded-Host",
        "X-Forwarded-Proto",
        "X-Forwarded-Port",
        "X-Forwarded-Prefix",
        "X-Forwarded-For",
        "Forwarded",
        "X-Original-URL",
        "X-Rewrite-URL",
        "X-HTTP-Method-Override",
    ],
)
def test_forwarding_headers_of_untrusted_clients_are_ignored(browser_wire, people, mail_to, header):
    ada = people.open(email="ada@example.com")
    claimed = {header: "host=evil.example;proto=https" if header == "Forwarded" else "evil.example"}
    token = browser_wire.fetch_csrf()
    fields = {"identity": ada.email, "chosen_method": "email"}
    assert browser_wire.post("/us-signin/send-code", csrf=token, headers=claimed, **fields).ok
    mail = mail_to(ada.email)
    assert "evil" not in mail.text + mail.html
    assert browser_wire.get("/us-setup", headers=claimed).location == "/login?next=%2Fus-setup"


@pytest.mark.one_database
def test_default_port_in_host_header_is_accepted(make_app, client):
    production = make_app(**PRODUCTION, allowed_hosts=["other.example.com", "third.example.com:8443"]).test_client()
    for host, status in (
        ("id.example.com:443", 200),
        ("OTHER.example.com:443", 200),
        ("id.example.com:80", 400),
        ("id.example.com:", 400),
        ("third.example.com:443", 400),
        ("evil.example:443", 400),
    ):
        assert production.get("/us-signin", headers={"Host": host}).status_code == status, host


@pytest.mark.one_database
def test_internationalized_host_name_is_accepted_in_punycode(make_app):
    production = make_app(**PRODUCTION | {"public_url": "https://Zürich.example."}).test_client()
    for host, status in (("xn--zrich-kva.example", 200), ("zrich.example", 400)):
        assert production.get("/us-signin", headers={"Host": host}).status_code == status, host


@pytest.mark.one_database
def test_other_port_of_our_host_is_rejected_in_production(make_app, client):
    production = make_app(**PRODUCTION).test_client()
    for host, status in (
        ("id.example.com", 200),
        ("id.example.com:8443", 400),
        ("localhost", 400),
        ("ID.EXAMPLE.COM", 200),
    ):
        assert production.get("/us-signin", headers={"Host": host}).status_code == status, host


PRODUCTION = {
    "environment": "production",
    "public_url": "https://id.example.com",
    "mail_url": "smtp+starttls://127.0.0.1:2525",
    "sms_url": "https://sms.example.com/messages",
}


@pytest.mark.one_database
@pytest.mark.parametrize(
    ("path", "fields"),
    [
        ("/us-setup", {"delete_method": None}),
        ("/tokens", {"name": "Nightly", "expires_in_days": 30, "scopes": None}),
        ("/recover/complete", {"proof": "x", "lost": None}),
    ],
)
@pytest.mark.settings(personal_tokens=5)
def test_overlong_list_is_rejected_at_constant_query_cost(wire, people, statements, path, fields):
    from tests.signed_in import sign_in

    here = wire if path.startswith("/recover") else sign_in(wire, people.open(email="ada@example.com"))
    (name,) = [name for name, value in fields.items() if value is None]
    here.fetch_csrf()
    counts = {}
    for most in (33, 3000):  # as a form, 3,000 names stay just below the limit of a body
        with statements() as seen:
            answer = here.post(path, **fields | {name: [f"x{number}" for number in range(most)]})
        assert (answer.status, answer.codes) == (400, ["api_error"])
        assert not [statement for statement in seen if not statement.startswith("SELECT")]
        counts[most] = len(seen)
    assert counts[33] == counts[3000] <= 9, "a page that comes again asks for what it shows, and for no name"
