"""Exports, created as the worker does."""

from __future__ import annotations

import io
import threading
import zipfile

import orjson
import pytest

from tests.signed_in import sign_in


@pytest.fixture
def ada(people):
    """Someone with an account that has data of every kind."""
    return people.open(
        email="ada@example.com",
        phone="+16502530000",
        password="a short sentence is good",
        methods=["email", "sms", "authenticator", "password"],
    )


@pytest.fixture
def here(wire, ada):
    """The browser that Ada asks from."""
    return sign_in(wire, ada)


@pytest.fixture
def work(app):
    """Runs the worker's jobs once."""

    def run() -> None:
        from app.outbox import jobs

        with app.app_context():
            jobs.run_jobs(threading.Event())

    return run


@pytest.fixture
def export(work, rows):
    """Requests an export in a browser, runs the worker, and returns its row."""

    def make(wire):
        from app.privacy.models import Export

        assert wire.post("/my-data/export").ok
        work()
        return max(rows(Export), key=lambda row: row.asked_at)

    return make


def archive(answer) -> zipfile.ZipFile:
    """Return the archive in an answer, read in full and intact."""
    assert answer.status == 200, answer
    found = zipfile.ZipFile(io.BytesIO(answer.response.get_data()))
    assert found.testzip() is None
    return found


def exported(answer) -> dict:
    """Return the contents of the JSON files in a response's archive, by name."""
    found = archive(answer)
    return {name[:-5]: orjson.loads(found.read(name)) for name in found.namelist() if name.endswith(".json")}
