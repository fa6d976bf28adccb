"""The dashboard, alert rules and documentation name metrics that exist, and all of them."""

from __future__ import annotations

import json
import re
import subprocess

import pytest
import yaml

from app import metrics
from tests import requirements
from tests.databases import ROOT
from tests.functional.monitoring.conftest import RULES

pytestmark = pytest.mark.one_database

DASHBOARD = ROOT / "deploy/grafana/latchkey.json"
NAME = re.compile(r"\blatchkey_[a-z_]*[a-z]\b")
SUFFIXES = re.compile(r"_(total|bucket|sum|count)$")
FROM_PROMETHEUS = {"job", "instance", "le"}


@pytest.fixture
def labels(app, scrape, make_app, redis_url, people, client) -> dict[str, set[str]]:
    """The labels of every metric by its name, as declared or as a scrape shows it."""
    from prometheus_client.parser import text_string_to_metric_families as families

    from app.outbox import jobs

    people.open(email="ada@example.com", methods=["email"])
    client.post("/us-signin/send-code", json={"identity": "ada@example.com", "chosen_method": "email"})
    with app.app_context():
        from app.audit import record
        from app.extensions import db
        from app.throttling import service_totals

        jobs.record_heartbeat("a")
        service_totals.take("mail", "overall", 1)
        record("backup.created")
        db.session.commit()
    found = {metric.name: set(metric.labels) for metric in metrics.declared()}
    for family in families(scrape(make_app(redis_url=redis_url)).text):
        if family.name not in found:
            found[family.name] = {name for sample in family.samples for name in sample.labels}
    return found


def expressions() -> list[str]:
    """Return every expression of the dashboard and of the rules."""
    panels = json.loads(DASHBOARD.read_text())["panels"]
    asked = [target["expr"] for panel in panels for target in panel.get("targets", ())]
    [group] = yaml.safe_load(RULES.read_text())["groups"]
    return [*asked, *(rule["expr"] for rule in group["rules"])]


def test_queried_metrics_and_labels_exist(labels):
    for expression in expressions():
        for name in NAME.findall(expression):
            plain = SUFFIXES.sub("", name) if SUFFIXES.sub("", name) in labels else name
            assert plain in labels, expression
            for inside in re.findall(re.escape(name) + r"\{([^}]*)\}", expression):
                asked = set(re.findall(r"(\w+)(?:=~|!~|!=|=)", inside))
                assert asked <= labels[plain] | FROM_PROMETHEUS, expression


def test_every_metric_is_queried_and_documented(labels):
    asked = {SUFFIXES.sub("", name) for text in expressions() for name in NAME.findall(text)}
    described = manual()
    for name, given in labels.items():
        assert name in asked, f"nobody looks at {name}"
        assert name in described, f"docs/monitoring.md does not describe {name}"
        assert described[name] == given, f"docs/monitoring.md has other labels of {name}"
    assert set(described) == set(labels), "docs/monitoring.md describes what is not there"


def manual() -> dict[str, set[str]]:
    """Return the labels of each metric by its name, as the manual's tables have them."""
    rows = re.findall(r"(?m)^\| `(latchkey_\w+)` \| (\w+) \|([^|]*)\|", (ROOT / "docs/monitoring.md").read_text())
    return {SUFFIXES.sub("", name): set(re.findall(r"`(\w+)`", labels)) for name, _, labels in rows}


def test_dashboard_expressions_are_valid_promql(tmp_path):
    """A rule file with all of them: promtool reads each."""
    rules = [
        {"record": f"latchkey:{number}", "expr": expression.replace("$job", "latchkey")}
        for number, expression in enumerate(expressions())
    ]
    path = tmp_path / "all.yml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "all", "rules": rules}]}))
    done = subprocess.run([requirements.program("promtool"), "check", "rules", path], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(rules) > 40


def test_dashboard_panels_do_not_overlap():
    panels = json.loads(DASHBOARD.read_text())["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    cells = [
        (column, row)
        for panel in panels
        for column in range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"])
        for row in range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"])
    ]
    assert len(set(cells)) == len(cells)
    assert max(column for column, _ in cells) < 24


def test_scrape_passes_promtool_check_metrics(scrape, people, client):
    people.open(email="ada@example.com", methods=["email"])
    client.post("/us-signin/send-code", json={"identity": "ada@example.com", "chosen_method": "email"})
    done = subprocess.run(
        [requirements.program("promtool"), "check", "metrics"], input=scrape().text, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
