"""A stolen database or stolen logs contain nothing that signs anyone in."""

from __future__ import annotations

import io
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import unquote

import pytest
import structlog

from app import observability
from app.sessions.models import AuthSession
from tests.databases import content_of
from tests.sinks import link_in


@pytest.fixture
def secrets(wire, json_wire, ada, code_for, smtp) -> dict[str, str]:
    """All secrets of two sign-ins, one of them pending."""
    open_code = code_for(ada.email, by=wire)
    token = unquote(link_in(smtp.mails[0]).partition("=")[2])
    other = json_wire.elsewhere()
    used_code = code_for(ada.email, by=other)
    answer = other.post("/us-signin?include_auth_token", identity=ada.email, passcode=used_code)
    cookies = {
        f"{name} of {kind}": value
        for kind, by in (("wire", wire), ("other", other))
        for name, value in by.cookies.items()
        if "flash" not in name
    }
    return cookies | {
        "open code": open_code,
        "used code": used_code,
        "link": token,
        "link's secret": token.split(".")[3],
        "link's mac": token.split(".")[4],
        "program's token": answer.json["user"]["authentication_token"],
        "csrf token": answer.json["csrf_token"],
    }


def dump(database) -> str:
    """Return all that the database holds, as text."""
    return "\n".join(repr(database.query(f'SELECT * FROM "{table}"')) for table in database._tables)


def test_database_contains_no_usable_secrets(secrets, database):
    kept = dump(database)
    assert "ada@example.com" in kept
    assert [name for name, value in secrets.items() if value in kept] == []


@pytest.mark.one_database  # SQLite's, which is a file
def test_data_directory_files_contain_no_usable_secrets(secrets, database):
    files = Path(database.url.removeprefix("sqlite:///")).parent.iterdir()
    contents = {file.name: content_of(file) for file in files if file.is_file()}
    found = [
        (file, name) for file, kept in contents.items() for name, value in secrets.items() if value.encode() in kept
    ]
    assert any(contents.values())
    assert found == []


def test_stored_session_values_are_not_accepted_as_cookies(secrets, wire, rows):
    for session in rows(AuthSession):
        for value in (session.digest, session.session_id, str(session.id)):
            thief = wire.elsewhere()
            thief.client.set_cookie("latchkey_session", value, domain="localhost")
            assert thief.signed_in_as() is None


@pytest.fixture
def said(app, monkeypatch) -> Iterator[Callable[[], str]]:
    """Logging at its loudest, as JSON; what was said so far."""
    before, handlers = structlog.get_config(), logging.root.handlers[:]
    file = io.TextIOWrapper(io.BytesIO(), write_through=True)
    monkeypatch.setattr("sys.stderr", file)
    observability.configure_logging("debug", "json")
    yield lambda: file.buffer.getvalue().decode()
    structlog.configure(**before)
    monkeypatch.undo()
    observability.bind_request_log()
    logging.root.handlers[:] = handlers


def test_logs_contain_no_secrets(said, request, wire):
    secrets = request.getfixturevalue("secrets")
    wrong = secrets["open code"][::-1]
    wire.post("/us-signin", identity="ada@example.com", passcode=wrong)
    for path in (f"/us-verify-link?token={secrets['link']}", f"/confirm/{secrets['link']}"):
        wire.get(path)
    assert "/us-verify-link" in said()
    assert [name for name, value in secrets.items() if value in said()] == []
    assert wrong not in said()
    assert "ada@example.com" not in said()


def test_server_error_leaks_no_secret_to_log_or_response(said, wire, ada, code_for, monkeypatch):
    def fail(*args, **kwargs):
        raise RuntimeError("something broke")

    code = code_for(ada.email)
    monkeypatch.setattr("app.login.pipeline.create_session", fail)
    answer = wire.post("/us-signin", identity=ada.email, passcode=code)
    assert answer.status == 500
    assert "something broke" in said()
    assert code not in said()
    for leak in ("Traceback", "something broke", "/app/", code):
        assert leak not in answer.text


def test_code_still_works_after_a_server_error(wire, ada, code_for, monkeypatch):
    code = code_for(ada.email)
    with monkeypatch.context() as broken:
        broken.setattr("app.login.pipeline.create_session", lambda *a, **k: 1 / 0)
        assert wire.post("/us-signin", identity=ada.email, passcode=code).status == 500
    assert wire.signed_in_as() is None
    assert wire.post("/us-signin", identity=ada.email, passcode=code).ok


def test_newline_in_the_identity_cannot_forge_a_log_line(said, wire):
    wire.elsewhere(agent="x").post("/us-signin", identity="a@example.com\nforged=1", passcode="1")
    assert "\nforged=1" not in said()


def test_response_never_echoes_the_passcode(wire, ada):
    for passcode in ("48151623", "a passcode of some kind"):
        answer = wire.post("/us-signin", identity=ada.email, passcode=passcode)
        assert passcode not in answer.text
