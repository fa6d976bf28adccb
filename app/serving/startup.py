"""Steps before the first process starts: migrations in development, checks in production."""

from __future__ import annotations

import errno
import os
import resource
import socket
import stat
import sys
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from app.authenticators.keys import keys_in_use, sealed_rows
from app.db import DatabaseUnavailable, PoolerFound, migrations, readiness
from app.db.faults import unreachable_reason
from app.extensions import db, keyring
from app.monitoring.listener import remove_stale_socket
from config.problems import NOT_CONFIGURED
from config.types import is_loopback

if TYPE_CHECKING:
    from flask import Flask

    from config.settings import Settings

ChildFunction = Callable[[threading.Event], None]
"""Function that a child process runs. It returns soon after the event is set."""

ListenAddress = tuple[str, int] | str
"""Address of the public server: host and port, or the path of a Unix socket."""

METRICS = "metrics"
"""Name of the child process that serves metrics."""

UNAVAILABLE = 69
"""EX_UNAVAILABLE of sysexits.h, which may be temporary, unlike ``NOT_CONFIGURED`` (EX_CONFIG)."""

MAX_CONNECTIONS = 20_000
LAST_PORT = 65535
LOOPBACK_HOSTS = ("127.0.0.1", "::1", "localhost")
"""Addresses that ``localhost`` stands for."""

SOCKET_MODE = 0o660
"""Owner and group may connect, so the proxy should be in the service's group."""


def refuse(status: int, what: str, remedy: str) -> NoReturn:
    """Print why the service doesn't start and what to do about it, and exit with this status."""
    sys.stderr.write(f"Latchkey does not start: {what} {remedy}\n")
    raise SystemExit(status)


def allow_many_connections() -> None:
    """Raise the open file limit of this process and its children, since each connection is a file descriptor."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    limit = MAX_CONNECTIONS if hard == resource.RLIM_INFINITY else min(hard, MAX_CONNECTIONS)
    if soft != resource.RLIM_INFINITY and soft < limit:
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))


def claim_port(host: str, port: int) -> None:
    """Exit if the port is in use. Web processes share a port, and would share it with another program as well."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            other = port + 1 if port < LAST_PORT else port - 1
            remedy = f"PORT={other} make run" if "MAKELEVEL" in os.environ else f"--port {other}"
            refuse(UNAVAILABLE, f"port {port} is in use.", f"Stop what uses it, or choose another port: {remedy}")
        refuse(UNAVAILABLE, f"it can't listen at {host}:{port} ({error.strerror}).", "Choose another --host or --port.")


def claim_socket(settings: Settings, path: str) -> None:
    """Exit if the path can't be listened on, or no proxy is trusted to tell the clients' addresses.

    Removes the socket of a dead server and leaves the path free.
    """
    if settings.is_production and not settings.trusted_proxies:
        what = "at a Unix socket only a proxy knows who calls, and none is trusted."
        refuse(NOT_CONFIGURED, what, "Set LATCHKEY_TRUSTED_PROXIES=1 (docs/proxies.md).")
    try:
        if Path(path).exists() and not stat.S_ISSOCK(os.stat(path).st_mode):
            refuse(NOT_CONFIGURED, f"{path} is not a socket.", "Choose another --unix; a file is never replaced.")
        remove_stale_socket(path)
        with socket.socket(socket.AF_UNIX) as probe:
            probe.bind(path)
        os.unlink(path)
    except OSError as error:
        if isinstance(error, FileNotFoundError):
            refuse(UNAVAILABLE, f"{Path(path).parent} does not exist.", "Make it, owned by the user who serves.")
        if Path(path).exists() and not isinstance(error, PermissionError):
            refuse(UNAVAILABLE, f"another server listens at {path}.", "Stop it, or choose another --unix.")
        remedy = "Let the user who serves write to its directory, or choose another --unix."
        refuse(UNAVAILABLE, f"it can't listen at {path} ({error.strerror}).", remedy)


def shared_listener(one: ListenAddress, other: ListenAddress) -> tuple[str, str] | None:
    """Return what two listeners would share, as kind and name: a port, on any address, or a socket. None if nothing."""
    if isinstance(one, str) or isinstance(other, str):
        return ("socket", one) if one == other and isinstance(one, str) else None
    return ("port", str(one[1])) if one[1] == other[1] else None


def prepare_metrics(app: Flask, listen_address: ListenAddress) -> Path | None:
    """Create and return the directory in which all processes store metrics; None if metrics are not configured.

    Exits if the metrics address is in use, including by the public port.
    """
    settings: Settings = app.extensions["latchkey.settings"]
    if not settings.metrics_listen:
        return None
    from app.monitoring import listener, shared_files

    if shared := shared_listener(listener.listening(settings.metrics_listen), listen_address):
        remedy = f"Give LATCHKEY_METRICS_LISTEN a {shared[0]} of its own, which your proxy leads nobody to."
        refuse(NOT_CONFIGURED, f"metrics and people would share {' '.join(shared)}.", remedy)
    listener.check_bindable(settings.metrics_listen)
    try:
        return shared_files.make_directory()
    except OSError as error:
        refuse(UNAVAILABLE, f"there is no room to count in ({error.strerror}).", "Make room in /dev/shm.")


def console(app: Flask, listen_address: ListenAddress) -> ChildFunction | None:
    """Return the function for the console's process; None if the console has no address of its own.

    Exits if its address is in use, including by the public port.
    """
    settings = settings_of(app)
    if not (settings.admin and settings.admin_listen):
        return None
    from app.monitoring import listener

    console_address = listener.listening(settings.admin_listen)
    if shared := shared_listener(console_address, listen_address):
        remedy = f"Give LATCHKEY_ADMIN_LISTEN a {shared[0]} of its own, which your proxy leads administrators to."
        refuse(NOT_CONFIGURED, f"the console and people would share {' '.join(shared)}.", remedy)
    try:
        listener.Listener(console_address, None).server_close()
    except OSError as error:
        what = f"it can't listen at {settings.admin_listen} ({error.strerror})."
        refuse(UNAVAILABLE, what, "Choose another LATCHKEY_ADMIN_LISTEN, or stop what uses it.")
    from app.serving import console

    return partial(console.serve, app)


def metrics(app: Flask) -> ChildFunction:
    """Return the function for the process that serves metrics."""
    from app.monitoring import listener

    return partial(listener.serve, app)


def count(app: Flask, kind: str) -> None:
    """Turn on metrics in this process if they are configured."""
    if app.extensions["latchkey.settings"].metrics_listen:
        from app.monitoring import count_statements, shared_files

        if shared_files.count_here(kind):
            count_statements(app)


def refuse_other_machines(settings: Settings, host: str) -> None:
    """In development, exit if other machines could reach the address: ``/dev/inbox`` shows every code."""
    if settings.is_production or is_loopback(host):
        return
    what = f"in development anyone who can reach it can read every code, so it does not listen at {host}."
    refuse(
        NOT_CONFIGURED,
        what,
        "Listen at --host 127.0.0.1 (make run does; leave out HOST=), or set LATCHKEY_ENVIRONMENT=production. "
        "In a container, share the network of the host (docker run --network host), or start docker-compose.yml: "
        "it is production with a mail catcher.",
    )


def local_url(host: str, port: int) -> str:
    """Return the URL to open on this machine. Uses ``localhost``: browsers create no passkeys for IP addresses."""
    name = "localhost" if host in LOOPBACK_HOSTS else f"[{host}]" if ":" in host else host
    return f"http://{name}:{port}"


def prepare(app: Flask, listen_address: ListenAddress) -> ChildFunction | None:
    """Check the database, in development migrate it first; return the function for the mail catcher if one is needed.

    Leaves no database connection open, because child processes would share it.
    """
    settings: Settings = app.extensions["latchkey.settings"]
    catcher = None
    with app.app_context():
        try:
            if not settings.is_production:
                catcher = prepare_development(app, settings, listen_address)
            with db.engine.connect() as connection:
                readiness.require_schema(connection)
            refuse_missing_keys()
        except PoolerFound as found:
            refuse(NOT_CONFIGURED, *str(found).split(". ", 1))
        except (SQLAlchemyError, DatabaseUnavailable) as error:
            why, remedy = unreachable_reason(error) or (
                f"does not answer ({type(error).__name__})",
                "Look: flask doctor",
            )
            refuse(UNAVAILABLE, f"the database {why}.", remedy)
        finally:
            db.session.remove()
            db.engine.dispose()
    return catcher


def refuse_missing_keys() -> None:
    """Exit if rows are encrypted with keys missing from the key ring, as their owners couldn't sign in."""
    if missing := keys_in_use().difference(keyring.kids):
        counts = sealed_rows()
        count, kids = sum(counts[kid] for kid in missing), ", ".join(sorted(missing))
        what = f"{count:,} row{'' if count == 1 else 's'} encrypted with a key that is missing ({kids})."
        refuse(NOT_CONFIGURED, what, "Put the key back at the end of LATCHKEY_SECRET_KEYS, then: flask keys rotate")


def prepare_development(app: Flask, settings: Settings, listen_address: ListenAddress) -> ChildFunction | None:
    """Migrate, default the public URL to the server's address, and set up the mail catcher if it is needed."""
    make_directory_of(settings.database_url)
    with db.engine.connect() as connection:
        missing = readiness.schema_state(connection).missing
    if missing:
        migrations.upgrade(app)
    changes: dict[str, str] = {}
    if "public_url" not in settings.model_fields_set and not isinstance(listen_address, str):
        changes["public_url"] = local_url(*listen_address)
    catcher = None
    if not (settings.mail_url and settings.sms_url):
        from app.dev_inbox import mail_catcher

        mail_catcher_server = mail_catcher.MailCatcher()
        changes["mail_url"] = settings.mail_url or mail_catcher_server.mail_url
        changes["sms_url"] = settings.sms_url or mail_catcher_server.sms_url
        catcher = mail_catcher_server.run
    app.extensions["latchkey.settings"] = settings.model_copy(update=changes)
    return catcher


def welcome(url: str, kept: str) -> str:
    """Return the startup message. ``kept`` is what the development inbox receives; "" without an inbox."""
    return f"Open {url}{f', {kept} at {url}/dev/inbox' if kept else ''}. Ctrl-C stops it."


def invite_first_administrator(app: Flask) -> str:
    """Return a line with the link for the first administrator; "" once there is any account.

    Leaves no database connection open, like ``prepare``.
    """
    from app.admin import access
    from app.users import User

    with app.app_context():
        try:
            if not settings_of(app).admin or db.session.scalar(sa.select(User.id).limit(1)) is not None:
                return ""
            link = access.new_first_link()
            db.session.commit()
        except (SQLAlchemyError, DatabaseUnavailable):  # start without it: flask users admin --link creates another
            return ""
        finally:
            db.session.remove()
            db.engine.dispose()
    minutes = int(access.FIRST_LINK_LIVES.total_seconds() // 60)
    return f"No account yet. Sign up, then become the administrator here, within {minutes} minutes: {link}"


def settings_of(app: Flask) -> Settings:
    """Return an application's settings without an app context."""
    found: Settings = app.extensions["latchkey.settings"]
    return found


def make_directory_of(database_url: str) -> None:
    """Create the directory of a SQLite database."""
    url = sa.make_url(database_url)
    if url.get_backend_name() == "sqlite" and url.database and url.database != ":memory:":
        Path(url.database).parent.mkdir(parents=True, exist_ok=True)


def delivery(app: Flask) -> ChildFunction:
    """Return the function for the process that delivers messages."""
    from app.outbox import worker

    def run(stop: threading.Event) -> None:
        count(app, "worker")
        worker.run(app, stop)

    return run
