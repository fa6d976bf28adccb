"""Import accounts from JSON lines, batch by batch. Interrupted, it can simply be run again."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import orjson

from app.cli.account_creation import open_accounts
from app.cli.account_drafts import Draft, NotUsable, read_draft
from app.cli.foreign_exports import array_hint

BATCH = 500
"""Accounts to a transaction: large enough to be quick, small enough to let sign-ins through in between."""

LONGEST_LINE = 65536
"""Bytes of a line."""


@dataclass
class Tally:
    """What became of the lines read so far."""

    opened: int = 0
    present: int = 0
    refused: int = 0

    def __str__(self) -> str:
        return f"{self.opened:,} opened, {self.present:,} there already, {self.refused:,} refused"


def import_lines(
    lines: Iterable[bytes], refuse: Callable[[int, bytes, str], None], read: Callable[[int], None]
) -> Tally:
    """Open an account for each line, and return what became of them. Blank lines are passed over.

    :param refuse: told each line that opened none: its number, the line, and why
    :param read: told how many bytes are done with, after each batch
    """
    tally = Tally()
    batch: dict[int, bytes] = {}
    for number, line in enumerate(lines, start=1):
        batch[number] = line
        if len(batch) == BATCH:
            _import_batch(batch, tally, refuse, read)
            batch = {}
    _import_batch(batch, tally, refuse, read)
    return tally


def _import_batch(
    batch: dict[int, bytes], tally: Tally, refuse: Callable[[int, bytes, str], None], read: Callable[[int], None]
) -> None:
    drafts: dict[int, Draft] = {}
    reasons: dict[int, str] = {}
    for number, line in batch.items():
        try:
            if line.strip():
                drafts[number] = _parse(line)
        except NotUsable as error:
            reasons[number] = str(error)
    outcome = open_accounts(drafts)
    reasons |= outcome.refused
    for number in sorted(reasons):
        refuse(number, batch[number], reasons[number])
    tally.opened += len(outcome.opened)
    tally.present += len(outcome.present)
    tally.refused += len(reasons)
    read(sum(map(len, batch.values())))


def _parse(line: bytes) -> Draft:
    if len(line) > LONGEST_LINE:
        raise NotUsable(f"is longer than {LONGEST_LINE} bytes")
    if hint := array_hint(line.removeprefix(b"\xef\xbb\xbf")):
        raise NotUsable(hint)
    try:
        return read_draft(orjson.loads(line.removeprefix(b"\xef\xbb\xbf")))
    except orjson.JSONDecodeError:
        raise NotUsable("is not JSON") from None
