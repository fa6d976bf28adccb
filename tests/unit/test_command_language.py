"""The language of a command, by the environment."""

import pytest

from app.command_language import command_language, in_english, number_text

NAMES = ("LANGUAGE", "LC_ALL", "LC_MESSAGES", "LANG")


@pytest.mark.parametrize(
    ("environment", "language"),
    [
        ({}, "en"),
        ({"LANG": "C"}, "en"),
        ({"LANG": "C.UTF-8"}, "en"),
        ({"LANG": "POSIX"}, "en"),
        ({"LANG": "en_US.UTF-8"}, "en"),
        ({"LANG": "de_AT.UTF-8"}, "de"),
        ({"LANG": "de@euro"}, "de"),
        ({"LANG": "pt_BR.UTF-8"}, "pt-BR"),
        ({"LANG": "pt_PT"}, "pt-BR"),
        ({"LANG": "xx_XX.UTF-8"}, "en"),
        ({"LANG": "../../etc"}, "en"),
        ({"LANG": "de_DE.UTF-8", "LC_MESSAGES": "fr_FR.UTF-8"}, "fr"),
        ({"LANG": "de_DE.UTF-8", "LC_MESSAGES": "fr_FR.UTF-8", "LC_ALL": "ja_JP.UTF-8"}, "ja"),
        ({"LANG": "de_DE.UTF-8", "LC_ALL": "C"}, "en"),
        ({"LANG": "de_DE.UTF-8", "LC_ALL": ""}, "de"),
        ({"LANG": "de_DE.UTF-8", "LANGUAGE": "pl:en"}, "pl"),
        ({"LANG": "de_DE.UTF-8", "LANGUAGE": "xx:en"}, "en"),
        ({"LANG": "de_DE.UTF-8", "LANGUAGE": "xx"}, "de"),
        ({"LANG": "C", "LANGUAGE": "pl"}, "en"),
    ],
)
def test_command_language_follows_the_locale_variables(monkeypatch, environment, language):
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert command_language() == language


def test_machine_readable_output_is_english(monkeypatch):
    monkeypatch.setenv("LC_MESSAGES", "de_DE.UTF-8")
    with in_english():
        assert (command_language(), number_text(1234567)) == ("en", "1,234,567")
    assert (command_language(), number_text(1234567)) == ("de", "1.234.567")
