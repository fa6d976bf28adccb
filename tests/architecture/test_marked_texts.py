"""Every text that people read is marked for translation."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator

import pytest
from jinja2 import Environment, nodes

from tests.architecture.sources import modules
from tests.databases import ROOT

pytestmark = pytest.mark.one_database

TEMPLATES = sorted(path for path in (ROOT / "app/templates").rglob("*") if path.suffix in (".html", ".txt"))
MARKS = {"_", "N_", "gettext", "ngettext", "ngettext_noop", "pgettext", "sentence", "plural_sentence"}
EXPRESSION = re.compile(r"\{\{.*?\}\}|\{%.*?%\}", re.DOTALL)
ATTRIBUTE = re.compile(r'\b(?:aria-label|title|alt|placeholder|content)="([^"]*)"')
WORDS = re.compile(r"[A-Z][a-z']+( |$)|[a-z']+ [a-z']+ [a-z']+")
SENTENCE = re.compile(r"[A-Z][a-z']+ [a-z]|[a-z']+ [a-z']+ [a-z']+")
READ_BY_PEOPLE = (
    "account", "authenticators", "identities", "login", "notifications", "privacy", "recovery", "register",
    "setup", "signin", "users", "web",
)  # fmt: skip
OF_PROGRAMS = {
    "export.py",  # descriptions of each part in an archive's README
    "archive.py",  # an export's README
    "registry.py",  # read by operators
    "identifiers.py",  # read by people who import accounts
    "imported_hashes.py",
}


def text_nodes(source: str) -> Iterator[str]:
    """Yield a template's texts outside of its expressions."""
    plain = EXPRESSION.sub("", re.sub(r"(?s)\{#.*?#\}|<style[^>]*>.*?</style>", "", source))
    yield from (text for text in ATTRIBUTE.findall(plain) if " " not in text or not text.startswith("width="))
    yield from re.sub(r"(?s)<[^>]*>|&#?\w+;", "\n", plain).split("\n")


def unmarked_in_expressions(node: nodes.Node) -> Iterator[str]:
    """Yield the strings in a template's expressions that aren't in a call of a mark."""
    if isinstance(node, nodes.Call) and isinstance(node.node, nodes.Name) and node.node.name in MARKS:
        for keyword in node.kwargs:
            yield from unmarked_in_expressions(keyword)
        return
    if isinstance(node, nodes.Const) and isinstance(node.value, str):
        yield node.value
    for child in node.iter_child_nodes():
        yield from unmarked_in_expressions(child)


def unmarked_in_template(source: str) -> Iterator[str]:
    """Yield a template's unmarked texts."""
    allowed = {"column column-narrow", "column column-wide", "column", "utf-8", "noindex", "light dark"}
    outside = (text.strip() for text in text_nodes(source) if re.search(r"[A-Za-z]{2} ?[a-z]", text))
    yield from (
        text for text in outside if text not in allowed and not re.match(r"(/|#|width=|telephone=|data-)", text)
    )
    yield from (
        text for text in unmarked_in_expressions(Environment().parse(source)) if WORDS.match(text) and text != "None"
    )


def test_template_texts_are_marked_for_translation():
    assert TEMPLATES
    assert [(path.name, text) for path in TEMPLATES for text in unmarked_in_template(path.read_text())] == []


def unmarked(tree: ast.AST) -> Iterator[str]:
    """Yield a module's sentences that aren't marked, nor in a docstring, log line, raise or comparison."""
    if isinstance(tree, ast.Raise | ast.Compare) or (
        isinstance(tree, ast.Expr) and isinstance(tree.value, ast.Constant)
    ):
        return
    if isinstance(tree, ast.Call):
        name = tree.func.attr if isinstance(tree.func, ast.Attribute) else getattr(tree.func, "id", "")
        if (
            name in MARKS
            or name in ("TypeVar", "compile")
            or getattr(getattr(tree.func, "value", None), "id", "") == "log"
        ):
            return
    if isinstance(tree, ast.Constant) and isinstance(tree.value, str) and SENTENCE.match(tree.value):
        yield tree.value
    for child in ast.iter_child_nodes(tree):
        yield from unmarked(child)


@pytest.mark.parametrize("package", READ_BY_PEOPLE)
def test_module_texts_are_marked_for_translation(package):
    found = {
        f"{module.name}: {text}"
        for module in modules()
        if module.name.startswith(f"app/{package}/") and module.name.rpartition("/")[2] not in OF_PROGRAMS
        for text in unmarked(module.tree)
    }
    assert sorted(found) == []


COMMANDS = ("app/cli/", "app/outbox/cli.py", "app/serving/cli.py")
PRINTERS = {
    "echo", "confirm", "prompt", "status", "update", "fail", "ClickException", "UsageError", "BadParameter",
    "HealthCheck", "option", "argument", "OperatorGroup", "FileOrCommand", "TextColumn",
}  # fmt: skip
"""Functions and classes whose arguments are printed on a terminal or in a help page."""

NO_WORDS = re.compile(r'[a-z_0-9-]+|--[a-z/ -]+|GET|[a-z_]+ = "|[^A-Za-z]*|.*%.*|\{.*\}')
"""Names of options, fields and commands, and other texts that need no translation."""


def unmarked_in_commands(tree: ast.AST, within: bool = False) -> Iterator[str]:
    """Yield a command's unmarked texts, and marks inside of f-strings, which extraction doesn't find."""
    if isinstance(tree, ast.Call):
        name = called(tree)
        if name in MARKS:
            return
        within = name in PRINTERS
    if isinstance(tree, ast.JoinedStr):
        calls = [each for each in ast.walk(tree) if isinstance(each, ast.Call) and called(each) in MARKS]
        yield from (ast.unparse(each) for each in calls if isinstance(each.args[0], ast.Constant))
    text = tree.value if within and isinstance(tree, ast.Constant) else ""
    if isinstance(text, str) and re.search(r"[A-Za-z]{3}", text) and not NO_WORDS.fullmatch(text):
        yield text
    for child in ast.iter_child_nodes(tree):
        if not (isinstance(child, ast.keyword) and child.arg in ("metavar", "cls", "fg", "type")):
            yield from unmarked_in_commands(child, within)


def called(call: ast.Call) -> str:
    return call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")


def test_command_texts_are_marked_for_translation():
    found = {
        f"{module.name}: {text}"
        for module in modules()
        if module.name.startswith(COMMANDS)
        for text in unmarked_in_commands(module.tree)
    }
    assert sorted(found) == []


def test_unmarked_command_text_is_detected():
    tree = ast.parse("""
click.echo(f"{name}: was added")
click.echo(f"{name}: {gettext('was added')}")
raise click.ClickException("There is none.")
click.option("--all", help="All of them.")
click.echo(gettext("{name}: was added", name=name))
""")
    assert list(unmarked_in_commands(tree)) == [": was added", "gettext('was added')", "There is none.", "All of them."]


def test_unmarked_template_and_module_text_is_detected():
    assert list(unmarked_in_expressions(Environment().parse('{{ "Sign in" if x else _("Sign out") }}'))) == ["Sign in"]
    assert [text.strip() for text in text_nodes("<p>Sign in</p>{{ x }}") if text.strip()] == ["Sign in"]
    assert list(unmarked(ast.parse('say("You are here", N_("You are not"))'))) == ["You are here"]


def test_texts_and_documents_use_the_agreed_terms():
    done = subprocess.run([sys.executable, ".ci/words.py"], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
