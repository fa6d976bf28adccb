"""Each alert rule fires for its fault in a running application, evaluated by promtool."""

from __future__ import annotations

import ast
import os
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest
import sqlalchemy as sa
import yaml
from sqlalchemy import event

from tests import requirements
from tests.databases import ROOT
from tests.event_loops import run_coroutine
from tests.functional.monitoring.conftest import RULES, Scrape, read
from tests.sinks import SmtpSink

pytestmark = pytest.mark.one_database

SEND = "/us-signin/send-code"


def ask(client, address: str = "ada@example.com") -> int:
    return client.post(SEND, json={"identity": address, "chosen_method": "email"}).status_code


def rounds(scrape: Callable[..., Scrape], fault: Callable[[], object], times: int = 4, on=None) -> list[Scrape]:
    """Return what is scraped after the fault, and after it was there again."""
    found = []
    for _ in range(times):
        fault()
        found.append(scrape(on))
    return found


def test_alert_fires_for_an_unreachable_process(app, figures, fires):
    from app.monitoring import listener

    server = listener.bind(app, "127.0.0.1:0".replace(":0", f":{free_port()}"), figures)
    listener.serve_in_thread(server)
    url = f"http://127.0.0.1:{server.server_port}/metrics"
    well = scraped(url)
    server.shutdown()
    server.server_close()
    fires("LatchkeyDown", quiet=[well], loud=[scraped(url)])


def scraped(url: str) -> Scrape:
    """Return what Prometheus would know of this target: without an answer, that it is down."""
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return read(answer.read().decode())
    except urllib.error.URLError:
        return Scrape({'up{instance="a:9464",job="latchkey"}': 0.0})


def free_port() -> int:
    from tests.serving import free_port as free

    return free()


@pytest.fixture
def away(make_app):
    """An application whose database is not there."""
    return make_app(database_url="postgresql://nobody@127.0.0.1:1/none", statement_timeout=1)


@pytest.fixture
def read_only(make_app, database):
    """An application whose SQLite file can't be written."""
    path = database.url.removeprefix("sqlite:///")
    return make_app(database_url=f"sqlite:///file:{Path(path).resolve()}?mode=ro&uri=true")


def test_alert_fires_for_an_unreachable_database(scrape, away, fires):
    fires("LatchkeyDatabaseAway", quiet=[scrape()], loud=[scrape(away)])


def test_alert_fires_for_a_database_unreachable_from_one_process(scrape, away, fires):
    other = scrape(instance="b:9464")
    well = merged(scrape(), other)
    fault = merged(scrape(away), other)
    fires("LatchkeyDatabaseUnreached", quiet=[well], loud=[fault])
    with pytest.raises(AssertionError, match="LatchkeyDatabaseAway"):
        fires("LatchkeyDatabaseAway", quiet=[well], loud=[fault])


def merged(*scrapes: Scrape) -> Scrape:
    return Scrape({name: value for each in scrapes for name, value in each.values.items()})


def test_alert_fires_for_a_read_only_database(scrape, read_only, fires):
    fires("LatchkeyDatabaseReadOnly", quiet=[scrape()], loud=[scrape(read_only)])


def test_alert_fires_for_a_database_locked_read_only_by_a_move(app, scrape, fires):
    from app.backup.databases import database_at
    from app.db import read_only

    well, moved = scrape(), database_at(app.extensions["latchkey.settings"].database_url)
    with moved.engine.connect() as connection:
        read_only.begin(connection, ["event"], read_only.LEASE)
        try:
            fires("LatchkeyDatabaseReadOnly", quiet=[well], loud=[scrape()])
        finally:
            read_only.lift(connection)


def test_alert_fires_for_slow_statements(app, scrape, fires):
    from app.extensions import db

    def linger(*_rest) -> None:
        time.sleep(0.06)

    with app.app_context():
        engine = db.engine
    well = scrape()
    event.listen(engine, "before_cursor_execute", linger)
    try:
        slow = rounds(scrape, lambda: None, 3)
    finally:
        event.remove(engine, "before_cursor_execute", linger)
    fires("LatchkeyDatabaseSlow", quiet=[well, scrape()], loud=slow)


def test_alert_fires_for_slow_commits(app, people, scrape, fires):
    from app.extensions import db

    def linger(_connection) -> None:
        time.sleep(0.6)

    def write() -> None:
        people.open()

    with app.app_context():
        engine = db.engine
    write()
    well = scrape()
    event.listen(engine, "commit", linger)
    try:
        slow = rounds(scrape, write)
    finally:
        event.remove(engine, "commit", linger)
    fires("LatchkeyCommitsSlow", quiet=[well, well, well], loud=slow)


def test_alert_fires_for_pending_migrations(app, scrape, database, fires):
    well = scrape()
    [(revision,)] = database.query("SELECT version_num FROM alembic_version")
    with at_revision(app, "0001", revision):
        fires("LatchkeySchemaDoesNotFit", quiet=[well], loud=[scrape()])


class at_revision:  # noqa: N801 - reads like a function
    """Set the database's revision to another one during a block."""

    def __init__(self, app, revision: str, after: str) -> None:
        self.app, self.revision, self.after = app, revision, after

    def __enter__(self) -> None:
        self._set(self.revision)

    def __exit__(self, *_rest: object) -> None:
        self._set(self.after)

    def _set(self, revision: str) -> None:
        from app.extensions import db

        with self.app.app_context():
            db.session.execute(sa.text("UPDATE alembic_version SET version_num = :revision"), {"revision": revision})
            db.session.commit()


def test_alert_fires_for_a_missing_encryption_key(people, scrape, make_app, fires):
    people.open(methods=["email"])
    other = make_app(secret_keys="for-tests-alone-too-9c2e5d71a8f04b36b7d0c3e1f6a59824")
    fires("LatchkeyKeyMissing", quiet=[scrape()], loud=[scrape(other)])


def test_alert_fires_for_clock_skew(scrape, clock, fires):
    well = scrape()
    clock.follow(-5)  # as a process does that has measured it; tests/faults/test_clocks.py has real ones
    try:
        fires("LatchkeyClockSkew", quiet=[well], loud=[scrape()])
    finally:
        clock.follow(0)


def test_alert_fires_for_an_unreachable_redis(scrape, make_app, redis_url, fires):
    well, fault = make_app(redis_url=redis_url), make_app(redis_url="redis://127.0.0.1:1/0")
    fires("LatchkeyRedisAway", quiet=[scrape(well)], loud=[scrape(fault)])


def test_alert_fires_without_workers(app, scrape, clock, fires):
    from app.outbox import jobs

    with app.app_context():
        jobs.record_heartbeat("a", started_at=clock.now())
    well = scrape()
    clock.shift(31)
    fires("LatchkeyNoWorker", quiet=[well], loud=[scrape()])


def test_alert_fires_for_a_hung_worker_sweep(app, scrape, clock, fires):
    from app.outbox.jobs import Upkeep

    upkeep = Upkeep(app.extensions["latchkey.settings"], threading.Event())
    with app.app_context():
        upkeep.sweep()
        upkeep.record_heartbeat()
    well = scrape()
    clock.shift(700)
    with app.app_context():
        upkeep.record_heartbeat()  # its sweep has not come back
    fires("LatchkeyWorkerHangs", quiet=[well], loud=[scrape()])


def test_alert_fires_for_overdue_messages(client, people, scrape, clock, fires):
    people.open(email="ada@example.com", methods=["email"])
    ask(client)
    well = scrape()
    clock.shift(90)
    fires("LatchkeyQueueLate", quiet=[well], loud=[scrape()])


def test_alert_fires_for_messages_waiting_for_a_retry(client, people, scrape, smtp, deliver, fires):
    people.open(email="ada@example.com", methods=["email"])
    well = scrape()
    smtp.modes["example.com"] = "busy"
    ask(client)
    deliver()
    fires("LatchkeyMessagesParked", quiet=[well], loud=[scrape()], minutes=8)


def test_alert_fires_for_abandoned_messages(client, people, scrape, smtp, deliver, fires):
    people.open(email="ada@example.com", methods=["email"])
    well = scrape()
    smtp.modes["example.com"] = "refuse"
    ask(client)
    deliver()
    fires("LatchkeyMessagesAbandoned", quiet=[well], loud=[scrape()])


@pytest.fixture
def second_mail_server(app):
    """A second mail server, which works."""
    other, before = SmtpSink(), app.extensions["latchkey.settings"]
    app.extensions["latchkey.settings"] = before.model_copy(update={"mail_fallback_url": other.url})
    yield other
    app.extensions["latchkey.settings"] = before
    other.down()


def test_alert_fires_for_a_failing_provider_while_the_fallback_sends(
    app, client, people, scrape, smtp, deliver, clock, second_mail_server, fires
):
    from app.extensions import db
    from app.outbox import providers

    def sent() -> Scrape:
        ask(client)
        deliver()
        with app.app_context():
            providers.save_health()
            db.session.commit()
        return scrape(app)

    people.open(email="ada@example.com", methods=["email"])
    well = sent()
    smtp.down()
    clock.shift(60)
    fault = sent()
    assert len(second_mail_server.mails) == 1
    fires("LatchkeyProviderFails", quiet=[well], loud=[fault, fault])


@pytest.mark.settings(limits=False)
def test_alert_fires_for_a_high_bounce_rate(app, client, people, scrape, deliver, fires):
    from app.extensions import db
    from app.outbox import suppressions

    everyone = [f"p{number}@example.com" for number in range(25)]
    for address in everyone:
        people.open(email=address, methods=["email"])
        ask(client, address)
    deliver()
    well = scrape()
    with app.app_context():
        reports = [suppressions.Report(each, "hard", "postmark", each, "5.1.1") for each in everyone]
        assert suppressions.process_reports(reports) == 25
        db.session.commit()
    fires("LatchkeyMailComesBack", quiet=[well, well], loud=[scrape(), scrape()])


@pytest.mark.settings(limits=False)
def test_alert_fires_for_slow_code_delivery(client, people, scrape, deliver, clock, fires):
    people.open(email="ada@example.com", methods=["email"])

    def late() -> None:
        ask(client)
        clock.shift(100)
        deliver()

    ask(client)
    deliver()
    well = scrape()
    ask(client)
    deliver()
    fires("LatchkeyDeliverySlow", quiet=[well, scrape()], loud=rounds(scrape, late))


@pytest.mark.settings(mails_per_hour_overall=5, overall_kept_percent=0)
def test_alert_fires_for_nearly_exhausted_and_exhausted_send_limits(client, people, scrape, deliver, fires):
    for number in range(7):
        people.open(email=f"p{number}@example.com", methods=["email"])
    story = []
    for number in range(7):
        ask(client, f"p{number}@example.com")
        deliver()
        story.append(scrape())
    fires("LatchkeyBudgetNearlyUsed", quiet=story[:3], loud=story[4:5])
    fires("LatchkeyBudgetExhausted", quiet=story[:5], loud=story[5:])


@pytest.mark.settings(sms_breaker_sends=2, sms_breaker_percent=50)
def test_alert_fires_for_a_tripped_sms_breaker(client, people, scrape, deliver, fires):
    story = []
    for number in range(5):
        people.open(phone=f"+1650253000{number}", methods=["sms"])
        client.post(SEND, json={"identity": f"+1650253000{number}", "chosen_method": "sms"})
        deliver()
        story.append(scrape())
    fires("LatchkeyTextsStopped", quiet=story[:2], loud=story[-1:])


def test_alert_fires_for_many_open_files(scrape, fires):
    import resource

    own = {"soft": resource.getrlimit(resource.RLIMIT_NOFILE)[0], "hard": resource.getrlimit(resource.RLIMIT_NOFILE)[1]}
    [used] = scrape().of("latchkey_process_open_files").values()
    resource.setrlimit(resource.RLIMIT_NOFILE, (int(used) * 2 + 50, own["hard"]))
    opened = []
    try:
        well = scrape()
        opened += [os.open(os.devnull, os.O_RDONLY) for _ in range(int((used * 2 + 50) * 0.85 - used))]
        ill = [scrape(), scrape()]
    finally:
        for file in opened:
            os.close(file)
        resource.setrlimit(resource.RLIMIT_NOFILE, (own["soft"], own["hard"]))
    fires("LatchkeyOpenFiles", quiet=[well, well], loud=ill)


@pytest.mark.settings(starts_per_address=1)
def test_alert_fires_for_many_rate_limited_requests(client, scrape, fires):
    def flood() -> None:
        for _ in range(120):
            metrics_before = ask(client)
        assert metrics_before == 429

    ask(client)
    well = scrape()
    fires("LatchkeyManyRefusals", quiet=[well, well], loud=rounds(scrape, flood, 3))


@pytest.mark.settings(limits=False)
def test_alert_fires_for_many_failed_sign_ins(client, people, scrape, fires):
    people.open(email="ada@example.com", methods=["email"])

    def fail() -> None:
        for _ in range(30):
            client.post("/us-signin", json={"identity": "ada@example.com", "passcode": "00000000"})

    fail()
    well = scrape()
    fires("LatchkeySignInsFail", quiet=[well, well, well], loud=rounds(scrape, fail))


def test_alert_fires_for_server_errors(client, read_only, scrape, fires):
    broken = read_only.test_client()

    def fault() -> None:
        assert ask(broken) >= 500

    fault()
    client.get("/us-signin")
    well = scrape()
    fires("LatchkeyErrors", quiet=[well, well], loud=rounds(scrape, fault))


def test_alert_fires_for_slow_requests(app, client, scrape, monkeypatch, fires):
    from app import observability

    client.get("/us-signin")
    well = scrape()
    ahead = [0.0]
    real = time.perf_counter

    class Slow:
        """A clock that advances two seconds each time it is read, so that no test waits for what it measures."""

        @staticmethod
        def perf_counter() -> float:
            ahead[0] += 2.0
            return real() + ahead[0]

        monotonic = staticmethod(time.monotonic)

    monkeypatch.setattr(observability, "time", Slow)
    slow = rounds(scrape, lambda: client.get("/us-signin"))
    fires("LatchkeySlow", quiet=[well, well], loud=slow)


def test_alert_fires_for_requests_rejected_under_load(scrape, fires):
    from app.serving.asgi import WsgiAdapter
    from app.serving.thread_pool import Busy

    class NoThread:
        async def run(self, _work):
            raise Busy

    adapter = WsgiAdapter(lambda *_: [], pool=NoThread(), max_body=0)
    scope = {"method": "GET", "path": "/us-signin", "raw_path": b"/us-signin", "query_string": b"", "headers": [],
             "server": ("localhost", 80), "client": ("127.0.0.1", 1), "scheme": "http",
             "http_version": "1.1"}  # fmt: skip

    async def sent(_message) -> None:
        return None

    well = scrape()
    fault = rounds(scrape, lambda: run_coroutine(adapter(scope, None, sent)), 2)
    fires("LatchkeyTurnsAway", quiet=[well], loud=fault)


def test_alert_fires_for_a_failing_webhook_endpoint(app, client, people, scrape, fires):
    well = scrape()
    endpoint(app, client, people)
    post_events(app)
    fires("LatchkeyWebhookFails", quiet=[well], loud=[scrape()], minutes=20)


def test_alert_fires_for_a_disabled_webhook_endpoint(app, client, people, scrape, receiver, fires):
    well = scrape()
    receiver.answers = [410]
    endpoint(app, client, people, receiver.url)
    post_events(app)
    fires("LatchkeyWebhookDisabled", quiet=[well], loud=[scrape()])


def test_alert_fires_for_overdue_webhook_deliveries(app, client, people, scrape, clock, fires):
    well = scrape()
    endpoint(app, client, people)
    clock.shift(400)
    fires("LatchkeyWebhooksLate", quiet=[well], loud=[scrape()], minutes=8)


def endpoint(app, client, people, url: str = "http://127.0.0.1:1/") -> None:
    """Add an endpoint, and have something happen that is posted there."""
    from app.extensions import db
    from app.webhooks import endpoints

    with app.app_context():
        endpoints.create(url, ["*"], by="operator")
        db.session.commit()
    people.open(email="ada@example.com", methods=["email"])
    client.post("/us-signin", json={"identity": "ada@example.com", "passcode": "00000000"})


def post_events(app) -> None:
    """Post what is due, as a worker does."""
    from app.webhooks.delivery import Queue, send

    queue = Queue()
    with app.app_context():
        for each in queue.due():
            send(each.destination, queue.claim_from(each, 16))


def test_alert_fires_for_an_old_backup(app, scrape, clock, tmp_path, fires):
    assert scrape().of("latchkey_backup_age_seconds") == {}
    assert app.test_cli_runner().invoke(args=["backup", str(tmp_path / "monday")]).exit_code == 0
    well = scrape()
    clock.shift(3 * 86400)
    fires("LatchkeyBackupOld", quiet=[well, well], loud=[scrape(), scrape()])


def test_alert_fires_for_errors_logged_by_periodic_tasks(app, scrape, fires):
    from app.outbox import jobs

    def broken() -> bool:
        raise RuntimeError("a fault of ours")

    app.extensions[jobs._PERIODIC_TASKS].append(broken)

    def sweep() -> None:
        with app.app_context():
            jobs.run_periodic_tasks(threading.Event())

    well = scrape()
    fires("LatchkeyErrorsLogged", quiet=[well], loud=rounds(scrape, sweep, 2))


def test_alert_fires_for_different_releases_running_side_by_side(scrape, monkeypatch, fires):
    from app.monitoring import collector

    first, second = scrape(), scrape(instance="b:9464")
    monkeypatch.setattr(collector, "VERSION", "0.0.9")
    fires("LatchkeyReleasesDiffer", quiet=[merged(first, second)],
          loud=[merged(scrape(), second)], minutes=70)  # fmt: skip


@pytest.fixture(scope="module")
def alerts() -> dict[str, dict]:
    [group] = yaml.safe_load(RULES.read_text())["groups"]
    return {rule["alert"]: rule for rule in group["rules"]}


def test_alert_rules_pass_promtool():
    done = subprocess.run(
        [requirements.program("promtool"), "check", "rules", "--lint-fatal", RULES], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_rule_is_fired_by_a_test(alerts):
    fired = set()
    for path in Path(__file__).parent.glob("test_*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "fires":
                fired.add(ast.literal_eval(node.args[0]))
    assert set(alerts) == fired


def test_every_alert_rule_has_a_severity_and_a_runbook(alerts):
    text = (ROOT / "docs/monitoring.md").read_text()
    for name, rule in alerts.items():
        assert f"### {name}\n" in text
        assert rule["annotations"]["runbook"] == f"docs/monitoring.md#{name.lower()}"
        assert rule["labels"]["severity"] in ("critical", "warning")
