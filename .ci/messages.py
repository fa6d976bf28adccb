"""Extract every marked text, update and compile the catalogs, and report what each language lacks.

``make messages`` runs it. ``--check`` writes nothing. The exit status is 1 if a translation has other placeholders or
tags than its text, or too few plural forms.
"""

from __future__ import annotations

import ast
import re
import sys
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path

from babel.messages import Catalog, Message
from babel.messages.extract import extract_from_dir
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "app" / "translations"
LANGUAGES = ("de", "fr", "es", "pt_BR", "ja", "ar", "pl")
METHODS = [("templates/**.html", "jinja2"), ("templates/**.txt", "jinja2"), ("**.py", "python")]
OPTIONS = {pattern: {"trim_blocks": "true", "lstrip_blocks": "true"} for pattern, how in METHODS if how == "jinja2"}
KEYWORDS = {"_": None, "N_": None, "gettext": None, "ngettext": (1, 2), "pgettext": ((1, "c"), 2)}
KEYWORDS |= {"sentence": None, "plural_sentence": (1, 2), "ngettext_noop": (1, 2)}
NOTES = ["Translators:"]
EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
PLACEHOLDER = re.compile(r"\{(\w*(?:![rsa])?)\}")
TAG = re.compile(r"</?[a-z][^>]*>")


def main() -> int:
    writes = "--check" not in sys.argv[1:]
    template = extract()
    wrong = 0
    print(f"{len(template)} texts")
    for language in LANGUAGES:
        path = FOLDER / language / "LC_MESSAGES" / "messages.po"
        catalog = updated(path, language, template)
        if writes:
            write(path, catalog)
        problems = list(problems_of(catalog))
        wrong += len(problems)
        missing = sum(not is_translated(message) for message in catalog if message.id)
        fuzzy = sum(message.fuzzy for message in catalog if message.id)
        print(f"{language:6} {len(catalog) - missing} translated, {missing} missing, {fuzzy} to review")
        for problem in problems:
            print(f"       {problem}")
    return 1 if wrong else 0


def extract() -> Catalog:
    """Return a catalog of all texts marked in app/, and of the commands' help, with the files that contain them."""
    catalog = Catalog(project="Latchkey", charset="utf-8", creation_date=EPOCH)
    found = extract_from_dir(
        ROOT / "app", METHODS, OPTIONS, keywords=KEYWORDS, comment_tags=NOTES, strip_comment_tags=True
    )
    for name, text in help_of_commands():
        catalog.add(text, locations=[(name, None)])
    for name, _, text, comments, context in sorted(found, key=lambda one: (one[0], one[1])):
        catalog.add(text, locations=[(f"app/{name}", None)], auto_comments=comments, context=context)
    return catalog


def help_of_commands() -> Iterator[tuple[str, str]]:
    """Yield each paragraph of the docstrings that are the help of a ``flask`` command, with its file."""
    for path in sorted((ROOT / "app").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef) and any(map(is_command, node.decorator_list)):
                for text in (ast.get_docstring(node) or "").split("\n\n"):
                    if text:
                        yield path.relative_to(ROOT).as_posix(), " ".join(text.split())


def is_command(decorator: ast.expr) -> bool:
    called = decorator.func if isinstance(decorator, ast.Call) else None
    return isinstance(called, ast.Attribute) and called.attr in ("command", "group")


def updated(path: Path, language: str, template: Catalog) -> Catalog:
    """Return the language's catalog with the texts of ``template``; removed texts are dropped."""
    catalog = read(path, language) if path.exists() else Catalog(locale=language, project="Latchkey", charset="utf-8")
    catalog.update(template, no_fuzzy_matching=True, update_creation_date=False)
    catalog.obsolete.clear()
    catalog.fuzzy = False
    catalog.creation_date = catalog.revision_date = EPOCH
    return catalog


def read(path: Path, language: str) -> Catalog:
    with path.open("rb") as file:
        return read_po(file, locale=language)


def write(path: Path, catalog: Catalog) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    text = BytesIO()
    write_po(text, catalog, width=100, ignore_obsolete=True, include_lineno=False)
    path.write_bytes(text.getvalue())
    path.with_suffix(".mo").write_bytes(compiled(catalog))


def compiled(catalog: Catalog) -> bytes:
    """Return the compiled catalog that the service reads; fuzzy entries are excluded."""
    file = BytesIO()
    write_mo(file, catalog)
    return file.getvalue()


def is_translated(message: Message) -> bool:
    return all(message.string) if isinstance(message.string, (list, tuple)) else bool(message.string)


def problems_of(catalog: Catalog) -> Iterator[str]:
    """Yield the problems of existing translations."""
    for message in catalog:
        if not message.id or not is_translated(message) or message.fuzzy:
            continue
        plural = isinstance(message.id, (list, tuple))
        source = message.id[1] if plural else message.id
        strings = message.string if plural else [message.string]
        if plural and len(strings) != catalog.num_plurals:
            yield f"{source!r}: {catalog.num_plurals} plural forms are required"
        for string in strings:
            extra, missing = differences(source, string)
            if plural and differences(message.id[0], string) == (set(), set()):
                continue
            missing -= {"{count}"} if plural else set()
            if extra or missing:
                yield f"{source!r}: {string!r} adds {sorted(extra)} and lacks {sorted(missing)}"


def differences(source: str, string: str) -> tuple[set[str], set[str]]:
    """Return the placeholders and tags that only the translation has, and those that only the source has."""
    ours, theirs = Counter(parts(source)), Counter(parts(string))
    return set(theirs - ours), set(ours - theirs)


def parts(text: str) -> list[str]:
    return [f"{{{name}}}" for name in PLACEHOLDER.findall(text)] + TAG.findall(text)


if __name__ == "__main__":
    sys.exit(main())
