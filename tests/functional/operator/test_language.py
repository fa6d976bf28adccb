"""Commands print in the terminal's language; output for programs is in English."""

from __future__ import annotations

import gettext
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import click
import pytest

from app import i18n
from app.cli.group import OperatorGroup
from app.command_language import OF_CLICK, PLURALS_OF_CLICK, TranslatedCommand, command_language, paragraphs
from tests.architecture.test_translations import messages
from tests.databases import KEY, ROOT

pytestmark = pytest.mark.one_database

LOCALE = ("LANGUAGE", "LC_ALL", "LC_MESSAGES", "LANG")


@pytest.fixture
def speak(monkeypatch):
    """Sets the locale of this process: ``speak("pl_PL.UTF-8")``."""
    for name in LOCALE:
        monkeypatch.setenv(name, "")  # so that it is put back, whatever a command sets
    return lambda locale: monkeypatch.setenv("LC_ALL", locale)


def typed(*words: str, **locale: str) -> subprocess.CompletedProcess[str]:
    """Run ``flask`` in a separate process, as in a terminal with this locale."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    kept |= {"LATCHKEY_SECRET_KEYS": KEY, "LATCHKEY_ENVIRONMENT": "development", "PYTHONUTF8": "1"}
    command = [sys.executable, "-m", "flask", "--app", "wsgi", *words]
    return subprocess.run(command, cwd=ROOT, env=kept | locale, capture_output=True, text=True, timeout=120)


@pytest.mark.parametrize(
    ("locale", "said"),
    [
        ({"LANG": "de_DE.UTF-8"}, "Setzen Sie ihn ans Ende"),
        ({"LANG": "C"}, "Put it last"),
        ({"LANG": "tlh_QO.UTF-8"}, "Put it last"),
        ({}, "Put it last"),
    ],
    ids=["de", "C", "unknown", "none"],
)
def test_command_uses_the_terminal_language(locale, said):
    done = typed("keys", "new", **locale)
    assert done.returncode == 0
    assert re.fullmatch(r"[0-9a-f]{64}\n", done.stdout)
    assert said in done.stderr


def test_help_page_is_translated_including_click_texts():
    page = typed("users", "create", "--help", LANG="de_AT.UTF-8").stdout
    assert page.startswith("Aufruf: python -m flask users create [OPTIONS] EMAIL\n")
    assert "\n  Ein Konto für EMAIL anlegen. Ohne --method erfolgt die Anmeldung per E-Mail.\n" in page
    assert "\nOptionen:\n" in page
    assert "Eine Anmeldemethode; mehrfach möglich." in page
    assert "Diese Hilfe anzeigen und beenden." in page


def test_errors_are_translated_including_click_texts():
    done = typed("users", "sessions", "end", "ada@example.com", "--every", LANG="de_DE.UTF-8")
    assert done.returncode == 2
    assert "Hilfe: 'python -m flask users sessions end --help'." in done.stderr
    assert "Fehler: Die Option '--every' gibt es nicht." in done.stderr
    done = typed("users", "sessions", "end", "ada@example.com", LANG="de_DE.UTF-8")
    assert "Fehler: Nennen Sie die Sitzungen oder geben Sie --all an." in done.stderr


def test_unencodable_characters_do_not_break_a_command():
    done = typed("keys", "new", "--help", LC_ALL="ja_JP.UTF-8", PYTHONUTF8="0", PYTHONIOENCODING="latin-1")
    assert (done.returncode, "LATCHKEY_SECRET_KEYS" in done.stdout) == (0, True)


def test_plural_forms_follow_the_language(operate, speak):
    speak("pl_PL.UTF-8")
    for count, said in ((1, "1 grupa."), (2, "2 grupy."), (3, "3 grupy."), (4, "4 grupy."), (5, "5 grup.")):
        operate("groups", "create", f"group-{count}")
        assert operate("groups", "list").stderr == f"{said}\n"


def test_command_list_is_translated_and_not_truncated(operate, speak):
    speak("ja_JP.UTF-8")
    listed = operate("groups", "--help").stdout.partition("コマンド:")[2]
    assert "create  グループを作成します\n" in listed
    assert "..." not in listed


def test_json_output_is_not_translated(operate, people, speak):
    people.open("ada@example.com")
    words = (("users", "show", "ada@example.com", "--json"), ("doctor", "--json"), ("clients", "list", "--json"))
    before = [operate(*each).stdout for each in words]
    speak("de_DE.UTF-8")
    after = [operate(*each).stdout for each in words]
    assert [_without_times(text) for text in after] == [_without_times(text) for text in before]
    assert "nothing waits" in after[1]
    assert "nichts wartet" in operate("doctor").stdout


def _without_times(text: str) -> list[dict[str, object]]:
    return [json.loads(line) | {"at": ""} for line in text.splitlines()]


def test_stored_texts_use_the_service_language(app, speak):
    group = OperatorGroup("shown")
    group.command("languages")(lambda: click.echo(f"{command_language()}, {i18n.language()}"))
    speak("de_DE.UTF-8")
    assert app.test_cli_runner().invoke(group, ["languages"]).stdout == "de, en\n"


def test_english_command_reads_no_catalog(operate, speak, monkeypatch):
    speak("en_GB.UTF-8")
    i18n.catalog("en")
    monkeypatch.setattr(gettext, "translation", lambda *_words: pytest.fail("a catalog was read"))
    assert operate("groups", "list").stderr == "0 groups.\n"


def test_every_help_text_is_in_the_catalogs(app):
    texts = {text for message in messages.extract() for text in _both(message.id)}
    context = click.Context(app.cli)
    missing = []
    for name in app.cli.list_commands(context):
        for command in _all(app.cli.get_command(context, name)):
            options = [each.help for each in command.params if isinstance(each, click.Option) and each.help]
            missing += [text for text in (*paragraphs(command.help or ""), *options) if text not in texts]
    assert missing == []


def test_every_command_is_translated(app):
    context = click.Context(app.cli)
    found = [
        each for name in app.cli.list_commands(context) for each in _all(app.cli.get_command(context, name), False)
    ]
    ours = [each for each in found if _module(each).startswith("app.")]
    assert len(ours) > 60
    assert [each.name for each in ours if not isinstance(each, TranslatedCommand)] == []


def _module(command: click.Command) -> str:
    return getattr(command.callback, "__module__", "")


def _all(command: click.Command, own: bool = True) -> list[click.Command]:
    """Return a command, and those below it; those of others are left out when ``own``."""
    below = command.commands.values() if isinstance(command, click.Group) else ()
    found = [command] if isinstance(command, TranslatedCommand) or not own else []
    return found + [each for child in below for each in _all(child, own)]


def _both(text: str | tuple[str, ...]) -> tuple[str, ...]:
    return text if isinstance(text, tuple) else (text,)


def test_translated_click_texts_match_those_of_click():
    source = "\n".join(path.read_text() for path in Path(click.__file__).parent.glob("*.py"))
    said = " ".join(re.sub(r'"\s*\n\s*"', "", source).split())
    quoted = {json.dumps(text)[1:-1] for text in (*OF_CLICK, *(each for pair in PLURALS_OF_CLICK for each in pair))}
    assert {text for text in quoted if f'"{text}"' not in said} == set()


@pytest.mark.parametrize("locale", ["de_DE", "fr_FR", "es_ES", "pt_BR", "ja_JP", "ar_EG", "pl_PL"])
def test_translated_labels_are_separated_from_their_values(app, people, speak, locale):
    """A secret is copied from here, and an address by a double click."""
    people.open(email="ada@example.com")
    speak(locale)
    words = [
        ["clients", "create", "Wiki", "--redirect-uri", "https://wiki.test/cb"],
        ["users", "show", "ada@example.com"],
    ]
    made, shown = (app.test_cli_runner().invoke(args=each) for each in words)
    assert made.exit_code == shown.exit_code == 0, made.output + shown.output
    assert re.search(r" {2}https://wiki\.test/cb$", made.output, re.MULTILINE)
    assert re.search(r" {2}wiki$", made.output, re.MULTILINE)
    assert len(re.findall(r"\S {2,}\S", made.output)) >= 6
    assert len(re.findall(r"^\S.*? {2,}\S.*$", shown.output, re.MULTILINE)) == 14
