"""LATCHKEY_LANGUAGES."""

import pytest

from config.settings import ConfigurationError, Settings

pytestmark = pytest.mark.one_database


def test_languages_are_ordered_and_case_insensitive(monkeypatch):
    monkeypatch.setenv("LATCHKEY_ENVIRONMENT", "development")
    monkeypatch.setenv("LATCHKEY_LANGUAGES", "de, EN, pt-br")
    assert Settings.load().languages == ("de", "en", "pt-BR")


def test_language_without_a_catalog_is_rejected_with_the_available_ones(monkeypatch):
    monkeypatch.setenv("LATCHKEY_ENVIRONMENT", "development")
    monkeypatch.setenv("LATCHKEY_LANGUAGES", "en,xx")
    with pytest.raises(ConfigurationError) as refused:
        Settings.load()
    assert "LATCHKEY_LANGUAGES" in str(refused.value)
    assert "choose from en, de, fr" in str(refused.value)
