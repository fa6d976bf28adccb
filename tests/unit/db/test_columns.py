"""How times are stored in SQLite."""

from datetime import UTC, datetime

import pytest
from sqlalchemy.dialects import sqlite

from app.db import UtcDateTime

KEPT = datetime(2026, 3, 4, 5, 6, 7, 800, tzinfo=UTC)


@pytest.mark.parametrize("text", ["2026-03-04 05:06:07.000800", "2026-03-04 05:06:07.000800+00:00"])
def test_time_is_read_with_and_without_zone(text):
    assert UtcDateTime().result_processor(sqlite.dialect(), None)(text) == KEPT


def test_time_is_written_without_zone():
    assert UtcDateTime().bind_processor(sqlite.dialect())(KEPT) == "2026-03-04 05:06:07.000800"
