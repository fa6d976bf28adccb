"""Libraries that few requests need are loaded by those requests, not at startup."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from alembic.script import ScriptDirectory

from app.db import migrations
from tests.databases import KEY, ROOT

LATER = {
    "alembic": "migrations",
    "app.backup": "backups",
    "app.cli.group": "the operator's commands",
    "app.dev_inbox.views": "development",
    "app.oidc.jose": "tokens of OpenID Connect",
    "cryptography.x509": "certificates",
    "email_validator": "entered email addresses",
    "flask_migrate": "migrations",
    "ijson": "imports",
    "joserfc.jwk": "tokens of OpenID Connect",
    "limits": "rate limits",
    "mako": "migrations",
    "opentelemetry": "traces, if they are on",
    "OpenSSL": "passkeys",
    "phonenumbers": "entered phone numbers",
    "prometheus_client": "metrics, if they are on",
    "psycopg": "PostgreSQL",
    "pydantic_settings": "settings from other sources than the environment",
    "redis": "Redis",
    "ua_parser": "names of browsers",
    "webauthn": "passkeys",
    "yaml": "openapi.yaml",
}
"""Modules that a process hasn't loaded before its first request, and what needs them."""

SERVED = (
    "import sys, wsgi, app.outbox.worker, app.serving.cli, app.serving.supervisor;"
    "print(*sys.modules) if wsgi.app else None"
)


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """The modules that a production server on SQLite has loaded when it forks its processes."""
    folder: Path = tmp_path_factory.mktemp("start")
    settings = {
        "LATCHKEY_ENVIRONMENT": "production",
        "LATCHKEY_DATABASE_URL": f"sqlite:///{folder}/service.db",
        "LATCHKEY_SECRET_KEYS": KEY,
        "LATCHKEY_PUBLIC_URL": "https://id.example.com",
        "LATCHKEY_MAIL_URL": "smtps://mail.example.com",
        "LATCHKEY_QUEUE_URL": f"sqlite:///{folder}/queue.db",
    }
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    command = [sys.executable, "-c", SERVED]
    ran = subprocess.run(command, cwd=ROOT, env=kept | settings, capture_output=True, text=True, check=True)
    return set(ran.stdout.split())


@pytest.mark.parametrize("module", LATER)
def test_server_does_not_load_rarely_needed_modules_at_start(loaded, module):
    assert "app.signin.views" in loaded  # the whole service is loaded
    assert module not in loaded, f"loaded at start, though it is for {LATER[module]}: import it where it is used"


def test_limits_without_redis_do_not_load_its_client():
    counted = "import sys; from app.throttling.counters import Counters; Counters(''); print(*sys.modules)"
    ran = subprocess.run([sys.executable, "-c", counted], cwd=ROOT, capture_output=True, text=True, check=True)
    loaded = ran.stdout.split()
    assert "limits" in loaded
    assert "redis" not in loaded


def test_revisions_match_those_of_alembic():
    scripts = ScriptDirectory("migrations")
    assert migrations.revisions() == [script.revision for script in scripts.walk_revisions()][::-1]
    assert scripts.get_heads() == [migrations.revisions()[-1]]
