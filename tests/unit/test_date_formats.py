"""Date formats are loaded once, before the web and delivery processes are forked."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from babel import localedata

from app import i18n


@pytest.fixture
def forbid_reading(monkeypatch):
    """Start with no formats in memory. The returned function makes further reading of formats fail the test."""
    for cached in (i18n._locale, i18n._datetime_pattern, i18n._day_text):
        cached.cache_clear()

    def forbid():
        i18n._datetime_pattern.cache_clear()
        i18n._day_text.cache_clear()
        monkeypatch.setattr(localedata, "load", lambda *_names, **_options: pytest.fail("formats were read again"))

    return forbid


@pytest.mark.one_database
def test_loaded_date_formats_are_not_read_again(app, forbid_reading):
    with app.app_context():
        i18n.load_date_formats("en")
        forbid_reading()
        assert i18n.datetime_text(datetime(2026, 11, 23, 7, 56, tzinfo=UTC)) == "23 Nov 2026, 07:56 UTC"
