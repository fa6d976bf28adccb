"""Fixtures for all tests; ``pytest --fixtures tests`` lists them.

Tests run without TESTING, so that faults become the 500 that a person would see, and emails are really sent.
"""

from __future__ import annotations

import fcntl
import gc
import itertools
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import cache
from hashlib import sha256
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import sqlalchemy as sa
from argon2 import PasswordHasher
from flask import Flask
from flask.testing import FlaskClient
from jinja2 import FileSystemBytecodeCache
from joserfc.jwk import RSAKey
from sqlalchemy import event

from tests.databases import KEY, MEMORY, Database, stop_postgresql
from tests.factories import People
from tests.known_rules import KnownRule
from tests.sinks import Mail, Sms, SmsStub, SmtpSink

pytest_plugins = [
    "tests.databases",
    "tests.cases",
    "tests.order",
    "tests.sinks",
    "tests.redis_server",
    "tests.logout_sink",
    "tests.document_site",
    "tests.webhook_receiver",
    "tests.wire",
    "tests.serving",
    "tests.shared_service",
    "tests.browsing",
    "tests.skipped",
    "tests.branch_coverage",
]

RUN_DIRECTORY = pytest.StashKey[Path]()
APART = pytest.StashKey[bool]()
SHARED_MEMORY = Path("/dev/shm")
ROOM = 2**30
"""Free bytes required in shared memory. Containers often have only 64 MiB."""
SELDOM = 10_000, 20, 100
"""Thresholds of the garbage collector. With the defaults it took a twentieth of a small test's CPU time."""


# --- the run ------------------------------------------------------------------------------------


def pytest_configure(config: pytest.Config) -> None:
    """Create one directory for all test processes. Pause garbage collection: nothing collected by pytest is garbage."""
    gc.disable()
    shared = getattr(config, "workerinput", {}).get("run_directory")
    config.stash[APART] = shared is None
    config.stash[RUN_DIRECTORY] = Path(shared) if shared else _made_run_directory()


def _made_run_directory() -> Path:
    """Create the run's directory, with SQLite files in memory if there is room, since every commit waits for a disk."""
    run = Path(tempfile.mkdtemp(prefix="latchkey-"))
    if SHARED_MEMORY.is_dir() and shutil.disk_usage(SHARED_MEMORY).free >= ROOM:
        (run / MEMORY).symlink_to(tempfile.mkdtemp(prefix="latchkey-", dir=SHARED_MEMORY))
    else:
        (run / MEMORY).mkdir()
    return run


def pytest_collection_finish(session: pytest.Session) -> None:
    """Exclude the thousands of tests from garbage collection, and make it run rarely, because applications are kept."""
    gc.collect()
    gc.freeze()
    gc.enable()
    gc.set_threshold(*SELDOM)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Pass the run's directory to a pytest-xdist worker."""
    node.workerinput["run_directory"] = str(node.config.stash[RUN_DIRECTORY])


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector: pytest.Collector) -> Iterator[None]:
    """Let one test process rewrite a module's assertions, while the others wait and read its cached result."""
    if sys.dont_write_bytecode or not isinstance(collector, pytest.Module):
        return (yield)
    name = sha256(str(collector.path).encode()).hexdigest()
    with (collector.config.stash[RUN_DIRECTORY] / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return (yield)


def pytest_unconfigure(config: pytest.Config) -> None:
    """Stop shared servers and remove the run's directory."""
    if config.stash.get(APART, False):
        stop_postgresql(config.stash[RUN_DIRECTORY] / "postgresql")
        shutil.rmtree((config.stash[RUN_DIRECTORY] / MEMORY).resolve(), ignore_errors=True)
        shutil.rmtree(config.stash[RUN_DIRECTORY], ignore_errors=True)


@pytest.fixture(scope="session", autouse=True)
def nothing_set_outside() -> None:
    """Clear environment variables, so that tests see the defaults."""
    for name in [name for name in os.environ if name.startswith("LATCHKEY_") or name in ("LANGUAGE", "LC_ALL")]:
        del os.environ[name]
    os.environ["LC_MESSAGES"] = "C"


@pytest.fixture(autouse=True)
def quick_hashes(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hash passwords and recovery codes with a cheap argon2id; ``@pytest.mark.slow_hashes`` keeps the real one."""
    from app.crypto import secrets

    if not request.node.get_closest_marker("slow_hashes"):
        monkeypatch.setattr(secrets, "_hasher", _quick_hasher)


@pytest.fixture(autouse=True)
def quick_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """Use RSA keys that this test process has already generated; each test starts with the same ones."""
    from app.oidc import key_store

    numbers, generate = itertools.count(), key_store.generate
    monkeypatch.setattr(key_store, "generate", lambda alg: _rsa_key(next(numbers)) if alg == "RS256" else generate(alg))


@cache
def _rsa_key(number: int) -> RSAKey:
    return RSAKey.generate_key(2048)


@cache
def _quick_hasher() -> PasswordHasher:
    return PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)


@pytest.fixture(scope="session")
def run_directory(pytestconfig: pytest.Config) -> Path:
    """The directory that all test processes of this run share."""
    return pytestconfig.stash[RUN_DIRECTORY]


@pytest.fixture(scope="session")
def worker_id(request: pytest.FixtureRequest) -> str:
    """The name of this test process: ``gw0`` and so on, or ``alone``."""
    return str(getattr(request.config, "workerinput", {}).get("workerid", "alone"))


@pytest.fixture(scope="session", autouse=True)
def rules_compiled_once() -> Iterator[None]:
    """Share compiled URL rules between all applications of this test process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Flask, "url_rule_class", KnownRule)
        yield


CONNECTED = 16
"""Applications per test process that keep their connections open. More exist, but PostgreSQL limits connections."""

# --- the application ----------------------------------------------------------------------------


@pytest.fixture(scope="session")
def cached_apps() -> Iterator[dict[tuple[Any, ...], Flask]]:
    """The applications of this test process, by their settings."""
    apps: dict[tuple[Any, ...], Flask] = {}
    yield apps
    for app in apps.values():
        _close(app)


@pytest.fixture(scope="session")
def compiled_templates(run_directory: Path) -> FileSystemBytecodeCache:
    """Bytecode cache for templates, shared by all applications. Compiling them each time took a twentieth of a run."""
    directory = run_directory / "templates"
    directory.mkdir(exist_ok=True)
    return FileSystemBytecodeCache(str(directory))


@pytest.fixture(scope="session")
def file_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Returns a file with this text: ``file_of(APPS)``. The same text gives the same file, and so the same app."""
    directory = tmp_path_factory.mktemp("files")

    def keep(text: str) -> Path:
        file = directory / sha256(text.encode()).hexdigest()[:16]
        if not file.exists():
            file.write_text(text)
        return file

    return keep


@pytest.fixture
def settings_values(
    database: Database, smtp: SmtpSink, sms: SmsStub, run_directory: Path, worker_id: str
) -> dict[str, Any]:
    """Values for ``Settings`` in tests: development, limits on, email and SMS sent to the sinks."""
    return {
        "environment": "development",
        "database_url": database.url,
        "secret_keys": KEY,
        "public_url": "http://localhost",
        "mail_url": smtp.url,
        "mail_sender": "Latchkey <no-reply@latchkey.test>",
        "sms_url": sms.url,
        "log_level": "warning",
        "log_format": "text",
        "pool_size": 4,
        "queue_url": f"sqlite:///{(run_directory / MEMORY).resolve()}/{worker_id}-queue.db",
    }


@pytest.fixture
def make_app(
    settings_values: dict[str, Any],
    cached_apps: dict[tuple[Any, ...], Flask],
    compiled_templates: FileSystemBytecodeCache,
) -> Callable[..., Flask]:
    """Creates an application on this test's database, kept for later tests: ``make_app(generic_responses=False)``."""

    def make(**different: Any) -> Flask:
        from app import create_app
        from config.settings import Settings

        values = settings_values | different
        key = tuple(sorted((name, repr(value)) for name, value in values.items()))
        if key not in cached_apps:
            cached_apps[key] = create_app(Settings(**values))
            cached_apps[key].config["PROPAGATE_EXCEPTIONS"] = False
            cached_apps[key].jinja_env.bytecode_cache = compiled_templates
        app = cached_apps[key] = cached_apps.pop(key)  # the most recently used comes last
        for other in list(cached_apps.values())[:-CONNECTED][-1:]:
            _close(other)
        _forget_in_memory(app)
        return app

    return make


@pytest.fixture
def app(request: pytest.FixtureRequest, make_app: Callable[..., Flask], clock: ModuleType) -> Flask:
    """The application, with empty tables. ``@pytest.mark.settings(limits=False)`` changes its settings."""
    different: dict[str, Any] = {}
    for mark in reversed(list(request.node.iter_markers("settings"))):
        different |= mark.kwargs
    return make_app(**different)


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    """A plain test client with cookies; ``wire`` is more convenient."""
    return app.test_client()


@pytest.fixture
def clock() -> Iterator[ModuleType]:
    """The application's clock: ``clock.shift(601)``, ``with clock.travel(601): ...``. Reset after the test."""
    from app import clock

    clock.reset()
    yield clock
    clock.reset()


@pytest.fixture
def people(app: Flask) -> People:
    """Creates accounts: ``people.open(email="ada@example.com", methods=["email"])``."""
    return People(app)


@pytest.fixture
def rows(app: Flask) -> Callable[..., list[Any]]:
    """Reads rows: ``rows(Challenge)``, ``rows(Event, name="sign_in.succeeded")``. Returns detached copies."""

    def read(model: type[Any], **equal: Any) -> list[Any]:
        from app.extensions import db

        with app.app_context():
            found = list(db.session.scalars(sa.select(model).filter_by(**equal).order_by(*model.__table__.primary_key)))
            db.session.expunge_all()
            return found

    return read


@pytest.fixture
def deliver(app: Flask, smtp: SmtpSink, sms: SmsStub) -> Callable[[], list[Mail | Sms]]:
    """Runs the outbox: ``deliver()`` attempts every message that is due, and returns those that arrived."""

    def run() -> list[Mail | Sms]:
        from app import clock, outbox
        from app.extensions import db

        before = len(smtp.mails), len(sms.texts)
        with app.app_context():
            due = sa.select(outbox.Message.id).where(outbox.Message.next_attempt_at <= clock.now())
            for message_id in list(db.session.scalars(due.order_by(outbox.Message.created_at))):
                outbox.deliver(message_id)
        return [*smtp.mails[before[0] :], *sms.texts[before[1] :]]

    return run


@pytest.fixture
def mail_to(deliver: Callable[[], Any], smtp: SmtpSink) -> Callable[[str], Mail]:
    """Runs the outbox and returns the newest email to an address: ``code_in(mail_to("ada@example.com"))``."""

    def newest(address: str) -> Mail:
        deliver()
        assert smtp.to(address), f"no mail to {address}; there is mail to {[mail.to for mail in smtp.mails]}"
        return smtp.to(address)[-1]

    return newest


@pytest.fixture
def text_to(deliver: Callable[[], Any], sms: SmsStub) -> Callable[[str], Sms]:
    """Runs the outbox and returns the newest text message to a number."""

    def newest(number: str) -> Sms:
        deliver()
        assert sms.to(number), f"no text to {number}; there are texts to {[text.to for text in sms.texts]}"
        return sms.to(number)[-1]

    return newest


@pytest.fixture
def statements(app: Flask) -> Callable[[], AbstractContextManager[list[str]]]:
    """Collects SQL statements, without BEGIN and COMMIT: ``with statements() as seen: wire.post(...)``."""

    @contextmanager
    def collect() -> Iterator[list[str]]:
        seen: list[str] = []

        def note(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
            seen.append(statement)

        engine = _engine(app)
        event.listen(engine, "before_cursor_execute", note)
        try:
            yield seen
        finally:
            event.remove(engine, "before_cursor_execute", note)

    return collect


def _forget_in_memory(app: Flask) -> None:
    """Clear in-memory state: IP address counters, the secret for ``sub`` and ``sid``, the signing keys, paused
    channels, open connections.
    """
    from app.outbox.channels import attempt, mail, sms
    from app.webhooks import subscriptions

    subscriptions.assume_none(app)  # like a web process that has already checked
    app.extensions.pop("latchkey.counters", None)
    app.extensions.pop("latchkey.accounts", None)
    app.extensions.pop("latchkey.oidc.keys", None)
    app.extensions.pop("latchkey.oidc.naming", None)
    for each in (*sms.providers.values(), *mail.providers.values()):
        each.reset()
    attempt.resume()
    mail.quit_connection()


def _engine(app: Flask) -> sa.Engine:
    from app.extensions import db

    with app.app_context():
        return db.engine


def _close(app: Flask) -> None:
    _engine(app).dispose()
