"""LATCHKEY_LANGUAGES."""

import pytest

from config.settings import ConfigurationError, Settings

pytestmark = pytest.mark.one_database


def test_languages_are_read_in_their_order_whatever_their_case(monkeypatch):
    monkeypatch.setenv("LATCHKEY_ENVIRONMENT", "development")
    monkeypatch.setenv("LATCHKEY_LANGUAGES", "de, EN, pt-br")
    assert Settings.load().languages == ("de", "en", "pt-BR")


def test_a_language_without_a_catalog_is_refused_with_those_that_have_one(monkeypatch):
    monkeypatch.setenv("LATCHKEY_ENVIRONMENT", "development")
    monkeypatch.setenv("LATCHKEY_LANGUAGES", "en,xx")
    with pytest.raises(ConfigurationError) as refused:
        Settings.load()
    assert "LATCHKEY_LANGUAGES" in str(refused.value)
    assert "choose from en, de, fr" in str(refused.value)
