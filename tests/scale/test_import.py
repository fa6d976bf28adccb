"""A large import into a running service: valid records are imported, invalid ones are saved with reasons."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.accounts import application_on
from tests.faults.visitors import Visitor
from tests.scale.conftest import USERS, Stack

pytestmark = pytest.mark.one_database

RECORDS = max(1000, USERS // 10)
"""100,000 in ``make test-scale``."""

FAULTS = 4
"""Kinds of faults, which take turns; each hundredth record has one."""


def record(number: int) -> str:
    """Return a line of Auth0's export; each hundredth is one that can't be imported."""
    user = {"user_id": f"auth0|m{number}", "email": f"m{number}@moved.example", "email_verified": True}
    if number % 100 == 7:
        kind = number // 100 % FAULTS
        if kind == 0:
            return '{"user_id": "auth0|x", "email": "broken'
        user |= [{}, {"email": "no address"}, {"email": f"M{number - 1}@moved.example"}, {"passwordHash": "no"}][kind]
    return json.dumps(user)


@pytest.fixture
def export(tmp_path: Path) -> Path:
    """What another product has written."""
    path = tmp_path / "users.jsonl"
    with path.open("w") as file:
        file.writelines(f"{record(number)}\n" for number in range(RECORDS))
    return path


def test_large_import_skips_and_reports_invalid_records(stack: Stack, export: Path, tmp_path: Path):
    bad = RECORDS // 100
    refused = tmp_path / "refused.jsonl"

    def count() -> int:
        [(found,)] = stack.database.query("SELECT count(*) FROM identity WHERE value LIKE '%@moved.example'")
        return int(found)

    with application_on(stack.database) as app:

        def run() -> list[str]:
            words = ["users", "import", str(export), "--from", "auth0", "--refused", str(refused)]
            result = app.test_cli_runner().invoke(args=words)
            assert result.exit_code == 1, "some are refused"
            return result.stdout.splitlines()

        assert run()[-1] == f"{RECORDS - bad:,} opened, 0 there already, {bad:,} refused."
        assert count() == RECORDS - bad
        assert run()[-1] == f"0 opened, {RECORDS - bad:,} there already, {bad:,} refused."
        assert count() == RECORDS - bad

    places = [line["place"] for line in kept(refused)]
    assert places == [f"line {number + 1}" for number in range(7, RECORDS, 100)]
    reasons = Counter(line["reason"].partition(":")[0] for line in kept(refused))
    assert sum(reasons.values()) == bad
    assert len(reasons) >= FAULTS - 1
    assert Visitor(stack.url).get("/readyz").status in (200, 404)


def kept(refused: Path) -> Iterator[dict[str, str]]:
    """Read what was refused, a record at a time."""
    with refused.open() as file:
        yield from map(json.loads, file)
