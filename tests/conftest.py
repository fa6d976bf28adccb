"""Fixtures for every test. What each is for stands in its docstring; ``pytest --fixtures tests`` lists them.

Tests run without TESTING, so that faults become the 500 a person would see and mail really leaves.
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
from typing import Any, ClassVar

import pytest
import sqlalchemy as sa
from argon2 import PasswordHasher
from flask import Flask
from flask.testing import FlaskClient
from jinja2 import FileSystemBytecodeCache
from joserfc.jwk import RSAKey
from sqlalchemy import event
from werkzeug.routing import Rule

from tests.databases import KEY, MEMORY, Database, stop_postgresql
from tests.factories import People
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
    "tests.standing",
    "tests.browsing",
    "tests.skipped",
    "tests.branch_coverage",
]

RUN_DIRECTORY = pytest.StashKey[Path]()
APART = pytest.StashKey[bool]()
SHARED_MEMORY = Path("/dev/shm")
ROOM = 2**30
"""Bytes that have to be free there: containers often have 64 MiB of it."""
SELDOM = 10_000, 20, 100
"""Thresholds of the garbage collector. By its own ones it took a twentieth of a small test's processor time."""


# --- the run ------------------------------------------------------------------------------------


def pytest_configure(config: pytest.Config) -> None:
    """Give all test processes of this run one directory. Nothing that they collect is garbage."""
    gc.disable()
    shared = getattr(config, "workerinput", {}).get("run_directory")
    config.stash[APART] = shared is None
    config.stash[RUN_DIRECTORY] = Path(shared) if shared else _made_run_directory()


def _made_run_directory() -> Path:
    """Make the run's directory; SQLite's files are in memory where there is room: each commit waits for a disk."""
    run = Path(tempfile.mkdtemp(prefix="latchkey-"))
    if SHARED_MEMORY.is_dir() and shutil.disk_usage(SHARED_MEMORY).free >= ROOM:
        (run / MEMORY).symlink_to(tempfile.mkdtemp(prefix="latchkey-", dir=SHARED_MEMORY))
    else:
        (run / MEMORY).mkdir()
    return run


def pytest_collection_finish(session: pytest.Session) -> None:
    """Keep the thousands of tests out of the garbage collector's rounds, and let those be few: applications stay."""
    gc.collect()
    gc.freeze()
    gc.enable()
    gc.set_threshold(*SELDOM)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Tell a test process of pytest-xdist where the run's directory is."""
    node.workerinput["run_directory"] = str(node.config.stash[RUN_DIRECTORY])


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector: pytest.Collector) -> Iterator[None]:
    """Let one test process prepare a module's assertions, and the others read what it has written."""
    if sys.dont_write_bytecode or not isinstance(collector, pytest.Module):
        return (yield)
    name = sha256(str(collector.path).encode()).hexdigest()
    with (collector.config.stash[RUN_DIRECTORY] / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return (yield)


def pytest_unconfigure(config: pytest.Config) -> None:
    """Stop what the run shared and remove its directory."""
    if config.stash.get(APART, False):
        stop_postgresql(config.stash[RUN_DIRECTORY] / "postgresql")
        shutil.rmtree((config.stash[RUN_DIRECTORY] / MEMORY).resolve(), ignore_errors=True)
        shutil.rmtree(config.stash[RUN_DIRECTORY], ignore_errors=True)


@pytest.fixture(scope="session", autouse=True)
def nothing_set_outside() -> None:
    """Take away what the environment says, so that tests see the defaults."""
    for name in [name for name in os.environ if name.startswith("LATCHKEY_") or name in ("LANGUAGE", "LC_ALL")]:
        del os.environ[name]
    os.environ["LC_MESSAGES"] = "C"


@pytest.fixture(autouse=True)
def quick_hashes(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hash passwords and recovery codes by argon2id of little cost; ``@pytest.mark.slow_hashes`` keeps the real one."""
    from app.crypto import secrets

    if not request.node.get_closest_marker("slow_hashes"):
        monkeypatch.setattr(secrets, "_hasher", _quick_hasher)


@pytest.fixture(autouse=True)
def quick_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sign by RSA keys that this test process has made before; each test begins with the same ones."""
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


class KnownRule(Rule):
    """A rule of a URL map that this test process compiles once: every application has the same 200.

    Compiling them took four fifths of what making an application takes.
    """

    compiled: ClassVar[dict[Any, dict[str, Any]]] = {}

    def compile(self) -> None:
        """Take over what compiling a rule of this kind has set before."""
        key = self.rule, self.host, self.subdomain, self.merge_slashes, repr(self.defaults)
        if key not in self.compiled:
            before = dict(vars(self))
            super().compile()
            self.compiled[key] = {
                name: value
                for name, value in vars(self).items()
                if name == "arguments" or before.get(name, ...) is not value
            }
        vars(self).update(self.compiled[key])


@pytest.fixture(scope="session", autouse=True)
def rules_compiled_once() -> Iterator[None]:
    """Have all applications of this test process share what their URL maps are compiled to."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Flask, "url_rule_class", KnownRule)
        yield


CONNECTED = 16
"""Applications of a test process that keep their connections: PostgreSQL has a limit, and more of them stand."""

# --- the application ----------------------------------------------------------------------------


@pytest.fixture(scope="session")
def standing_apps() -> Iterator[dict[tuple[Any, ...], Flask]]:
    """The applications of this test process, by what they were made with."""
    apps: dict[tuple[Any, ...], Flask] = {}
    yield apps
    for app in apps.values():
        _close(app)


@pytest.fixture(scope="session")
def compiled_templates(run_directory: Path) -> FileSystemBytecodeCache:
    """Templates as all applications of this run share them: compiling them for each took a twentieth of its time."""
    directory = run_directory / "templates"
    directory.mkdir(exist_ok=True)
    return FileSystemBytecodeCache(str(directory))


@pytest.fixture(scope="session")
def file_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Returns a file with some text: ``file_of(APPS)``. It is the same each time, and so is the application with it."""
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
    """What ``Settings`` is made of for tests: development, limits on, mail and SMS to the sinks."""
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
    standing_apps: dict[tuple[Any, ...], Flask],
    compiled_templates: FileSystemBytecodeCache,
) -> Callable[..., Flask]:
    """Makes an application on this test's database: ``make_app(generic_responses=False)``. Kept for later tests."""

    def make(**different: Any) -> Flask:
        from app import create_app
        from config.settings import Settings

        values = settings_values | different
        key = tuple(sorted((name, repr(value)) for name, value in values.items()))
        if key not in standing_apps:
            standing_apps[key] = create_app(Settings(**values))
            standing_apps[key].config["PROPAGATE_EXCEPTIONS"] = False
            standing_apps[key].jinja_env.bytecode_cache = compiled_templates
        app = standing_apps[key] = standing_apps.pop(key)  # the one used last stands last
        for other in list(standing_apps.values())[:-CONNECTED][-1:]:
            _close(other)
        _forget_in_memory(app)
        return app

    return make


@pytest.fixture
def app(request: pytest.FixtureRequest, make_app: Callable[..., Flask], clock: ModuleType) -> Flask:
    """The application, its tables empty. ``@pytest.mark.settings(limits=False)`` makes it with other settings."""
    different: dict[str, Any] = {}
    for mark in reversed(list(request.node.iter_markers("settings"))):
        different |= mark.kwargs
    return make_app(**different)


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    """A bare test client with cookies; ``wire`` is the comfortable one."""
    return app.test_client()


@pytest.fixture
def clock() -> Iterator[ModuleType]:
    """The house's clock: ``clock.shift(601)``, ``with clock.travel(601): ...``. Set right after the test."""
    from app import clock

    clock.reset()
    yield clock
    clock.reset()


@pytest.fixture
def people(app: Flask) -> People:
    """Opens accounts: ``people.open(email="ada@example.com", methods=["email"])``."""
    return People(app)


@pytest.fixture
def rows(app: Flask) -> Callable[..., list[Any]]:
    """Reads rows: ``rows(Challenge)``, ``rows(Event, name="sign_in.succeeded")``. They are detached copies."""

    def read(model: type[Any], **equal: Any) -> list[Any]:
        from app.extensions import db

        with app.app_context():
            found = list(db.session.scalars(sa.select(model).filter_by(**equal).order_by(*model.__table__.primary_key)))
            db.session.expunge_all()
            return found

    return read


@pytest.fixture
def deliver(app: Flask, smtp: SmtpSink, sms: SmsStub) -> Callable[[], list[Mail | Sms]]:
    """Runs the outbox: ``deliver()`` tries every message that is due, and returns what arrived by that."""

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
    """Runs the outbox and returns the newest mail to an address: ``code_in(mail_to("ada@example.com"))``."""

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
    """Collects SQL: ``with statements() as seen: wire.post(...)``; BEGIN and COMMIT do not count."""

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
    """Drop what processes remember beside the database: counts by address, the secret that apps' names are made from,
    channels at rest, open connections.
    """
    from app.outbox.channels import attempt, mail, sms
    from app.webhooks import subscriptions

    subscriptions.assume_none(app)  # as a web process knows that has looked
    app.extensions.pop("latchkey.counters", None)
    app.extensions.pop("latchkey.accounts", None)
    app.extensions.pop("latchkey.oidc.keys", None)
    app.extensions.pop("latchkey.oidc.naming", None)
    for each in (*sms.providers.values(), *mail.providers.values()):
        each.reset()
    attempt.resume()
    mail.hang_up()


def _engine(app: Flask) -> sa.Engine:
    from app.extensions import db

    with app.app_context():
        return db.engine


def _close(app: Flask) -> None:
    _engine(app).dispose()
