"""/healthz, /readyz and /openapi.json."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import orjson
from flask import Response, current_app

from app.extensions import settings
from app.status import bp
from app.status.readiness import unready


@bp.get("/healthz")
def healthz() -> Response:
    """Say that this process answers, whatever became of what it depends on."""
    return Response("ok\n", mimetype="text/plain")


@bp.get("/readyz")
def readyz() -> Response:
    """Say whether requests can be served, and no more: 200, or 503 while the database is away, full or doesn't fit."""
    if unready():
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
