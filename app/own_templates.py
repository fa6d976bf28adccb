"""Templates: the operator's own win over ours, and ours are used where an own one fails.

A page is never missing because of a template: a sign-in that fails for everyone is worse than one that looks like ours.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import structlog
from jinja2 import ChoiceLoader, Environment, FileSystemLoader, PrefixLoader, TemplateNotFound, TemplateSyntaxError

from app.extensions import this_app

if TYPE_CHECKING:
    from flask import Flask

log = structlog.get_logger()

PREFIX = "builtin"
"""``{% extends "builtin/base.html" %}`` is our template, also from one that takes its place."""

_FALLBACK = "latchkey.builtin_templates"


def init_app(app: Flask) -> None:
    """Look for templates in ``LATCHKEY_TEMPLATES_FOLDER`` first, if it is set."""
    if folder := folder_of(app):
        ours = FileSystemLoader(str(Path(app.root_path) / "templates"))
        app.jinja_loader = ChoiceLoader([_OwnLoader(folder), ours, PrefixLoader({PREFIX: ours})])


class _OwnLoader(FileSystemLoader):
    """Reads the operator's templates; one that can't be read is a fault of that template like any other."""

    def get_source(self, environment: Environment, template: str) -> tuple[str, str, Callable[[], bool]]:
        """Return source, file, and whether it is still the same. Raises TemplateNotFound, TemplateSyntaxError."""
        try:
            return super().get_source(environment, template)
        except TemplateNotFound:
            raise
        except (OSError, UnicodeDecodeError) as error:
            what = f"can't be read ({type(error).__name__})"
            raise TemplateSyntaxError(what, 1, template, f"{self.searchpath[0]}/{template}") from error


def folder_of(app: Flask) -> str:
    """Return the whole path of the operator's templates; "" for none."""
    folder = app.extensions["latchkey.settings"].templates_folder
    return str(Path(folder).resolve()) if folder else ""


def render(name: str, context: dict[str, Any]) -> str:
    """Return a template with its values. When an own one fails, say so in the log and return what ours says."""
    app = this_app()
    try:
        return app.jinja_env.get_template(name).render(context)
    except Exception as error:
        folder = folder_of(app)
        file, line = place_of(error, folder) if folder else ("", 0)
        if not file:
            raise
        said = _built_in(app).get_template(name).render(context)
        log.error("template.failed", template=name, file=file, line=line, error=describe(error))
        return said


def place_of(error: Exception, folder: str) -> tuple[str, int]:
    """Return file and line of the operator's template that ``error`` comes from; "" and 0 when it is none's."""
    if isinstance(error, TemplateSyntaxError):
        places = [(error.filename or "", error.lineno)]
    else:
        places = [(frame.filename, frame.lineno or 0) for frame in traceback.extract_tb(error.__traceback__)]
    return next((place for place in reversed(places) if place[0].startswith(f"{folder}/")), ("", 0))


def describe(error: Exception) -> str:
    """Return what is wrong with a template, without a value: ``UndefinedError: 'nmae' is undefined``."""
    known = type(error).__module__.startswith("jinja2")
    return f"{type(error).__name__}: {error}" if known else type(error).__name__


def _built_in(app: Flask) -> Environment:
    """Return an environment that knows our templates only. It is made when the first own one fails."""
    if _FALLBACK not in app.extensions:
        ours = FileSystemLoader(str(Path(app.root_path) / "templates"))
        app.extensions[_FALLBACK] = app.jinja_env.overlay(loader=ours)
    environment: Environment = app.extensions[_FALLBACK]
    return environment
