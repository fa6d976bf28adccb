"""Run the benchmark and print its table: ``python -m bench --help``."""

import argparse
import signal
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from bench.databases import KINDS, Databases, databases
from bench.mailbox import Mailbox
from bench.results import Results
from bench.run import WARM_UP, run_clients
from bench.servers import ROOT, free_port, python
from bench.subject import WORKS

BASELINES = {"floor": "floor", "safe floor": "safe"}
"""Baselines that the other subjects are compared with, and their names in the table."""

WARM_UP_TIMEOUT = 20
"""Seconds within which a first sign-in must succeed. A server's first requests are the slowest."""

MOST_PER_SECOND = 4000
"""More operations per second than any server here can do; determines how much is prepared in advance."""


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
    """Measure on each database and print the results."""
    options = parse()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that the servers are stopped, too
    for kind in KINDS if options.database == "both" else (options.database,):
        with tempfile.TemporaryDirectory(prefix="latchkey-bench-") as made:
            print(f"\n{kind}: making {options.people:,} people ...", flush=True)
            results = measure(kind, Path(made), options)
            print(results.table(), flush=True)


def measure(kind: str, directory: Path, options: argparse.Namespace) -> Results:
    """Run every work on every subject, interleaved, on one kind of database."""
    with ExitStack() as stack:
        made = stack.enter_context(databases(kind, directory))
        mail_port = free_port()
        sink = subprocess.Popen(python("-m", "bench.sink", str(mail_port)), cwd=ROOT)
        stack.callback(sink.wait)
        stack.callback(sink.terminate)
        subjects = make_subjects(made, directory, mail_port, options)
        if options.peers:
            mailbox = Mailbox()
            stack.callback(mailbox.close)
            subjects += make_peers(made, directory, mail_port, mailbox, options)
        for subject in subjects:
            subject.populate()
        made.analyze()
        results = Results([subject.name for subject in subjects], BASELINES)
        for subject in subjects:
            stack.callback(subject.server.stop)
        start(subjects, results, options.starts)
        for subject in subjects:
            warm_up(subject, made, options)
        for _ in range(options.rounds):
            for work in options.works:
                for subject in subjects:
                    if work not in subject.without:
                        run(subject, work, made, results, options)
        for subject in subjects:
            results.memory[subject.name] = subject.server.memory()
            subject.server.stop()
        count_statements(subjects, results, options.works)
    return results


def start(subjects: list[Any], results: Results, times: int) -> None:
    """Start each subject ``times`` times, in turn."""
    for number in range(times):
        for subject in subjects:
            results.starts[subject.name].append(subject.start())
            if number + 1 < times:
                subject.server.stop()


def warm_up(subject: Any, made: Databases, options: argparse.Namespace) -> None:
    """Sign people in without measuring, to fill imports and caches, and to create sessions for later checks.

    :raises RuntimeError: if no one could sign in
    """
    for _ in range(WARM_UP_TIMEOUT):
        subject.prepare("W1", 0)
        tally = run_clients(subject.server, subject.scripts("W1", options.clients), 1.0, made).tally
        subject.finish_backlog()
        if subject.sessions:
            return
    raise RuntimeError(f"nobody could sign in at {subject.name}: {tally.errors[:3]}")


def count_statements(subjects: list[Any], results: Results, works: list[str]) -> None:
    """Count the SQL statements of the subjects that can run in this process."""
    for subject in subjects:
        if hasattr(subject, "statements"):
            for work in (each for each in works if each not in subject.without):
                results.statements[f"{subject.name} {work}"] = subject.statements(work)


def make_subjects(made: Databases, directory: Path, mail_port: int, options: argparse.Namespace) -> list[Any]:
    """Return both floor apps, and Latchkey with and without limits."""
    from bench.bare import Bare, Safe
    from bench.latchkey import Latchkey

    common = (options.people, directory, options.processes)
    return [
        Bare(made.make("floor"), *common),
        Safe(made.make("safe"), *common),
        Latchkey(made.make("latchkey"), *common, mail_port),
        Latchkey(made.make("limited"), *common, mail_port, limits=True),
    ]


def make_peers(
    made: Databases, directory: Path, mail_port: int, mailbox: Mailbox, options: argparse.Namespace
) -> list[Any]:
    """Install the other packages and return them as subjects."""
    from bench.peers.allauth import Allauth
    from bench.peers.better_auth import BetterAuth
    from bench.peers.flask_security import FlaskSecurity

    common = (options.people, directory, options.processes)
    return [
        FlaskSecurity(made.make("flask-security"), *common, mail_port),
        Allauth(made.make("allauth"), *common, mailbox),
        BetterAuth(made.make("better-auth"), *common, mailbox),
    ]


def run(subject: Any, work: str, made: Databases, results: Results, options: argparse.Namespace) -> None:
    """Run one work on one subject, and store the measurements."""
    subject.prepare(work, int(MOST_PER_SECOND * (options.seconds + WARM_UP)))
    scripts = subject.scripts(work, options.clients)
    results.add(
        subject.name, work, run_clients(subject.server, scripts, options.seconds, made), subject.finish_backlog()
    )


if __name__ == "__main__":
    main()
