"""``flask templates``: check the operator's templates (syntax, names, rendering), and list what built-in ones offer."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from jinja2 import Environment, StrictUndefined, TemplateError, TemplateSyntaxError, meta, nodes
from jinja2.filters import FILTERS

from app.cli.group import OperatorGroup
from app.cli.message_samples import Sample, samples, unsent
from app.command_language import N_, gettext, ngettext
from app.extensions import settings, this_app
from app.notifications.challenge_emails import context_of
from app.own_templates import describe, folder_of

if TYPE_CHECKING:
    from flask import Flask

SUFFIXES = (".html", ".txt")
PARTS = ("ui/", "mail/layout.", "mail/facts.", "base.html")
"""Templates that others extend or import. They are rendered as part of those."""

REQUEST_VALUES = (
    "avatar_of",
    "csrf_field",
    "csrf_token",
    "destination_of",
    "get_flashed_messages",
    "idempotency_field",
    "new_methods",
    "next_step",
    "open_recovery",
    "phone_country",
)
"""Template functions that need a request, the database or real names."""

IDENTITY_KINDS = ("email", "phone", "username")

templates = OperatorGroup("templates", help=N_("Check your own templates, and list what they can use."))


@dataclass(frozen=True, order=True)
class Fault:
    """A problem in a template."""

    file: str
    line: int
    what: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.what}"


class SampleValue(int):
    """Stand-in for any template value: has every attribute and item, is callable, and iterates over two of itself."""

    def __getattr__(self, name: str) -> SampleValue:
        if name.startswith("__"):
            raise AttributeError(name)
        return self

    def __getitem__(self, key: object) -> object:
        return getattr(self, key) if isinstance(key, str) else self

    def __call__(self, *_args: object, **_more: object) -> SampleValue:
        return self

    def __iter__(self) -> Iterator[SampleValue]:
        return iter((self, self))

    def __len__(self) -> int:
        return 2

    def __contains__(self, item: object) -> bool:
        return True

    def __format__(self, spec: str) -> str:
        return str(self)

    def __html__(self) -> str:
        return str(self)


SAMPLE = SampleValue(1)


class SampleIdentity(SampleValue):
    """An identity of a known kind."""

    def __init__(self, _value: int, kind: str) -> None:
        self.kind = kind

    def __new__(cls, value: int, _kind: str) -> SampleIdentity:
        """Return the underlying number."""
        return super().__new__(cls, value)


CHOICES: dict[str, dict[str, tuple[object, ...]]] = {
    "identities/identities.html": {"identities": ([SampleIdentity(1, kind) for kind in IDENTITY_KINDS],)},
    "recovery/cancel.html": {"state": ("open", "cancelled", "done", "expired")},
}
"""Values that must have a certain type or are one of a few words. The page is rendered with each."""


def faults() -> list[Fault]:
    """Return the problems of all templates the service would use, built-in and the operator's."""
    app = this_app()
    environment = _strict(app)
    own = folder_of(app)
    names = own_names(own) if own else []
    found = {fault for name in names for fault in _faults_of_source(environment, own, name)}
    with app.test_request_context("/us-signin"):  # provides ``request``; nothing else is used
        for name, context in renderings():
            found |= set(_faults_of_rendering(environment, own, name, context))
    return sorted(found)


def own_names(folder: str) -> list[str]:
    """Return the names of the templates in a folder."""
    root = Path(folder)
    return sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if path.suffix in SUFFIXES)


def renderings() -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each page and message with sample values."""
    for name in built_in_names():
        if not name.startswith(("mail/", "sms/", *PARTS)):
            yield from ((name, dict.fromkeys(variables_of(name), SAMPLE) | chosen) for chosen in _choices(name))
    for sample in samples():
        yield from _of_message(sample)


def _choices(name: str) -> list[dict[str, object]]:
    return [{value: word} for value, words in CHOICES.get(name, {}).items() for word in words] or [{}]


def _of_message(sample: Sample) -> Iterator[tuple[str, dict[str, Any]]]:
    context = context_of(unsent(sample.kind, sample.channel, "ada@example.com", sample.tag), sample.facts)
    endings = (".txt",) if sample.channel == "sms" else (".subject.txt", ".txt", ".html")
    for ending in endings:
        name = f"{sample.channel}/{sample.kind}{ending}"
        yield name, dict.fromkeys(variables_of(name)) | context


def built_in_names() -> list[str]:
    """Return the names of the built-in templates."""
    return own_names(_our_folder())


@cache
def variables_of(name: str) -> frozenset[str]:
    """Return the values used by a built-in template and by all templates it extends, imports or includes."""
    tree = _parsed(name)
    used = values_in(tree) - _functions()
    for other in filter(None, meta.find_referenced_templates(tree)):
        used |= variables_of(other)
    return frozenset(used)


def values_in(tree: nodes.Template) -> set[str]:
    """Return the names that a template reads but doesn't define. Raises TemplateSyntaxError."""
    defined = {macro.name for macro in tree.find_all(nodes.Macro)}
    defined |= {name.name for name in tree.find_all(nodes.Name) if name.ctx in ("store", "param")}
    for imported in tree.find_all(nodes.FromImport):
        defined |= {name if isinstance(name, str) else name[1] for name in imported.names}
    defined |= {imported.target for imported in tree.find_all(nodes.Import)}
    return set(meta.find_undeclared_variables(tree)) - defined


def _functions() -> set[str]:
    """Return the names available to every template: functions, and what Flask adds. ``session`` belongs to one page."""
    return set(this_app().jinja_env.globals) - {"session"}


@cache
def blocks_of(name: str) -> frozenset[str]:
    """Return the blocks that a template of this name can override, in the built-in one and those it extends."""
    tree = _parsed(name)
    blocks = {block.name for block in tree.find_all(nodes.Block)}
    for parent in tree.find_all(nodes.Extends):
        if isinstance(parent.template, nodes.Const):
            blocks |= blocks_of(str(parent.template.value))
    return frozenset(blocks)


def _parsed(name: str) -> nodes.Template:
    """Return the syntax tree of a built-in template."""
    return _without_functions().parse((Path(_our_folder()) / name).read_text(encoding="utf-8"))


def _without_functions() -> Environment:
    """Return an environment for parsing without globals, since Jinja omits globals from undeclared names."""
    environment: Environment = this_app().jinja_env.overlay()
    environment.globals = {}
    return environment


def _our_folder() -> str:
    return str(Path(this_app().root_path) / "templates")


def _strict(app: Flask) -> Environment:
    """Return the service's environment, changed so that missing values are errors and no function needs a request."""
    environment: Environment = app.jinja_env.overlay(undefined=StrictUndefined)
    environment.globals = app.jinja_env.globals | dict.fromkeys(REQUEST_VALUES, SAMPLE)
    ours = {name: of for name, of in app.jinja_env.filters.items() if name not in FILTERS}
    environment.filters = app.jinja_env.filters | {name: _tolerant(of) for name, of in ours.items()}
    return environment


def _tolerant(of: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap a filter so that it leaves sample values unchanged, since ours expect a time, a code or a browser name."""
    return lambda value, *more, **named: str(value) if isinstance(value, SampleValue) else of(value, *more, **named)


def _faults_of_source(environment: Environment, folder: str, name: str) -> Iterator[Fault]:
    """Yield problems of the operator's template that can be found without rendering it."""
    file = f"{folder}/{name}"
    try:
        tree = _without_functions().parse(Path(file).read_text(encoding="utf-8"), name, file)
        used = values_in(tree)
    except TemplateSyntaxError as error:
        yield Fault(file, error.lineno, error.message or gettext("syntax error"))
        return
    except (OSError, UnicodeDecodeError) as error:
        yield Fault(file, 1, gettext("can't be read ({error})", error=type(error).__name__))
        return
    if name not in built_in_names():
        if not _is_used(environment, folder, name):
            yield Fault(file, 1, gettext("replaces no built-in template, and none of yours uses it"))
        return
    for block in tree.find_all(nodes.Block):
        if block.name not in blocks_of(name) and any(tree.find_all(nodes.Extends)):
            what = gettext("block {name} is in no template that this one extends", name=repr(block.name))
            yield Fault(file, block.lineno, what)
    known = variables_of(name) | _functions()
    for missing in used - known:
        line = next(node.lineno for node in tree.find_all(nodes.Name) if node.name == missing)
        yield Fault(file, line, gettext("{name} isn't a value of this template", name=repr(missing)))


def _is_used(environment: Environment, folder: str, name: str) -> bool:
    """Return whether another of the operator's templates extends, imports or includes this one."""
    for other in own_names(folder):
        try:
            tree = environment.parse((Path(folder) / other).read_text(encoding="utf-8"))
        except (TemplateError, OSError, UnicodeDecodeError):
            continue
        if name in meta.find_referenced_templates(tree):
            return True
    return False


def _faults_of_rendering(environment: Environment, folder: str, name: str, context: dict[str, Any]) -> Iterator[Fault]:
    try:
        environment.get_template(name).render(context)
    except TemplateSyntaxError as error:
        yield Fault(error.filename or name, error.lineno, error.message or gettext("syntax error"))
    except Exception as error:  # template expressions can raise anything
        ours = f"{_our_folder()}/"
        frames = [(frame.filename, frame.lineno or 0) for frame in traceback.extract_tb(error.__traceback__)]
        places = [place for place in frames if place[0].startswith((f"{folder}/", ours) if folder else (ours,))]
        in_own = [place for place in places if folder and place[0].startswith(f"{folder}/")]
        file, line = (in_own or places or [(name, 0)])[-1]
        yield Fault(file, line, gettext("{error} (rendering {name})", error=describe(error), name=name))


@templates.command("check")
def check() -> None:
    """Render every page and message with sample data, and report what is wrong with templates.

    Checks those in LATCHKEY_TEMPLATES_FOLDER and the built-in ones that use them. Exits with 1 if there is something to
    fix.
    """
    found = faults()
    for fault in found:
        click.echo(str(fault))
    if found:
        text = ngettext(
            "{count} to fix. The service uses its own templates in their place.",
            "{count} to fix. The service uses its own templates in their place.",
            len(found),
        )
        click.echo(text, err=True)
        sys.exit(1)
    rendered = len({name for name, _ in renderings()})
    folder = settings.templates_folder or gettext("no LATCHKEY_TEMPLATES_FOLDER is set")
    text = ngettext(
        "Rendered {count} template without errors ({folder}).",
        "Rendered {count} templates without errors ({folder}).",
        rendered,
        folder=folder,
    )
    click.echo(text)


@templates.command("list")
@click.argument("name", required=False)
def list_templates(name: str | None) -> None:
    """List the built-in templates, or the blocks and values of the one called NAME."""
    if name is None:
        for each in built_in_names():
            click.echo(each)
        return
    if name not in built_in_names():
        raise click.UsageError(gettext("There is no template {name}. List them: flask templates list", name=repr(name)))
    blocks, values = blocks_of(name), variables_of(name)
    click.echo(gettext("Blocks: {names}", names=", ".join(sorted(blocks)) or gettext("none")))
    click.echo(gettext("Values: {names}", names=", ".join(sorted(values)) or gettext("none")))
