"""The console's pages, in the order shown."""

from __future__ import annotations

from app.i18n import N_
from app.web.pages import NavigationItem

CONSOLE_PAGES = [
    NavigationItem("overview", "/admin", N_("Overview"), "overview"),
    NavigationItem("people", "/admin/people", N_("People"), "people"),
    NavigationItem("invitations", "/admin/invitations", N_("Invitations"), "addresses"),
    NavigationItem("groups", "/admin/groups", N_("Groups"), "groups"),
    NavigationItem("apps", "/admin/apps", N_("Apps"), "apps"),
    NavigationItem("attempts", "/admin/attempts", N_("Attempts"), "activity"),
    NavigationItem("webhooks", "/admin/webhooks", N_("Webhooks"), "program"),
    NavigationItem("outbox", "/admin/outbox", N_("Outbox"), "email"),
    NavigationItem("audit", "/admin/audit", N_("Audit log"), "data"),
    NavigationItem("settings", "/admin/settings", N_("Settings"), "settings"),
]
"""A page that joins is one line here; tests then look at it as at the others."""
