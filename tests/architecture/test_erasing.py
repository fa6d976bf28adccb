"""Erasing an account deletes its rows in every table, by a foreign key or a trigger."""

from __future__ import annotations

import pytest

BY_TRIGGER = {"challenge", "standing", "message", "event", "webhook_delivery"}
"""Tables without a foreign key: the trigger of ADR 15 or the erasure itself deletes their rows."""


@pytest.mark.one_database
def test_every_table_with_a_user_id_is_emptied_when_the_account_is_erased(app):
    from app.extensions import db

    hanging = {
        table.name
        for table in db.metadata.tables.values()
        for key in table.foreign_keys
        if key.column.table.name == "user" and key.ondelete == "CASCADE"
    }
    owned = {table.name for table in db.metadata.tables.values() if "user_id" in table.c}
    assert owned - hanging - BY_TRIGGER == set()
