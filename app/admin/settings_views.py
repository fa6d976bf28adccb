"""/admin/settings: the current settings without secrets, and the state of the service."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from flask import Response, request

from app.admin import bp
from app.admin.presenters import page_facts
from app.authenticators.keys import keys_in_use
from app.db import readiness
from app.errors import Rejected
from app.extensions import db, keyring, settings
from app.i18n import N_
from app.outbox import jobs
from app.version import VERSION
from app.web.respond import respond, wants_json
from config import display

TITLES = {
    "The service": N_("The service"),
    "Brand": N_("Brand"),
    "Database, Redis, requests": N_("Database, Redis, requests"),
    "Mail": N_("Mail"),
    "SMS": N_("SMS"),
    "Mail that comes back": N_("Mail that comes back"),
    "Queue and outbox": N_("Queue and outbox"),
    "Signing in": N_("Signing in"),
    "Passkeys": N_("Passkeys"),
    "Redirects": N_("Redirects"),
    "Codes and links": N_("Codes and links"),
    "Limits": N_("Limits"),
    "Apps (OpenID Connect)": N_("Apps (OpenID Connect)"),
    "The console": N_("The console"),
    "Freshness and lifetimes": N_("Freshness and lifetimes"),
}
"""Page titles of the setting groups."""


@bp.get("/settings")
def service_settings() -> Response:
    """Show the settings that were changed, or all of them, and the state of this service."""
    everything = request.args.get("all", "")
    if everything not in ("", "0", "1"):
        raise Rejected("api_error", field="all")
    subjects = display.by_subject(settings, changed_only=everything != "1")
    context = page_facts() if wants_json() else page_facts() | {"titles_of": TITLES, "everything": everything == "1"}
    return respond(
        "admin/settings.html",
        context=context,
        version=VERSION,
        migration=readiness.revision(db.session.connection()),
        subjects=[
            {"subject": subject, "settings": [asdict(each) for each in known]} for subject, known in subjects.items()
        ],
        warnings=[asdict(warning) for warning in settings.warnings],
        keys=_keys(),
        workers=_workers(),
    )


def _keys() -> list[dict[str, Any]]:
    """Return key IDs, the current one first and missing ones last. Never returns a key."""
    in_use = keys_in_use()
    found = [{"id": kid, "current": kid == keyring.kid, "in_use": kid in in_use, "missing": False}
             for kid in keyring.kids]  # fmt: skip
    missing = sorted(in_use.difference(keyring.kids))
    return found + [{"id": kid, "current": False, "in_use": True, "missing": True} for kid in missing]


def _workers() -> list[dict[str, Any]]:
    return [
        {
            "replica": sign.replica or None,
            "version": sign.version or None,
            "started_at": sign.started_at,
            "seen_at": sign.seen_at,
            "swept_at": sign.swept_at,
        }
        for sign in jobs.live_workers()
    ]
