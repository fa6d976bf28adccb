"""/healthz, /readyz and /openapi.json."""

from __future__ import annotations

import time
from functools import lru_cache
from pathlib import Path

import orjson
import structlog
from flask import Response, current_app

from app.authenticators.keys import keys_in_use
from app.db import disk_space, readiness, refuse_unless_writable
from app.extensions import db, keyring, settings, this_app
from app.status import bp

log = structlog.get_logger()

CACHED_FOR = 5.0
"""Seconds for which a successful check of tables and keys is cached. Failures are checked again every time."""

_CHECKED = "latchkey.fits_until"


def _why_not_ready() -> str:
    """Return why this process can't serve requests, as one word for the log; "" when it can."""
    try:
        refuse_unless_writable(db.session.connection())
        why = _incompatibility()
    except Exception as error:
        why = "disk_full" if disk_space.means_full(error) else "database"
        log.warning("readiness.failed", why=why, error=type(error).__name__)
        return why
    if why:
        log.warning("readiness.failed", why=why, remedy="flask doctor says what to do")
    return why


def _incompatibility() -> str:
    """Return ``schema`` when migrations are missing, ``keys`` when an encryption key is missing, else "".

    Tables of a newer release are fine (docs/architecture.md, Migrations).
    """
    known = this_app().extensions
    if time.monotonic() < known.get(_CHECKED, 0.0):
        return ""
    with db.engine.connect() as connection:
        if readiness.schema_state(connection).fault:
            return "schema"
    if keys_in_use().difference(keyring.kids):
        return "keys"
    known[_CHECKED] = time.monotonic() + CACHED_FOR
    return ""


@bp.get("/healthz")
def healthz() -> Response:
    """Report that this process responds, regardless of the state of its dependencies."""
    return Response("ok\n", mimetype="text/plain")


@bp.get("/readyz")
def readyz() -> Response:
    """Report only whether requests can be served: 200, or 503 if the database is unavailable, full or incompatible."""
    if _why_not_ready():
        return Response("not ready\n", 503, mimetype="text/plain", headers={"Retry-After": "2"})
    return Response("ready\n", mimetype="text/plain")


@bp.get("/openapi.json")
def openapi() -> Response:
    """Describe the JSON interface (OpenAPI 3.1)."""
    path = Path(current_app.root_path).parent / "openapi.yaml"
    return Response(_description(path, settings.sub_path), mimetype="application/json")


@lru_cache(maxsize=1)
def _description(path: Path, sub_path: str) -> bytes:
    import yaml

    described = yaml.safe_load(path.read_text(encoding="utf-8"))
    described["servers"] = [{"url": sub_path or "/"}]
    return orjson.dumps(described)
