"""Check that every JSON response in the functional tests conforms to openapi.yaml."""

from __future__ import annotations

import re
from functools import cache, lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml
from jsonschema import Draft202012Validator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012
from werkzeug.test import TestResponse

ROOT = Path(__file__).parent.parent
PLACES = (ROOT / "openapi.yaml", ROOT / "docs" / "openapi.yaml")
HERE = "urn:latchkey:openapi"


def check_answer(method: str, path: str, response: TestResponse) -> None:
    """Check a JSON response against the document; raise AssertionError if it doesn't conform. Others are ignored.

    Responses to unknown paths or unsupported methods only have to be errors.
    """
    if response.mimetype != "application/json" or not document():
        return
    template = template_of(urlsplit(path).path)
    operation = document()["paths"].get(template, {}).get(method.lower()) if template else None
    if template is None or operation is None:
        assert response.status_code >= 400 or method == "HEAD", f"openapi.yaml does not have {method} {path}"
        return
    answers = operation["responses"]
    status = str(response.status_code)
    named = next((name for name in (status, f"{status[0]}XX", "default") if answers.get(name)), None)
    assert named, f"openapi.yaml does not have {status} for {method} {template}: {response.get_data(as_text=True)}"
    check = _check_of(template, method.lower(), named)
    if check is not None and method != "HEAD":
        faults = [f"{fault.json_path}: {fault.message}" for fault in check.iter_errors(response.get_json())]
        assert not faults, f"{method} {template} {status} is not as in openapi.yaml: {'; '.join(faults)}"


@lru_cache(maxsize=1)
def document() -> dict[str, Any]:
    """Return the contents of openapi.yaml, or an empty dict if there is none."""
    found = next((place for place in PLACES if place.exists()), None)
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml is six times faster
    return yaml.load(found.read_text(), loader) if found else {}


@lru_cache(maxsize=512)
def template_of(path: str) -> str | None:
    """Return the documented path that matches ``path``; one without parameters takes precedence."""
    paths = sorted(document()["paths"], key=lambda template: template.count("{"))
    return next((template for template in paths if re.fullmatch(re.sub(r"\{[^}]+\}", "[^/]+", template), path)), None)


@lru_cache(maxsize=1)
def _registry() -> Registry[Any]:
    resource = Resource.from_contents(document(), default_specification=DRAFT202012)
    return Registry().with_resource(HERE, resource)


@cache
def _check_of(template: str, method: str, status: str) -> Draft202012Validator | None:
    """Return the validator for a response's JSON. Cached, because most responses of a run are of a few kinds."""
    described = _resolved(document()["paths"][template][method]["responses"][status])
    schema = described.get("content", {}).get("application/json", {}).get("schema")
    return None if schema is None else validator(schema)


def validator(schema: dict[str, Any]) -> Draft202012Validator:
    """Return a validator for a schema of the document."""
    return Draft202012Validator(_absolute(schema), registry=_registry())


def _resolved(node: dict[str, Any]) -> dict[str, Any]:
    while "$ref" in node:
        target: Any = document()
        for part in node["$ref"].removeprefix("#/").split("/"):
            target = target[part.replace("~1", "/").replace("~0", "~")]
        node = target
    return node


def _absolute(node: Any) -> Any:
    """Make local references in a part of the document absolute, so that they resolve outside it."""
    if isinstance(node, list):
        return [_absolute(part) for part in node]
    if not isinstance(node, dict):
        return node
    here = {"$ref": HERE + node["$ref"]} if str(node.get("$ref", "")).startswith("#") else {}
    return {key: _absolute(value) for key, value in node.items()} | here
