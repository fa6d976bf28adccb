"""docs/webhooks.md: its table matches the code, and its example receivers verify real requests."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from contextlib import contextmanager

import jsonschema
import pytest

from app.webhooks.event_types import ALL, FIELDS
from tests.databases import ROOT
from tests.openapi import document
from tests.requirements import missing, program
from tests.signed_in import sign_in
from tests.sinks import until
from tests.wire import Wire

TEXT = (ROOT / "docs/webhooks.md").read_text()


def test_docs_table_matches_the_event_types():
    rows = re.findall(r"(?m)^\| `([a-z_]+\.[a-z_]+)` \| (.*?) \| (.*?) ?\|$", TEXT)
    assert [name for name, _, _ in rows] == [each.name for each in ALL]
    for (_, says, fields), each in zip(rows, ALL, strict=True):
        assert says == each.description
        assert fields == "; ".join(f"`{name}`: {text}" if text else f"`{name}`" for name, text in each.fields.items())
        assert {name for name, text in each.fields.items() if not text} <= set(FIELDS)
    listed = re.findall(
        r"(?ms)^- `([a-z_]+)`: (.*?)(?=\n- |\n\n)",
        TEXT.partition("In every type")[2],
    )
    assert {name: " ".join(text.split()) for name, text in listed} == FIELDS


def test_posted_event_matches_the_openapi_schema(app, people, add, receiver, posted):
    operation = document()["webhooks"]["event"]["post"]
    schema = operation["requestBody"]["content"]["application/json"]["schema"]
    assert schema["properties"]["type"]["enum"] == [each.name for each in ALL]
    add(receiver)
    sign_in(Wire(app, "form"), people.open(email="ada@example.com", methods=["email"]))
    (hook,) = posted()
    jsonschema.validate(hook.event, schema)
    for header in operation["parameters"]:
        assert re.fullmatch(header["schema"]["pattern"], hook.headers[header["name"]])


def test_event_type_names_follow_the_specification():
    assert [each.name for each in ALL if not re.fullmatch(r"[a-z_]+\.[a-z_]+", each.name)] == []
    assert all(len(each.name) <= 48 for each in ALL)


def test_every_event_type_source_is_recorded_somewhere():
    sources = "".join(path.read_text() for path in (ROOT / "app").rglob("*.py") if path.name != "event_types.py")
    assert [each.source for each in ALL if each.source and f'"{each.source}"' not in sources] == []


def code_of(section: str) -> str:
    """Return the code block in a section."""
    return re.search(rf"(?s)### {section}\n.*?```\w+\n(.*?)```", TEXT)[1]


@contextmanager
def running(command, secret, folder):
    """Run a receiver; yield its address and its output."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    environment = os.environ | {"WEBHOOK_SECRET": secret, "PORT": str(port)}
    output = folder / "output"
    with (
        output.open("w") as out,
        subprocess.Popen(command, env=environment, stdout=out, stderr=out, cwd=ROOT) as process,
    ):
        try:
            until(lambda: listens(port), 20)
            yield f"http://127.0.0.1:{port}/", output
        finally:
            process.kill()


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.mark.parametrize("language", ["Python", "JavaScript"])
def test_documented_receivers_accept_events_once_and_reject_wrong_secrets(
    app, people, add, operate, post_due, rows, tmp_path, language
):
    from app.webhooks.models import WebhookDelivery

    if language == "JavaScript" and not (ROOT / "node_modules/standardwebhooks").exists():
        missing("standardwebhooks is not installed (npm ci)")
    ada = people.open(email="ada@example.com", methods=["email"])
    endpoint = add("http://127.0.0.1:9/", "sign_in.*")
    (script := ROOT / f".webhook-{os.getpid()}.mjs").write_text(
        code_of(f"In {language}")
    )  # node looks for packages there
    command = [sys.executable if language == "Python" else program("node"), str(script)]
    try:
        with running(command, endpoint.secret, tmp_path) as (url, output):
            operate("change", endpoint.id, "--url", url)
            sign_in(Wire(app, "form"), ada)
            assert post_due() == 1
            operate("retry", rows(WebhookDelivery)[0].message_id)
            assert post_due() == 1
            operate("rotate-secret", endpoint.id)
            sign_in(Wire(app, "form"), ada)
            assert post_due() == 1  # by both secrets
            assert [row.last_status for row in rows(WebhookDelivery)] == [204, 204]
            operate("rotate-secret", endpoint.id, "--overlap", "0")
            sign_in(Wire(app, "form"), ada)
            post_due()
            assert rows(WebhookDelivery)[-1].last_status == 401
            lines = [line for line in output.read_text().splitlines() if line.startswith("sign_in")]
    finally:
        script.unlink()
    assert len(lines) == 2  # the one that came twice was dropped


def test_documented_verification_without_library_works(app, people, add, receiver, posted):
    endpoint = add(receiver, "sign_in.*")
    sign_in(Wire(app, "form"), people.open(email="ada@example.com", methods=["email"]))
    (hook,) = posted()
    names: dict = {}
    exec(code_of("Without a library"), names)
    assert names["is_genuine"](endpoint.secret, hook.headers, hook.body)
    assert not names["is_genuine"](endpoint.secret, hook.headers, hook.body + b" ")
    assert not names["is_genuine"](endpoint.secret, hook.headers | {"webhook-timestamp": "1"}, hook.body)
