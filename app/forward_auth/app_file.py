"""The apps file: protected apps and their rules, in TOML (``LATCHKEY_APPS_FILE``).

It is checked at startup, and reread when it changes. If the new file has errors, the current rules stay in effect, and
a log line says what to fix.
"""

from __future__ import annotations

import difflib
import ipaddress
import re
import threading
import time
from collections.abc import Collection, Iterator, Mapping
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal
from urllib.parse import urlsplit

import structlog
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from app.extensions import this_app
from app.forward_auth.rules import Level, Network, ProtectedApp, Requirements, Rule
from app.groups.service import is_name
from config import types
from config.problems import ConfigurationError, Problem, variable
from config.toml_file import WORDS, TomlFile

if TYPE_CHECKING:
    from flask import Flask
    from pydantic_core import ErrorDetails

    from config.settings import Settings

log = structlog.get_logger()

SETTING = variable("apps_file")
KIND = "apps"
REMEDY = "Fix it: docs/forward-auth.md describes the valid values."
CHECK_INTERVAL = 1.0
"""Seconds between checks whether the file has changed."""

_IN_MEMORY = "latchkey.protected_apps"
_ID = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_PATH = re.compile(r"/[^\s%?#;\\*]*(?:(?<=/)\*)?")
_METHOD = re.compile(r"[A-Z][A-Z-]{0,31}")
_IDENTITY_HEADERS = ("remote-user", "remote-email", "remote-name", "remote-groups")
_RESERVED_HEADERS = ("location", "set-cookie", "content-length", "content-type", "connection", "host", "authorization")


def _check_path(path: str) -> str:
    if not _PATH.fullmatch(path) or "//" in path or re.search(r"/\.{1,2}(?:/|$)", path):
        raise ValueError("a path must begin with / and not be percent-encoded; * may only be at the end: /a/*")
    return path


def _check_group(name: str) -> str:
    if not is_name(name):
        raise ValueError(f"{name[:70]!r} can't be a group name")
    return name


def _check_method(name: str) -> str:
    if not _METHOD.fullmatch(name):
        raise ValueError('a method must be in capitals, as in "GET"')
    if name == "HEAD":
        raise ValueError("write GET, which includes HEAD")
    return name


def _read_network(text: object) -> Network:
    if not isinstance(text, str):
        raise ValueError("a network must be text, as in 10.0.0.0/8")
    try:
        return ipaddress.ip_network(text)
    except ValueError as error:
        raise ValueError(f"it is not a network ({error})") from None


Paths = tuple[Annotated[str, AfterValidator(_check_path)], ...]
Groups = tuple[Annotated[str, AfterValidator(_check_group)], ...]
Methods = tuple[Annotated[str, AfterValidator(_check_method)], ...]
Networks = tuple[Annotated[Network, BeforeValidator(_read_network)], ...]


class _BaseEntry(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    level: Level | None = None
    groups: Groups | None = None
    max_age: types.Duration | None = None
    cross_site: bool | None = None


class RuleEntry(_BaseEntry):
    """One [[apps.x.rules]]. Fields that it leaves out are taken from the app."""

    paths: Paths = ()
    methods: Methods = ()
    networks: Networks = ()

    @field_validator("paths", "methods", "networks")
    @classmethod
    def _check_not_empty(cls, listed: tuple[Any, ...]) -> tuple[Any, ...]:
        if not listed:
            raise ValueError("it is empty; leave it out to match all")
        return listed


class AppEntry(_BaseEntry):
    """One [apps.x]."""

    name: str
    url: Annotated[str, AfterValidator(types.read_origin)]
    user: Literal["username", "email", "handle"] = "username"
    headers: dict[str, Literal["user", "email", "name", "groups"]] = {}
    listed: bool = True
    rules: tuple[RuleEntry, ...] = ()

    @model_validator(mode="after")
    def _check_public_rules(self) -> AppEntry:
        for number, rule in enumerate(self.rules, 1):
            if (rule.level or self.level) == "public" and (rule.groups or rule.max_age):
                raise PydanticCustomError("open_rule", "rule {number}", {"number": number})
        return self

    @field_validator("name")
    @classmethod
    def _check_name(cls, name: str) -> str:
        if not name.strip() or len(name) > 64 or not name.isprintable():
            raise ValueError("a name must have 1 to 64 characters")
        return name.strip()

    @field_validator("headers")
    @classmethod
    def _check_headers(cls, headers: dict[str, str]) -> dict[str, str]:
        for name in headers:
            if not types.HEADER_NAME.fullmatch(name) or "_" in name:
                raise ValueError(f"{name[:40]!r} isn't a valid header name")
            lower = name.lower()
            if lower in (*_IDENTITY_HEADERS, *_RESERVED_HEADERS) or lower.startswith(("x-forwarded-", "x-original-")):
                raise ValueError(f"the header {name} can't be sent to an app")
        return headers


FIELDS = tuple(AppEntry.model_fields)
RULE_FIELDS = tuple(RuleEntry.model_fields)


class AppFile:
    """The apps of one file, as they are now. Shared by the threads that handle requests."""

    def __init__(self, path: str, *, needs_https: bool, own: Collection[str] = ()) -> None:
        """Read the file. Its errors are in ``problems``; without any, its apps can be used."""
        self._path = path
        self._read = partial(read_apps, needs_https=needs_https, own=own)
        self._lock = threading.Lock()
        self._loaded_state = self._pending_state = _file_state(path)
        self._checked_at = time.monotonic()
        self._by_host, self.problems = self._read(path)

    def by_host(self) -> Mapping[str, ProtectedApp]:
        """Return the apps by host, rereading the file if it has changed."""
        now = time.monotonic()
        if now - self._checked_at >= CHECK_INTERVAL and self._lock.acquire(blocking=False):
            try:
                self._checked_at = now
                self._reload()
            finally:
                self._lock.release()
        return self._by_host

    def _reload(self) -> None:
        state = _file_state(self._path)
        if state == self._loaded_state:
            return
        if state != self._pending_state and _was_just_written(state):
            self._pending_state = state  # it may be half-written, and then have fewer rules but no errors
            return
        self._loaded_state = self._pending_state = state
        found, self.problems = self._read(self._path)
        if self.problems:
            problems = [str(each) for each in self.problems]
            log.error("apps_file.not_read", problems=problems, remedy="the previous apps remain in use; fix the file")
        else:
            self._by_host = found
            log.info("apps_file.read", apps=len(found))


def init_app(app: Flask) -> None:
    """Read the apps file, if there is one, and keep it in memory.

    :raises ConfigurationError: with every error found in it
    """
    settings = app.extensions["latchkey.settings"]
    if not settings.apps_file:
        return
    file = AppFile(settings.apps_file, needs_https=settings.is_production, own=own_hosts(settings))
    if problems := file.problems or list(_check_cookie_domain(settings.forward_auth_cookie_domain, file.by_host())):
        raise ConfigurationError(problems)
    app.extensions[_IN_MEMORY] = file


def _check_cookie_domain(domain: str, apps: Mapping[str, ProtectedApp]) -> Iterator[Problem]:
    """Report a cookie domain that no app is on, since none of them would get its cookie."""
    if domain and apps and not any(is_in_domain(app, domain) for app in apps.values()):
        remedy = (
            "Set it to the domain that they are below, such as example.com for wiki.example.com, or leave it empty."
        )
        yield Problem(variable("forward_auth_cookie_domain"), "isn't the domain of any app in the apps file", remedy)


def is_in_domain(app: ProtectedApp, domain: str) -> bool:
    """Return whether an app is at a domain, or at a host below it."""
    name = urlsplit(app.origin).hostname or ""
    return name == domain or name.endswith(f".{domain}")


def own_hosts(settings: Settings) -> set[str]:
    """Return the hosts that this service answers for itself."""
    return {urlsplit(settings.origin).netloc, *settings.allowed_hosts}


def apps_by_host() -> Mapping[str, ProtectedApp]:
    """Return the protected apps by host, as currently defined in the file."""
    file: AppFile | None = this_app().extensions.get(_IN_MEMORY)
    return file.by_host() if file is not None else {}


def app_of(host: str) -> ProtectedApp | None:
    """Return the app at the host of a request."""
    return apps_by_host().get(host.lower().removesuffix(":443").removesuffix(":80"))


def is_host(host: str) -> bool:
    """Return whether there is an app at this host."""
    return app_of(host) is not None


def read_apps(
    path: str, name: str = SETTING, *, needs_https: bool, own: Collection[str] = ()
) -> tuple[dict[str, ProtectedApp], list[Problem]]:
    """Return the apps of a file by host, and the problems found.

    :param name: setting that names the file, for the problem messages
    :param needs_https: whether http:// is an error for an app, since its cookie would be sent unencrypted
    :param own: hosts of this service, which no app can use: its rules would block the sign-in
    """
    file = TomlFile(path, name)
    found: dict[str, ProtectedApp] = {}
    for app_id, table in file.named(KIND, "wiki").items():
        app = _read_app(file, app_id, table)
        if app is None:
            continue
        if needs_https and not app.origin.startswith("https://"):
            file.add(KIND, app_id, " begins with http://", "Serve the app with https://.", "url")
        if app.host in own:
            file.add(KIND, app_id, " is this service's own address", "Give the app its own host.", "url")
        if app.host in found:
            what = f" has the host of {found[app.host].id}"
            file.add(KIND, app_id, what, "Give one app rules for its paths instead.", "url")
        found[app.host] = app
    return found, file.problems


def _read_app(file: TomlFile, app_id: str, table: dict[str, Any]) -> ProtectedApp | None:
    if not _ID.fullmatch(app_id):
        file.add(KIND, app_id, " isn't a valid app ID", "Use lower-case letters, digits, - and _, as in [apps.wiki].")
        return None
    try:
        return _build_app(app_id, AppEntry(**table))
    except ValidationError as error:
        for fault in error.errors(include_url=False, include_input=False):
            field, what, remedy = _describe_error(fault)
            file.add(KIND, app_id, what, remedy, field)
        return None


def _describe_error(fault: ErrorDetails) -> tuple[str, str, str]:
    """Return the field an error is about, what is wrong with it without its value, and what to do."""
    if fault["type"] == "open_rule":
        what = f", {fault['msg']}: it has groups or max_age, but its level is public, which lets everyone in"
        return "rules", what, "Set the rule's level to signed_in or aal2."
    place = list(fault["loc"])
    field = str(place[0]) if place else ""
    in_rule = field == "rules" and len(place) > 2
    name = str(place[2]) if in_rule else field
    where = f", rule {int(place[1]) + 1}: {name}" if in_rule else ""
    if fault["type"] == "extra_forbidden":
        near = difflib.get_close_matches(name, RULE_FIELDS if in_rule else FIELDS, 1)
        remedy = f"Did you mean {near[0]}?" if near else "docs/forward-auth.md lists the fields."
        return ("rules" if in_rule else field), f"{where} isn't a field of {'a rule' if in_rule else 'an app'}", remedy
    text = WORDS.get(fault["type"], fault["msg"].removeprefix("Value error, ").replace("Input should", "must"))
    return ("rules" if in_rule else field), f"{where}: {text[:1].lower()}{text[1:]}", REMEDY


def _build_app(app_id: str, entry: AppEntry) -> ProtectedApp:
    default_rule = Rule(_build_requirements(entry, entry, f"the app {app_id}"))
    rules = [_build_rule(entry, each, number) for number, each in enumerate(entry.rules, 1)]
    return ProtectedApp(
        id=app_id,
        name=entry.name,
        origin=entry.url,
        host=entry.url.partition("://")[2],
        rules=(*rules, default_rule),
        user_is=entry.user,
        headers=dict(entry.headers),
        is_listed=entry.listed,
    )


def _build_rule(app: AppEntry, entry: RuleEntry, number: int) -> Rule:
    requirements = _build_requirements(app, entry, f"rule {number}")
    return Rule(requirements, entry.paths, frozenset(entry.methods), entry.networks)


def _build_requirements(app: AppEntry, entry: _BaseEntry, name: str) -> Requirements:
    level: Level = entry.level or app.level or "signed_in"
    groups = entry.groups if entry.groups is not None else app.groups or ()
    max_age: timedelta | None = entry.max_age or app.max_age
    cross_site = entry.cross_site if entry.cross_site is not None else bool(app.cross_site)
    if level in ("public", "deny"):
        return Requirements(level, cross_site=cross_site, decided_by=name)
    return Requirements(level, (frozenset(groups),) if groups else (), max_age, cross_site, name)


def _file_state(path: str) -> tuple[int, ...] | None:
    """Return the file attributes that change with its content or permissions; None if it can't be read."""
    try:
        found = Path(path).stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino


def _was_just_written(state: tuple[int, ...] | None) -> bool:
    """Return whether a file was written within the last ``CHECK_INTERVAL`` seconds."""
    return state is not None and abs(time.time() - state[0] / 1e9) < CHECK_INTERVAL
