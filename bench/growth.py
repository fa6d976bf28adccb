"""Cost of a sign-in with few accounts and with many: ``python -m bench.growth --help``.

Uses two databases of one kind, one with a thousand accounts and one with a million. The application runs in this
process and does each work on both in turn. The people who sign in are spread over all accounts.
"""

import argparse
import os
import statistics
import subprocess
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import sqlalchemy as sa

from bench.client import Done, Script
from bench.databases import KINDS, Databases, databases
from bench.inside import call
from bench.large import Size, fill
from bench.latchkey import Latchkey
from bench.servers import ROOT, free_port, python

WORKS = ("W1", "W2", "W3", "W4")
AT_ONCE = 8
"""Number of people who request a code before the worker runs, and then sign in."""

WARM_UP = 160
"""Uncounted operations of each work. PostgreSQL caches a plan from the tenth execution of a statement."""

BATCH = 500


class Filled(Latchkey):
    """Latchkey on a database that was filled by SQL statements only."""

    def fill(self, size: Size, people: int) -> None:
        """Fill the database, and give ``people`` of the accounts a secret, so that they can sign in."""
        self.name = f"{size.users:,} users, {size.events:,} events"
        command = python("-m", "flask", "--app", "wsgi", "db", "upgrade")
        subprocess.run(command, cwd=ROOT, env=os.environ | self.environment, check=True, capture_output=True)
        fill(self.environment["LATCHKEY_DATABASE_URL"], size)
        os.environ.update(self.environment | {"LATCHKEY_LOG_LEVEL": "critical"})
        from app import create_app
        from app.extensions import db

        self.app = create_app()
        with self.app.app_context():
            self._enroll(size.users // people)
            self._learn()
            self.count = len(self.people)
            db.session.remove()

    def _enroll(self, every: int) -> None:
        """Give every ``every``-th account its own secret, unless it is disabled."""
        from app.authenticators.enrollments import new_secret
        from app.challenges.passcodes import enrolled_context
        from app.enrollments.models import Enrollment
        from app.extensions import db, keyring
        from app.users import User

        table = Enrollment.__table__
        active = sa.select(Enrollment).join(User, User.id == Enrollment.user_id).where(User.disabled_at.is_(None))
        some = db.session.scalars(active.where(Enrollment.user_id % every == 0)).all()
        rows = [
            {"row": each.id, "sealed": keyring.seal(new_secret().encode(), *enrolled_context(each))} for each in some
        ]
        change = sa.update(table).where(table.c.id == sa.bindparam("row")).values(secret=sa.bindparam("sealed"))
        for first in range(0, len(rows), BATCH):
            db.session.connection().execute(change, rows[first : first + BATCH])
            db.session.commit()

    def deliver(self) -> None:
        """Send messages that are due, as the worker does."""
        from app.outbox import leases
        from app.outbox.delivery import send

        with self.app.app_context():
            for which in leases.due():
                while messages := leases.claim_from(which, 2 * AT_ONCE):
                    send(messages)

    def play(self, work: str, operations: int) -> None:
        """Run this many operations in this process.

        :raises RuntimeError: if one fails
        """
        scripts = [(script, next(script)) for script in self.scripts(work, AT_ONCE if work == "W1" else 1)]
        while operations > 0:
            scripts = [(script, self._step(script, step)) for script, step in scripts]
            finished = [script for script, step in scripts if isinstance(step, Done)]
            operations -= len(finished)
            if work == "W1" and not finished:
                self.deliver()
            scripts = [(script, next(script) if isinstance(step, Done) else step) for script, step in scripts]

    def _step(self, script: Script, step: bytes | Done) -> bytes | Done:
        assert isinstance(step, bytes)
        after = script.send(call(self.app, step))
        if isinstance(after, Done) and not after.succeeded:
            raise RuntimeError(after.error)
        return after


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m bench.growth", description=__doc__)
    parser.add_argument("--database", choices=KINDS, default="postgresql")
    parser.add_argument("--few", type=int, default=1000, help="accounts in the small database, with ten events each")
    parser.add_argument("--people", type=int, default=1_000_000, help="accounts in the large one")
    parser.add_argument("--events", type=int, default=10_000_000, help="events in the large one")
    parser.add_argument("--operations", type=int, default=200, help="of each work in each round")
    parser.add_argument("--rounds", type=int, default=5, help="medians are taken over these")
    return parser.parse_args()


def main() -> None:
    """Measure and print the results."""
    options = parse()
    with tempfile.TemporaryDirectory(prefix="latchkey-growth-") as made, ExitStack() as stack:
        directory = Path(made)
        kept = stack.enter_context(databases(options.database, directory))
        port = stack.enter_context(_mail_server())
        sizes = (
            Size(options.few, 10 * options.few, options.few, options.few),
            Size(options.people, options.events, options.people, options.people),
        )
        subjects = []
        for number, size in enumerate(sizes):
            began = time.perf_counter()
            subject = Filled(kept.make(f"growth{number}"), 0, directory, 1, port)
            subject.fill(size, min(size.users, 20 * options.few))
            print(f"{size}: filled in {time.perf_counter() - began:.0f} s", flush=True)
            subjects.append(subject)
        print(table(subjects, measure(subjects, kept, options)))


@contextmanager
def _mail_server() -> Iterator[int]:
    """Run a mail server that discards everything, and yield its port."""
    port = free_port()
    sink = subprocess.Popen(python("-m", "bench.sink", str(port)), cwd=ROOT)
    try:
        time.sleep(1)
        yield port
    finally:
        sink.terminate()
        sink.wait()


Costs = dict[tuple[str, str], list[tuple[float, float]]]
"""Seconds of CPU time per operation in this process and in PostgreSQL, for each round, by work and subject."""


def measure(subjects: list[Filled], kept: Databases, options: argparse.Namespace) -> Costs:
    """Run each work on both subjects in turn; return the cost per operation."""
    costs: Costs = defaultdict(list)
    for round_ in range(options.rounds + 1):  # the first round is the warm-up
        operations = options.operations if round_ else WARM_UP
        for work in WORKS:
            for subject in subjects:
                subject.prepare(work, operations + AT_ONCE)
                here, there = time.process_time(), kept.processor_seconds()
                subject.play(work, operations)
                spent = time.process_time() - here, kept.processor_seconds() - there
                if round_:
                    costs[work, subject.name].append((spent[0] / operations, spent[1] / operations))
    return costs


def table(subjects: list[Filled], costs: Costs) -> str:
    """Return medians over the rounds in ms, and the cost of each subject relative to the first one."""
    lines = [f"{'':4}{'':34}{'cpu ms':>8}{'db ms':>8}{'sum':>8}{'of first':>10}"]
    for work in WORKS:
        first = 0.0
        for subject in subjects:
            here, there = (statistics.median(each) * 1000 for each in zip(*costs[work, subject.name], strict=True))
            first = first or here + there
            lines.append(
                f"{work:4}{subject.name:34}{here:8.2f}{there:8.2f}{here + there:8.2f}{(here + there) / first:10.2f}"
            )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
