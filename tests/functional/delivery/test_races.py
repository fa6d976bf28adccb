"""Two workers, one message: it is sent once, on either database."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter

import pytest

from tests.databases import KEY, ROOT
from tests.sinks import until

pytestmark = pytest.mark.both_databases

ROUNDS = 20
THREADS = 6


@pytest.fixture
def queue_url(tmp_path):
    """A queue for this test alone."""
    return f"sqlite:///{tmp_path}/queue.db"


@pytest.fixture
def app(make_app, clock, queue_url):
    """An application whose queue works."""
    return make_app(queue_url=queue_url)


@pytest.fixture
def environment(database, queue_url, smtp):
    """What a worker process finds in its environment."""
    return {
        "PATH": os.environ["PATH"],
        "LATCHKEY_ENVIRONMENT": "development",
        "LATCHKEY_DATABASE_URL": database.url,
        "LATCHKEY_SECRET_KEYS": KEY,
        "LATCHKEY_MAIL_URL": smtp.url,
        "LATCHKEY_QUEUE_URL": queue_url,
        "LATCHKEY_OUTBOX_SWEEP_EVERY": "0.1",
        "LATCHKEY_LOG_LEVEL": "warning",
    }


@pytest.fixture
def start_worker(environment, tmp_path):
    """Starts worker processes on this test's database; all of them are stopped after the test."""
    command = [sys.executable, "-m", "tests.functional.delivery.worker_process"]
    running = []

    def start():
        with (tmp_path / f"worker-{len(running)}.log").open("wb") as log:
            running.append(subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log))
        return running[-1]

    yield start
    for process in running:
        process.terminate()
        process.wait(10)


def test_racing_threads_send_a_message_once(app, post, smtp):
    from app import outbox

    def race(message_id, ready, won):
        with app.app_context():
            ready.wait()
            won.append(outbox.deliver(message_id))

    for _ in range(ROUNDS):
        message_id, ready, won = post(), threading.Barrier(THREADS), []
        racers = [threading.Thread(target=race, args=(message_id, ready, won)) for _ in range(THREADS)]
        for racer in racers:
            racer.start()
        for racer in racers:
            racer.join()
        assert sorted(won) == [False] * (THREADS - 1) + [True]
    assert len(smtp.mails) == ROUNDS


def test_racing_worker_processes_send_each_message_once(app, post, start_worker, smtp, rows):
    from app.outbox import Message, wakeups

    start_worker(), start_worker()
    ids = [post(to=f"person{number}@example.com") for number in range(150)]
    with app.app_context():
        for _ in ids:  # woken twice for each: as unlucky as can be
            wakeups.wake()
    until(lambda: len(rows(Message, state="sent")) == len(ids), 40)
    time.sleep(0.5)
    copies = Counter(mail.to[0] for mail in smtp.mails)
    assert len(copies) == len(ids)
    assert set(copies.values()) == {1}
    assert {message.attempts for message in rows(Message)} == {1}


def test_message_of_a_killed_worker_is_sent_after_its_lease(app, post, start_worker, smtp, rows, clock):
    from app.outbox import Message

    smtp.modes, smtp.delay = {"slow.test": "slow"}, 30
    killed = start_worker()
    message_id = post(to="ada@slow.test")
    until(lambda: rows(Message, state="sending"), 20)
    killed.send_signal(signal.SIGKILL)
    killed.wait(10)
    assert [message.id for message in rows(Message, state="sending")] == [message_id]
    smtp.modes = {}
    with clock.travel(61), app.app_context():
        from app import outbox

        assert outbox.deliver(message_id)


def test_worker_process_exits_within_five_seconds_of_sigterm(start_worker, post, smtp, rows):
    from app.outbox import Message

    smtp.modes, smtp.delay = {"slow.test": "slow"}, 30
    process = start_worker()
    post(to="ada@slow.test")
    until(lambda: rows(Message, state="sending"), 20)
    began = time.monotonic()
    process.terminate()
    assert process.wait(10) == 0
    assert time.monotonic() - began < 5
    assert rows(Message)[0].state == "waiting"
