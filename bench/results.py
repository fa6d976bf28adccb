"""What was measured, and the table of it."""

import statistics
from collections import defaultdict
from dataclasses import dataclass, field

from bench.client import Tally
from bench.subject import WORKS


@dataclass(frozen=True, slots=True)
class Round:
    """One work of one subject in one round. Times are in seconds."""

    rate: float
    half: float
    most: float
    processor: float
    wrong: int
    settled: float


@dataclass
class Results:
    """All rounds of all subjects; the first subject is what the others are compared with."""

    names: list[str]
    rounds: dict[tuple[str, str], list[Round]] = field(default_factory=lambda: defaultdict(list))
    starts: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    memory: dict[str, list[float]] = field(default_factory=dict)
    statements: dict[str, dict[str, tuple[int, float]]] = field(default_factory=dict)
    why: set[str] = field(default_factory=set)
    works: dict[str, str] = field(default_factory=lambda: WORKS)

    def add(self, name: str, work: str, tally: Tally, processor: float, settled: float) -> None:
        """Keep what a run measured.

        :param processor: seconds of processor time that the server took
        :param settled: seconds until the server had finished what was left
        """
        done = len(tally.times) or 1
        found = Round(
            tally.rate, tally.percentile(0.5), tally.percentile(0.99), processor / done, len(tally.wrong), settled
        )
        self.rounds[name, work].append(found)
        self.why.update(f"{name} {work}: {why}" for why in tally.wrong[:3])

    def median(self, name: str, work: str, figure: str) -> float:
        """Return the median of one figure over the rounds."""
        return statistics.median(getattr(each, figure) for each in self.rounds[name, work])

    def table(self) -> str:
        """Return the figures as text, medians over the rounds."""
        title = (
            f"{'':34}{'per s':>8}{'of floor':>10}{'p50 ms':>9}{'p99 ms':>9}{'cpu ms':>8}{'errors':>8}{'settled s':>11}"
        )
        lines = [title]
        for work in self.works:
            lines += [self._line(name, work) for name in self.names if (name, work) in self.rounds]
        return "\n".join([*lines, *self._costs(), *sorted(self.why)])

    def _line(self, name: str, work: str) -> str:
        rate, floor = self.median(name, work, "rate"), self.median(self.names[0], work, "rate")
        errors = sum(each.wrong for each in self.rounds[name, work])
        return (
            f"{work} {name:31}{rate:8,.0f}{rate / (floor or 1):10.2f}"
            f"{self.median(name, work, 'half') * 1000:9.1f}{self.median(name, work, 'most') * 1000:9.1f}"
            f"{self.median(name, work, 'processor') * 1000:8.2f}{errors:8}{self.median(name, work, 'settled'):11.1f}"
        )

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
