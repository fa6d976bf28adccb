"""Create the accounts of an export in batches, and report the outcome of each record."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import orjson

from app.cli import account_creation
from app.cli.account_creation import File, Outcome, open_accounts
from app.cli.account_drafts import Draft, NotUsable, read_draft
from app.cli.imports.account import GroupNames
from app.cli.imports.latchkey import Latchkey
from app.cli.imports.product import Choices, Fault, Place, Product, Row, Skipped, Values
from app.cli.imports.spool import Spool
from app.command_language import gettext

SKIPPABLE = ("password_hash", "authenticator")
"""Fields that --skip-unreadable omits."""


@dataclass
class Tally:
    """Results of the records read so far.

    :ivar reasons: rejected records by reason, without details that vary between records
    :ivar not_imported: accounts by what wasn't carried over, by the keys of ``account.NOT_IMPORTED``
    :ivar omitted: accounts by the reason why something couldn't be carried over
    :ivar skipped: records that aren't a person's, by kind
    :ivar methods: created accounts by method
    :ivar seconds: created accounts with a second factor
    :ivar unverified: created accounts that still need to verify an address
    """

    created: int = 0
    existing: int = 0
    rejected: int = 0
    unknown_groups: set[str] = field(default_factory=set)
    created_groups: set[str] = field(default_factory=set)
    reasons: Counter[str] = field(default_factory=Counter)
    not_imported: Counter[str] = field(default_factory=Counter)
    omitted: Counter[str] = field(default_factory=Counter)
    skipped: Counter[str] = field(default_factory=Counter)
    methods: Counter[str] = field(default_factory=Counter)
    seconds: int = 0
    unverified: int = 0
    orphans: int = 0

    @property
    def total(self) -> int:
        """Records processed."""
        return self.created + self.existing + self.rejected + self.skipped.total()

    def __str__(self) -> str:
        return gettext(
            "{opened} opened, {present} there already, {refused} refused",
            opened=self.created,
            present=self.existing,
            refused=self.rejected,
        )


Reject = Callable[[Place, dict[str, Any]], None]
"""Called for each record that creates no account, with its location, and ``reason`` with ``record`` or ``text``."""


@dataclass(frozen=True)
class Drafted:
    """A record that describes an account, and what isn't carried over from it."""

    place: Place
    source: dict[str, Any]
    draft: Draft
    not_imported: frozenset[str] = frozenset()
    omitted: tuple[str, ...] = ()


class Import:
    """A run: its options, and the results so far."""

    def __init__(self, product: Product, choices: Choices, spool: Spool, reject: Reject) -> None:
        self.product, self.choices, self.tally = product, choices, Tally()
        self._spool, self._reject, self._names = spool, reject, GroupNames()

    def import_batch(self, records: Iterable[Row | Fault]) -> None:
        """Create the accounts of several hundred records."""
        drafted: dict[int, Drafted] = {}
        rejected: list[tuple[Place, dict[str, Any]]] = []
        for number, record in enumerate(records):
            source = _source_of(record)
            try:
                drafted[number] = self._read(record, source)
            except Skipped as skipped:
                self.tally.skipped[str(skipped)] += 1
            except NotUsable as error:
                rejected.append((record.place, {"reason": str(error)} | source))
        outcome = self._open(drafted)
        rejected += [
            (drafted[number].place, {"reason": reason} | drafted[number].source)
            for number, reason in outcome.rejected.items()
        ]
        for place, what in sorted(rejected, key=lambda each: (each[0].file, each[0].number)):
            what["reason"] = visible(what["reason"])
            self.tally.reasons[kind_of(what["reason"])] += 1
            self._reject(place, {"reason": what["reason"], "place": str(place)} | what)
        self.tally.rejected += len(rejected)

    def _read(self, record: Row | Fault, source: dict[str, Any]) -> Drafted:
        if isinstance(record, Fault):
            raise NotUsable(record.reason)
        if isinstance(self.product, Latchkey):
            values = {
                name: value for name, value in record.values.items() if name != "groups" or not self.choices.no_groups
            }
            return Drafted(record.place, source, read_draft(values))
        if not self.product.knows(record.values):
            raise NotUsable(f"is no account of {self.product.title}")
        try:
            return self._from_product(record, source)
        except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
            if isinstance(error, NotUsable):
                raise
            raise NotUsable(f"has a shape that is not known here ({type(error).__name__})") from None

    def _from_product(self, record: Row, source: dict[str, Any]) -> Drafted:
        account = self.product.account(record.values, self.choices)
        fields = account.fields()
        if not self.choices.no_groups:
            fields["groups"] = [self._names.of(kind, source) for kind, source in account.groups]
        faults = [f"{name}: {reason}" for name, reason in account.faults.items()]
        if faults and not self.choices.skip_unreadable:
            raise NotUsable(_advised(faults[0]))
        draft, omitted = self._read_draft(fields)
        return Drafted(record.place, source, draft, frozenset(account.not_imported), (*faults, *omitted))

    def _read_draft(self, fields: dict[str, Any]) -> tuple[Draft, list[str]]:
        """Return the draft, and what was omitted from it because it can't be carried over."""
        omitted: list[str] = []
        while True:
            try:
                return read_draft(fields), omitted
            except NotUsable as error:
                name = str(error).partition(":")[0]
                if name not in SKIPPABLE or not fields.get(name):
                    raise
                if not self.choices.skip_unreadable:
                    raise NotUsable(_advised(str(error))) from None
                omitted.append(str(error).partition("; without")[0])
                fields = _without(fields, name)

    def _open(self, drafted: Mapping[int, Drafted]) -> Outcome:
        drafts = {number: each.draft for number, each in drafted.items()}
        places = {number: str(each.place) for number, each in drafted.items()}
        earlier = self._spool.earlier(identity for draft in drafts.values() for identity in draft.identities)
        outcome = open_accounts(
            drafts,
            create_groups=self.choices.create_groups,
            file=File(places, earlier),
            dry_run=self.choices.dry_run,
        )
        done = [*outcome.created, *outcome.existing]
        self._spool.record_seen((identity, places[n]) for n in done for identity in drafts[n].identities)
        for number in outcome.created:
            self._count(drafted[number])
        self.tally.created += len(outcome.created)
        self.tally.existing += len(outcome.existing)
        self.tally.unknown_groups |= {visible(name) for name in outcome.unknown_groups}
        self.tally.created_groups |= outcome.created_groups
        return outcome

    def _count(self, each: Drafted) -> None:
        self.tally.not_imported.update(each.not_imported)
        self.tally.omitted.update(kind_of(visible(reason)) for reason in each.omitted)
        self.tally.methods.update(each.draft.methods)
        self.tally.seconds += bool(each.draft.seconds)
        self.tally.unverified += not each.draft.confirmed


def run(
    rows: Iterable[Row | Fault],
    product: Product,
    choices: Choices,
    reject: Reject,
    on_progress: Callable[[Tally], None],
    *,
    join: bool = False,
) -> Tally:
    """Create an account for each record, and return the results.

    :param on_progress: called after each batch with the results so far
    :param join: join the rows of several tables or files first
    """
    with closing(Spool()) as spool:
        current = Import(product, choices, spool, reject)
        records = iter(spool.joined(rows, product) if join else rows)
        while batch := list(islice(records, account_creation.BATCH)):
            current.import_batch(batch)
            current.tally.orphans = spool.orphans
            on_progress(current.tally)
        current.tally.orphans = spool.orphans
    return current.tally


def import_lines(
    lines: Iterable[bytes],
    reject: Callable[[int, bytes, str], None],
    read: Callable[[int], None],
    *,
    create_groups: bool = False,
) -> Tally:
    """Create an account for each of our own JSON lines. Blank lines are ignored.

    :param reject: called for each line that didn't create an account, with its number, the line, and the reason
    :param read: called after each batch with the number of records processed
    :param create_groups: create missing groups; otherwise a line that names one is rejected
    """

    def reject_row(place: Place, what: dict[str, Any]) -> None:
        reject(place.number, orjson.dumps(what.get("record", what.get("text"))), what["reason"])

    def rows() -> Iterator[Row | Fault]:
        for number, line in enumerate(lines, start=1):
            if line.strip():
                yield Row(Place("", number), orjson.loads(line))

    choices = Choices(create_groups=create_groups)
    return run(rows(), Latchkey(), choices, reject_row, lambda tally: read(tally.total))


def visible(text: str) -> str:
    """Replace unprintable characters in text that may come from a file, so that a terminal doesn't interpret them."""
    return "".join(each if each.isprintable() else "\ufffd" for each in text)


def kind_of(reason: str) -> str:
    """Return a reason without details that vary between records: locations, numbers and names."""
    kind = reason.partition("; ")[0]
    kind = re.sub(r"(: ).*( has it too)", r"\1another record\2", kind)
    return re.sub(r"'[^']*'|\"[^\"]*\"", "...", kind)


def _source_of(record: Row | Fault) -> dict[str, Any]:
    """Return a record in the format of the file of rejected records, so that it can be read again."""
    if isinstance(record, Row):
        return {"record": record.values} | ({"table": record.table} if record.table else {})
    more = {"table": record.table, "columns": list(record.columns), "form": record.form}
    return {"text": record.text} | {name: value for name, value in more.items() if value}


def _without(fields: Values, name: str) -> Values:
    """Return the fields without one that can't be carried over."""
    seconds = [each for each in fields.get("second_factor", []) if each != name]
    return {key: value for key, value in fields.items() if key != name} | {"second_factor": seconds}


def _advised(reason: str) -> str:
    return f"{reason.partition('; without')[0]}; --skip-unreadable opens the account without it"
