"""The errors that operators see for a wrong LATCHKEY_DATABASE_URL."""

from __future__ import annotations

import socket

import pytest
import sqlalchemy as sa

from app.db import attach, engine_options, engine_url
from app.db.faults import KNOWN_ERRORS, unreachable_reason

pytestmark = pytest.mark.one_database


def why(url: str) -> tuple[str, str] | None:
    """Return what is said of an engine on ``url``."""
    engine = sa.create_engine(engine_url(url), **engine_options(url, timeout=5, pool_size=1))
    attach(engine, timeout=5)
    with pytest.raises(sa.exc.DBAPIError) as raised:
        engine.connect()
    return unreachable_reason(raised.value)


@pytest.fixture(scope="module")
def server(databases):
    """The URL of a PostgreSQL database."""
    return databases.shared("postgresql").url


@pytest.fixture
def closed_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda url: url.replace("?", "_gone?"), "has no such database"),
        (lambda url: f"{url}&user=eve", "knows no such user"),
        (lambda url: f"{url}&options=-cnonsense%3D1", "knows no such option"),
    ],
)
def test_postgresql_rejection_is_explained_with_a_remedy(server, change, said):
    what, remedy = why(change(server))
    assert what == said
    assert "URL" in remedy


def test_unreachable_port_host_or_socket_is_explained(closed_port, tmp_path):
    assert why(f"postgresql://u@127.0.0.1:{closed_port}/x")[0] == "does not listen there"
    assert why("postgresql://u:hush@nowhere.invalid/x")[0] == "is at a host whose name is not found"
    assert why(f"postgresql:///x?host={tmp_path}")[0] == "has no socket there"


def test_sqlite_file_that_cannot_be_opened_is_explained(tmp_path):
    assert why(f"sqlite:///{tmp_path}/none/x.db")[0] == "can't be used (unable to open database file)"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('FATAL:  password authentication failed for user "hush"', "refuses user or password"),
        ("fe_sendauth: no password supplied", "wants a password"),
        ('FATAL:  no pg_hba.conf entry for host "192.0.2.1", user "hush"', "admits no such connection"),
        ("FATAL:  sorry, too many clients already", "has no connection left"),
        ("FATAL:  remaining connection slots are reserved for superusers", "has no connection left"),
        ("FATAL:  the database system is starting up", "is starting"),
        ("server does not support SSL, but SSL was required", "offers no TLS"),
        ("SSL error: certificate verify failed", "has a certificate that is not trusted"),
        ("connection timeout expired", "does not answer in time"),
        ("something new", None),
    ],
)
def test_libpq_error_is_explained_without_repeating_it(text, said):
    found = unreachable_reason(Exception(text))
    assert (found and found[0]) == said
    assert "hush" not in str(found)


def test_every_known_error_has_a_remedy():
    assert all(why and remedy.endswith(".") for _, why, remedy in KNOWN_ERRORS)
