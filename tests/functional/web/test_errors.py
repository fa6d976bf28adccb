"""Errors: one page, one envelope, a support ID, and no internals."""

from __future__ import annotations

import json
import re

import pytest
import sqlalchemy as sa

from app import observability
from tests.functional.web.conftest import addresses

pytestmark = pytest.mark.one_database

INSIDES = (
    "Traceback",
    "File &#34;",
    ".py",
    "SELECT ",
    "sqlite",
    "psycopg",
    "Werkzeug",
    "Flask",
    "werkzeug",
    "debugger",
    "a fault of ours",
)


@pytest.fixture
def broken(monkeypatch):
    """Breaks the page at ``/``: ``broken(ValueError("..."))``."""

    def break_with(fault: Exception) -> None:
        def fail(*_args, **_kwargs):
            raise fault

        monkeypatch.setattr("app.account.views.current_session", fail)

    return break_with


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nothing", 404, "not_found"),
        ("POST", "/nothing", 404, "not_found"),
        ("GET", "/static/nothing.css", 404, "not_found"),
        ("DELETE", "/us-signin", 405, "method_not_allowed"),
        ("PUT", "/", 405, "method_not_allowed"),
        ("TRACE", "/", 405, "method_not_allowed"),
        ("TRACE", "/us-signin", 405, "method_not_allowed"),
    ],
)
def test_errors_are_html_or_json_as_requested(wire, method, path, status, code):
    answer = wire.send(method, path)
    assert answer.status == status
    if wire.language == "json":
        assert answer.codes == [code]
        assert set(answer.json) == {"errors", "error_codes", "support_id"}
    else:
        assert answer.response.mimetype == "text/html"
        assert answer.page.heading
        assert re.search(r"<b class=\"tag\">[2-9A-Z]{8}</b>", answer.text)


def test_trace_is_rejected_everywhere(app, client):
    for path in {*addresses(app, "GET"), *addresses(app, "POST"), "/static/app.css"}:
        answer = client.open(path, method="TRACE", headers={"X-Secret": "s3cr3t"})
        assert answer.status_code == 405, path
        assert "s3cr3t" not in answer.text


def test_405_lists_allowed_methods(client):
    answer = client.get("/logout", headers={"Accept": "application/json"})
    assert set(answer.headers["Allow"].split(", ")) == {"OPTIONS", "POST"}


@pytest.mark.parametrize(
    ("fault", "status", "code"),
    [
        (ValueError("a fault of ours"), 500, "internal_server_error"),
        (RecursionError(), 500, "internal_server_error"),
        (sa.exc.IntegrityError("INSERT INTO user", {}, Exception("a fault of ours")), 500, "internal_server_error"),
        (sa.exc.OperationalError("SELECT 1", {}, Exception("a fault of ours")), 503, "service_unavailable"),
        (sa.exc.TimeoutError("a fault of ours"), 503, "service_unavailable"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else None,
)
def test_server_error_reveals_no_internals(wire, broken, fault, status, code):
    broken(fault)
    answer = wire.get("/")
    assert answer.status == status
    assert [word for word in INSIDES if word in answer.text] == []
    assert wire.language == "form" or answer.codes == [code]
    assert answer.headers.get("Retry-After") == ("2" if status == 503 else None)


def test_error_page_links_back_to_the_failed_page(browser_wire, broken):
    broken(ValueError("a fault of ours"))
    assert browser_wire.get("/?page=2").page.links[-2:] == ["/?page=2", "/"]


def test_pages_reveal_no_implementation_details(app, client):
    for path in [*addresses(app, "GET"), "/nothing", "/static/nothing"]:
        if path != "/openapi.json":
            assert [word for word in INSIDES if word in client.get(path).text] == [], path


def test_unavailable_database_returns_503_on_every_page(wire, people, monkeypatch):
    from tests.signed_in import sign_in

    sign_in(wire, people.open(email="ada@example.com"))

    def gone(*_args, **_kwargs):
        raise sa.exc.OperationalError("SELECT", {}, Exception("gone"))

    monkeypatch.setattr(sa.Engine, "connect", gone)
    more = ["/nothing"] if wire.language == "form" else []
    for path in ("/", "/us-setup", "/sessions", "/activity", "/us-signin", *more):
        answer = wire.send("GET", path)
        assert answer.status == 503, path
        assert answer.headers["Retry-After"] == "2"


@pytest.fixture
def log(monkeypatch):
    """Collects the lines that are logged for requests."""
    lines = []
    collector = type("Log", (), {"info": lambda self, event, **facts: lines.append(facts)})()
    monkeypatch.setitem(observability._bound, "log", collector)
    return lines


def test_log_contains_the_request_id_of_the_response(client, log):
    answer = client.get("/us-signin")
    (line,) = log
    assert len(line["support_id"]) == 8
    assert line["request_id"] == answer.headers["X-Request-Id"]
    assert (line["method"], line["route"], line["status"], line["address"]) == ("GET", "/us-signin", 200, "127.0.0.1")
    assert line["ms"] >= 0


@pytest.mark.settings(trusted_proxies=1)
@pytest.mark.parametrize(
    "given", ["0123456789abcdef" * 2, "5e0a5b1e-7d5c-4a44-9d0c-7bb3ad0b1f10", "a.b_c-d9", "x" * 64]
)
def test_request_id_of_a_trusted_proxy_is_adopted(client, log, given):
    answer = client.get("/us-signin", headers={"X-Request-ID": given})
    assert answer.headers["X-Request-Id"] == given
    assert log[0]["request_id"] == given


@pytest.mark.settings(trusted_proxies=1)
@pytest.mark.parametrize(
    "given", ["", "short", "x" * 65, "twelve chars", "12345678,12345678", "12345678\xfc", "<script>1"]
)
def test_malformed_request_id_is_replaced(client, given):
    answer = client.get("/us-signin", headers={"X-Request-ID": given})
    assert len(answer.headers["X-Request-Id"]) == 32


def test_request_ids_are_unique_and_never_taken_from_clients(client):
    given = client.get("/", headers={"X-Request-Id": "0" * 32}).headers["X-Request-Id"]
    assert given != "0" * 32
    assert given != client.get("/").headers["X-Request-Id"]


def test_log_contains_route_templates_but_no_tokens(client, log):
    for path in ("/confirm/s3cr3t-token", "/us-verify-link?token=s3cr3t-token", "/nothing/s3cr3t-token"):
        client.get(path)
    client.post("/us-signin", json={"identity": "ada@example.com", "passcode": "s3cr3t-token"})
    assert [line["route"] for line in log] == ["/confirm/<token>", "/us-verify-link", "-", "/us-signin"]
    assert "s3cr3t" not in json.dumps(log)
    assert "ada@" not in json.dumps(log)


def test_health_and_readiness_endpoints_report_status(client):
    assert (client.get("/healthz").text, client.get("/readyz").text) == ("ok\n", "ready\n")
    assert client.get("/healthz", headers={"Host": "10.0.0.7:8000"}).status_code == 200


def test_readiness_returns_503_without_database_but_health_stays_ok(client, monkeypatch):
    from app.extensions import db

    def gone(*_args, **_kwargs):
        raise sa.exc.OperationalError("SELECT", {}, Exception("a fault of ours"))

    monkeypatch.setattr(db.session, "connection", gone)
    answer = client.get("/readyz")
    assert (answer.status_code, answer.text, answer.headers["Retry-After"]) == (503, "not ready\n", "2")
    assert client.get("/healthz").status_code == 200


@pytest.fixture
def fresh(app):
    """The application, before it has looked whether tables and keys fit."""
    app.extensions.pop("latchkey.fits_until", None)
    yield app
    app.extensions.pop("latchkey.fits_until", None)


def test_readiness_requires_our_migrations_but_accepts_newer_ones(fresh, client, database):
    [(revision,)] = database.query("SELECT version_num FROM alembic_version")
    try:
        assert [ready_at(fresh, client, each) for each in ("0001", "0000_of_others", "9999", revision)] == [
            (503, "not ready\n"), (503, "not ready\n"), (200, "ready\n"), (200, "ready\n"),
        ]  # fmt: skip
    finally:
        ready_at(fresh, client, revision)


def ready_at(app, client, revision: str) -> tuple[int, str]:
    """Return the answer of /readyz when the tables are at ``revision``, to a process that has not looked yet."""
    from app.extensions import db

    with app.app_context():
        db.session.execute(sa.text("UPDATE alembic_version SET version_num = :revision"), {"revision": revision})
        db.session.commit()
    app.extensions.pop("latchkey.fits_until", None)
    answer = client.get("/readyz")
    return answer.status_code, answer.text


def test_readiness_requires_every_key_in_use(fresh, people, make_app):
    people.open(methods=["email"])
    other = make_app(secret_keys="for-tests-alone-too-9c2e5d71a8f04b36b7d0c3e1f6a59824")
    other.extensions.pop("latchkey.fits_until", None)
    assert fresh.test_client().get("/readyz").status_code == 200
    assert other.test_client().get("/readyz").status_code == 503


def test_successful_schema_check_is_cached(fresh, client, statements):
    client.get("/readyz")
    with statements() as seen:
        client.get("/readyz")
    assert not [each for each in seen if "alembic_version" in each or "enrolled" in each]
