"""Measurements, and the table that shows them."""

import statistics
from collections import defaultdict
from dataclasses import dataclass, field

from bench.run import Run
from bench.subject import WORKS


@dataclass(frozen=True, slots=True)
class Round:
    """One work of one subject in one round. Times are in seconds, CPU times per operation."""

    rate: float
    p50: float
    p99: float
    server_cpu: float
    database_cpu: float
    cores: float
    """Average number of cores that the server kept busy; ``database_cores`` likewise."""

    database_cores: float
    errors: int
    backlog_seconds: float


@dataclass
class Results:
    """All rounds of all subjects. ``baselines`` are names of subjects, with a short name for each."""

    names: list[str]
    baselines: dict[str, str]
    rounds: dict[tuple[str, str], list[Round]] = field(default_factory=lambda: defaultdict(list))
    starts: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    memory: dict[str, list[float]] = field(default_factory=dict)
    statements: dict[str, dict[str, tuple[int, float]]] = field(default_factory=dict)
    errors: set[str] = field(default_factory=set)
    works: dict[str, str] = field(default_factory=lambda: WORKS)

    def add(self, name: str, work: str, run: Run, backlog_seconds: float = 0.0) -> None:
        """Store the measurements of a run; ``backlog_seconds`` is the time until the server had finished its backlog.

        :raises RuntimeError: if no operation succeeded
        """
        tally = run.tally
        if not tally.times:
            raise RuntimeError(f"{name} did no {work} at all: {tally.errors[:3]}")
        done, seconds = len(tally.times), tally.seconds
        found = Round(
            tally.rate, tally.percentile(0.5), tally.percentile(0.99), run.server / done, run.database / done,
            run.server / seconds, run.database / seconds, len(tally.errors), backlog_seconds,
        )  # fmt: skip
        self.rounds[name, work].append(found)
        self.errors.update(f"{name} {work}: {error}" for error in tally.errors[:3])

    def median(self, name: str, work: str, figure: str) -> float:
        """Return the median of one figure over the rounds."""
        return statistics.median(getattr(each, figure) for each in self.rounds[name, work])

    def table(self) -> str:
        """Return the figures as text, medians over the rounds."""
        shares = "".join(f"{f'of {baseline}':>10}{f'cpu of {baseline}':>14}" for baseline in self.baselines.values())
        title = (
            f"{'':34}{'per s':>8}{shares}{'p50 ms':>8}{'p99 ms':>8}{'cpu ms':>8}{'db ms':>7}"
            f"{'cores':>7}{'db cores':>10}{'errors':>8}{'settled s':>11}"
        )
        lines = [title]
        for work in self.works:
            lines += [self._line(name, work) for name in self.names if (name, work) in self.rounds]
        return "\n".join([*lines, *self._costs(), *sorted(self.errors)])

    def _line(self, name: str, work: str) -> str:
        def figure(of: str) -> float:
            return self.median(name, work, of)

        shares = "".join(
            f"{self._share(name, baseline, work, 'rate'):>10}{self._share(name, baseline, work, 'server_cpu'):>14}"
            for baseline in self.baselines
        )
        errors = sum(each.errors for each in self.rounds[name, work])
        return (
            f"{work} {name:31}{figure('rate'):8,.0f}{shares}{figure('p50') * 1000:8.1f}{figure('p99') * 1000:8.1f}"
            f"{figure('server_cpu') * 1000:8.3f}{figure('database_cpu') * 1000:7.3f}"
            f"{figure('cores'):7.2f}{figure('database_cores'):10.2f}{errors:8}{figure('backlog_seconds'):11.1f}"
        )

    def _share(self, name: str, baseline: str, work: str, figure: str) -> str:
        if (baseline, work) not in self.rounds:
            return "-"
        return f"{self.median(name, work, figure) / (self.median(baseline, work, figure) or 1):.2f}"

    def _costs(self) -> list[str]:
        lines = []
        for name in self.names:
            start = statistics.median(self.starts[name]) if self.starts[name] else 0.0
            memory = " ".join(f"{size:.0f}" for size in self.memory.get(name, []))
            lines.append(f"{name}: cold start {start:.2f} s; memory of its processes, MB: {memory}")
        for subject, requests in self.statements.items():
            shown = (f"{name}: {many} statements, {spent:.2f} ms cpu" for name, (many, spent) in requests.items())
            lines.append(f"{subject}, one request at a time: {'; '.join(shown)}")
        return lines
