"""/healthz, /readyz and /openapi.json."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import orjson
import structlog
from flask import Response, current_app

from app.db import refuse_unless_writable
from app.extensions import db
from app.status import bp

log = structlog.get_logger()


@bp.get("/healthz")
def healthz() -> Response:
    """Say that this process answers, whatever became of what it depends on."""
    return Response("ok\n", mimetype="text/plain")


@bp.get("/readyz")
def readyz() -> Response:
    """Say whether requests can be served: 200, or 503 while the database is away, read-only or out of room."""
    try:
        refuse_unless_writable(db.session.connection())
    except Exception as error:
        log.warning("readiness.failed", error=type(error).__name__)
        return Response("database\n", 503, mimetype="text/plain", headers={"Retry-After": "2"})
    return Response("ready\n", mimetype="text/plain")


@bp.get("/openapi.json")
def openapi() -> Response:
    """Describe the JSON interface (OpenAPI 3.1)."""
    return Response(_description(Path(current_app.root_path).parent / "openapi.yaml"), mimetype="application/json")


@lru_cache(maxsize=1)
def _description(path: Path) -> bytes:
    import yaml

    return orjson.dumps(yaml.safe_load(path.read_text(encoding="utf-8")))
