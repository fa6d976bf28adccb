"""Scrapes of an application in this process, evaluated by Debian's promtool."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml
from flask import Flask

from tests import requirements
from tests.databases import ROOT

RULES = ROOT / "deploy/prometheus/alerts.yml"


@dataclass
class Scrape:
    """What one scrape has shown: series (name and labels as Prometheus writes them) with their values."""

    values: dict[str, float] = field(default_factory=dict)
    text: str = ""

    def of(self, name: str) -> dict[str, float]:
        """Return the series of one name."""
        return {series: value for series, value in self.values.items() if series.partition("{")[0] == name}

    def __getitem__(self, series: str) -> float:
        return self.values[series]


def read(text: str, instance: str = "a:9464") -> Scrape:
    """Return what a scrape shows, with the labels that Prometheus adds."""
    from prometheus_client.parser import text_string_to_metric_families as families

    found = Scrape({f'up{{instance="{instance}",job="latchkey"}}': 1.0}, text)
    for metric in families(text):
        for sample in metric.samples:
            labels = sample.labels | {"instance": instance, "job": "latchkey"}
            inside = ",".join(f'{name}="{value}"' for name, value in sorted(labels.items()))
            found.values[f"{sample.name}{{{inside}}}"] = sample.value
    return found


@pytest.fixture
def figures() -> Iterator[Any]:
    """The registry of this process, which counts from zero during this test."""
    from app import metrics

    yield metrics.turn_on()
    metrics.turn_off()


@pytest.fixture
def scrape(app: Flask, figures: Any) -> Iterator[Callable[..., Scrape]]:
    """Scrapes the application: ``scrape()["latchkey_database_up{...}"]``; ``on=`` another one."""
    from prometheus_client import CollectorRegistry, generate_latest

    from app.extensions import db
    from app.monitoring import count_statements, statements
    from app.monitoring.collector import ServiceCollector

    timed = []

    def look(on: Flask | None = None, instance: str = "a:9464") -> Scrape:
        service = CollectorRegistry()
        service.register(ServiceCollector(on or app))
        return read(f"{generate_latest(figures).decode()}{generate_latest(service).decode()}", instance)

    count_statements(app)
    with app.app_context():
        timed.append(db.engine)
    yield look
    for engine in timed:
        statements.stop_timing(engine)


@pytest.fixture
def fires(tmp_path: Path) -> Callable[..., None]:
    """Evaluates our alert rules over scrapes with promtool: ``fires("LatchkeySlow", quiet=[...], loud=[...])``.

    Each scrape lasts ``minutes``. The alert must not fire at the end of the quiet ones, and must fire at the end of the
    loud ones.
    """
    promtool = requirements.program("promtool")

    def judge(alert: str, *, quiet: Sequence[Scrape], loud: Sequence[Scrape], minutes: int = 4) -> None:
        firing = f'count(ALERTS{{alertname="{alert}",alertstate="firing"}}) or vector(0)'
        story = [*quiet, *loud]
        moments = [(len(quiet) * minutes - 1, False), (len(story) * minutes - 1, True)]
        test = {
            "rule_files": [str(RULES)],
            "evaluation_interval": "30s",
            "tests": [
                {
                    "interval": "30s",
                    "input_series": series_of(story, minutes * 2),
                    "promql_expr_test": [
                        {
                            "expr": f"({firing}) > bool 0",
                            "eval_time": f"{moment}m",
                            "exp_samples": [{"labels": "{}", "value": int(does)}],
                        }
                        for moment, does in moments
                    ],
                }
            ],
        }
        path = tmp_path / f"{alert}.yml"
        path.write_text(yaml.safe_dump(test))
        done = subprocess.run([promtool, "test", "rules", path], capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stdout + done.stderr

    return judge


def series_of(story: Sequence[Scrape], steps: int) -> list[dict[str, str]]:
    """Return each series of these scrapes as promtool reads it; ``steps`` points for each scrape.

    As Prometheus does, a series that a scrape no longer shows is marked as stale.
    """
    found = []
    for name in dict.fromkeys(name for scrape in story for name in scrape.values):
        points, shown = [], False
        for scrape in story:
            if name in scrape.values:
                points.append(f"{scrape.values[name]:.17g}+0x{steps - 1}")
            else:
                points.append(f"{'stale' if shown else '_'} _x{steps - 1}")
            shown = name in scrape.values
        found.append({"series": name, "values": " ".join(points)})
    return found
