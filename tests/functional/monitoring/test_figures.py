"""Metrics of what people and workers did."""

from __future__ import annotations

import sqlite3
import threading
import time

import pytest
import sqlalchemy as sa

from app import metrics
from tests.sinks import code_in

pytestmark = pytest.mark.both_databases

AT = 'instance="a:9464",job="latchkey"'


def test_sign_ins_are_counted_by_method_and_result(people, wire, mail_to, scrape):
    people.open(email="ada@example.com", methods=["email"])
    wire.post("/us-signin/send-code", identity="ada@example.com", chosen_method="email")
    code = code_in(mail_to("ada@example.com"))
    wire.post("/us-signin", identity="ada@example.com", passcode="00000000")
    assert wire.post("/us-signin", identity="ada@example.com", passcode=code).ok
    found = scrape()
    signed_in, failed = sorted(found.of("latchkey_sign_ins_total").items(), key=lambda each: "failed" in each[0])
    assert 'method="email"' in signed_in[0]
    assert 'result="succeeded"' in signed_in[0]
    assert 'reason="wrong_code"' in failed[0]
    assert (signed_in[1], failed[1]) == (1, 1)
    assert found[f"latchkey_sessions_opened_total{{{AT}}}"] == 1
    assert found[f"latchkey_sessions{{{AT}}}"] == 1
    assert found[f'latchkey_events_total{{event="sign_in.succeeded",{AT}}}'] == 1


@pytest.mark.one_database
def test_code_messages_are_counted_with_their_delivery_time(people, wire, deliver, clock, scrape):
    people.open(email="ada@example.com", methods=["email"])
    wire.post("/us-signin/send-code", identity="ada@example.com", chosen_method="email")
    clock.shift(7)
    deliver()
    found = scrape()
    assert found[f'latchkey_messages_queued_total{{channel="mail",decoy="no",{AT},kind="sign_in"}}'] == 1
    assert found[f'latchkey_messages_total{{channel="mail",{AT},outcome="sent"}}'] == 1
    by_primary = f'latchkey_provider_attempts_total{{channel="mail",{AT},outcome="sent",provider="primary"}}'
    assert found[by_primary] == 1
    bucket = f'latchkey_delivery_seconds_bucket{{channel="mail",code="yes",{AT},le='
    assert [found[f'{bucket}"{seconds}"}}'] for seconds in ("5.0", "10.0")] == [0, 1]


@pytest.mark.one_database
def test_rolled_back_request_counts_no_events(people, client, scrape, monkeypatch):
    from app.extensions import db

    people.open(email="ada@example.com", methods=["email"])

    def fails(*_rest):
        raise sa.exc.OperationalError("COMMIT", {}, Exception("a fault of ours"))

    monkeypatch.setattr(db.session, "commit", fails)
    body = {"identity": "ada@example.com", "chosen_method": "email"}
    assert client.post("/us-signin/send-code", json=body).status_code >= 500
    found = scrape()
    assert sum(found.of("latchkey_messages_queued_total").values()) == 0
    assert "challenge.started" not in found.text


@pytest.mark.one_database
def test_requests_are_counted_by_route_method_and_status_class(client, scrape):
    for path in ("/confirm/s3cr3t-token", "/nothing/s3cr3t-token"):
        client.get(path)
    client.open("/us-signin", method="BREW")
    found = scrape()
    counted = found.of("latchkey_request_seconds_count")
    assert counted[f'latchkey_request_seconds_count{{{AT},method="GET",route="-",status="4xx"}}'] == 1
    assert any('route="/confirm/<token>"' in series for series in counted)
    assert any('method="other"' in series for series in counted)
    assert "s3cr3t" not in found.text
    assert "BREW" not in found.text


@pytest.mark.one_database
def test_rate_limited_requests_are_counted(make_app, figures, scrape):
    app = make_app(starts_per_address=1)
    client = app.test_client()
    body = {"identity": "ada@example.com", "chosen_method": "email"}
    for _ in range(5):
        client.post("/us-signin/send-code", json=body)
    assert scrape(app)[f'latchkey_refusals_total{{{AT},limit="starts"}}'] == 4


def test_statements_are_timed(people, wire, scrape):
    people.open(email="ada@example.com", methods=["email"])
    before = scrape()[f"latchkey_database_statement_seconds_count{{{AT}}}"]
    wire.post("/us-signin/send-code", identity="ada@example.com", chosen_method="email")
    found = scrape()
    assert found[f"latchkey_database_statement_seconds_count{{{AT}}}"] > before
    assert 0 < found[f"latchkey_database_statement_seconds_sum{{{AT}}}"] < 60


@pytest.fixture
def locked(databases, make_app):
    """An application on SQLite, and another writer that releases the lock after 0.4 s."""
    place = databases.shared("sqlite")
    place.empty()
    app = make_app(database_url=place.url)

    def hold() -> None:
        with sqlite3.connect(place.url.removeprefix("sqlite:///"), isolation_level=None) as other:
            other.execute("BEGIN IMMEDIATE")
            held.set()
            time.sleep(0.4)
            other.execute("ROLLBACK")
        other.close()

    held, holder = threading.Event(), threading.Thread(target=hold)
    holder.start()
    held.wait()
    yield app
    holder.join()


@pytest.mark.one_database
def test_statement_time_includes_the_wait_for_the_sqlite_lock(locked, figures):
    from prometheus_client import generate_latest

    from app.extensions import db
    from app.monitoring import count_statements, statements
    from tests.functional.monitoring.conftest import read

    count_statements(locked)
    with locked.app_context():
        try:
            db.session.execute(sa.text("UPDATE alembic_version SET version_num = version_num"))
            db.session.rollback()
        finally:
            statements.stop_timing(db.engine)
    assert read(generate_latest(figures).decode())[f"latchkey_database_statement_seconds_sum{{{AT}}}"] > 0.25


COMMITS = f'latchkey_database_commit_seconds_count{{{AT},kind="worker"}}'


def test_only_commits_with_writes_are_timed(app, scrape):
    from app.extensions import db

    with app.app_context():
        db.session.execute(sa.select(1))
        db.session.commit()
        assert COMMITS not in scrape().values
        db.session.execute(sa.text("UPDATE alembic_version SET version_num = version_num"))
        db.session.commit()
        assert scrape()[COMMITS] == 1
        db.session.execute(sa.text("UPDATE alembic_version SET version_num = version_num"))
        db.session.rollback()
    assert scrape()[COMMITS] == 1


def test_failed_commit_is_timed(app, scrape, monkeypatch):
    from app.extensions import db

    with app.app_context():
        dialect = db.engine.dialect

        def fails(_connection):
            raise dialect.loaded_dbapi.OperationalError("a fault of ours")

        monkeypatch.setattr(dialect, "do_commit", fails)
        db.session.execute(sa.text("UPDATE alembic_version SET version_num = version_num"))
        with pytest.raises(sa.exc.OperationalError):
            db.session.commit()
        db.session.rollback()
    assert scrape()[COMMITS] == 1


def process(found, name: str, kind: str = "worker", number: int = 1) -> float:
    return found[f'latchkey_process_{name}{{{AT},kind="{kind}",process="{number}"}}']


@pytest.mark.one_database
def test_process_memory_and_open_files_are_exported(scrape):
    import os
    import resource

    before, file = scrape(), os.open(os.devnull, os.O_RDONLY)
    after = scrape()
    os.close(file)
    assert process(after, "open_files") == process(before, "open_files") + 1
    assert process(after, "open_files_limit") == resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    assert 10e6 < process(after, "resident_bytes") < 10e9


@pytest.mark.one_database
def test_process_metrics_are_omitted_without_proc(scrape, monkeypatch, tmp_path):
    from app.monitoring import readings

    monkeypatch.setattr(readings, "PROC", tmp_path)
    assert "latchkey_process_resident_bytes" not in scrape().text
    assert "latchkey_process_open_files" not in scrape().text


@pytest.mark.one_database
def test_unlimited_open_files_are_exported_without_a_limit(monkeypatch, tmp_path):
    from app.monitoring import readings

    place = tmp_path / "7"
    (place / "fd").mkdir(parents=True)
    (place / "statm").write_text("100 10 5 1 0 9 0\n")
    (place / "limits").write_text("Max open files            unlimited            unlimited            files     \n")
    monkeypatch.setattr(readings, "PROC", tmp_path)
    assert readings.usage_of(7).most_files is None


def domains_of(found, state: str = "new") -> dict[str, float]:
    return {
        series.partition('domain="')[2].partition('"')[0]: value
        for series, value in found.of("latchkey_queue_messages").items()
        if f'state="{state}"' in series
    }


def enqueue(app, *addresses: str) -> None:
    from app import outbox
    from app.extensions import db

    with app.app_context():
        for address in addresses:
            outbox.enqueue("notice", "mail", address)
        db.session.commit()


def test_queue_metrics_show_the_top_domains_and_group_the_rest(app, scrape, clock):
    enqueue(app, *(f"ada@d{number}.example" for number in range(30) for _ in range(30 - number)))
    clock.shift(90)
    found = scrape()
    shown = domains_of(found)
    assert sorted(shown) == sorted([*(f"d{number}.example" for number in range(10)), "other"])
    assert shown["d0.example"] == 30
    assert sum(shown.values()) == sum(range(1, 31))
    assert min(found.of("latchkey_queue_oldest_seconds").values()) >= 90
    assert found[f'latchkey_queue_late_seconds{{channel="mail",{AT}}}'] >= 90
    assert "ada@" not in found.text


@pytest.mark.one_database
def test_domain_label_values_per_process_are_bounded(app, database):
    from app.extensions import db
    from app.monitoring.readings import EVER_SHOWN, Queue

    queue, seen = Queue(), set()
    for wave in range(12):
        with app.app_context():
            db.session.execute(sa.text("DELETE FROM message"))
            db.session.commit()
        enqueue(app, *(f"x@w{wave}n{number}.example" for number in range(10)))
        with app.app_context():
            seen |= {labels[1] for labels in next(iter(queue.read())).values}
    assert len(seen) == EVER_SHOWN + 1
    assert "other" in seen


@pytest.mark.one_database
def test_number_of_series_is_bounded(figures):
    for number in range(1000):
        metrics.EVENTS.count(f"made.up.{number}")
        metrics.TURNED_AWAY.count(str(number))
    assert len(metrics.EVENTS._children) <= metrics.EVENTS.most + 1
    from prometheus_client import generate_latest

    text = generate_latest(figures).decode()
    assert text.count("latchkey_events_total{") == metrics.EVENTS.most + 1
    assert f'latchkey_events_total{{event="other"}} {1000 - metrics.EVENTS.most}' in text


@pytest.mark.one_database
def test_preallocated_metric_files_fit_all_series_of_a_process(figures):
    """Space is allocated in advance; a growing file would be sparse, and a full disk would then kill the process."""
    from app.monitoring.shared_files import ROOM

    longest = 300  # bytes of a key and its value: names, labels and help text
    for kind, room in ROOM.items():
        series = sum(
            metric.most * (len(getattr(metric, "buckets", ())) + 2) if metric.labels else 12
            for metric in metrics.declared()
            if metric.kind == kind
        )
        assert series * longest < room, kind


def test_workers_are_exported_with_release_heartbeat_and_sweep_age(app, scrape, clock):
    from app.outbox import jobs
    from app.version import VERSION

    assert scrape()[f'latchkey_workers{{{AT},version="none"}}'] == 0
    with app.app_context():
        jobs.record_heartbeat("a", started_at=clock.now(), swept_at=clock.now())
        clock.shift(20)
        jobs.record_heartbeat("b", started_at=clock.now())
    found = scrape()
    assert found[f'latchkey_workers{{{AT},version="{VERSION}"}}'] == 2
    assert 20 <= found[f"latchkey_worker_heartbeat_age_seconds{{{AT}}}"] < 22
    assert 20 <= found[f"latchkey_worker_sweep_age_seconds{{{AT}}}"] < 22


@pytest.fixture
def app_without_database(make_app):
    """An application whose database is not there."""
    return make_app(database_url="postgresql://nobody@127.0.0.1:1/none", statement_timeout=1)


@pytest.mark.one_database
def test_scrape_reports_an_unreachable_database_and_still_succeeds(app_without_database, scrape):
    began = time.monotonic()
    found = scrape(app_without_database)
    assert time.monotonic() - began < 4
    assert found[f"latchkey_database_up{{{AT}}}"] == 0
    assert found.of("latchkey_queue_messages") == {}
    assert found.of("latchkey_build_info")
    assert found.of("latchkey_sign_ins_total") == {}


@pytest.mark.one_database
def test_hung_database_does_not_block_a_scrape(app, figures, monkeypatch):
    import threading

    from prometheus_client import CollectorRegistry, generate_latest

    from app.monitoring import collector, readings

    let_go = threading.Event()

    def hang():
        let_go.wait(10)
        yield from ()

    monkeypatch.setattr(readings, "database", hang)
    monkeypatch.setattr(collector, "WAIT", 0.05)
    registry = CollectorRegistry()
    registry.register(collector.ServiceCollector(app))
    try:
        texts = [generate_latest(registry).decode() for _ in range(3)]
        asking = [each for each in threading.enumerate() if each.name == "metrics-readings"]
        assert all("latchkey_database_up 0.0" in text for text in texts)
        assert sum(each.is_alive() for each in asking) <= 2, "each scrape started a thread"
    finally:
        let_go.set()


@pytest.mark.one_database
def test_database_readings_are_cached_for_a_few_seconds(app, figures, statements):
    from prometheus_client import CollectorRegistry, generate_latest

    from app.monitoring.collector import ServiceCollector

    registry = CollectorRegistry()
    registry.register(ServiceCollector(app))
    generate_latest(registry)
    with statements() as seen:
        generate_latest(registry)
    assert seen == []


@pytest.mark.one_database
def test_metrics_are_off_by_default(client):
    assert not metrics.is_on()
    client.get("/us-signin")
    metrics.SIGN_INS.count("email", "", "succeeded", "")
    assert metrics.SIGN_INS._metric is None


def test_metrics_add_no_database_statements(people, wire, statements, figures, scrape):
    people.open(email="ada@example.com", methods=["email"])
    scrape()

    def ask() -> int:
        with statements() as seen:
            wire.post("/us-signin/send-code", identity="nobody@example.com", chosen_method="email")
        return len(seen)

    ask()
    on = ask()
    metrics.turn_off()
    assert on == ask()
