"""Which protected apps a person finds among theirs."""

from __future__ import annotations

from collections.abc import Collection

from app.forward_auth.app_file import apps_by_host
from app.forward_auth.rules import ProtectedApp
from app.web.launcher import LauncherEntry, letter_of, tint_of


def apps_of(groups: Collection[str]) -> list[LauncherEntry]:
    """Return the apps whose front page a member of these groups may open."""
    found = sorted(apps_by_host().values(), key=lambda app: (app.name.casefold(), app.id))
    return [_entry(app) for app in found if _opens(app, groups)]


def _opens(app: ProtectedApp, groups: Collection[str]) -> bool:
    need = app.need_of("GET", "/")
    return app.is_listed and need.level != "deny" and need.admits(groups)


def _entry(app: ProtectedApp) -> LauncherEntry:
    return LauncherEntry(app.id, app.name, app.origin, app.host, letter_of(app.name), tint_of(app.id))
