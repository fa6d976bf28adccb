"""Runs the benchmark and prints its table: ``python -m bench --help``."""

import argparse
import signal
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from bench.client import drive
from bench.databases import KINDS, Databases, databases
from bench.results import Results
from bench.servers import ROOT, free_port, python
from bench.subject import WORKS, Subject

WARM_UP = 0.5
"""Seconds of each run that are not counted."""

MOST_PER_SECOND = 4000
"""More than any server here can do in a second: so much is made ready beforehand."""


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--database", choices=(*KINDS, "both"), default="both")
    parser.add_argument("--people", type=int, default=60_000, help="accounts in each database")
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--processes", type=int, default=2, help="web processes of each server")
    parser.add_argument("--rounds", type=int, default=3, help="medians are taken over these")
    parser.add_argument("--seconds", type=float, default=5.0, help="of each work in each round")
    parser.add_argument("--starts", type=int, default=3, help="cold starts measured")
    parser.add_argument("--works", nargs="+", choices=WORKS, default=list(WORKS))
    parser.add_argument("--peers", action="store_true", help="add other packages, each in an environment of its own")
    return parser.parse_args()


def main() -> None:
    """Measure on each database and print."""
    options = parse()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that the servers are stopped then too
    for kind in KINDS if options.database == "both" else (options.database,):
        with tempfile.TemporaryDirectory(prefix="latchkey-bench-") as made:
            print(f"\n{kind}: making {options.people:,} people ...", flush=True)
            results = measure(kind, Path(made), options)
            print(results.table(), flush=True)


def measure(kind: str, directory: Path, options: argparse.Namespace) -> Results:
    """Run every work of every subject, interleaved, on one kind of database."""
    with ExitStack() as stack:
        made = stack.enter_context(databases(kind, directory))
        mail_port = free_port()
        sink = subprocess.Popen(python("-m", "bench.sink", str(mail_port)), cwd=ROOT)
        stack.callback(sink.wait)
        stack.callback(sink.terminate)
        subjects = make_subjects(made, directory, mail_port, options)
        results = Results([subject.name for subject in subjects])
        for subject in subjects:
            stack.callback(subject.server.stop)
        for number in range(options.starts):
            for subject in subjects:
                results.starts[subject.name].append(subject.start())
                if number + 1 < options.starts:
                    subject.server.stop()
        for _ in range(options.rounds):
            for work in options.works:
                for subject in subjects:
                    if work not in getattr(subject, "without", ()):
                        run(subject, work, results, options)
        for subject in subjects:
            results.memory[subject.name] = subject.server.memory()
            subject.server.stop()
        ours = [(subject, work) for subject in subjects[1:3] for work in options.works]
        results.statements = {f"{subject.name} {work}": subject.statements(work) for subject, work in ours}
    return results


def make_subjects(made: Databases, directory: Path, mail_port: int, options: argparse.Namespace) -> list[Any]:
    """Return the subjects, with their people in place: the floor, ours without limits and with, and then the peers."""
    from bench.bare import Bare
    from bench.latchkey import Latchkey

    floor = Bare(made.make("floor"), options.people, directory, options.processes)
    ours = Latchkey(made.make("latchkey"), options.people, directory, options.processes, mail_port)
    limited = Latchkey(made.make("limited"), options.people, directory, options.processes, mail_port, limits=True)
    subjects: list[Any] = [floor, ours, limited]
    for subject in subjects:
        subject.populate()
    if options.peers:
        from bench.peer import Peer

        peer = Peer(made.make("peer"), options.people, directory, options.processes, mail_port)
        peer.populate()
        subjects.append(peer)
    return subjects


def run(subject: Subject, work: str, results: Results, options: argparse.Namespace) -> None:
    """Let the clients do one work on one subject, and keep what that took."""
    subject.get_ready(work, int(MOST_PER_SECOND * (options.seconds + WARM_UP)))
    before: list[float] = []
    tally = drive(
        subject.server.address,
        subject.scripts(work, options.clients),
        options.seconds,
        warm_up=WARM_UP,
        when_warm=lambda: before.append(subject.server.processor_seconds()),
    )
    spent = subject.server.processor_seconds() - before[0]
    if not tally.times:
        raise RuntimeError(f"{subject.name} did no {work} at all: {tally.wrong[:3]}")
    results.add(subject.name, work, tally, spent, subject.settle())


if __name__ == "__main__":
    main()
